"""Who makes room under a quota, and what the application may keep when it is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.forgetting.decay import DAY_US, StrengthState, curve_for
from tiered_memory.forgetting.placement import (
    CEILING,
    DECAY,
    FLOOR,
    QUOTA,
    UNDATED,
    UNDO_WINDOW,
    Due,
    Forget,
    Keep,
    Plan,
    Purge,
    deadline,
    displace,
    plan_forgetting,
    purge_deadline_us,
)
from tiered_memory.forgetting.quota import Displaceable, Displacement, plan_displacement
from tiered_memory.forgetting.veto import (
    BEYOND_VETO,
    UNASKED,
    VETO,
    disputable,
    unheard,
    veto_until_us,
    with_veto,
)
from tiered_memory.model import Sensitivity
from tiered_memory.policy.rules import DecayRules, ForgettingRules, Policy, RetentionRule

NOW_US = 1_767_225_600_000_000
CURVE = curve_for(DecayRules())


def days_ago(days: float, importance: float = 0.5) -> StrengthState:
    return CURVE.start(importance, NOW_US - round(days * DAY_US))


def policy(bounds: RetentionRule | None = None, **forgetting: Any) -> Policy:
    rules = ForgettingRules(**{"max_share_per_cycle": 1, **forgetting})
    return Policy(retention=dict.fromkeys(Sensitivity, bounds or RetentionRule()), forgetting=rules)


ITEMS = st.builds(
    Due,
    id=st.integers(0, 10**9).map(str),
    user=st.just("u"),
    state=st.none() | st.builds(days_ago, st.floats(0, 60), st.floats(0, 1)),
    sensitivity=st.sampled_from(Sensitivity),
    pinned=st.booleans(),
    held=st.booleans(),
)
CANDIDATES = st.lists(
    st.builds(Displaceable, item=ITEMS, bytes=st.integers(0, 1000), order=st.integers(0, 99)),
    max_size=12,
    unique_by=lambda one: one.item.id,
)
BOUNDS = st.sampled_from([RetentionRule(), RetentionRule(30, None), RetentionRule(20, 90)])


def displaced(
    candidates: list[Displaceable], items: int, size: int = 0, bounds: RetentionRule | None = None
) -> Displacement:
    return plan_displacement(candidates, items, size, NOW_US, policy(bounds), CURVE)


# --- room under a quota --------------------------------------------------------------------------------------


@given(CANDIDATES, st.integers(0, 14), st.integers(0, 4000), BOUNDS)
def test_the_protected_never_make_room(
    candidates: list[Displaceable], items: int, size: int, bounds: RetentionRule
) -> None:
    plan = displaced(candidates, items, size, bounds)
    by_id = {one.item.id: one for one in candidates}
    for leaving in plan.leaving:
        item = by_id[leaving.id].item
        assert not item.pinned
        assert not item.held
        if item.state is not None and bounds.floor_days is not None:
            assert item.state.ingested_at_us + bounds.floor_days * DAY_US <= NOW_US
    freed = sum(by_id[one.id].bytes for one in plan.leaving)
    assert plan.enough == (len(plan.leaving) >= items and freed >= size)


@given(CANDIDATES, st.integers(0, 14), st.integers(0, 4000), st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(
    candidates: list[Displaceable], items: int, size: int, random: Any
) -> None:
    shuffled = list(candidates)
    random.shuffle(shuffled)
    assert displaced(shuffled, items, size) == displaced(candidates, items, size)


@given(CANDIDATES, st.integers(0, 14), st.integers(0, 4000))
def test_nobody_leaves_whose_leaving_is_not_needed(
    candidates: list[Displaceable], items: int, size: int
) -> None:
    plan = displaced(candidates, items, size)
    sizes = {one.item.id: one.bytes for one in candidates}
    before_the_last = [sizes[one.id] for one in plan.leaving[:-1]]
    assert not plan.leaving or len(before_the_last) < items or sum(before_the_last) < size


@given(CANDIDATES, st.integers(1, 5))
def test_whoever_stays_would_leave_later_anyway(candidates: list[Displaceable], items: int) -> None:
    rules = policy()
    gone = {one.id for one in displaced(candidates, items).leaving}

    def leaves_at(one: Displaceable) -> float:
        if one.item.state is None:
            return -1.0
        at_us = deadline(one.item.state, CURVE, rules.retention[one.item.sensitivity], 48).at_us
        return float("inf") if at_us is None else at_us

    open_ = [one for one in candidates if not (one.item.pinned or one.item.held)]
    stays = [leaves_at(one) for one in open_ if one.item.id not in gone]
    assert max((leaves_at(one) for one in open_ if one.item.id in gone), default=-1.0) <= min(
        stays, default=1e300
    )


def test_what_makes_room_can_be_restored_as_what_decayed() -> None:
    item = Due("m", "u", days_ago(1))
    assert displace(item, NOW_US, policy()) == Forget("m", NOW_US + 7 * DAY_US, QUOTA)
    assert displace(item, NOW_US, policy(undo_days=0)) == Purge("m", QUOTA)
    short = displace(item, NOW_US, policy(RetentionRule(None, 3)))
    assert short == Forget("m", NOW_US + 2 * DAY_US, QUOTA)


def test_a_floor_protects_until_it_has_passed() -> None:
    floored = policy(RetentionRule(30, None))
    assert displace(Due("m", "u", days_ago(29)), NOW_US, floored) == Keep("m", NOW_US + DAY_US, FLOOR)
    assert isinstance(displace(Due("m", "u", days_ago(30)), NOW_US, floored), Forget)


def test_what_is_forgotten_already_makes_no_room() -> None:
    item = Due("m", "u", days_ago(1), forgotten_at_us=NOW_US - 1)
    assert displace(item, NOW_US, policy()) == Keep("m", None, UNDO_WINDOW)


def test_what_never_ends_goes_last_and_by_age() -> None:
    rules = replace(policy(), decay=DecayRules(threshold=0))
    candidates = [Displaceable(Due(str(n), "u", days_ago(1)), 1, order) for n, order in enumerate([7, 3, 5])]
    plan = plan_displacement(candidates, 2, 0, NOW_US, rules, curve_for(rules.decay))
    assert [one.id for one in plan.leaving] == ["1", "2"]


# --- a purge's date ------------------------------------------------------------------------------------------


@given(ITEMS, BOUNDS, st.integers(0, 30))
def test_a_purge_is_due_when_the_plan_says_so(item: Due, bounds: RetentionRule, days: int) -> None:
    rules, forgotten_us = policy(bounds), NOW_US - days * DAY_US
    at_us = purge_deadline_us(item, forgotten_us, rules)
    gone = replace(item, forgotten_at_us=forgotten_us)
    for moment_us in (NOW_US, NOW_US + 6 * DAY_US, NOW_US + 365 * DAY_US):
        (decision,) = plan_forgetting([gone], moment_us, rules, {}).decisions
        assert isinstance(decision, Purge) == (at_us is not None and at_us <= moment_us)
        if isinstance(decision, Keep):
            assert decision.recheck_at_us == at_us


# --- the veto ------------------------------------------------------------------------------------------------

PLANS = st.lists(
    st.one_of(
        st.builds(Keep, st.uuids().map(str), st.none(), st.just(DECAY)),
        st.builds(Forget, st.uuids().map(str), st.just(NOW_US), st.sampled_from([DECAY, FLOOR, UNDATED])),
        st.builds(Purge, st.uuids().map(str), st.sampled_from([DECAY, CEILING, UNDATED, UNDO_WINDOW])),
    ),
    max_size=10,
).map(lambda decisions: Plan(tuple(decisions)))


@given(PLANS, st.data())
def test_a_veto_keeps_what_it_may_and_nothing_else(plan: Plan, data: st.DataObject) -> None:
    every = [one.id for one in plan.decisions]
    asked = set(data.draw(st.lists(st.sampled_from(every)))) if every else set()
    kept = set(data.draw(st.lists(st.sampled_from([*every, "unknown"]))))
    after = with_veto(plan, asked, dict.fromkeys(kept, 5))
    open_to_veto = {one.id for one in disputable(plan)}
    for before, decision in zip(plan.decisions, after.decisions, strict=True):
        if before.id not in open_to_veto:
            assert decision == before
        elif before.id not in asked:
            assert decision == Keep(before.id, None, UNASKED)
        else:
            assert decision == (Keep(before.id, 5, VETO) if before.id in kept else before)


@given(PLANS)
def test_unheard_decay_takes_nothing_and_dates_that_passed_do(plan: Plan) -> None:
    after = unheard(plan)
    left = [one for one in after.decisions if not isinstance(one, Keep)]
    assert all(one.reason in BEYOND_VETO for one in left)
    assert [one for one in plan.decisions if one.reason in BEYOND_VETO and not isinstance(one, Keep)] == left


@pytest.mark.parametrize(("age_days", "hours"), [(1, 24.0), (29.5, 12.0), (31, -24.0)])
def test_a_veto_lasts_to_the_ceiling_at_most(age_days: float, hours: float) -> None:
    until_us = veto_until_us(Due("m", "u", days_ago(age_days)), NOW_US, policy(RetentionRule(None, 30)))
    assert until_us == NOW_US + round(hours / 24 * DAY_US)


def test_a_veto_of_what_has_no_ceiling_lasts_its_hours() -> None:
    rules = policy(veto_recheck_hours=3)
    assert veto_until_us(Due("m", "u", days_ago(400)), NOW_US, rules) == NOW_US + DAY_US // 8
    assert veto_until_us(Due("m", "u", None), NOW_US, rules) == NOW_US + DAY_US // 8
