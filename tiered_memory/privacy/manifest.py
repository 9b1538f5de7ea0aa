"""What an export of the ledger says of itself, format 1 (`tests/golden/ledger_export_v1.json`).

An export is a directory: `leaves.jsonl` (each line the canonical bytes of one leaf, so that line n is leaf n),
`checkpoints.txt` (the log of signed checkpoints, the last one over all leaves), `public_key.txt` (the key as tools of
the signed-note family know it), the program that verifies it all, and `manifest.json`, which bears the SHA-256 of each
and the ledger's own signature. The manifest is signed under a prefix of its own: no checkpoint can pass for one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

EXPORT_FORMAT = 1
SIGNED_AS = b"tiered-memory ledger export v1\n"
MANIFEST, LEAVES, CHECKPOINTS = "manifest.json", "leaves.jsonl", "checkpoints.txt"
PUBLIC_KEY, PROGRAM = "public_key.txt", "verify_ledger.py"
SIGNED_FILES = (LEAVES, CHECKPOINTS, PUBLIC_KEY, PROGRAM)


@dataclass(frozen=True, slots=True)
class Manifest:
    """An export: which log, made when and by what, how many leaves under which root (hex), and its files.

    `files` maps a name to the SHA-256 (hex) and the size in bytes; `public_key` is 32 bytes in hex.
    """

    incarnation: str
    made_at_us: int
    software: str
    entries: int
    root: str
    public_key: str
    files: Mapping[str, tuple[str, int]]

    def signed_bytes(self) -> bytes:
        """Return what the signature covers."""
        return SIGNED_AS + _canonical(self._fields()).encode()

    def encode(self, sign: Callable[[bytes], bytes]) -> bytes:
        """Return the manifest's file."""
        signature = sign(self.signed_bytes()).hex()
        return (_canonical({**self._fields(), "signature": signature}) + "\n").encode()

    def _fields(self) -> dict[str, object]:
        return {
            "entries": self.entries,
            "files": {name: list(facts) for name, facts in self.files.items()},
            "format": EXPORT_FORMAT,
            "incarnation": self.incarnation,
            "made_at_us": self.made_at_us,
            "public_key": self.public_key,
            "root": self.root,
            "software": self.software,
        }


def parse_manifest(data: bytes) -> tuple[Manifest, bytes] | None:
    """Return the manifest in a file and the signature it bears, or None when it is none of format 1."""
    try:
        fields = json.loads(data)
        if fields["format"] != EXPORT_FORMAT:
            return None
        files = {str(name): (str(digest), int(size)) for name, (digest, size) in fields["files"].items()}
        found = Manifest(
            str(fields["incarnation"]),
            int(fields["made_at_us"]),
            str(fields["software"]),
            int(fields["entries"]),
            str(fields["root"]),
            str(fields["public_key"]),
            files,
        )
        signature = bytes.fromhex(fields["signature"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    # One spelling only: what is not signed must not be there to be read.
    return (found, signature) if found.encode(lambda _: signature) == data else None


def _canonical(fields: Mapping[str, object]) -> str:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))
