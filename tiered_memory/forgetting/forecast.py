"""When memories will leave if nobody uses any of them, and what another policy would change about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tiered_memory.forgetting.decay import DAY_US, Curve, curve_for
from tiered_memory.forgetting.placement import (
    CEILING,
    HOLD,
    PIN,
    UNDATED,
    UNDO_WINDOW,
    Deadline,
    Due,
    deadline,
    kept_of,
    purge_deadline_us,
)
from tiered_memory.policy.rules import Policy

DAILY_UP_TO = 31
WEEK = 7


@dataclass(frozen=True, slots=True)
class Fate:
    """When a memory is forgotten (None: it is already, or never) and when its bytes go (None: never), by which rules."""

    forget_us: int | None
    purge_us: int | None
    rule: str
    purge_rule: str = UNDO_WINDOW

    @property
    def leaves_us(self) -> int | None:
        """When it is out of retrieval; for what is forgotten already, when it is gone for good."""
        return self.purge_us if self.forget_us is None else self.forget_us


def fate_of(item: Due, now_us: int, policy: Policy, curve: Curve) -> Fate:
    """Return what becomes of an item that is never used again; what is overdue leaves at `now_us`."""
    if item.held:
        return Fate(None, None, HOLD)
    if item.forgotten_at_us is not None:
        return Fate(None, *_purge(item, item.forgotten_at_us, now_us, policy))
    found = _deadline(item, now_us, policy, curve)
    if found.at_us is None:
        return Fate(None, None, found.rule)
    at_us, ceiling_us = max(found.at_us, now_us), _ceiling_us(item, policy)
    if ceiling_us is not None and ceiling_us <= at_us:
        rule = CEILING if item.state is not None else UNDATED
        return Fate(None, at_us, rule, rule)
    if not policy.forgetting.undo_days:
        return Fate(None, at_us, found.rule, found.rule)
    purge_us, _, purge_rule = _purge(item, at_us, now_us, policy)
    return Fate(at_us, purge_us, found.rule, purge_rule)


def _deadline(item: Due, now_us: int, policy: Policy, curve: Curve) -> Deadline:
    if item.state is None:
        kept = item.pinned and _ceiling_us(item, policy) is None
        return Deadline(None, PIN) if kept else Deadline(now_us, UNDATED)
    rules, grace_hours = kept_of(item, policy), policy.decay.grace_hours
    return deadline(item.state, curve, rules, grace_hours, pinned=item.pinned)


def _purge(item: Due, forgotten_us: int, now_us: int, policy: Policy) -> tuple[int | None, str, str]:
    """Return when what is forgotten then goes for good, and twice the rule: a ceiling that comes first, or the window."""
    purge_us = purge_deadline_us(item, forgotten_us, policy)
    if purge_us is None:
        return None, UNDO_WINDOW, UNDO_WINDOW
    purge_us, ceiling_us = max(purge_us, now_us), _ceiling_us(item, policy)
    passed = item.state is not None and ceiling_us is not None and ceiling_us <= purge_us
    rule = CEILING if passed else UNDO_WINDOW
    return purge_us, rule, rule


def _ceiling_us(item: Due, policy: Policy) -> int | None:
    """Without a readable date a ceiling counts as passed."""
    days = kept_of(item, policy).ceiling_days
    if days is None:
        return None
    return 0 if item.state is None else item.state.ingested_at_us + round(days * DAY_US)


@dataclass(slots=True)
class Bucket:
    """How many are forgotten, and how many removed for good, in one span of time, by the rule behind it."""

    forgotten: Counter[str] = field(default_factory=Counter)
    purged: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Outlook:
    """Counts of fates up to a horizon, in buckets of `bucket_us`; what leaves at once is in the first."""

    now_us: int
    bucket_us: int
    buckets: list[Bucket]
    at_once: int = 0
    later: int = 0
    never: int = 0

    def add(self, fate: Fate) -> None:
        """Count one memory."""
        if fate.leaves_us is None:
            self.never += 1
        elif self._bucket(fate.leaves_us) is None:
            self.later += 1
        elif fate.leaves_us <= self.now_us:
            self.at_once += 1
        self._count(fate)

    def _count(self, fate: Fate) -> None:
        forgotten, purged = self._bucket(fate.forget_us), self._bucket(fate.purge_us)
        if forgotten is not None:
            forgotten.forgotten[fate.rule] += 1
        if purged is not None:
            purged.purged[fate.purge_rule] += 1

    def _bucket(self, at_us: int | None) -> Bucket | None:
        place = None if at_us is None else (at_us - self.now_us) // self.bucket_us
        return None if place is None or place >= len(self.buckets) else self.buckets[place]


def outlook(now_us: int, days: int) -> Outlook:
    """Return an empty outlook over `days` (>= 1): by day up to a month, by week beyond, the last one whole."""
    span = 1 if days <= DAILY_UP_TO else WEEK
    return Outlook(now_us, span * DAY_US, [Bucket() for _ in range(-(-days // span))])


@dataclass(slots=True)
class Shift:
    """What a candidate policy changes: who leaves earlier or later than under the present one, or as before.

    `kept` would leave within the horizon and stays beyond it, `lost` is the reverse, `at_once` leaves with the
    first cycle though it is not due under the present policy.
    """

    earlier: int = 0
    later: int = 0
    same: int = 0
    kept: int = 0
    lost: int = 0
    at_once: int = 0

    def add(self, before: Fate, after: Fate, now_us: int, until_us: int) -> None:
        """Count one memory under both policies."""
        old, new = _moment(before), _moment(after)
        self.earlier += new < old
        self.later += new > old
        self.same += new == old
        self.kept += old < until_us <= new
        self.lost += new < until_us <= old
        self.at_once += new <= now_us < old


def _moment(fate: Fate) -> float:
    return float("inf") if fate.leaves_us is None else fate.leaves_us


class Forecasting:
    """Gathers the forecast of any number of memories, one after the other, under one policy or two."""

    def __init__(self, now_us: int, days: int, policies: Sequence[Policy]) -> None:
        self._now_us = now_us
        self._rules = [(policy, curve_for(policy.decay)) for policy in policies]
        self.outlooks = [outlook(now_us, days) for _ in policies]
        self.shift = Shift() if len(policies) > 1 else None
        self.memories = 0

    def add(self, items: Iterable[Due]) -> None:
        """Take memories in, the same ones for every policy."""
        for item in items:
            self.memories += 1
            fates = [fate_of(item, self._now_us, policy, curve) for policy, curve in self._rules]
            for outlook_, fate in zip(self.outlooks, fates, strict=True):
                outlook_.add(fate)
            if self.shift is not None:
                first = self.outlooks[0]
                until_us = self._now_us + first.bucket_us * len(first.buckets)
                self.shift.add(fates[0], fates[1], self._now_us, until_us)
