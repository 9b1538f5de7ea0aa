"""Several runtimes of one store, heard as one: what is counted is summed, of ages and states the worst is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any, TypeAlias

from tiered_memory.metrics.facts import Fact
from tiered_memory.metrics.observers import Observer, begin_of
from tiered_memory.metrics.rights import OldestOverdueDeletion, Reindexed
from tiered_memory.metrics.serving import LoopLag, RecallIndexState
from tiered_memory.metrics.standing import (
    ConsentsStanding,
    DiskStanding,
    HoldsStanding,
    KeysStanding,
    LedgerStanding,
    RecordsStanding,
    RequestsStanding,
    TierHeld,
)
from tiered_memory.metrics.storing import BreakerChanged, JournalState, Recovered, TierUp

MAIN = ""
HOT = "hot"
BREAKER_STATES = ("closed", "half_open", "open")

Standing: TypeAlias = (
    RecallIndexState
    | TierUp
    | BreakerChanged
    | JournalState
    | Recovered
    | OldestOverdueDeletion
    | Reindexed
    | RecordsStanding
    | ConsentsStanding
    | RequestsStanding
    | HoldsStanding
    | KeysStanding
    | LedgerStanding
    | DiskStanding
)
"""Facts of which the newest holds: those of several runtimes would take each other's place."""


class Together:
    """Passes on to `observer` what several runtimes report, each under a name of its own."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.begin = begin_of(observer)
        self._lock = Lock()
        self._latest: dict[tuple[str, ...], dict[str, Standing]] = {}

    def part(self, name: str = MAIN, *, own_hot: bool = True) -> Observer:
        """Return what a runtime reports to; one without a hot tier of its own counts nothing there."""
        return _Part(self, name, own_hot=own_hot)

    def leave(self, name: str) -> None:
        """Let a runtime that was closed count no more."""
        with self._lock:
            gone = [latest.pop(name) for latest in self._latest.values() if name in latest]
            left = [tuple(self._latest[_key(fact)].values()) for fact in gone]
        for standing in left:
            # A replay, and deadlines computed anew, are no news because somebody else left.
            if standing and not isinstance(standing[0], (Recovered, Reindexed)):
                self._observer.observe(combined(standing))

    def take(self, name: str, fact: Fact) -> None:
        """Pass a runtime's fact on: as it is, or with how the others stand."""
        if isinstance(fact, Standing):
            with self._lock:
                latest = self._latest.setdefault(_key(fact), {})
                latest.pop(name, None)
                latest[name] = fact
                standing = tuple(latest.values())
            self._observer.observe(combined(standing))
        elif name == MAIN or not isinstance(fact, LoopLag):
            self._observer.observe(fact)


class _Part:
    def __init__(self, together: Together, name: str, *, own_hot: bool) -> None:
        self._together = together
        self._name = name
        self._own_hot = own_hot
        self.begin = together.begin

    def observe(self, fact: Fact) -> None:
        """See `Observer`."""
        if isinstance(fact, RecordsStanding) and not self._own_hot:
            fact = replace(fact, tiers={tier: held for tier, held in fact.tiers.items() if tier != HOT})
        self._together.take(self._name, fact)


def _key(fact: Standing) -> tuple[str, ...]:
    kind = type(fact).__name__
    return (kind, fact.tier) if isinstance(fact, (TierUp, BreakerChanged)) else (kind,)


def combined(facts: Sequence[Standing]) -> Standing:
    """Return what facts of one kind (>= 1), one of each runtime, come to; what only the newest tells is the last's."""
    return facts[-1] if len(facts) == 1 else _RULES[type(facts[-1])](facts)


def _index(every: Sequence[RecallIndexState]) -> Standing:
    return RecallIndexState(sum(one.users for one in every), sum(one.bytes for one in every))


def _up(every: Sequence[TierUp]) -> Standing:
    return replace(every[-1], up=all(one.up for one in every))


def _breaker(every: Sequence[BreakerChanged]) -> Standing:
    return max(every, key=lambda one: _worse(one.state))


def _journal(every: Sequence[JournalState]) -> Standing:
    oldest = max(one.oldest_unapplied_seconds for one in every)
    return JournalState(sum(one.records for one in every), sum(one.bytes for one in every), oldest)


def _recovered(every: Sequence[Recovered]) -> Standing:
    return replace(every[-1], seconds=max(one.seconds for one in every))


def _oldest_deletion(every: Sequence[OldestOverdueDeletion]) -> Standing:
    return max(every, key=lambda one: one.seconds)


def _reindexed(every: Sequence[Reindexed]) -> Standing:
    return replace(every[-1], remaining=sum(one.remaining for one in every))


def _records(every: Sequence[RecordsStanding]) -> Standing:
    return RecordsStanding(_tiers(every), sum(one.overdue for one in every))


def _consents(every: Sequence[ConsentsStanding]) -> Standing:
    words = {word for one in every for word in one.states}
    return ConsentsStanding({word: sum(one.states.get(word, 0) for one in every) for word in words})


def _requests(every: Sequence[RequestsStanding]) -> Standing:
    due = _least(one.next_due_seconds for one in every)
    return RequestsStanding(sum(one.open for one in every), sum(one.overdue for one in every), due)


def _holds(every: Sequence[HoldsStanding]) -> Standing:
    """A tenant's own runtime follows the store's holds: they are no others."""
    return max(every, key=lambda one: one.active)


def _keys(every: Sequence[KeysStanding]) -> Standing:
    epoch = _most(one.oldest_epoch_seconds for one in every)
    return KeysStanding(epoch, _most(one.root_key_seconds for one in every))


def _ledgers(every: Sequence[LedgerStanding]) -> Standing:
    age = _most(one.checkpoint_age_seconds for one in every)
    return LedgerStanding(sum(one.entries for one in every), age)


def _disk(every: Sequence[DiskStanding]) -> Standing:
    return min(every, key=lambda one: one.free_bytes)


_RULES: Mapping[type, Callable[[Any], Standing]] = {
    RecallIndexState: _index,
    TierUp: _up,
    BreakerChanged: _breaker,
    JournalState: _journal,
    Recovered: _recovered,
    OldestOverdueDeletion: _oldest_deletion,
    Reindexed: _reindexed,
    RecordsStanding: _records,
    ConsentsStanding: _consents,
    RequestsStanding: _requests,
    HoldsStanding: _holds,
    KeysStanding: _keys,
    LedgerStanding: _ledgers,
    DiskStanding: _disk,
}


def _worse(state: str) -> int:
    return BREAKER_STATES.index(state) if state in BREAKER_STATES else len(BREAKER_STATES)


def _tiers(records: Sequence[RecordsStanding]) -> dict[str, TierHeld]:
    names = {tier: None for one in records for tier in one.tiers}
    held = {tier: [one.tiers[tier] for one in records if tier in one.tiers] for tier in names}
    return {
        tier: TierHeld(_sum(one.records for one in each), _sum(one.bytes for one in each))
        for tier, each in held.items()
    }


def _sum(values: Iterable[int | None]) -> int | None:
    known = [one for one in values if one is not None]
    return sum(known) if known else None


def _least(values: Iterable[float | None]) -> float | None:
    return min((one for one in values if one is not None), default=None)


def _most(values: Iterable[float | None]) -> float | None:
    return max((one for one in values if one is not None), default=None)
