"""Replays a conversation under a budget: after each arrival a policy evicts, and what it evicted is gone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.forget_items import Asked, Item, Story
from tiered_memory.scoring.ranking import rank
from tiered_memory.scoring.recall_index import RecallIndex

TOP = 10
ROUNDING = 1e-9

Places = NDArray[np.intp]
Values = NDArray[np.float64]


class Regime(StrEnum):
    """When questions are asked, and what counts as a use."""

    END = "end"
    """All one day after the last turn; nothing is ever used before."""
    ORACLE = "interleaved_oracle"
    """As the conversation goes on; evidence that is still held is used."""
    NOISY = "interleaved_noisy"
    """As the conversation goes on; whatever the product's search returns among the first ten is used."""


class Policy(Protocol):
    """What is evicted. It sees items, times and past uses, never a question."""

    settled: bool
    """Whether a value changes on arrival and use only; otherwise each eviction computes all anew."""
    heeds_uses: bool
    """Whether a use is written down."""

    def arrived(self, item: Item) -> None:
        """Take notice of a new item; places count up from 0."""
        ...

    def used(self, place: int, now_us: int) -> None:
        """Take notice that a held item was used."""
        ...

    def values(self, held: Places, now_us: int) -> Values:
        """Return the value of each held item; the smallest goes first, the earlier of equals."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """Per question, in the story's order: the share of its evidence held, and its recall at 10 (noisy only).

    `forgotten` counts evictions, `touched` the rows written or evaluated for them.
    """

    kept: list[float]
    recalls: list[float]
    forgotten: int
    touched: int
    most_held: int


Room = Callable[[int], int]
"""How many items may be held after so many arrivals; it never falls."""


def quota(share: float, turns: int) -> Room:
    """Return a room of that share (0..1) of all turns, the same from the first turn on, rounded down."""
    room = math.floor(share * turns + ROUNDING)
    return lambda _arrived: room


def growing(share: float) -> Room:
    """Return a room of that share (0..1) of the turns so far, rounded down."""
    return lambda arrived: math.floor(share * arrived + ROUNDING)


def replay(story: Story, policy: Policy, room: Room, regime: Regime) -> Outcome:
    """Return what a policy kept of a story in the room it had."""
    return _Replay(story, policy, room, regime).run()


class _Replay:
    def __init__(self, story: Story, policy: Policy, room: Room, regime: Regime) -> None:
        self._story, self._policy, self._room, self._regime = story, policy, room, regime
        self._held = np.zeros(len(story.items), dtype=np.bool_)
        noisy = regime is Regime.NOISY and bool(story.items)
        self._index = RecallIndex(len(story.items[0].turn.vector)) if noisy else None
        self._place_of = {item.turn.id: item.place for item in story.items}
        self._count = self._most = self._forgotten = self._touched = 0

    def run(self) -> Outcome:
        kept, recalls = dict[int, float](), dict[int, float]()
        pending = schedule(self._story.questions, self._regime)
        waiting = next(pending, None)
        for item in self._story.items:
            while waiting is not None and waiting[0] < item.at_us:
                self._ask(waiting, kept, recalls)
                waiting = next(pending, None)
            self._arrive(item)
        while waiting is not None:
            self._ask(waiting, kept, recalls)
            waiting = next(pending, None)
        in_order = range(len(self._story.questions))
        found = [recalls[number] for number in in_order] if recalls else []
        return Outcome(
            [kept[number] for number in in_order], found, self._forgotten, self._touched, self._most
        )

    def _arrive(self, item: Item) -> None:
        self._policy.arrived(item)
        self._held[item.place] = True
        self._count += 1
        if self._index is not None:
            self._index.add([item.turn])
        while self._count > self._room(item.place + 1):
            self._evict(item.at_us)
        self._most = max(self._most, self._count)

    def _evict(self, now_us: int) -> None:
        held = np.flatnonzero(self._held)
        place = int(held[int(np.argmin(self._policy.values(held, now_us)))])
        self._held[place] = False
        self._count -= 1
        self._forgotten += 1
        self._touched += 1 if self._policy.settled else len(held)
        if self._index is not None:
            self._index.remove([self._story.items[place].turn.id])

    def _ask(
        self, waiting: tuple[int, int, Asked], kept: dict[int, float], recalls: dict[int, float]
    ) -> None:
        now_us, number, question = waiting
        still = [place for place in question.evidence if self._held[place]]
        kept[number] = len(still) / len(question.evidence)
        if self._regime is Regime.ORACLE:
            self._use(still, now_us)
        if self._index is not None:
            found = self._found(question)
            recalls[number] = len(set(found).intersection(question.evidence)) / len(question.evidence)
            self._use(found, now_us)

    def _found(self, question: Asked) -> list[int]:
        assert self._index is not None
        ranked = rank(self._index.candidates(question.query), TOP)
        return [self._place_of[one.id] for one in ranked]

    def _use(self, places: Sequence[int], now_us: int) -> None:
        for place in places:
            self._policy.used(place, now_us)
        self._touched += len(places) if self._policy.heeds_uses else 0


def schedule(questions: Sequence[Asked], regime: Regime) -> Iterator[tuple[int, int, Asked]]:
    """Return when each question is asked, its number, and itself, in order of time."""
    at_end = regime is Regime.END
    timed = ((q.at_end_us if at_end else q.interleaved_us, number, q) for number, q in enumerate(questions))
    return iter(sorted(timed, key=lambda one: one[:2]))
