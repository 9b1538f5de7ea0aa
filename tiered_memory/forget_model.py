"""What is said of forgetting: how a memory fades, what is about to leave, what became of it, what a run came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tiered_memory.model import Explanation, Subject


@dataclass(frozen=True, slots=True)
class StrengthPoint:
    """The strength (0..1) of a memory at a moment."""

    at: datetime
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StrengthCourse:
    """How strong a memory is and will be if nobody uses it again; below `threshold` (0..1) it is forgotten.

    `points` begin where the course is known: at the last use, or when it was stored. `unused` is what it would be had
    nobody ever used it. Both are empty for what lives in hot alone: that does not fade, it ends.
    """

    taken_at: datetime
    threshold: float
    points: tuple[StrengthPoint, ...] = ()
    unused: tuple[StrengthPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A memory, why it is kept, and the course of its strength; whether it is pinned, or under a legal hold."""

    explanation: Explanation
    course: StrengthCourse
    pinned: bool = False
    on_hold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedForget:
    """A memory that is about to go, and why.

    `strength` is 0..1 now; None, like `deadline`, when the memory's dates cannot be read. Until `purge_at` it can
    be restored; what `rule` removes for good at once has the present moment there.
    """

    memory_id: str
    rule: str
    strength: float | None
    deadline: datetime | None
    purge_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetBatch:
    """What decay is about to take from one subject; `subject` is None when its identity cannot be opened."""

    subject: Subject | None
    memories: tuple[PlannedForget, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEvent:
    """What became of a memory: it was "forgotten", "evicted" (forgotten for its quota), "purged" or "restored".

    `missed` is how many events before this one the listener was too slow for.
    """

    subject: Subject | None
    memory_id: str
    change: str
    rule: str
    at: datetime
    purge_at: datetime | None = None
    missed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetReport:
    """What a forgetting run did, or would do when `dry_run`.

    A dry run lists in `planned` each memory that would go, by id; those beyond the first 1000 are only counted in
    `planned_left_out`. `vetoed` were kept by the application; `unheard`: it could not be asked, and decay took
    nothing.
    """

    dry_run: bool
    evaluated: int
    forgotten: tuple[str, ...]
    removed: tuple[str, ...]
    kept: int
    reasons: Mapping[str, int]
    stopped: bool = False
    planned: tuple[PlannedForget, ...] = ()
    planned_left_out: int = 0
    vetoed: int = 0
    unheard: bool = False
