"""What is asked of the state store's register: small sealed records with a status and a due date."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.formats.leaf import AuditLeaf
from tiered_memory.state.base import Read, Write

REGISTER_FORMAT = 1
HELD_RECORD = "held_record"
"""The kind of an entry that is a copy of a record, kept under a hold's key; its owner is the hold."""
UNFENCED = -1
"""The generation of an entry that belongs to no subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRow:
    """One entry. `owner` is a subject's or tenant's pseudonym, or empty for the store's own.

    `version` counts from 1; `generation` is the subject's, or `UNFENCED`. Times are microseconds since 1970;
    `due_us` is when somebody has to look at it.
    """

    owner: bytes
    kind: str
    entry_id: str
    version: int
    generation: int
    status: str
    at_us: int
    due_us: int | None
    sealed: bytes
    format: int = REGISTER_FORMAT


@dataclass(frozen=True, slots=True)
class PutEntries(Write[bool]):
    """Enter what each row says, all or none; answer False, and change nothing, when a row is not the next version.

    Raises `SubjectErasedError` when a row names a generation that has passed.
    """

    rows: tuple[EntryRow, ...]
    leaves: tuple[AuditLeaf, ...] = ()


@dataclass(frozen=True, slots=True)
class DropEntries(Write[int]):
    """Remove entries of one owner and kind; answer how many there were."""

    owner: bytes
    kind: str
    entry_ids: tuple[str, ...]
    leaves: tuple[AuditLeaf, ...] = ()


@dataclass(frozen=True, slots=True)
class Entries(Read[list[EntryRow]]):
    """An owner's entries of a kind, oldest first."""

    owner: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class EntriesOfKind(Read[list[EntryRow]]):
    """Every owner's entries of a kind in a status, oldest first."""

    kind: str
    status: str


@dataclass(frozen=True, slots=True)
class EntriesDue(Read[list[EntryRow]]):
    """Every owner's entries of a kind that are due at `now_us`, the longest overdue first, at most `limit`."""

    kind: str
    now_us: int
    limit: int
