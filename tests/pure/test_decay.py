"""The forgetting curves keep their invariants, whatever the history."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.forgetting.decay import (
    DAY_US,
    Curve,
    ExponentialCurve,
    PowerCurve,
    StrengthState,
    curve_for,
)
from tiered_memory.policy.rules import DecayRules

NOW_US = 1_767_225_600_000_000
ROUNDING_US = 2
"""Deadlines of equal curves, computed from different anchors, differ by rounding only."""
CURVES = [ExponentialCurve(DecayRules()), PowerCurve(DecayRules(curve="power"))]

importances = st.floats(0, 1)
gaps_us = st.lists(st.integers(0, 400 * DAY_US), max_size=6)
spans_us = st.integers(0, 1_000_000 * DAY_US)
weights = st.floats(0, 1)


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    rules = DecayRules(
        curve=draw(st.sampled_from(["exponential", "power"])),
        daily_rate=draw(st.floats(1e-6, 0.999)),
        initial_strength=draw(st.floats(0.01, 1)),
        threshold=draw(st.floats(0.001, 0.99)),
        importance_slowdown=draw(st.floats(0, 10)),
        use_slowdown=draw(st.floats(0, 100)),
        use_boost=draw(st.floats(0, 1)),
        use_half_life_days=draw(st.just(0) | st.floats(0.01, 3650)),
        max_half_life_days=draw(st.floats(1, 36_500)),
    )
    return curve_for(rules)


def live(curve: Curve, importance: float, gaps: Sequence[int]) -> StrengthState:
    """Return the state after uses at the given gaps."""
    state, now_us = curve.start(importance, NOW_US, "p@1"), NOW_US
    for gap in gaps:
        now_us += gap
        state = curve.use(state, now_us)
    return state


@pytest.mark.parametrize(("importance", "days"), [(0.25, 24), (0.5, 81), (0.75, 195), (1.0, 427)])
def test_lifetimes_without_any_use(importance: float, days: int) -> None:
    curve = ExponentialCurve(DecayRules())
    forget_at_us = curve.forget_at_us(curve.start(importance, NOW_US))
    assert forget_at_us is not None
    assert round((forget_at_us - NOW_US) / DAY_US) == days


def test_the_rate_at_importance_nothing_is_the_stated_share_a_day() -> None:
    curve = ExponentialCurve(DecayRules(importance_slowdown=0, daily_rate=0.05))
    state = curve.start(1.0, NOW_US)
    assert curve.strength(state, NOW_US + DAY_US) == pytest.approx(0.95)
    assert curve.half_life_days(state) == pytest.approx(13.5, abs=0.05)


@pytest.mark.parametrize(("importance", "days"), [(0.5, 80.5), (0.75, 728.5)])
def test_the_power_curve_crosses_where_its_formula_says(importance: float, days: float) -> None:
    curve = PowerCurve(DecayRules(curve="power"))
    logit = math.log(importance / (1 - importance)) - 0.5 * math.log(days + 0.5)
    assert 1 / (1 + math.exp(-logit)) == pytest.approx(0.1)
    assert curve.forget_at_us(curve.start(importance, NOW_US)) == NOW_US + days * DAY_US


def test_a_boost_restores_a_share_of_what_is_missing() -> None:
    rules = DecayRules(daily_rate=0.05, importance_slowdown=2, use_boost=0.3, use_half_life_days=0)
    curve, gap_days = ExponentialCurve(rules), 13.513
    used = curve.use(curve.start(0.5, NOW_US), NOW_US + round(gap_days * DAY_US))
    faded = 0.5 * math.exp(-0.051293 * math.exp(-1) * gap_days)
    assert used.n_spaced == pytest.approx(0.5, abs=1e-4)
    assert used.strength_last == pytest.approx(faded + 0.3 * 0.5 * (1 - faded), abs=1e-4)


def test_a_use_leaves_a_trace_that_fades_by_its_own_half_life() -> None:
    """13.513 days at 5 % are worth half a use: the trace starts at .5 / 1.5 = 1/3 and has its half-life to halve."""
    curve = ExponentialCurve(DecayRules(daily_rate=0.05, use_half_life_days=10))
    used_us = NOW_US + round(13.513 * DAY_US)
    used = curve.use(curve.start(0.15, NOW_US), used_us)
    assert curve.strength(used, used_us) == pytest.approx(1 / 3, abs=1e-4)
    assert curve.strength(used, used_us + 10 * DAY_US) == pytest.approx(1 / 6, abs=1e-4)
    at_us = curve.forget_at_us(used)
    assert at_us is not None
    assert (at_us - used_us) / DAY_US == pytest.approx(10 * math.log2(10 / 3), abs=1e-2)


def test_what_lasts_longer_than_its_trace_is_not_shortened_by_it() -> None:
    curve = ExponentialCurve(DecayRules(use_slowdown=0))
    state = curve.start(1.0, NOW_US)
    used = curve.use(state, NOW_US + 30 * DAY_US)
    assert curve.forget_at_us(used) == pytest.approx(curve.forget_at_us(state), abs=ROUNDING_US)
    assert curve.strength(used, NOW_US + 300 * DAY_US) == pytest.approx(
        curve.strength(state, NOW_US + 300 * DAY_US)
    )


def test_of_two_alike_the_used_one_stays_longer_by_default() -> None:
    curve = ExponentialCurve(DecayRules())
    unused = curve.start(0.4, NOW_US)
    at_us, later_us = (curve.forget_at_us(one) for one in (unused, curve.use(unused, NOW_US + 5 * DAY_US)))
    assert at_us is not None
    assert later_us is not None
    assert later_us > at_us + DAY_US // 24


def test_what_a_use_leaves_is_bounded_however_often_it_is_used() -> None:
    """At most 1, so at most log2(1 / threshold) of its half-lives after the last use."""
    curve = ExponentialCurve(DecayRules(use_half_life_days=10))
    state = live(curve, 0.1, [20 * DAY_US] * 50)
    at_us = curve.forget_at_us(state)
    assert at_us is not None
    assert 30 * DAY_US < at_us - state.t_last_us < 10 * math.log2(10) * DAY_US


def test_start_carries_what_it_was_given() -> None:
    state = CURVES[0].start(0.6, NOW_US, "p@1")
    assert state == StrengthState(0.6, 0.6, NOW_US, 0.0, NOW_US, "p@1")


@given(curves(), importances, gaps_us, spans_us, spans_us)
def test_strength_is_a_share_and_never_rises_between_uses(
    curve: Curve, importance: float, gaps: list[int], first: int, second: int
) -> None:
    state = live(curve, importance, gaps)
    earlier, later = sorted((first, second))
    strong, weak = (curve.strength(state, state.t_last_us + span) for span in (earlier, later))
    assert 0 <= weak <= strong <= 1


@given(curves(), importances, st.lists(st.integers(0, 400 * DAY_US), min_size=1, max_size=5))
def test_strength_does_not_depend_on_how_often_it_is_evaluated(
    curve: Curve, importance: float, gaps: list[int]
) -> None:
    unseen, state, now_us = live(curve, importance, gaps), curve.start(importance, NOW_US, "p@1"), NOW_US
    for gap in gaps:
        for step in range(5):
            curve.strength(state, now_us + gap * step // 5)
            curve.forget_at_us(state)
        now_us += gap
        state = curve.use(state, now_us)
    assert state == unseen


@given(curves(), importances, gaps_us, spans_us, weights)
def test_a_use_never_lowers_strength_nor_the_deadline(
    curve: Curve, importance: float, gaps: list[int], span: int, weight: float
) -> None:
    state = live(curve, importance, gaps)
    now_us = state.t_last_us + span
    used = curve.use(state, now_us, weight)
    assert curve.strength(used, now_us) >= curve.strength(state, now_us) - 1e-12
    before, after = curve.forget_at_us(state), curve.forget_at_us(used)
    assert before is not None
    assert after is not None
    assert after >= before - ROUNDING_US


@given(curves(), importances, importances, gaps_us)
def test_the_more_important_is_not_forgotten_earlier(
    curve: Curve, one: float, other: float, gaps: list[int]
) -> None:
    low, high = (curve.forget_at_us(live(curve, importance, gaps)) for importance in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert low <= high + ROUNDING_US


@given(st.sampled_from(CURVES), importances, st.integers(DAY_US, 400 * DAY_US), st.integers(2, 30))
def test_massed_uses_are_worth_about_one(curve: Curve, importance: float, gap: int, uses: int) -> None:
    start = curve.start(importance, NOW_US)
    once = curve.use(start, NOW_US + gap)
    massed = start
    for number in range(uses):
        massed = curve.use(massed, NOW_US + gap + number * 60_000_000 // uses)
    at_us = massed.t_last_us
    assert massed.n_spaced <= once.n_spaced + 1e-3
    assert curve.strength(massed, at_us) <= curve.strength(once, at_us) + 1e-3


@given(st.sampled_from(CURVES), importances, st.integers(2, 10), st.integers(10, 60))
def test_spaced_uses_are_worth_more_than_massed_ones(
    curve: Curve, importance: float, uses: int, gap_days: int
) -> None:
    spaced = live(curve, importance, [gap_days * DAY_US] * uses)
    massed = live(curve, importance, [gap_days * uses * DAY_US] + [1_000_000] * (uses - 1))
    assert spaced.n_spaced > massed.n_spaced


@given(curves(), importances, gaps_us)
def test_strength_at_the_deadline_is_the_threshold(curve: Curve, importance: float, gaps: list[int]) -> None:
    state = live(curve, importance, gaps)
    at_us = curve.forget_at_us(state)
    assert at_us is not None
    threshold = curve._rules.threshold  # type: ignore[attr-defined]
    if at_us > state.t_last_us:
        assert curve.strength(state, at_us) == pytest.approx(threshold, rel=1e-6)
    else:
        assert curve.strength(state, state.t_last_us) <= threshold * (1 + 1e-9)


@given(curves(), importances, gaps_us, spans_us, weights)
def test_a_replayed_use_changes_nothing(
    curve: Curve, importance: float, gaps: list[int], span: int, weight: float
) -> None:
    state = live(curve, importance, gaps)
    now_us = state.t_last_us + span
    used = curve.use(state, now_us, weight)
    assert curve.use(used, now_us, weight) == used


@given(curves(), importances, gaps_us, spans_us)
def test_time_before_the_last_use_is_the_last_use(
    curve: Curve, importance: float, gaps: list[int], span: int
) -> None:
    state = live(curve, importance, gaps)
    before_us = state.t_last_us - span
    assert curve.strength(state, before_us) == curve.strength(state, state.t_last_us)
    assert curve.use(state, before_us) == state


@given(st.sampled_from(CURVES), st.lists(st.tuples(importances, gaps_us), min_size=2, max_size=5))
def test_the_order_of_deadlines_is_the_order_of_forgetting(
    curve: Curve, lives: list[tuple[float, list[int]]]
) -> None:
    states = [live(curve, importance, gaps) for importance, gaps in lives]
    dated = sorted(((curve.forget_at_us(state) or 0, state) for state in states), key=lambda pair: pair[0])
    for at, (earlier_us, _) in enumerate(dated):
        for later_us, outliving in dated[at + 1 :]:
            if later_us > max(earlier_us + ROUNDING_US, outliving.t_last_us):
                assert curve.strength(outliving, earlier_us) >= DecayRules().threshold


@given(curves(), importances, gaps_us)
def test_nothing_overflows_in_a_million_days(curve: Curve, importance: float, gaps: list[int]) -> None:
    state = live(curve, importance, gaps)
    far_us = NOW_US + 1_000_000 * DAY_US
    assert 0 <= curve.strength(state, far_us) < 1e-3 + 1
    used = curve.use(state, far_us)
    assert 0 <= curve.strength(used, far_us) <= 1
    assert 0 < curve.half_life_days(used) < math.inf


@given(curves(), st.floats(0.01, 1), gaps_us)
def test_a_half_life_later_half_is_left(curve: Curve, importance: float, gaps: list[int]) -> None:
    state = live(curve, importance, gaps)
    half_us = state.t_last_us + round(curve.half_life_days(state) * DAY_US)
    now, then = curve.strength(state, state.t_last_us), curve.strength(state, half_us)
    assert then == pytest.approx(now / 2, rel=1e-6)


@given(importances, st.integers(0, 50))
def test_no_history_stretches_the_half_life_beyond_the_cap(importance: float, uses: int) -> None:
    curve = ExponentialCurve(DecayRules(max_half_life_days=100))
    state = live(curve, importance, [1000 * DAY_US] * uses)
    assert curve.half_life_days(state) <= 100 * (1 + 1e-12)


@given(st.sampled_from(CURVES), importances, st.integers(1, 400 * DAY_US))
def test_a_weight_scales_what_a_use_is_worth(curve: Curve, importance: float, gap: int) -> None:
    state, now_us = curve.start(importance, NOW_US), NOW_US + gap
    gains = [curve.use(state, now_us, weight).n_spaced for weight in (0.0, 0.1, 1.0, 7.0)]
    assert gains[0] == 0
    assert gains[1] == pytest.approx(gains[2] / 10)
    assert gains[2] == gains[3]
    assert curve.use(state, now_us, 0.0) == state


@pytest.mark.parametrize("kind", ["exponential", "power"])
def test_a_threshold_of_nothing_never_forgets(kind: str) -> None:
    curve = curve_for(DecayRules(curve=kind, threshold=0))
    assert curve.forget_at_us(curve.start(0.0, NOW_US)) is None


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(
    "damage", [{"importance": math.nan}, {"strength_last": math.nan}, {"n_spaced": math.nan}]
)
def test_damaged_numbers_read_as_the_weakest(curve: Curve, damage: dict[str, float]) -> None:
    whole = live(curve, 0.8, [DAY_US])
    damaged = replace(whole, **damage)  # type: ignore[arg-type]
    at_us, whole_us = curve.forget_at_us(damaged), curve.forget_at_us(whole)
    assert at_us is not None
    assert whole_us is not None
    assert damaged.t_last_us <= at_us <= whole_us
    assert 0 <= curve.strength(damaged, NOW_US) <= 1


def test_rules_choose_the_curve() -> None:
    assert isinstance(curve_for(DecayRules()), ExponentialCurve)
    assert isinstance(curve_for(DecayRules(curve="power")), PowerCurve)
