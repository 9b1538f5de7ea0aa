"""What a policy would have made of a history: what passes the gate, what fades when, what was there when needed.

Every turn is taken as stored when it was said, and the forgetting cycle as running all the time. A turn that nobody
needs has its fate in closed form; uses are replayed in order through the curve. Turns that are alike in importance and
sensitivity share one fate, counted from when they were said, so the rest is arithmetic on columns: O(n log n).
Quotas, the brake, vetoes, pins, holds, merged duplicates and superseded memories are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tiered_memory.forgetting.decay import DAY_US, Curve, curve_for
from tiered_memory.forgetting.forecast import Fate, fate_of
from tiered_memory.forgetting.gate import ImportanceSpread, judge_gate
from tiered_memory.forgetting.placement import (
    CEILING,
    DECAY,
    FLOOR,
    GRACE,
    HOLD,
    PIN,
    UNDATED,
    UNDO_WINDOW,
    Due,
)
from tiered_memory.model import Role, Sensitivity
from tiered_memory.policy.rules import Policy, RoutingRules

NEVER = 1 << 62
"""A moment later than all others."""

RULES = (CEILING, FLOOR, DECAY, GRACE, HOLD, PIN, UNDATED, UNDO_WINDOW)
_CODE = {rule: code for code, rule in enumerate(RULES)}
_EPOCH = datetime.fromtimestamp(0, UTC)

Moments: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Codes: TypeAlias = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of a history: when it was said, importance 0..1, bytes of its content, and what the rules look at."""

    said_us: int
    importance: float
    size: int = 0
    role: Role = Role.USER
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    user: str = ""


@dataclass(frozen=True, slots=True)
class Need:
    """That a turn (its index) was needed, not before it was said.

    `used`: it was put into a prompt and grows stronger; else it was asked for, and counts as a search result does.
    """

    turn: int
    at_us: int
    used: bool = True


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month (UTC): what came and left in it by rule, and how things stood when it, or the history, ended."""

    start_us: int
    stored: int
    left: Mapping[str, int]
    purged: Mapping[str, int]
    active: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What one policy makes of a history.

    Counts of turns: `turns` = `system_prompts` + `below_gate` + `stored`, and `stored` = `active` + `forgotten` (still
    restorable) + `purged`; `promoted` of the stored passed the gate by being used while hot still had them. `left` and
    `purged_by` say by which rule turns left retrieval, and disk. `bytes_*` are of contents on disk.
    `median_lifetime_days` is of the stored, None for never. `needs_met` of `needs` were there when needed.
    `importance_kept` is the share (0..1) of all importance that is active at the end. `missed`, `gone`, `dropped` are
    indices of turns: needed and not there; stored and gone, below the gate, each with the most important first.
    """

    turns: int
    system_prompts: int
    below_gate: int
    stored: int
    promoted: int
    active: int
    forgotten: int
    purged: int
    left: Mapping[str, int]
    purged_by: Mapping[str, int]
    bytes_end: int
    bytes_peak: int
    median_lifetime_days: float | None
    needs: int
    needs_met: int
    importance_kept: float
    months: tuple[Month, ...]
    missed: tuple[int, ...]
    gone: tuple[int, ...]
    dropped: tuple[int, ...]

    @property
    def needs_share(self) -> float | None:
        """The share (0..1) of needs met; None without needs."""
        return self.needs_met / self.needs if self.needs else None

    @property
    def benefit(self) -> float:
        """What is weighed against bytes: the share of needs met, or of importance kept when nothing was needed."""
        share = self.needs_share
        return self.importance_kept if share is None else share

    @property
    def cost(self) -> int:
        """The bytes it takes: at the peak when needs are spread over time, else at the end."""
        return self.bytes_peak if self.needs else self.bytes_end


