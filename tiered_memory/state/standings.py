"""How the state store stands, in numbers. What grows with the people is answered in pages, so that reads get a turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tiered_memory.state.base import Read


@dataclass(frozen=True, slots=True)
class Totals:
    """Active memories, and their size in bytes as sealed, of a page of people; `last` is the page's last (None: it is empty)."""

    records: int
    size: int
    last: bytes | None


@dataclass(frozen=True, slots=True)
class TotalsPage(Read[Totals]):
    """The totals of the next `limit` people after one."""

    after: bytes
    limit: int


@dataclass(frozen=True, slots=True)
class ConsentCounts:
    """Consents of a page of people by state: open, refused, withdrawn, expired; `last` as in `Totals`."""

    states: Mapping[str, int]
    last: bytes | None


@dataclass(frozen=True, slots=True)
class ConsentsPage(Read[ConsentCounts]):
    """The consents of the next `limit` people after one, by the state they stand in at `now_us`."""

    after: bytes
    limit: int
    now_us: int


@dataclass(frozen=True, slots=True)
class OverdueCount(Read[int]):
    """How many memories of people who may be forgotten stand past their deadline at `now_us`; at most `limit`."""

    now_us: int
    limit: int


@dataclass(frozen=True, slots=True)
class DueCounts:
    """Entries of a kind that somebody has to look at, those whose time has passed, and the next one's time."""

    open: int
    overdue: int
    next_us: int | None


@dataclass(frozen=True, slots=True)
class DueOfKind(Read[DueCounts]):
    """The register's entries of a kind that have a due date, as they stand at `now_us`."""

    kind: str
    now_us: int


@dataclass(frozen=True, slots=True)
class OldestEpoch(Read[int | None]):
    """When the oldest key epoch that is in use was made (us); None when there is none."""
