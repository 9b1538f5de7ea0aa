"""Verify an exported audit ledger, or a certificate of erasure, without the software that made it.

    python verify_ledger.py EXPORT_DIRECTORY [--key HEX] [--checkpoint FILE] [--certificate FILE] [--json]
    python verify_ledger.py --certificate FILE [--key HEX] [--json]

Needs Python 3.11 and the package `cryptography`. Give the ledger's public key as you got it from its owner by another
way, else the one in the files is believed, which a forger can have put there. Give a checkpoint you kept from earlier,
and a ledger that was rolled back or rewritten since is found out. Exit status: 0 sound, 1 not, 2 wrong usage.

Hashes and trees: RFC 6962, section 2.1. Checkpoints: C2SP tlog-checkpoint in a C2SP signed-note, Ed25519.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FILES = ("checkpoints.txt", "leaves.jsonl", "public_key.txt", "verify_ledger.py")
EXPORT_PREFIX = b"tiered-memory ledger export v1\n"
SINCE_FORMAT_2 = ("format", "ledger_entry", "ledger_path", "ledger_checkpoint")
NOTE = re.compile(
    r"((tiered-memory/ledger/([0-9a-f]{32}))\n(0|[1-9][0-9]{0,17})\n([A-Za-z0-9+/]{43}=)\n"
    r"time (?:0|[1-9][0-9]{0,17})\nsoftware [!-~]{1,64}\nformat 1\n)\n— ([!-~]{1,128}) ([A-Za-z0-9+/]{91}=)\n"
)


class Refused(Exception):  # noqa: N818 - a verdict
    """It does not verify; the message says what was found."""


def canonical(fields: dict) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def check_signature(key: bytes, signature: bytes, data: bytes, what: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
    except (InvalidSignature, ValueError):
        raise Refused(f"{what}: the signature does not verify") from None


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


class Checkpoint:
    """A signed note: which log, its size, its root."""

    def __init__(self, note: str, key: bytes, what: str) -> None:
        match = NOTE.fullmatch(note)
        if match is None:
            raise Refused(f"{what} is no checkpoint of format 1")
        text, origin, self.incarnation, size, root, name, signed = match.groups()
        self.size, self.root, raw = int(size), base64.b64decode(root), base64.b64decode(signed)
        same = base64.b64encode(self.root).decode() == root and base64.b64encode(raw).decode() == signed
        if not same or name != origin or raw[:4] != sha256(name.encode(), b"\n\x01", key)[:4]:
            raise Refused(f"{what} is not signed by the ledger's key")
        check_signature(key, raw[4:], text.encode(), what)


class Peaks:
    """The roots of the complete subtrees a growing tree consists of, largest first."""

    def __init__(self) -> None:
        self.size, self.nodes = 0, []

    def append(self, leaf: bytes) -> None:
        """Take the next leaf."""
        node, self.size = sha256(b"\x00", leaf), self.size + 1
        for _ in range((self.size & -self.size).bit_length() - 1):
            node = sha256(b"\x01", self.nodes.pop(), node)
        self.nodes.append(node)

    def root(self) -> bytes:
        """Return the root over what was taken."""
        if not self.nodes:
            return sha256()
        node = self.nodes[-1]
        for left in self.nodes[-2::-1]:
            node = sha256(b"\x01", left, node)
        return node


def check_inclusion(leaf: bytes, index: int, head: Checkpoint, path: list[bytes]) -> None:
    """RFC 9162, section 2.1.3.2."""
    place, last, node = index, head.size - 1, sha256(b"\x00", leaf)
    if not 0 <= index < head.size:
        raise Refused("the certificate's entry lies outside of its checkpoint")
    for sibling in path:
        if last == 0:
            raise Refused("the certificate's proof in the ledger is too long")
        if place & 1 or place == last:
            node = sha256(b"\x01", sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = sha256(b"\x01", node, sibling)
        place, last = place >> 1, last >> 1
    if last or node != head.root:
        raise Refused("the certificate's proof in the ledger does not hold")


def notes(data: bytes, key: bytes, what: str) -> list[Checkpoint]:
    try:
        parts = data.decode().split("\n\n")
    except UnicodeDecodeError:
        raise Refused(f"{what}: not UTF-8 text") from None
    if parts.pop() or not parts or len(parts) % 2:
        raise Refused(f"{what}: the checkpoints do not end with one")
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [
        Checkpoint(f"{text}\n\n{sign}\n", key, f"{what}: checkpoint {number}")
        for number, (text, sign) in enumerate(pairs)
    ]


def read_manifest(folder: Path, trusted: bytes | None) -> tuple[dict, bytes]:
    try:
        raw = (folder / "manifest.json").read_bytes()
        fields = json.loads(raw)
        signature, key = bytes.fromhex(fields.pop("signature")), bytes.fromhex(fields["public_key"])
        spelt = canonical({**fields, "signature": signature.hex()}) + b"\n"
        known = fields["format"] == 1 and set(FILES) <= set(fields["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refused("this is no complete export: its manifest is missing or was altered") from None
    if spelt != raw or not known:
        raise Refused("the manifest was altered, or has a format this program does not know")
    if trusted is not None and key != trusted:
        raise Refused("the export was made under another key than the one you trust")
    check_signature(key, signature, EXPORT_PREFIX + canonical(fields), "the manifest was altered")
    return fields, key


def check_files(folder: Path, listed: dict) -> None:
    there = {path.name for path in folder.iterdir()} - {"manifest.json"}
    if there != set(listed):
        raise Refused(f"files are missing or were added: {', '.join(sorted(there ^ set(listed)))}")
    for name, (digest, size) in listed.items():
        with (folder / name).open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != digest or stream.tell() != size:
                raise Refused(f"{name} is not what the manifest says: it was altered")


def check_tree(folder: Path, fields: dict, heads: list[Checkpoint]) -> int:
    """Every checkpoint of the ledger's present life must be a head of this tree, the last one over all of it."""
    present = {fields["incarnation"]}
    wanted = {}
    for head in heads:
        if head.incarnation in present and wanted.setdefault(head.size, head.root) != head.root:
            raise Refused(f"two checkpoints over {head.size} entries contradict each other: a fork")
    sizes = [head.size for head in heads if head.incarnation in present]
    tree = Peaks()
    with (folder / "leaves.jsonl").open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                raise Refused("leaves.jsonl does not consist of whole lines")
            tree.append(line[:-1])
            if tree.size in wanted and wanted.pop(tree.size) != tree.root():
                raise Refused(f"an entry below {tree.size} is not the one that was signed")
    if wanted.keys() - {0}:
        raise Refused(
            f"entries are missing at the end: a checkpoint counts {max(wanted)}, there are {tree.size}"
        )
    if (tree.size, tree.root().hex()) != (fields["entries"], fields["root"]) or tree.size not in sizes:
        raise Refused("the entries are not those of the manifest and the newest checkpoint")
    return tree.size