class History:
    """Turns and needs as columns, ready for any number of rehearsals; `until_us` is where they end.

    The order of `turns` and `needs` does not matter, but that a quantile gate sees turns of one moment as given.
    Without `until_us`, or when it is earlier, the history ends with its last turn or need.
    """

    def __init__(self, turns: Sequence[Turn], needs: Sequence[Need] = (), until_us: int = 0) -> None:
        self.turns = turns
        self.said = np.array([turn.said_us for turn in turns], dtype=np.int64)
        self.importance = np.array([turn.importance for turn in turns], dtype=np.float64)
        self.size = np.array([turn.size for turn in turns], dtype=np.int64)
        self.memorable = np.array([turn.role is not Role.SYSTEM for turn in turns], dtype=np.bool_)
        sorts: dict[tuple[float, Sensitivity], int] = {}
        self.sort = np.array(
            [sorts.setdefault((turn.importance, turn.sensitivity), len(sorts)) for turn in turns],
            dtype=np.int64,
        )
        self.sorts = tuple(sorts)
        self.needs = sorted(needs, key=lambda need: (need.at_us, need.turn, not need.used))
        self.until_us = max(
            until_us, int(self.said.max(initial=0)), max((need.at_us for need in needs), default=0)
        )


@dataclass(slots=True)
class _Course:
    """Which turns are stored, since when, when they leave retrieval and disk, and by which rules."""

    stored: Flags
    since: Moments
    leaves: Moments
    purged: Moments
    rule: Codes
    purge_rule: Codes

    def note(self, turn: int, fate: Fate) -> None:
        self.leaves[turn], self.purged[turn] = _moment(fate.leaves_us), _moment(fate.purge_us)
        self.rule[turn], self.purge_rule[turn] = _CODE[fate.rule], _CODE[fate.purge_rule]


def rehearse(history: History, policy: Policy, examples: int = 0) -> Rehearsal:
    """Return what `policy` makes of `history`, with up to `examples` (>= 0) indices of each sort."""
    curve = curve_for(policy.decay)
    course = _untouched(history, policy, curve)
    passed = int(course.stored.sum())
    missed = _replay(history, policy, curve, course)
    return _Reckoning(history, course).result(missed, int(course.stored.sum()) - passed, examples)


def best(found: Sequence[Rehearsal]) -> list[bool]:
    """Tell of each whether no other has at least its benefit for at most its bytes, and one of both is better."""
    points = [(one.benefit, -one.cost) for one in found]
    return [not any(_dominates(other, point) for other in points) for point in points]


def _dominates(other: tuple[float, int], point: tuple[float, int]) -> bool:
    return other != point and other[0] >= point[0] and other[1] >= point[1]


def _untouched(history: History, policy: Policy, curve: Curve) -> _Course:
    fates = [_fate(importance, level, policy, curve) for importance, level in history.sorts]
    leaves = np.array([_moment(fate.leaves_us) for fate in fates], dtype=np.int64)
    purged = np.array([_moment(fate.purge_us) for fate in fates], dtype=np.int64)
    rule = np.array([_CODE[fate.rule] for fate in fates], dtype=np.int8)
    purge_rule = np.array([_CODE[fate.purge_rule] for fate in fates], dtype=np.int8)
    return _Course(
        stored=_passing(history, policy.routing),
        since=history.said.copy(),
        leaves=_later(history.said, leaves[history.sort]),
        purged=_later(history.said, purged[history.sort]),
        rule=rule[history.sort],
        purge_rule=purge_rule[history.sort],
    )


def _fate(importance: float, level: Sensitivity, policy: Policy, curve: Curve) -> Fate:
    """Return what becomes of a turn that was said at 0: curves and rules know spans only."""
    return fate_of(Due("", "", curve.start(importance, 0), level), 0, policy, curve)


