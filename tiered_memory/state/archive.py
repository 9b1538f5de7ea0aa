"""What taking a person's data out, and in again, asks of the state store."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.state.base import MemoryRow, Read
from tiered_memory.state.register import EntryRow


@dataclass(frozen=True, slots=True)
class MemoriesFrom(Read[list[MemoryRow]]):
    """Up to `limit` memories of any state whose order is above `after` and at most `top`, lowest first."""

    subject: bytes
    after: int
    top: int
    limit: int


@dataclass(frozen=True, slots=True)
class Tombstoned(Read[list[str]]):
    """Those of these ids that name memories of the subject that were removed for good."""

    subject: bytes
    memory_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EntriesOf(Read[list[EntryRow]]):
    """An owner's register entries of every kind, by kind, oldest first."""

    owner: bytes
