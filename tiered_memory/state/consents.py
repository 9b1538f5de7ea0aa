"""What is asked of the state store about consents that end, and purposes whose processing ends."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.formats.leaf import AuditLeaf
from tiered_memory.state.base import ConsentRow, Read, Write
from tiered_memory.state.register import EntryRow


@dataclass(frozen=True, slots=True, kw_only=True)
class EndPurpose(Write[bool]):
    """End what is done for a purpose, in one commit: its key is destroyed, what rested under it is marked for removal.

    The consent event or the register entry that says why is recorded with it. Answers False, and changes nothing,
    when `latest` is not the purpose's latest consent event any more, or `entry` is not the next version. `rule` is the
    reason that the removed memories bear.
    """

    subject: bytes
    generation: int
    purpose: str
    rule: str
    now_us: int
    leaf: AuditLeaf
    event: ConsentRow | None = None
    entry: EntryRow | None = None
    latest: str | None = None


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A consent that expired and still stands open."""

    subject: bytes
    purpose: str
    event_id: str
    expires_us: int


@dataclass(frozen=True, slots=True)
class LapsedConsents(Read[list[Lapsed]]):
    """The consents that expired at or before `now_us` and stand open, one subject's or all, longest ago first."""

    now_us: int
    subject: bytes | None
    limit: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A purpose whose latest consent event is an end: the newest moment of its openings, and the end's."""

    subject: bytes
    generation: int
    purpose: str
    opened_us: int


@dataclass(frozen=True, slots=True)
class EndedConsents(Read[list[Ended]]):
    """Every purpose of every subject that was agreed to once and is not any more."""


@dataclass(frozen=True, slots=True)
class HeldFor(Read[list[str]]):
    """The ids of a subject's memories that are kept for a purpose, those that can be restored among them."""

    subject: bytes
    purpose: str


@dataclass(frozen=True, slots=True)
class LeafIndex(Read[int]):
    """The index of the newest leaf with a hash (32 bytes); -1 when there is none."""

    hash: bytes