def verify_export(folder: Path, trusted: bytes | None = None, known: bytes = b"") -> dict:
    fields, key = read_manifest(folder, trusted)
    check_files(folder, fields["files"])
    heads = notes((folder / "checkpoints.txt").read_bytes(), key, "checkpoints.txt")
    present = [head.size for head in heads if head.incarnation == fields["incarnation"]]
    if present != sorted(present):
        raise Refused("the checkpoints are not in order: the log was forked or reordered")
    kept = notes(known.rstrip(b"\n") + b"\n\n", key, "the known checkpoint") if known else []
    entries = check_tree(folder, fields, heads + kept)
    return {"entries": entries, "checkpoints": len(heads), "root": fields["root"], "public_key": key.hex()}


def verify_certificate(fields: dict, trusted: bytes | None = None) -> dict:
    try:
        key, signature = bytes.fromhex(fields["public_key"]), bytes.fromhex(fields["signature"])
        version, entry = fields.get("format", 1), fields.get("ledger_entry", "")
        path = [bytes.fromhex(node) for node in fields.get("ledger_path", [])]
        note, index = fields.get("ledger_checkpoint", ""), int(fields["ledger_leaf"] or -1)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Refused("this is no certificate") from None
    if trusted is not None and key != trusted:
        raise Refused("the certificate was made under another key than the one you trust")
    left_out = {"signature", *(SINCE_FORMAT_2 if version == 1 else ())}
    signed = {name: value for name, value in fields.items() if name not in left_out}
    check_signature(key, signature, canonical(signed), "the certificate was altered")
    proven = bool(entry or path or note)
    if proven:
        if version == 1:
            raise Refused("a certificate of format 1 has no proof in a ledger: it was added")
        check_inclusion(entry.encode(), index, Checkpoint(note, key, "the certificate's checkpoint"), path)
    return {"certificate": fields.get("id"), "in_ledger": proven, "public_key": key.hex()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("export", nargs="?", type=Path, help="directory of the export")
    parser.add_argument("--key", help="the ledger's public key, 64 hex digits")
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint that was kept from earlier")
    parser.add_argument("--certificate", type=Path, help="a certificate of erasure (JSON)")
    parser.add_argument("--json", action="store_true", help="answer with one JSON document")
    given = parser.parse_args()
    if given.export is None and given.certificate is None:
        parser.error("give an export's directory, a certificate, or both")
    try:
        trusted = bytes.fromhex(given.key) if given.key else None
    except ValueError:
        parser.error("--key must be 64 hex digits")
    found: dict = {"sound": True, "key_was_given": trusted is not None}
    try:
        known = given.checkpoint.read_bytes() if given.checkpoint else b""
        if given.export:
            found |= verify_export(given.export, trusted, known)
        if given.certificate:
            key = trusted or (bytes.fromhex(found["public_key"]) if given.export else None)
            found |= verify_certificate(json.loads(given.certificate.read_bytes()), key)
    except (Refused, OSError, ValueError, RecursionError) as error:
        found = {"sound": False, "problem": str(error) or type(error).__name__}
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(f"{name}: {value}" for name, value in found.items()))
    if found["sound"] and trusted is None:
        print("note: the key is the files' own; compare it with one you trust (--key)", file=sys.stderr)
    return 0 if found["sound"] else 1


if __name__ == "__main__":
    sys.exit(main())
