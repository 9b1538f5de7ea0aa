"""The picture of lives: each memory a line from when it came to when it leaves, as strong as the memory is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiered_memory.forget_model import Life

WIDTH = 1000.0
FAINTEST = 0.08
TICKS = 5
LONGEST = timedelta(days=3 * 365)
SOON = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Stop:
    """A point of a line: its place (0..1) on the line, how opaque it is there (0..1)."""

    offset: float
    opacity: float


@dataclass(frozen=True, slots=True)
class Lifeline:
    """One memory's line: where it begins, where its course is known from, where it ends (0..`WIDTH`)."""

    life: Life
    tier: str
    begins: float
    known: float
    ends: float
    stops: tuple[Stop, ...]
    leaves: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """All lines with the present moment's place, and the dates along the bottom."""

    lines: tuple[Lifeline, ...]
    now: float
    ticks: tuple[datetime, ...]


def picture(lives: Sequence[Life], now: datetime) -> Picture | None:
    """Return the picture of some lives; None when there are none."""
    if not lives:
        return None
    first = min(one.explanation.memory.ingested_at for one in lives)
    last = max([now + SOON, *(_leaves(one, now) for one in lives)])
    first = min(first, now - (last - now) * 0.05)
    scale = _Scale(first, last)
    lines = tuple(_line(one, scale, now) for one in lives)
    ticks = tuple(first + (last - first) * place / (TICKS - 1) for place in range(TICKS))
    return Picture(lines, scale.at(now), ticks)


@dataclass(frozen=True, slots=True)
class _Scale:
    first: datetime
    last: datetime

    def at(self, when: datetime) -> float:
        share = (when - self.first) / (self.last - self.first)
        return round(min(max(share, 0.0), 1.0) * WIDTH, 2)


def _leaves(life: Life, now: datetime) -> datetime:
    """Return when a memory leaves, or how far ahead is looked for one that does not."""
    found = life.explanation.deadline
    return now + LONGEST if found is None else min(found, now + LONGEST)


def _line(life: Life, scale: _Scale, now: datetime) -> Lifeline:
    told = life.explanation
    begins, ends = told.memory.ingested_at, _leaves(life, now)
    known = min(life.course.points[0].at if life.course.points else begins, ends)
    return Lifeline(
        life=life,
        tier=told.tiers[0].value if told.tiers else "cold",
        begins=scale.at(begins),
        known=scale.at(known),
        ends=scale.at(ends),
        stops=tuple(_stops(life, known, ends)),
        leaves=told.deadline is not None,
    )


def _stops(life: Life, known: datetime, ends: datetime) -> list[Stop]:
    length = ends - known
    points = life.course.points
    if not points or length <= timedelta():
        return [Stop(0.0, 1.0), Stop(1.0, 1.0)]
    inside = [Stop(round((one.at - known) / length, 4), _opacity(one.strength)) for one in points]
    return [one for one in inside if one.offset <= 1.0] or inside[:1]


def _opacity(strength: float) -> float:
    return round(max(FAINTEST, min(1.0, strength)), 3)
