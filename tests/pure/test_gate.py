"""The cold gate: a threshold, a user's top share, or either; and the small state that tells the share."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.forgetting.gate import BINS, LEAST_KNOWN, ImportanceSpread, judge_gate
from tiered_memory.forgetting.routing import place
from tiered_memory.model import LawfulBasis, Role
from tiered_memory.policy.rules import RoutingRules
from tiered_memory.privacy.consent import Grounds

GROUNDS = Grounds(durable=True, basis=LawfulBasis.CONSENT, reason="consent given")
shares = st.floats(0, 1, allow_nan=False)
importances = st.lists(shares, max_size=200)


def spread_of(values: Sequence[float]) -> ImportanceSpread:
    return ImportanceSpread.of(values, len(values))


@given(importances)
def test_the_spread_does_not_depend_on_the_order(values: list[float]) -> None:
    assert spread_of(values) == spread_of(sorted(values))
    assert spread_of(values).total == sum(spread_of(values).bins) == len(values)
    assert len(spread_of(values).bins) == BINS


@given(importances, shares, shares)
def test_the_share_above_falls_with_importance(values: list[float], one: float, other: float) -> None:
    spread = spread_of(values)
    low, high = sorted([one, other])
    assert 0.0 <= spread.share_above(high) <= spread.share_above(low) <= 1.0


@given(importances, shares)
def test_the_share_is_right_to_half_a_bin_s_content(values: list[float], one: float) -> None:
    near = sum(abs(value - one) <= 1 / BINS for value in values)
    true = sum(value > one for value in values)
    assert abs(spread_of(values).share_above(one) * len(values) - true) <= near


@given(importances, st.integers(0, 400))
def test_interactions_that_are_not_known_were_less_important(values: list[float], count: int) -> None:
    spread, known = ImportanceSpread.of(values, count), spread_of(values)
    assert spread.total == max(count, len(values))
    added = [number for number in range(BINS) if spread.bins[number] > known.bins[number]]
    assert len(added) == (count > len(values))
    above = sum(int(value * BINS) > number for number in added for value in values)
    assert above >= 0.9 * len(values) * len(added) or added == [0]


def rules(gate: str, threshold: float = 0.5, quantile: float = 0.3) -> RoutingRules:
    return RoutingRules(gate=gate, cold_threshold=threshold, cold_quantile=quantile)


EVEN = spread_of([number / 100 for number in range(100)])


@pytest.mark.parametrize(
    ("gate", "importance", "passes"),
    [
        ("threshold", 0.5, False),
        ("threshold", 0.51, True),
        ("quantile", 0.65, False),
        ("quantile", 0.75, True),
        ("either", 0.45, False),
        ("either", 0.55, True),
        ("either", 0.75, True),
    ],
)
def test_each_gate_asks_for_its_own(gate: str, importance: float, passes: bool) -> None:
    assert judge_gate(importance, rules(gate), EVEN).to_cold == passes


def test_either_opens_where_the_share_does_and_the_threshold_does_not() -> None:
    verdict = judge_gate(0.4, rules("either", 0.9, 0.7), EVEN)
    assert (verdict.to_cold, verdict.by_quantile) == (True, True)
    assert "top 70%" in verdict.reason


def test_with_little_known_everything_is_in_the_top_share() -> None:
    few = spread_of([0.9] * (LEAST_KNOWN - 1))
    assert judge_gate(0.0, rules("quantile"), few).to_cold
    few.add(0.9)
    assert not judge_gate(0.0, rules("quantile"), few).to_cold


@given(importances, shares, st.floats(0.01, 1))
def test_what_is_more_important_passes_too(values: list[float], one: float, quantile: float) -> None:
    asked, spread = rules("quantile", quantile=quantile), spread_of(values)
    if judge_gate(one, asked, spread).to_cold:
        assert judge_gate(1.0, asked, spread).to_cold


@given(st.lists(shares, min_size=300, max_size=500), st.floats(0.2, 0.9), st.randoms())
def test_about_the_share_passes_in_the_long_run(values: list[float], quantile: float, chance: object) -> None:
    """Told in any order, of many different importances about the asked share goes to cold."""
    chance.shuffle(values)  # type: ignore[attr-defined]
    spread, passed = ImportanceSpread(), 0
    for value in values:
        passed += judge_gate(value, rules("quantile", quantile=quantile), spread).to_cold
        spread.add(value)
    largest = max(spread.bins) / len(values)
    assert passed / len(values) >= quantile - largest - 0.2


@pytest.mark.parametrize(
    ("gate", "reason"), [("threshold", "above_threshold"), ("quantile", "above_quantile")]
)
def test_a_placement_says_which_gate_it_passed(gate: str, reason: str) -> None:
    placed = place(0.9, Role.USER, GROUNDS, rules(gate), spread=EVEN)
    assert (placed.cold, placed.reason) == (True, reason)
    assert place(0.01, Role.USER, GROUNDS, rules(gate), spread=EVEN).reason == "below_threshold"
