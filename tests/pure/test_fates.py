"""A forecast says what the plan will do: checked by living through it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiered_memory.forgetting.decay import DAY_US, StrengthState, curve_for
from tiered_memory.forgetting.forecast import Fate, Forecasting, Shift, fate_of, outlook
from tiered_memory.forgetting.placement import CEILING, UNDO_WINDOW, Due, Forget, Keep, Purge, plan_forgetting
from tiered_memory.model import Sensitivity
from tiered_memory.policy.rules import DecayRules, ForgettingRules, Policy, RetentionRule

NOW_US = 1_767_225_600_000_000
CURVE = curve_for(DecayRules())
DAYS = 40


def days_ago(days: float, importance: float) -> StrengthState:
    return CURVE.start(importance, NOW_US - round(days * DAY_US))


def policy(bounds: RetentionRule | None = None, undo_days: float = 7, daily_rate: float = 0.05) -> Policy:
    return Policy(
        retention=dict.fromkeys(Sensitivity, bounds or RetentionRule()),
        forgetting=ForgettingRules(undo_days=undo_days, max_share_per_cycle=1),
        decay=DecayRules(daily_rate=daily_rate, importance_slowdown=2),
    )


ITEMS = st.builds(
    Due,
    id=st.integers(0, 10**9).map(str),
    user=st.just("u"),
    state=st.none() | st.builds(days_ago, st.floats(0, 100), st.floats(0, 1)),
    sensitivity=st.sampled_from(Sensitivity),
    pinned=st.booleans(),
    held=st.booleans(),
    forgotten_at_us=st.none() | st.integers(NOW_US - 9 * DAY_US, NOW_US),
)
BATCHES = st.lists(ITEMS, max_size=10, unique_by=lambda item: item.id)
POLICIES = st.builds(
    policy,
    st.sampled_from(
        [RetentionRule(), RetentionRule(None, 30), RetentionRule(25, 60), RetentionRule(10, None)]
    ),
    st.sampled_from([0, 3, 7]),
    st.sampled_from([0.02, 0.05, 0.2]),
)


def lived(items: list[Due], rules: Policy, moments_us: list[int]) -> dict[str, list[tuple[int, str, str]]]:
    """Run a cycle at each moment; return what befell each item: when, what, by which rule."""
    seen: dict[str, list[tuple[int, str, str]]] = {item.id: [] for item in items}
    for now_us in moments_us:
        by_id = {item.id: item for item in items}
        items = []
        for decision in plan_forgetting(by_id.values(), now_us, rules, {}).decisions:
            match decision:
                case Keep():
                    items.append(by_id[decision.id])
                case Forget():
                    seen[decision.id].append((now_us, "forgotten", decision.reason))
                    items.append(replace(by_id[decision.id], forgotten_at_us=now_us))
                case Purge():
                    seen[decision.id].append((now_us, "purged", decision.reason))
    return seen


@settings(max_examples=200)
@given(ITEMS, POLICIES)
def test_what_is_foreseen_of_a_memory_befalls_it(item: Due, rules: Policy) -> None:
    fate = fate_of(item, NOW_US, rules, curve_for(rules.decay))
    foreseen = [] if fate.forget_us is None else [(fate.forget_us, "forgotten", fate.rule)]
    foreseen += [] if fate.purge_us is None else [(fate.purge_us, "purged", fate.purge_rule)]
    moments = sorted(
        {NOW_US, NOW_US + 9000 * DAY_US, *(at for at, _, _ in foreseen)}
        | {at - 1 for at, _, _ in foreseen if at > NOW_US}
    )
    befell = lived([item], rules, moments)[item.id]
    assert befell == foreseen


@given(BATCHES, POLICIES, st.sampled_from([1, 7, 31, 32, 90]))
def test_everybody_is_counted_once(items: list[Due], rules: Policy, days: int) -> None:
    made = Forecasting(NOW_US, days, [rules])
    made.add(items)
    (found,) = made.outlooks
    fates = [fate_of(item, NOW_US, rules, curve_for(rules.decay)) for item in items]
    until_us = NOW_US + len(found.buckets) * found.bucket_us
    within = [fate for fate in fates if fate.leaves_us is not None and fate.leaves_us < until_us]
    assert len(items) == made.memories == len(within) + found.later + found.never
    forgotten = sum((bucket.forgotten for bucket in found.buckets), Counter[str]())
    assert forgotten.total() == sum(
        fate.forget_us is not None and fate.forget_us < until_us for fate in fates
    )
    assert found.at_once == sum(fate.leaves_us == NOW_US for fate in within)


@pytest.mark.parametrize(("days", "buckets", "span"), [(1, 1, 1), (31, 31, 1), (32, 5, 7), (90, 13, 7)])
def test_days_up_to_a_month_weeks_beyond(days: int, buckets: int, span: int) -> None:
    found = outlook(NOW_US, days)
    assert (len(found.buckets), found.bucket_us) == (buckets, span * DAY_US)


def test_a_bucket_begins_with_its_first_moment() -> None:
    found = outlook(NOW_US, 2)
    for at_us in (NOW_US, NOW_US + DAY_US - 1, NOW_US + DAY_US, NOW_US + 2 * DAY_US):
        found.add(Fate(at_us, None, "decay"))
    assert [bucket.forgotten.total() for bucket in found.buckets] == [2, 1]
    assert (found.at_once, found.later, found.never) == (1, 1, 0)


def test_the_rule_of_a_removal_is_told_apart() -> None:
    rules = policy(RetentionRule(None, 30))
    fading = Due("m", "u", days_ago(0, 0.05))
    found = fate_of(fading, NOW_US, rules, CURVE)
    assert (found.rule, found.purge_rule) == ("grace", UNDO_WINDOW)
    late = fate_of(Due("m", "u", days_ago(0, 0.245)), NOW_US, rules, CURVE)
    assert (late.rule, late.purge_rule, late.purge_us) == ("decay", CEILING, NOW_US + 30 * DAY_US)


# --- another policy ------------------------------------------------------------------------------------------


@given(BATCHES, POLICIES)
def test_the_same_policy_changes_nothing(items: list[Due], rules: Policy) -> None:
    made = Forecasting(NOW_US, DAYS, [rules, rules])
    made.add(items)
    assert made.shift == Shift(same=len(items))
    assert made.outlooks[0] == made.outlooks[1]


@given(BATCHES, POLICIES, POLICIES)
def test_a_change_taken_back_is_its_reverse(items: list[Due], first: Policy, second: Policy) -> None:
    there, back = Forecasting(NOW_US, DAYS, [first, second]), Forecasting(NOW_US, DAYS, [second, first])
    there.add(items)
    back.add(items)
    assert there.shift is not None
    assert back.shift is not None
    assert (there.shift.earlier, there.shift.kept, there.shift.same) == (
        back.shift.later, back.shift.lost, back.shift.same
    )  # fmt: skip
    assert there.shift.earlier + there.shift.later + there.shift.same == len(items)
    assert there.outlooks == back.outlooks[::-1]


def test_a_faster_decay_takes_earlier_and_at_once() -> None:
    items = [Due(str(n), "u", days_ago(10, importance)) for n, importance in enumerate((0.3, 0.6, 0.9))]
    made = Forecasting(NOW_US, 30, [policy(), policy(daily_rate=0.2)])
    made.add([*items, Due("held", "u", days_ago(500, 0.1), held=True)])
    assert made.shift == Shift(earlier=3, same=1, lost=1, at_once=1)
