"""What forgetting asks of the state store besides `commands.py`: the order of leaving, totals, deadlines anew."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.state.base import DeadlineUpdate, MemoryRow, Read, Totals, Write


@dataclass(frozen=True, slots=True)
class Reindex(Write[int]):
    """Enter deadlines anew, of any subjects, strengths unchanged; answer how many rows were as they had been read."""

    updates: tuple[DeadlineUpdate, ...]


@dataclass(frozen=True, slots=True)
class Leaving(Read[list[MemoryRow]]):
    """A subject's active memories that are neither pinned nor held, earliest deadline first, at most `limit`."""

    subject: bytes
    limit: int


@dataclass(frozen=True, slots=True)
class OfOtherPolicies(Read[list[MemoryRow]]):
    """Memories whose deadline was computed under another policy than `version`, at most `limit`."""

    version: str
    limit: int


@dataclass(frozen=True, slots=True)
class CountOfOtherPolicies(Read[int]):
    """How many those are in all."""

    version: str


@dataclass(frozen=True, slots=True)
class MemoriesAfter(Read[list[MemoryRow]]):
    """Memories of every subject in the order of their keys, those after `subject` and `memory_id`."""

    subject: bytes
    memory_id: str
    limit: int


@dataclass(frozen=True, slots=True)
class TotalsOf(Read[Totals]):
    """A subject's active memories: how many, and their bytes."""

    subject: bytes


@dataclass(frozen=True, slots=True)
class HasExpired(Read[bool]):
    """Whether `Expire` would find anything."""

    now_us: int
