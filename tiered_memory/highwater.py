"""Marks kept outside the state store: how far it had come, and who was erased.

A state file put back from somewhere (a snapshot of the disk, a copy) looks sound and brings the erased back. The
high-water mark tells that it is older than it was; the erased list tells whom it must not bring back. Both are
authenticated under the store's master key and hold pseudonyms only.
"""

from __future__ import annotations

import hmac
import json
import struct
from dataclasses import asdict, dataclass
from typing import Any

from tiered_memory.errors import CorruptionError

MARK_FORMAT = 2
MARK_FORMAT_WITHOUT_LIST = 1
ERASED_FORMAT = 1
CONSENT_ENDED, OBJECTED, RESTRICTED, OBJECTION_LIFTED = "consent", "objection", "restriction", "lifted"
CAUSES = (CONSENT_ENDED, OBJECTED, RESTRICTED, OBJECTION_LIFTED)
_LATEST_MAGIC = b"TMHW\x01"
_LATEST = struct.Struct(">5s16sQ")


@dataclass(frozen=True, slots=True)
class Listed:
    """How long a file that only grows was (bytes), and the SHA-256 (hex) of that much of it."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a store had come, and which incarnation of it that was.

    `journal_seq` is the last journal number, `leaf_index` the last audit leaf, `commits` how many commits there were,
    `erased` how far the erased list had come; None in marks of format 1. `checkpoints` is how far the ledger's
    checkpoints had come; None in marks from before there were any.
    """

    incarnation: str
    journal_seq: int = 0
    leaf_index: int = -1
    commits: int = 0
    erased: Listed | None = None
    checkpoints: Listed | None = None

    def is_behind(self, other: Mark) -> bool:
        """Tell whether this store, of the same incarnation, is older than `other` says it was."""
        pairs = (
            (self.journal_seq, other.journal_seq),
            (self.leaf_index, other.leaf_index),
            (self.commits, other.commits),
        )
        return self.incarnation == other.incarnation and any(own < said for own, said in pairs)


@dataclass(frozen=True, slots=True)
class ErasedEntry:
    """What was erased: a subject (its pseudonym in hex, the generation its erasure began), or one `memory` of it.

    With `purpose` (a keyed name, hex) it says that what was done for a purpose ended, of the subject as it was in that
    generation; `cause` is one of `CAUSES`. For an ended consent `at_us` is the newest moment at which it had been given.
    """

    subject: str
    generation: int
    at_us: int
    memory: str = ""
    purpose: str = ""
    cause: str = ""

    @property
    def whole(self) -> bool:
        """Whether it names the subject itself."""
        return not (self.memory or self.purpose)


def encode_mark(mark: Mark, key: bytes) -> bytes:
    """Return the bytes of a mark's file."""
    fields = asdict(mark)
    for name in ("erased", "checkpoints"):
        if fields[name] is None:
            del fields[name]
    return _signed({"format": MARK_FORMAT if mark.erased else MARK_FORMAT_WITHOUT_LIST, **fields}, key)


def decode_mark(data: bytes, key: bytes) -> Mark:
    """Return the mark in a file; raises CorruptionError when it was altered."""
    fields = _verified(data, key)
    commits, erased, checkpoints = (
        fields.get("commits", 0),
        _listed(fields, "erased"),
        _listed(fields, "checkpoints"),
    )
    return Mark(
        fields["incarnation"], fields["journal_seq"], fields["leaf_index"], commits, erased, checkpoints
    )


def _listed(fields: dict[str, Any], name: str) -> Listed | None:
    one = fields.get(name)
    return None if one is None else Listed(one["bytes"], one["sha256"])


def encode_latest(incarnation: bytes, commits: int, key: bytes) -> bytes:
    """Return the mark of a single commit: short, of one length, and cheap to make."""
    body = _LATEST.pack(_LATEST_MAGIC, incarnation, commits)
    return body + hmac.digest(key, body, "sha256")


def decode_latest(data: bytes, key: bytes) -> Mark:
    """Return the mark of a single commit; raises CorruptionError when it was altered or torn."""
    body, tag = data[: _LATEST.size], data[_LATEST.size :]
    if len(body) < _LATEST.size or not hmac.compare_digest(tag, hmac.digest(key, body, "sha256")):
        raise CorruptionError("the mark of the latest commit does not verify")
    _, incarnation, commits = _LATEST.unpack(body)
    return Mark(incarnation.hex(), commits=commits)


def encode_erased(entry: ErasedEntry, key: bytes) -> bytes:
    """Return one line of the erased list; what names no purpose has the form it had before there were any."""
    fields = asdict(entry)
    for name in ("purpose", "cause") if not entry.purpose else ():
        del fields[name]
    return _signed({"format": ERASED_FORMAT, **fields}, key)


def decode_erased(data: bytes, key: bytes) -> list[ErasedEntry]:
    """Return the entries of an erased list; a last line that a crash cut short does not count.

    Raises:
        CorruptionError: an entry was altered.
    """
    lines = data.split(b"\n")
    whole = [line for line in lines[:-1] if line]
    fields = [_verified(line + b"\n", key) for line in whole]
    return [
        ErasedEntry(
            one["subject"],
            one["generation"],
            one["at_us"],
            one["memory"],
            one.get("purpose", ""),
            one.get("cause", ""),
        )
        for one in fields
    ]


def _signed(fields: dict[str, object], key: bytes) -> bytes:
    body = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return f"{body} {hmac.new(key, body.encode(), 'sha256').hexdigest()}\n".encode()


def _verified(data: bytes, key: bytes) -> dict[str, Any]:
    body, _, tag = data.rstrip(b"\n").rpartition(b" ")
    expected = hmac.new(key, body, "sha256").hexdigest().encode()
    if not hmac.compare_digest(tag, expected):
        raise CorruptionError("a mark outside the state store was altered")
    fields: dict[str, Any] = json.loads(body)
    return fields
