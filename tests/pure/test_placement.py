"""The cold gate, deadlines, and the plan of a forgetting cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.forgetting.decay import DAY_US, StrengthState, curve_for
from tiered_memory.forgetting.placement import (
    BRAKE,
    CEILING,
    DECAY,
    FLOOR,
    GRACE,
    HOLD,
    HOUR_US,
    PIN,
    UNDATED,
    UNDO_WINDOW,
    Deadline,
    Decision,
    Due,
    Forget,
    Keep,
    Plan,
    Purge,
    deadline,
    plan_forgetting,
    route,
)
from tiered_memory.model import Sensitivity
from tiered_memory.policy.rules import DecayRules, ForgettingRules, Policy, RetentionRule, RoutingRules

NOW_US = 1_767_225_600_000_000
CURVE = curve_for(DecayRules())
NO_BOUNDS = RetentionRule()
NO_BRAKE = ForgettingRules(undo_days=7, max_share_per_cycle=1)


def days_ago(days: float, importance: float = 0.5) -> StrengthState:
    return CURVE.start(importance, NOW_US - round(days * DAY_US))


def policy(bounds: RetentionRule = NO_BOUNDS, forgetting: ForgettingRules = NO_BRAKE) -> Policy:
    return Policy(retention=dict.fromkeys(Sensitivity, bounds), forgetting=forgetting)


def decide(item: Due, rules: Policy, now_us: int = NOW_US) -> Decision:
    (decision,) = plan_forgetting([item], now_us, rules, {"u": 1}).decisions
    return decision


# --- the cold gate -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("importance", "to_cold"), [(0.8, True), (0.7, False), (0.9, True), (0.5, False)])
def test_importance_strictly_above_the_threshold_goes_to_cold(importance: float, to_cold: bool) -> None:
    assert route(importance, RoutingRules(cold_threshold=0.7)).to_cold is to_cold


def test_a_route_says_why() -> None:
    rules = RoutingRules(cold_threshold=0.7)
    assert route(0.8, rules).reason == "importance 0.80 is above the cold threshold 0.70"
    assert route(0.7, rules).reason == "importance 0.70 is not above the cold threshold 0.70"


# --- deadlines -----------------------------------------------------------------------------------------------


def naive_deadline(state: StrengthState, bounds: RetentionRule, pinned: bool, held: bool) -> float:
    """The formula with infinities, as it is written in the documentation."""
    never = float("inf")
    if held:
        return never
    forget_at = CURVE.forget_at_us(state)
    assert forget_at is not None
    faded = max(forget_at, state.ingested_at_us + 48 * HOUR_US)
    floor = -never if bounds.floor_days is None else state.ingested_at_us + round(bounds.floor_days * DAY_US)
    ceiling = (
        never if bounds.ceiling_days is None else state.ingested_at_us + round(bounds.ceiling_days * DAY_US)
    )
    return min(ceiling, max(floor, never if pinned else faded))


@st.composite
def bounds(draw: st.DrawFn) -> RetentionRule:
    low, high = sorted(draw(st.tuples(st.floats(0, 400), st.floats(0, 400))))
    return RetentionRule(draw(st.sampled_from([None, low])), draw(st.sampled_from([None, high])))


@given(st.floats(0, 1), st.floats(0, 400), bounds(), st.booleans(), st.booleans())
def test_the_deadline_is_the_formulas(
    importance: float, days: float, rules: RetentionRule, pinned: bool, held: bool
) -> None:
    state = days_ago(days, importance)
    found = deadline(state, CURVE, rules, 48, pinned=pinned, held=held)
    expected = naive_deadline(state, rules, pinned, held)
    assert found.at_us == (None if expected == float("inf") else expected)
    assert found.rule in {HOLD, CEILING, FLOOR, PIN, DECAY, GRACE}


@given(st.floats(0, 1), bounds())
def test_hold_over_ceiling_over_floor_over_pin_over_decay(importance: float, rules: RetentionRule) -> None:
    state = days_ago(1, importance)
    assert deadline(state, CURVE, rules, 48, pinned=True, held=True) == Deadline(None, HOLD)
    pinned = deadline(state, CURVE, rules, 48, pinned=True)
    assert pinned.rule == (PIN if rules.ceiling_days is None else CEILING)
    faded = deadline(state, CURVE, rules, 48)
    assert pinned.at_us is None or (faded.at_us is not None and faded.at_us <= pinned.at_us)


def ends_at(state: StrengthState, rules: RetentionRule, *, pinned: bool = False, held: bool = False) -> float:
    at_us = deadline(state, CURVE, rules, 48, pinned=pinned, held=held).at_us
    return float("inf") if at_us is None else at_us


@given(st.floats(0, 1), st.floats(0, 400), bounds())
def test_each_protection_only_prolongs_and_a_ceiling_only_shortens(
    importance: float, days: float, rules: RetentionRule
) -> None:
    state = days_ago(days, importance)
    bare, open_ended = RetentionRule(None, rules.ceiling_days), RetentionRule(rules.floor_days, None)
    plain = ends_at(state, rules)
    assert ends_at(state, bare) <= plain <= ends_at(state, rules, pinned=True)
    assert ends_at(state, rules, pinned=True) <= ends_at(state, rules, pinned=True, held=True) == float("inf")
    assert plain <= ends_at(state, open_ended)
    assert ends_at(state, rules, pinned=True) == ends_at(state, bare, pinned=True)
    if rules.ceiling_days is not None:
        assert ends_at(state, rules, pinned=True) == state.ingested_at_us + round(rules.ceiling_days * DAY_US)


@given(st.sampled_from(["importance", "strength_last", "n_spaced"]), bounds(), st.booleans())
def test_a_damaged_number_fails_closed(field: str, rules: RetentionRule, pinned: bool) -> None:
    """It is read as the weakest there is, so that nothing is kept for ever for want of a number."""
    state = replace(days_ago(0), **{field: float("nan")})
    weakest = replace(days_ago(0), **{field: 0.0})
    assert ends_at(state, rules, pinned=pinned) == ends_at(weakest, rules, pinned=pinned)


@pytest.mark.parametrize(
    ("importance", "rules", "pinned", "rule"),
    [
        (0.5, RetentionRule(None, None), False, DECAY),
        (0.05, RetentionRule(None, None), False, GRACE),
        (0.5, RetentionRule(200, None), False, FLOOR),
        (0.5, RetentionRule(200, None), True, PIN),
        (0.5, RetentionRule(None, 30), True, CEILING),
        (0.5, RetentionRule(30, 30), False, CEILING),
        (0.5, RetentionRule(0, 365), False, DECAY),
    ],
)
def test_a_deadline_names_the_rule_that_decides(
    importance: float, rules: RetentionRule, pinned: bool, rule: str
) -> None:
    assert deadline(days_ago(0, importance), CURVE, rules, 48, pinned=pinned).rule == rule


def test_without_decay_and_bounds_nothing_ends() -> None:
    curve = curve_for(DecayRules(threshold=0))
    assert deadline(days_ago(9, 0.5), curve, NO_BOUNDS, 48) == Deadline(None, DECAY)


# --- single decisions ----------------------------------------------------------------------------------------


def test_what_decayed_is_forgotten_and_can_be_restored() -> None:
    item = Due("m", "u", days_ago(90))
    assert decide(item, policy()) == Forget("m", NOW_US + 7 * DAY_US, DECAY)


def test_what_has_time_left_is_kept_until_then() -> None:
    state = days_ago(1)
    assert decide(Due("m", "u", state), policy()) == Keep("m", CURVE.forget_at_us(state), DECAY)


def test_a_memory_is_due_at_its_deadline_and_not_before() -> None:
    item = Due("m", "u", days_ago(0))
    due_us = CURVE.forget_at_us(days_ago(0))
    assert due_us is not None
    assert isinstance(decide(item, policy(), due_us - 1), Keep)
    assert isinstance(decide(item, policy(), due_us), Forget)


def test_a_ceiling_skips_the_undo_window() -> None:
    rules = policy(RetentionRule(None, 30))
    assert decide(Due("m", "u", days_ago(30)), rules) == Purge("m", CEILING)
    assert decide(Due("m", "u", days_ago(30), pinned=True), rules) == Purge("m", CEILING)
    forgotten = Due("m", "u", days_ago(30), forgotten_at_us=NOW_US - 1)
    assert decide(forgotten, rules) == Purge("m", CEILING)


def test_a_ceiling_that_passed_unseen_purges_what_decay_would_have_taken_before() -> None:
    assert decide(Due("m", "u", days_ago(400)), policy(RetentionRule(None, 365))) == Purge("m", CEILING)


def test_an_undo_window_ends_at_the_ceiling() -> None:
    state = days_ago(88)
    rules = policy(RetentionRule(None, 90))
    assert decide(Due("m", "u", state), rules) == Forget("m", state.ingested_at_us + 90 * DAY_US, DECAY)


def test_an_ended_undo_window_purges() -> None:
    forgotten_us = NOW_US - 7 * DAY_US
    item = Due("m", "u", days_ago(100), forgotten_at_us=forgotten_us)
    assert decide(item, policy(), NOW_US - 1) == Keep("m", NOW_US, UNDO_WINDOW)
    assert decide(item, policy()) == Purge("m", UNDO_WINDOW)


def test_a_floor_outlasts_the_undo_window() -> None:
    item = Due("m", "u", days_ago(100), forgotten_at_us=NOW_US - 30 * DAY_US)
    assert decide(item, policy(RetentionRule(150, None))) == Keep("m", NOW_US + 50 * DAY_US, UNDO_WINDOW)


@pytest.mark.parametrize("forgotten_at_us", [None, NOW_US - 100 * DAY_US])
@pytest.mark.parametrize("state", [None, days_ago(1000)])
def test_a_hold_suspends_everything(state: StrengthState | None, forgotten_at_us: int | None) -> None:
    item = Due("m", "u", state, held=True, pinned=True, forgotten_at_us=forgotten_at_us)
    assert decide(item, policy(RetentionRule(None, 1))) == Keep("m", None, HOLD)


@pytest.mark.parametrize("forgotten_at_us", [None, NOW_US - 100 * DAY_US])
@pytest.mark.parametrize("state", [None, days_ago(1000)])
def test_decay_never_takes_a_pinned_memory(state: StrengthState | None, forgotten_at_us: int | None) -> None:
    item = Due("m", "u", state, pinned=True, forgotten_at_us=forgotten_at_us)
    assert decide(item, policy()) == Keep("m", None, PIN)


def test_what_has_no_readable_date_counts_as_expired() -> None:
    assert decide(Due("m", "u", None), policy(RetentionRule(None, 30))) == Purge("m", UNDATED)
    assert decide(Due("m", "u", None), policy()) == Forget("m", NOW_US + 7 * DAY_US, UNDATED)


def test_without_an_undo_window_decay_purges() -> None:
    rules = policy(forgetting=ForgettingRules(undo_days=0, max_share_per_cycle=1))
    assert decide(Due("m", "u", days_ago(90)), rules) == Purge("m", DECAY)


# --- plans ---------------------------------------------------------------------------------------------------

ITEMS = st.builds(
    Due,
    id=st.integers(0, 10**9).map(str),
    user=st.sampled_from(["u", "v"]),
    state=st.none() | st.builds(days_ago, st.floats(0, 400), st.floats(0, 1)),
    sensitivity=st.sampled_from(Sensitivity),
    pinned=st.booleans(),
    held=st.booleans(),
    forgotten_at_us=st.none() | st.integers(NOW_US - 20 * DAY_US, NOW_US),
)
BATCHES = st.lists(ITEMS, max_size=12, unique_by=lambda item: item.id)


@given(BATCHES, st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_input_does_not_matter(items: list[Due], random: object, confirmed: bool) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    totals = {"u": 30, "v": 5}
    expected = plan_forgetting(items, NOW_US, Policy(), totals, confirmed=confirmed)
    assert plan_forgetting(shuffled, NOW_US, Policy(), totals, confirmed=confirmed) == expected
    assert [decision.id for decision in expected.decisions] == sorted(item.id for item in items)


def act(items: list[Due], plan: Plan) -> list[Due]:
    """Return the items after the plan was carried out."""
    decided: Mapping[str, Decision] = {decision.id: decision for decision in plan.decisions}
    left = [item for item in items if not isinstance(decided[item.id], Purge)]
    return [
        replace(item, forgotten_at_us=NOW_US) if isinstance(decided[item.id], Forget) else item
        for item in left
    ]


@given(BATCHES, bounds(), st.booleans())
def test_deciding_again_after_acting_changes_nothing(
    items: list[Due], limits: RetentionRule, confirmed: bool
) -> None:
    rules = policy(limits, ForgettingRules(max_share_per_cycle=0.3, min_memories_for_brake=2))
    left = act(items, plan_forgetting(items, NOW_US, rules, {"u": 4, "v": 40}, confirmed=confirmed))
    again = plan_forgetting(left, NOW_US, rules, {"u": 4, "v": 40}, confirmed=confirmed)
    assert all(isinstance(decision, Keep) for decision in again.decisions)


@given(BATCHES, bounds())
def test_protected_and_undue_memories_are_kept(items: list[Due], limits: RetentionRule) -> None:
    plan = plan_forgetting(items, NOW_US, policy(limits), {})
    for item, decision in zip(sorted(items, key=lambda due: due.id), plan.decisions, strict=True):
        if item.held or (item.pinned and limits.ceiling_days is None):
            assert isinstance(decision, Keep)
        elif item.state is not None and item.forgotten_at_us is None:
            due = naive_deadline(item.state, limits, item.pinned, item.held) <= NOW_US
            assert isinstance(decision, Keep) is not due


def many(count: int, days: float, user: str = "u") -> list[Due]:
    return [Due(f"{user}{number}", user, days_ago(days)) for number in range(count)]


BRAKED = policy(
    RetentionRule(None, 365), ForgettingRules(undo_days=7, max_share_per_cycle=0.5, min_memories_for_brake=20)
)


def test_a_cycle_that_would_forget_too_much_of_a_user_stops_and_asks() -> None:
    items = [*many(11, 90), Due("u99", "u", days_ago(400)), *many(3, 90, "v")]
    plan = plan_forgetting(items, NOW_US, BRAKED, {"u": 20, "v": 60})
    by_user: dict[str, list[Decision]] = {"u": [], "v": []}
    for decision in plan.decisions:
        by_user[decision.id[0]].append(decision)
    assert plan.stopped == {"u"}
    assert [decision for decision in by_user["u"] if isinstance(decision, Purge)] == [Purge("u99", CEILING)]
    assert sum(isinstance(decision, Keep) and decision.reason == BRAKE for decision in by_user["u"]) == 11
    assert all(isinstance(decision, Forget) for decision in by_user["v"])


def test_a_stopped_memory_stays_due_for_the_confirmed_run() -> None:
    items = many(20, 90)
    stopped = plan_forgetting(items, NOW_US, BRAKED, {"u": 20})
    assert all(isinstance(kept, Keep) and kept.recheck_at_us is not None for kept in stopped.decisions)
    assert all(kept.recheck_at_us <= NOW_US for kept in stopped.decisions)  # type: ignore[union-attr, operator]
    confirmed = plan_forgetting(items, NOW_US, BRAKED, {"u": 20}, confirmed=True)
    assert confirmed.stopped == frozenset()
    assert all(isinstance(decision, Forget) for decision in confirmed.decisions)


@pytest.mark.parametrize(("due", "total", "stops"), [(10, 20, False), (11, 20, True), (19, 19, False)])
def test_the_brake_needs_more_than_the_share_and_enough_memories(due: int, total: int, stops: bool) -> None:
    plan = plan_forgetting(many(due, 90), NOW_US, BRAKED, {"u": total})
    assert bool(plan.stopped) is stops


def test_a_user_without_a_total_is_counted_by_what_is_due() -> None:
    assert plan_forgetting(many(20, 90), NOW_US, BRAKED, {}).stopped == {"u"}


def test_ended_undo_windows_purge_in_spite_of_the_brake() -> None:
    ended = Due("u99", "u", days_ago(100), forgotten_at_us=NOW_US - 8 * DAY_US)
    plan = plan_forgetting([*many(20, 90), ended], NOW_US, BRAKED, {"u": 20})
    assert Purge("u99", UNDO_WINDOW) in plan.decisions
    assert plan.stopped == {"u"}
