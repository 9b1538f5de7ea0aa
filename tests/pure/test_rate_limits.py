"""A token bucket lets through what it should, and no more; whoever waits as long as told is served."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tiered_memory.daemon.limits import Allowed, Bucket, Buckets, RetryAfter
from tiered_memory.errors import ConfigurationError

capacities = st.floats(1, 1000)
rates = st.floats(0.01, 1000)
pauses = st.floats(0, 100)
calls = st.lists(st.tuples(pauses, st.integers(1, 20)), max_size=60)


def taken(bucket: Bucket, asked: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return when how much was let through."""
    now, through = 0.0, []
    for pause, n in asked:
        now += pause
        if isinstance(bucket.take(now, n), Allowed):
            through.append((now, n))
    return through


@given(st.integers(20, 100), rates, calls)
def test_no_span_of_time_lets_more_through_than_its_bucket_and_rate(
    capacity: int, per_second: float, asked: list[tuple[float, int]]
) -> None:
    through = taken(Bucket(capacity, per_second), asked)
    for first, (start, _) in enumerate(through):
        total = 0
        for end, n in through[first:]:
            total += n
            assert total <= (capacity + per_second * (end - start)) * (1 + 1e-9) + 1e-6


@given(capacities, rates, calls, st.floats(0, 1e6))
def test_who_waits_as_long_as_told_is_served_and_not_before(
    capacity: float, per_second: float, asked: list[tuple[float, int]], begun: float
) -> None:
    bucket, now = Bucket(capacity, per_second), begun
    for pause, n in asked:
        now += pause
        answer = bucket.take(now, n)
        if isinstance(answer, RetryAfter):
            assert 0 < answer.seconds <= capacity / per_second * (1 + 1e-9)
            halfway = bucket.take(now + answer.seconds / 2, n)
            if answer.seconds > 1e-6:
                assert isinstance(halfway, RetryAfter)
            now += answer.seconds * (1 + 1e-9) + 1e-9
            assert isinstance(bucket.take(now, n), Allowed)


@given(capacities, rates)
def test_a_full_bucket_is_emptied_at_once_and_fills_again(capacity: float, per_second: float) -> None:
    bucket = Bucket(capacity, per_second)
    assert bucket.take(0, capacity) == Allowed(0.0)
    assert isinstance(bucket.take(0, capacity), RetryAfter)
    assert isinstance(bucket.take(capacity / per_second * (1 + 1e-6) + 1e-6, capacity), Allowed)


@given(capacities, rates, st.floats(1, 1e6))
def test_it_never_holds_more_than_its_capacity(capacity: float, per_second: float, later: float) -> None:
    bucket = Bucket(capacity, per_second)
    bucket.take(0, 1)
    left = bucket.take(later * 1000, 1)
    assert isinstance(left, Allowed)
    assert left.left <= capacity - 1


def test_what_costs_more_than_a_full_bucket_takes_a_full_one() -> None:
    bucket = Bucket(10, 1)
    assert bucket.take(0, 1000) == Allowed(0.0)
    assert bucket.take(0, 1000) == RetryAfter(10.0)


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    bucket = Bucket(2, 1)
    assert bucket.take(100, 2) == Allowed(0.0)
    assert bucket.take(50, 1) == RetryAfter(1.0)
    assert bucket.take(100, 1) == RetryAfter(1.0)
    assert bucket.take(101, 1) == Allowed(0.0)


def test_a_refusal_takes_nothing() -> None:
    bucket = Bucket(3, 1)
    bucket.take(0, 2)
    assert [bucket.take(0, 2) for _ in range(3)] == [RetryAfter(1.0)] * 3
    assert bucket.take(0, 1) == Allowed(0.0)


@pytest.mark.parametrize(
    ("capacity", "per_second"), [(0, 1), (1, 0), (-1, 1), (1, -1), (math.inf, 1), (1, math.inf), (math.nan, 1)]
)  # fmt: skip
def test_a_limit_that_limits_nothing_or_everything_is_refused(capacity: float, per_second: float) -> None:
    with pytest.raises(ConfigurationError):
        Bucket(capacity, per_second)
    with pytest.raises(ConfigurationError):
        Buckets(capacity, per_second)


def test_limits_are_kept_for_somebody() -> None:
    with pytest.raises(ConfigurationError):
        Buckets(1, 1, most=0)


def test_one_holder_s_calls_are_no_other_s() -> None:
    buckets = Buckets(1, 1)
    assert buckets.take("a", 0) == Allowed(0.0)
    assert isinstance(buckets.take("a", 0), RetryAfter)
    assert buckets.take("b", 0) == Allowed(0.0)


def test_the_bucket_that_was_asked_longest_ago_goes() -> None:
    buckets = Buckets(1, 1, most=2)
    buckets.take("a", 0)
    buckets.take("b", 0)
    buckets.take("a", 0)
    buckets.take("c", 0)
    assert isinstance(buckets.take("a", 0), RetryAfter)
    assert isinstance(buckets.take("b", 0), Allowed)


class AgainstOneEach(RuleBasedStateMachine):
    """A table of buckets answers as one bucket each would, as long as its holders fit; it never grows beyond."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.table = Buckets(5, 2, most=4)
        self.each: dict[int, Bucket] = {}

    @rule(pause=st.floats(0, 5))
    def wait(self, pause: float) -> None:
        self.now += pause

    @rule(holder=st.integers(0, 3), n=st.integers(1, 6))
    def take(self, holder: int, n: int) -> None:
        one = self.each.setdefault(holder, Bucket(5, 2))
        assert self.table.take(holder, self.now, n) == one.take(self.now, n)

    @rule(names=st.lists(st.integers(100, 10_000), max_size=20))
    def strangers_after_a_pause(self, names: list[int]) -> None:
        """Whoever was not asked for as long as a bucket takes to fill loses nothing by being dropped."""
        self.now += 2.5
        for name in names:
            self.table.take(name, self.now)
        self.now += 2.5

    @invariant()
    def it_is_bounded(self) -> None:
        assert len(self.table) <= 4


AgainstOneEach.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestAgainstOneEach = AgainstOneEach.TestCase
