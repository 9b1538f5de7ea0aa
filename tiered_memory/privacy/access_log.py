"""Who looked at what, folded: a leaf per read would be a write per read, so reads are counted and the counts kept.

Accesses of one subject, of one sort and by one actor within a window become one tally. Pure: the window is the
caller's, and so is time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

MOST_KEYS = 10_000


class AccessCall(StrEnum):
    """The sorts of calls that show memories to somebody."""

    SEARCH = "search"
    CONTEXT = "context"
    GET = "get"
    LIST = "list"
    HISTORY = "history"
    EXPLAIN = "explain"
    EXPORT = "export"


@dataclass(frozen=True, slots=True)
class Access:
    """What is counted together: whose memories (commitments, hex), by which call, of what, and by whom.

    `category` is the context's or the data's, `role` the one the caller acts in, `actor` the caller: words of the
    operator's, never a person's name.
    """

    tenant: str
    subject: str
    generation: int
    call: AccessCall
    category: str = ""
    role: str = ""
    actor: str = "runtime"

    def of_everybody(self) -> Access:
        """Return what an access is counted as when there is no room for another key: the call alone."""
        return Access("", "", 0, self.call, actor="many")


@dataclass(frozen=True, slots=True)
class Tally:
    """How often, how many memories were shown in all, and when first and last (microseconds since 1970)."""

    calls: int
    memories: int
    first_us: int
    last_us: int

    def plus(self, other: Tally) -> Tally:
        """Return both together."""
        return Tally(
            self.calls + other.calls,
            self.memories + other.memories,
            min(self.first_us, other.first_us),
            max(self.last_us, other.last_us),
        )


class AccessCounts:
    """A fold of accesses of bounded size: at most `most_keys` (>= 1) tallies, and one per sort of call beyond."""

    def __init__(self, most_keys: int = MOST_KEYS) -> None:
        self._most = most_keys
        self._tallies: dict[Access, Tally] = {}

    def __len__(self) -> int:
        return len(self._tallies)

    @property
    def first_us(self) -> int | None:
        """When the earliest access that is counted happened; None when there is none."""
        return min((one.first_us for one in self._tallies.values()), default=None)

    def add(self, access: Access, tally: Tally) -> None:
        """Count accesses; none is lost, but beyond the bound it is no longer known whose."""
        known = self._tallies.get(access)
        if known is None and len(self._tallies) >= self._most:
            access = access.of_everybody()
            known = self._tallies.get(access)
        self._tallies[access] = tally if known is None else known.plus(tally)

    def take(self) -> list[tuple[Access, Tally]]:
        """Return the tallies, earliest first, and begin anew."""
        taken, self._tallies = self._tallies, {}
        return sorted(taken.items(), key=lambda pair: (pair[1].first_us, pair[0].subject, pair[0].call))

    def put_back(self, taken: list[tuple[Access, Tally]]) -> None:
        """Count again what could not be written; what came meanwhile stays."""
        newer = self.take()
        for access, tally in (*taken, *newer):
            self.add(access, tally)


def one_access(memories: int, now_us: int) -> Tally:
    """Return the tally of a single call that showed `memories` (>= 0) at `now_us`."""
    return Tally(1, memories, now_us, now_us)


def bounded(access: Access, longest: int = 64) -> Access:
    """Return the access with its words cut to `longest` characters: a leaf has a bound."""
    if max(len(access.category), len(access.role), len(access.actor)) <= longest:
        return access
    return replace(
        access, category=access.category[:longest], role=access.role[:longest], actor=access.actor[:longest]
    )
