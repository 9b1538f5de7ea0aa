"""Checkpoints of the ledger: how large it was, and the root over it, as a signed note; format 1.

The text is that of C2SP's `tlog-checkpoint` in a C2SP `signed-note`, so that tools of that family read it: origin,
size, root, then extension lines (time, software, format), an empty line, and the signature line

    — <key name> base64(key id, 4 bytes || Ed25519 signature over the text with its last newline)

with key id = SHA-256(key name || 0x0A || 0x01 || public key)[:4]. The key's name is the origin, and the origin names
the incarnation of the store: a restored store begins a log of its own (`tests/golden/checkpoint_v1.json`).
A log of checkpoints is such notes, each followed by an empty line.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

CHECKPOINT_FORMAT = 1
ORIGIN = "tiered-memory/ledger/"
ED25519 = b"\x01"
KEY_ID_BYTES, SIGNATURE_BYTES = 4, 64
END = b"\n\n"
_NOTE = re.compile(
    r"""(?P<text>tiered-memory/ledger/(?P<incarnation>[0-9a-f]{32})\n
        (?P<size>0|[1-9][0-9]{0,17})\n
        (?P<root>[A-Za-z0-9+/]{43}=)\n
        time\ (?P<at_us>0|[1-9][0-9]{0,17})\n
        software\ (?P<software>[!-~]{1,64})\n
        format\ (?P<format>[1-9][0-9]{0,3})\n)
        \n—\ (?P<name>[!-~]{1,128})\ (?P<signature>[A-Za-z0-9+/]{91}=)\n""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a ledger had come: `size` leaves under `root` (32 bytes), at `at_us` microseconds since 1970."""

    incarnation: str
    size: int
    root: bytes
    at_us: int
    software: str

    @property
    def origin(self) -> str:
        """The log's name, which is the signing key's too."""
        return ORIGIN + self.incarnation

    def text(self) -> bytes:
        """Return what is signed."""
        root = base64.b64encode(self.root).decode()
        lines = (
            self.origin,
            str(self.size),
            root,
            f"time {self.at_us}",
            f"software {self.software}",
            f"format {CHECKPOINT_FORMAT}",
        )
        return "".join(f"{line}\n" for line in lines).encode()


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with the signature (64 bytes) it bears and the id of the key that is said to have made it."""

    checkpoint: Checkpoint
    key_id: bytes
    signature: bytes

    def note(self) -> str:
        """Return the signed note."""
        signed = base64.b64encode(self.key_id + self.signature).decode()
        return f"{self.checkpoint.text().decode()}\n— {self.checkpoint.origin} {signed}\n"


def key_id(name: str, public_key: bytes) -> bytes:
    """Return the id (4 bytes) of a named Ed25519 key, after C2SP `signed-note`."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public_key).digest()[:KEY_ID_BYTES]


def verifier_key(name: str, public_key: bytes) -> str:
    """Return the line by which tools of the family know a key: `name+id+base64(0x01 || key)`."""
    return f"{name}+{key_id(name, public_key).hex()}+{base64.b64encode(ED25519 + public_key).decode()}"


def parse_note(note: str) -> SignedCheckpoint | None:
    """Return the checkpoint of a signed note, or None when this is no such note of format 1."""
    match = _NOTE.fullmatch(note)
    if match is None or int(match["format"]) != CHECKPOINT_FORMAT:
        return None
    try:
        root = base64.b64decode(match["root"], validate=True)
        signed = base64.b64decode(match["signature"], validate=True)
    except binascii.Error:
        return None
    found = Checkpoint(match["incarnation"], int(match["size"]), root, int(match["at_us"]), match["software"])
    parsed = SignedCheckpoint(found, signed[:KEY_ID_BYTES], signed[KEY_ID_BYTES:])
    # Only one spelling is valid: base64 has spare bits, and a name may differ from the origin.
    return parsed if parsed.note() == note else None


@dataclass(frozen=True, slots=True)
class CheckpointLog:
    """What a log of checkpoints holds: `notes` in order, None for one that is none, and whether its end was torn.

    `whole_bytes` is the length up to which the log consists of ended notes.
    """

    notes: tuple[SignedCheckpoint | None, ...]
    whole_bytes: int
    torn: bool


def encode_entry(signed: SignedCheckpoint) -> bytes:
    """Return what is appended to a log for one checkpoint."""
    return signed.note().encode() + b"\n"


def parse_log(data: bytes) -> CheckpointLog:
    """Return what a log holds; what follows the last ended note is what a crash left of one."""
    notes: list[SignedCheckpoint | None] = []
    start = 0
    while start < len(data):
        end = _end_of_entry(data, start)
        if end < 0:
            break
        notes.append(_decoded(data[start : end - 1]))
        start = end
    return CheckpointLog(tuple(notes), start, torn=start < len(data))


def _end_of_entry(data: bytes, start: int) -> int:
    """An entry ends with the second empty line from `start`: one is inside of the note, one behind it."""
    inside = data.find(END, start)
    behind = -1 if inside < 0 else data.find(END, inside + len(END))
    return -1 if behind < 0 else behind + len(END)


def _decoded(note: bytes) -> SignedCheckpoint | None:
    try:
        return parse_note(note.decode())
    except UnicodeDecodeError:
        return None