def _later(said: Moments, spans: Moments) -> Moments:
    return np.where(spans >= NEVER, NEVER, np.minimum(said + np.minimum(spans, NEVER // 2), NEVER))


def _moment(at_us: int | None) -> int:
    return NEVER if at_us is None else min(at_us, NEVER)


def _passing(history: History, rules: RoutingRules) -> Flags:
    """Return which turns pass the cold gate; a system prompt is no memory."""
    if rules.gate == "threshold":
        return history.memorable & (history.importance > rules.cold_threshold)
    passing, spreads = np.zeros(len(history.said), dtype=np.bool_), dict[str, ImportanceSpread]()
    for turn in np.argsort(history.said, kind="stable").tolist():
        if history.memorable[turn]:
            one = history.turns[turn]
            spread = spreads.setdefault(one.user, ImportanceSpread())
            passing[turn] = judge_gate(one.importance, rules, spread).to_cold
            spread.add(one.importance)
    return passing


def _replay(history: History, policy: Policy, curve: Curve, course: _Course) -> list[Need]:
    """Bring `course` up to date with the needs, in order; return those that were not met."""
    items: dict[int, Due] = {}
    missed = []
    for need in history.needs:
        turn = history.turns[need.turn]
        if not course.stored[need.turn]:
            hot = need.at_us < turn.said_us + round(policy.hot.ttl_seconds * 1_000_000)
            if not hot or turn.role is Role.SYSTEM:
                missed.append(need)
            elif need.used:
                importance = max(turn.importance, policy.routing.cold_threshold)
                items[need.turn] = Due("", "", curve.start(importance, need.at_us), turn.sensitivity)
                course.stored[need.turn], course.since[need.turn] = True, need.at_us
                course.note(need.turn, fate_of(items[need.turn], need.at_us, policy, curve))
        elif need.at_us >= course.leaves[need.turn]:
            missed.append(need)
        else:
            started = items.get(need.turn) or Due(
                "", "", curve.start(turn.importance, turn.said_us), turn.sensitivity
            )
            items[need.turn] = _used(started, need, policy, curve)
            course.note(need.turn, fate_of(items[need.turn], need.at_us, policy, curve))
    return missed


def _used(item: Due, need: Need, policy: Policy, curve: Curve) -> Due:
    weight = 1.0 if need.used else policy.decay.retrieved_boost
    assert item.state is not None  # every turn of a history is dated
    return Due("", "", curve.use(item.state, need.at_us, weight), item.sensitivity)


class _Sums:
    """How much had come and not yet gone at any moment."""

    def __init__(self, came: Moments, went: Moments, weight: Moments) -> None:
        self._came, self._in = _running(came, weight)
        self._went, self._out = _running(went, weight)

    def at(self, moments: Moments) -> Moments:
        """Return the sums at `moments`; who goes at a moment has gone."""
        came = np.searchsorted(self._came, moments, side="right")
        return self._in[came] - self._out[np.searchsorted(self._went, moments, side="right")]


def _running(moments: Moments, weight: Moments) -> tuple[Moments, Moments]:
    order = np.argsort(moments, kind="stable")
    return moments[order], np.concatenate([[0], np.cumsum(weight[order])])


class _Reckoning:
    """Counts a course."""

    def __init__(self, history: History, course: _Course) -> None:
        self._history, self._until = history, history.until_us
        stored = self._stored = course.stored
        self._since, self._leaves = course.since[stored], course.leaves[stored]
        self._purged = course.purged[stored]
        self._rule, self._purge_rule = course.rule[stored], course.purge_rule[stored]
        self._bytes = _Sums(self._since, self._purged, history.size[stored])
        self._items = _Sums(self._since, self._leaves, np.ones(len(self._since), dtype=np.int64))
        self._active = course.stored & (course.leaves > self._until)

    def result(self, missed: Sequence[Need], promoted: int, examples: int) -> Rehearsal:
        history, left, purged = self._history, self._leaves <= self._until, self._purged <= self._until
        memorable, total = int(history.memorable.sum()), len(history.turns)
        return Rehearsal(
            turns=total,
            system_prompts=total - memorable,
            below_gate=memorable - len(left),
            stored=len(left),
            promoted=promoted,
            active=int(self._active.sum()),
            forgotten=int((left & ~purged).sum()),
            purged=int(purged.sum()),
            left=_by_rule(self._rule[left]),
            purged_by=_by_rule(self._purge_rule[purged]),
            bytes_end=int(self._bytes.at(np.array([self._until]))[0]),
            bytes_peak=int(self._bytes.at(self._since).max(initial=0)),
            median_lifetime_days=self._median_lifetime(),
            needs=len(history.needs),
            needs_met=len(history.needs) - len(missed),
            importance_kept=self._importance_kept(),
            months=tuple(self._months()),
            missed=tuple(dict.fromkeys(need.turn for need in missed))[:examples],
            gone=self._foremost(self._stored & ~self._active, examples),
            dropped=self._foremost(history.memorable & ~self._stored, examples),
        )

    def _median_lifetime(self) -> float | None:
        """Return the lower median, so that it is a lifetime that occurs."""
        if not len(self._since):
            return None
        spans = np.where(self._leaves >= NEVER, NEVER, self._leaves - self._since)
        middle = int(np.partition(spans, (len(spans) - 1) // 2)[(len(spans) - 1) // 2])
        return None if middle >= NEVER else middle / DAY_US

    def _importance_kept(self) -> float:
        importance = self._history.importance
        total = float(importance[self._history.memorable].sum())
        return float(importance[self._active].sum()) / total if total else 0.0

    def _foremost(self, which: Flags, count: int) -> tuple[int, ...]:
        found = np.flatnonzero(which)
        order = np.lexsort((self._history.said[found], -self._history.importance[found]))
        return tuple(found[order[:count]].tolist())

    def _months(self) -> Iterator[Month]:
        if not len(self._history.said):
            return
        starts = _month_starts(int(self._history.said.min()), self._until)
        ends = np.minimum(np.array([*starts[1:], self._until + 1]) - 1, self._until)
        stored = np.bincount(self._months_of(self._since, starts), minlength=len(starts))
        left = self._left(self._leaves, self._rule, starts)
        purged = self._left(self._purged, self._purge_rule, starts)
        active, held = self._items.at(ends), self._bytes.at(ends)
        for at, start in enumerate(starts):
            counts = _named(left[at]), _named(purged[at])
            yield Month(start, int(stored[at]), *counts, int(active[at]), int(held[at]))

    def _left(self, moments: Moments, rules: Codes, starts: Sequence[int]) -> Moments:
        """Return counts by month and rule of what is over by the end, shape `(months, rules)`."""
        over = moments <= self._until
        cells = self._months_of(moments[over], starts) * len(RULES) + rules[over]
        counts = np.bincount(cells, minlength=len(starts) * len(RULES))
        return counts.reshape(len(starts), len(RULES))

    @staticmethod
    def _months_of(moments: Moments, starts: Sequence[int]) -> Moments:
        return np.searchsorted(np.array(starts), moments, side="right") - 1


def _by_rule(codes: Codes) -> Mapping[str, int]:
    return _named(np.bincount(codes, minlength=len(RULES)))


def _named(counts: Moments) -> Mapping[str, int]:
    return {rule: int(counts[code]) for code, rule in enumerate(RULES) if counts[code]}


def _month_starts(first_us: int, last_us: int) -> list[int]:
    """Return the first moments of the calendar months (UTC) from that of `first_us` to that of `last_us`."""
    first = _EPOCH + timedelta(microseconds=first_us)
    month, found = first.replace(day=1, hour=0, minute=0, second=0, microsecond=0), list[int]()
    while (start_us := (month - _EPOCH) // timedelta(microseconds=1)) <= last_us:
        found.append(start_us)
        month = (month + timedelta(days=32)).replace(day=1)
    return found
