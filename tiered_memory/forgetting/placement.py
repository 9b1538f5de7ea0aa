"""Where a memory goes and when it leaves: the cold gate, its deadline, and the plan of a forgetting cycle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from tiered_memory.forgetting.decay import DAY_US, Curve, StrengthState, curve_for
from tiered_memory.forgetting.retention import NO_TERMS, UNTIL_EVENT, Terms, kept
from tiered_memory.model import Sensitivity
from tiered_memory.policy.rules import ForgettingRules, Policy, RoutingRules

HOUR_US = DAY_US // 24
NEVER_US = 1 << 62
"""Later than any moment that is computed with; no deadline is entered with it."""

HOLD, CEILING, FLOOR, PIN, DECAY, GRACE = "hold", "ceiling", "floor", "pin", "decay", "grace"
UNDATED, UNDO_WINDOW, BRAKE, QUOTA = "undated", "undo window", "brake", "quota"


@dataclass(frozen=True, slots=True)
class Route:
    """Whether a new memory goes to cold, and why; `by_quantile`: beside what its user said before."""

    to_cold: bool
    reason: str
    by_quantile: bool = False


def route(importance: float, rules: RoutingRules) -> Route:
    """Return the cold gate's verdict: importance (0..1) strictly above the threshold passes."""
    passes = importance > rules.cold_threshold
    relation = "above" if passes else "not above"
    return Route(
        passes, f"importance {importance:.2f} is {relation} the cold threshold {rules.cold_threshold:.2f}"
    )


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a memory leaves (None: never) and the rule that decides it: hold, ceiling, floor, pin, decay, grace."""

    at_us: int | None
    rule: str


class Span(Protocol):
    """Days since ingestion: kept at least `floor_days` (infinite: until an event), at most `ceiling_days`."""

    @property
    def floor_days(self) -> float | None:
        """None is no bound."""
        ...

    @property
    def ceiling_days(self) -> float | None:
        """None is no bound."""
        ...


def deadline(
    state: StrengthState,
    curve: Curve,
    retention: Span,
    grace_hours: float,
    *,
    pinned: bool = False,
    held: bool = False,
) -> Deadline:
    """Return hold ? never : min(ceiling, max(floor, pinned ? never : max(forget_at, ingested_at + grace))).

    A ceiling beats decay, floors and pins; only a hold beats a ceiling. Floor, ceiling and grace run from
    ingestion. Where two rules name the same moment, the stronger one is given.
    """
    if held:
        return Deadline(None, HOLD)
    found = Deadline(None, PIN) if pinned else _faded(state, curve, grace_hours)
    if retention.floor_days == UNTIL_EVENT:
        found = found if pinned else Deadline(None, FLOOR)
    else:
        floor_us = _bound_us(state, retention.floor_days)
        if floor_us is not None and found.at_us is not None and floor_us >= found.at_us:
            found = Deadline(floor_us, FLOOR)
    ceiling_us = _bound_us(state, retention.ceiling_days)
    if ceiling_us is not None and (found.at_us is None or ceiling_us <= found.at_us):
        found = Deadline(ceiling_us, CEILING)
    return found


def _faded(state: StrengthState, curve: Curve, grace_hours: float) -> Deadline:
    forget_at_us = curve.forget_at_us(state)
    grace_us = state.ingested_at_us + round(grace_hours * HOUR_US)
    if forget_at_us is not None and grace_us > forget_at_us:
        return Deadline(grace_us, GRACE)
    return Deadline(forget_at_us, DECAY)


def _bound_us(state: StrengthState, days: float | None) -> int | None:
    if days is None:
        return None
    return NEVER_US if days == UNTIL_EVENT else state.ingested_at_us + round(days * DAY_US)


@dataclass(frozen=True, slots=True)
class Due:
    """A memory to decide on.

    `user` is whatever names its owner in `user_totals`. `state` is None when its dates cannot be read: such a
    memory counts as expired. `forgotten_at_us` is set once it was forgotten and may still be restored. `kind` and
    `purpose` say which named retention rules bind it, `terms` what bounds it besides.
    """

    id: str
    user: str
    state: StrengthState | None
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    pinned: bool = False
    held: bool = False
    forgotten_at_us: int | None = None
    kind: str = ""
    purpose: str = ""
    terms: Terms = NO_TERMS


def kept_of(item: Due, policy: Policy) -> Span:
    """Return how long an item is kept at least and at most under a policy, in days since its ingestion."""
    if not policy.retention_rules and item.terms.ceiling_days is None:
        return policy.retention[item.sensitivity]
    return kept(
        policy,
        sensitivity=item.sensitivity,
        kind=item.kind,
        purpose=item.purpose,
        ingested_us=0 if item.state is None else item.state.ingested_at_us,
        terms=item.terms,
    )


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave it; look again at `recheck_at_us` (None: only when its policy, pin or hold changes)."""

    id: str
    recheck_at_us: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Take it out of retrieval; it can be restored until `purge_at_us`."""

    id: str
    purge_at_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class Purge:
    """Remove it physically, now."""

    id: str
    reason: str


Decision: TypeAlias = Keep | Forget | Purge


@dataclass(frozen=True, slots=True)
class Plan:
    """What a cycle would do, by id, and the users for whom the brake stopped it."""

    decisions: tuple[Decision, ...]
    stopped: frozenset[str] = frozenset()


def plan_forgetting(
    items: Iterable[Due],
    now_us: int,
    policy: Policy,
    user_totals: Mapping[str, int],
    *,
    confirmed: bool = False,
) -> Plan:
    """Return one decision per item, ordered by id whatever the order of `items`.

    `user_totals` gives each user's active (not forgotten) memories; give all of a user's due items in one call,
    or the brake sees only a part. When decay would take more than `max_share_per_cycle` of a user's memories,
    none of that user's are forgotten and the user is in `stopped`, unless `confirmed`; ceilings and ended undo
    windows still purge. A stopped item keeps its deadline, so that the confirmed run finds it.
    """
    judge = _Judge(now_us, policy)
    judged = sorted(((item, judge.decide(item)) for item in items), key=lambda pair: pair[0].id)
    taken = Counter(item.user for item, decision in judged if _by_decay(item, decision))
    stopped = frozenset(
        user
        for user, count in taken.items()
        if not confirmed and _brakes(count, max(user_totals.get(user, 0), count), policy.forgetting)
    )
    decisions = tuple(
        judge.stopped(item) if item.user in stopped and _by_decay(item, decision) else decision
        for item, decision in judged
    )
    return Plan(decisions, stopped)


def displace(item: Due, now_us: int, policy: Policy) -> Decision:
    """Return what becomes of an active item that has to make room for another.

    It goes as what decayed goes, with the rule "quota"; a hold, a pin, or a floor that has not passed keeps it.
    """
    return _Judge(now_us, policy).displace(item)


def purge_deadline_us(item: Due, forgotten_at_us: int, policy: Policy) -> int | None:
    """Return when an item that was forgotten is removed for good; None: never, while something keeps it."""
    return _Judge(forgotten_at_us, policy).purge_deadline_us(item, forgotten_at_us)


def _by_decay(item: Due, decision: Decision) -> bool:
    """Tell whether the decision newly takes a memory away though no ceiling demands it."""
    fresh = item.forgotten_at_us is None and item.state is not None
    return fresh and not isinstance(decision, Keep) and decision.reason != CEILING


def _brakes(count: int, total: int, rules: ForgettingRules) -> bool:
    return total >= rules.min_memories_for_brake and count > rules.max_share_per_cycle * total


class _Judge:
    """Decides on single items at one moment under one policy."""

    def __init__(self, now_us: int, policy: Policy) -> None:
        self._now_us = now_us
        self._policy = policy
        self._curve = curve_for(policy.decay)
        self._undo_us = round(policy.forgetting.undo_days * DAY_US)

    def decide(self, item: Due) -> Decision:
        if item.held:
            return Keep(item.id, None, HOLD)
        ceiling_us = self._bound_us(item, ceiling=True)
        if ceiling_us is not None and ceiling_us <= self._now_us:
            return Purge(item.id, CEILING)
        if item.forgotten_at_us is not None:
            return self._forgotten(item, item.forgotten_at_us)
        if item.state is None:
            return self._undated(item)
        due = self._deadline(item, item.state)
        if due.at_us is None or due.at_us > self._now_us:
            return Keep(item.id, due.at_us, due.rule)
        return self._forget(item, due.rule)

    def displace(self, item: Due) -> Decision:
        if item.held or item.pinned or item.forgotten_at_us is not None:
            return Keep(item.id, None, HOLD if item.held else PIN if item.pinned else UNDO_WINDOW)
        floor_us = self._bound_us(item, ceiling=False)
        if floor_us is not None and floor_us > self._now_us:
            return Keep(item.id, None if floor_us == NEVER_US else floor_us, FLOOR)
        return self._forget(item, QUOTA)

    def purge_deadline_us(self, item: Due, forgotten_at_us: int) -> int | None:
        if item.held or item.pinned:
            return None if item.held else self._bound_us(item, ceiling=True)
        at_us = self._purge_at_us(item, forgotten_at_us)
        return None if at_us == NEVER_US else at_us

    def stopped(self, item: Due) -> Keep:
        at_us = self._deadline(item, item.state).at_us if item.state is not None else None
        return Keep(item.id, at_us, BRAKE)

    def _deadline(self, item: Due, state: StrengthState) -> Deadline:
        rules, grace_hours = kept_of(item, self._policy), self._policy.decay.grace_hours
        return deadline(state, self._curve, rules, grace_hours, pinned=item.pinned, held=item.held)

    def _forget(self, item: Due, reason: str) -> Decision:
        if not self._undo_us:
            return Purge(item.id, reason)
        return Forget(item.id, self._purge_at_us(item, self._now_us), reason)

    def _undated(self, item: Due) -> Decision:
        """Fail closed: under a ceiling it cannot be shown to be in time, so it goes; else it is forgotten."""
        if kept_of(item, self._policy).ceiling_days is not None:
            return Purge(item.id, UNDATED)
        return Keep(item.id, None, PIN) if item.pinned else self._forget(item, UNDATED)

    def _forgotten(self, item: Due, forgotten_at_us: int) -> Decision:
        if item.pinned:
            return Keep(item.id, self._bound_us(item, ceiling=True), PIN)
        purge_at_us = self._purge_at_us(item, forgotten_at_us)
        if purge_at_us <= self._now_us:
            return Purge(item.id, UNDO_WINDOW)
        return Keep(item.id, None if purge_at_us == NEVER_US else purge_at_us, UNDO_WINDOW)

    def _purge_at_us(self, item: Due, forgotten_at_us: int) -> int:
        purge_at_us = max(forgotten_at_us + self._undo_us, self._bound_us(item, ceiling=False) or 0)
        ceiling_us = self._bound_us(item, ceiling=True)
        return purge_at_us if ceiling_us is None else min(purge_at_us, ceiling_us)

    def _bound_us(self, item: Due, *, ceiling: bool) -> int | None:
        rules = kept_of(item, self._policy)
        days = rules.ceiling_days if ceiling else rules.floor_days
        return None if item.state is None else _bound_us(item.state, days)
