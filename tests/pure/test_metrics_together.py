from __future__ import annotations

import typing
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory import metrics
from tiered_memory.metrics import Fact, FanOut, RecordingObserver, TierHeld, timed
from tiered_memory.metrics.observers import Ended, begin_of
from tiered_memory.metrics.together import MAIN, Standing, Together, combined

KINDS: tuple[type, ...] = typing.get_args(Standing)

PAIRS: list[tuple[Standing, Standing, Standing]] = [
    (metrics.RecallIndexState(2, 10), metrics.RecallIndexState(3, 20), metrics.RecallIndexState(5, 30)),
    (metrics.TierUp("hot", up=False), metrics.TierUp("hot", up=True), metrics.TierUp("hot", up=False)),
    (
        metrics.BreakerChanged("hot", "half_open"),
        metrics.BreakerChanged("hot", "closed"),
        metrics.BreakerChanged("hot", "half_open"),
    ),
    (metrics.JournalState(1, 10, 5.0), metrics.JournalState(2, 20, 3.0), metrics.JournalState(3, 30, 5.0)),
    (metrics.Recovered(5, 2.0), metrics.Recovered(7, 0.5), metrics.Recovered(7, 2.0)),
    (
        metrics.OldestOverdueDeletion(9.0),
        metrics.OldestOverdueDeletion(0.0),
        metrics.OldestOverdueDeletion(9.0),
    ),
    (metrics.Reindexed(5, 10), metrics.Reindexed(6, 4), metrics.Reindexed(6, 14)),
    (
        metrics.RecordsStanding({"cold": TierHeld(1, None), "hot": TierHeld(None, 5)}, 1),
        metrics.RecordsStanding({"cold": TierHeld(2, 7)}, 2),
        metrics.RecordsStanding({"cold": TierHeld(3, 7), "hot": TierHeld(None, 5)}, 3),
    ),
    (
        metrics.ConsentsStanding({"open": 1, "refused": 2}),
        metrics.ConsentsStanding({"open": 3}),
        metrics.ConsentsStanding({"open": 4, "refused": 2}),
    ),
    (
        metrics.RequestsStanding(1, 1, 0.0),
        metrics.RequestsStanding(2, 0, 9.0),
        metrics.RequestsStanding(3, 1, 0.0),
    ),
    (
        metrics.RequestsStanding(0, 0),
        metrics.RequestsStanding(2, 0, 9.0),
        metrics.RequestsStanding(2, 0, 9.0),
    ),
    (metrics.HoldsStanding(3), metrics.HoldsStanding(2), metrics.HoldsStanding(3)),
    (metrics.KeysStanding(5.0, None), metrics.KeysStanding(3.0, 8.0), metrics.KeysStanding(5.0, 8.0)),
    (metrics.LedgerStanding(5, 1.0), metrics.LedgerStanding(6, 2.0), metrics.LedgerStanding(11, 2.0)),
    (metrics.DiskStanding(5, 10), metrics.DiskStanding(7, 9), metrics.DiskStanding(5, 10)),
]


def heard(*reported: tuple[str, Fact]) -> list[Fact]:
    observer = RecordingObserver()
    together = Together(observer)
    for name, fact in reported:
        together.part(name).observe(fact)
    return list(observer.facts)


def test_every_standing_is_looked_at_below() -> None:
    assert {type(first) for first, _, _ in PAIRS} == set(KINDS)


@pytest.mark.parametrize(("first", "second", "both"), PAIRS, ids=lambda one: type(one).__name__)
def test_two_runtimes_are_told_in_one(first: Standing, second: Standing, both: Standing) -> None:
    assert heard((MAIN, first), ("own", second)) == [first, both]


@pytest.mark.parametrize(("first", "second", "both"), PAIRS, ids=lambda one: type(one).__name__)
def test_one_runtime_is_told_as_it_is(first: Standing, second: Standing, both: Standing) -> None:
    assert heard((MAIN, first), (MAIN, second)) == [first, second]
    assert combined([both]) == both


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1))
def test_the_newest_of_each_runtime_counts(reported: Sequence[tuple[str, int]]) -> None:
    facts = heard(*((name, metrics.RecallIndexState(users, 0)) for name, users in reported))
    newest = dict(reported)
    last = facts[-1]
    assert isinstance(last, metrics.RecallIndexState)
    assert last.users == sum(newest.values())


def test_tiers_and_breakers_are_told_apart() -> None:
    facts = heard((MAIN, metrics.TierUp("hot", up=False)), ("own", metrics.TierUp("cold", up=True)))
    assert facts[-1] == metrics.TierUp("cold", up=True)


def test_a_breaker_in_an_unknown_state_is_the_worst() -> None:
    facts = heard(
        (MAIN, metrics.BreakerChanged("hot", "molten")), ("own", metrics.BreakerChanged("hot", "open"))
    )
    assert facts[-1] == metrics.BreakerChanged("hot", "molten")


def test_what_happened_passes_as_it_is() -> None:
    fact = metrics.RequestDone("add", "ok", 0.1)
    assert heard((MAIN, fact), ("own", fact)) == [fact, fact]


def test_the_event_loop_has_one_ticker() -> None:
    assert heard((MAIN, metrics.LoopLag(0.1)), ("own", metrics.LoopLag(0.2))) == [metrics.LoopLag(0.1)]


class Tracing(RecordingObserver):
    def begin(self, op: str) -> Ended:
        self.observe(metrics.AccessDenied(op))
        return self.observe


def test_who_hears_of_beginnings_hears_of_every_runtimes() -> None:
    assert begin_of(Together(RecordingObserver()).part()) is None
    observer = Tracing()
    for part in (Together(observer).part(), Together(observer).part("own")):
        with timed(FanOut(part), "search"):
            pass
    assert [fact.action for fact in observer.of(metrics.AccessDenied)] == ["search", "search"]


def test_a_server_that_is_shared_is_counted_once() -> None:
    observer = RecordingObserver()
    together = Together(observer)
    held = metrics.RecordsStanding({"hot": TierHeld(4, 8), "cold": TierHeld(1, 1)}, 0)
    together.part().observe(held)
    together.part("own", own_hot=False).observe(held)
    expected = {"hot": TierHeld(4, 8), "cold": TierHeld(2, 2)}
    assert observer.facts[-1] == metrics.RecordsStanding(expected, 0)


def test_a_runtime_that_left_counts_no_more() -> None:
    observer = RecordingObserver()
    together = Together(observer)
    together.part().observe(metrics.RecallIndexState(1, 1))
    own = together.part("own")
    own.observe(metrics.RecallIndexState(2, 2))
    own.observe(metrics.Recovered(1, 0.1))
    own.observe(metrics.Reindexed(1, 1))
    own.observe(metrics.ConsentChanged("given"))
    before = len(observer.facts)
    together.leave("own")
    together.leave("own")
    assert observer.facts[before:] == (metrics.RecallIndexState(1, 1),)
