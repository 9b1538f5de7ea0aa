"""What a replay says of a history is what the forgetting cycle would have done to it, day by day."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehearsal_twin import START_US, Twin

from tiered_memory.forgetting.decay import DAY_US, curve_for
from tiered_memory.forgetting.gate import LEAST_KNOWN
from tiered_memory.forgetting.placement import (
    CEILING,
    DECAY,
    FLOOR,
    UNDO_WINDOW,
    Due,
    Purge,
    plan_forgetting,
)
from tiered_memory.forgetting.rehearsal import NEVER, History, Need, Rehearsal, Turn, best, rehearse
from tiered_memory.model import Role, Sensitivity
from tiered_memory.policy.rules import (
    DecayRules,
    ForgettingRules,
    HotRules,
    Policy,
    RetentionRule,
    RoutingRules,
)

HOUR_US = DAY_US // 24
UNBOUNDED = dict.fromkeys(Sensitivity, RetentionRule())


def policy(decay: DecayRules | None = None, gate: RoutingRules | None = None) -> Policy:
    return Policy(decay=decay or DecayRules(), routing=gate or RoutingRules(), retention=UNBOUNDED)


def day(number: float) -> int:
    return START_US + round(number * DAY_US)


def lasting(importance: float, rules: Policy) -> int:
    """Microseconds that a turn lasts which nobody uses."""
    curve = curve_for(rules.decay)
    return curve.forget_at_us(curve.start(importance, 0)) or NEVER


# --- the cycle, day by day -----------------------------------------------------------------------------------

IMPORTANCES = st.integers(0, 20).map(lambda tenth: tenth / 20)
TURNS = st.lists(
    st.builds(
        Turn,
        said_us=st.integers(0, 120).map(day),
        importance=IMPORTANCES,
        size=st.integers(0, 500),
        role=st.sampled_from([Role.USER, Role.ASSISTANT, Role.SYSTEM]),
        sensitivity=st.sampled_from(list(Sensitivity)),
    ),
    max_size=12,
)
BOUNDS = st.tuples(st.one_of(st.none(), st.integers(0, 40)), st.one_of(st.none(), st.integers(40, 90))).map(
    lambda pair: RetentionRule(*pair)
)
POLICIES = st.builds(
    Policy,
    decay=st.builds(
        DecayRules,
        curve=st.sampled_from(["exponential", "power"]),
        daily_rate=st.sampled_from([0.02, 0.07, 0.3]),
        threshold=st.sampled_from([0.0, 0.1, 0.4]),
        use_slowdown=st.sampled_from([0.01, 1.0]),
        use_boost=st.sampled_from([0.0, 0.3]),
        retrieved_boost=st.sampled_from([0.0, 0.5]),
        grace_hours=st.sampled_from([0.0, 48.0]),
    ),
    routing=st.builds(RoutingRules, cold_threshold=st.sampled_from([0.0, 0.3])),
    hot=st.builds(HotRules, ttl_seconds=st.sampled_from([3600, 3 * 86_400])),
    forgetting=st.builds(
        ForgettingRules, undo_days=st.sampled_from([0, 7]), max_share_per_cycle=st.just(1.0)
    ),
    retention=st.fixed_dictionaries(dict.fromkeys(Sensitivity, BOUNDS)),
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Turn], list[Need]]:
    turns = draw(TURNS)
    memorable = [at for at, turn in enumerate(turns) if turn.role is not Role.SYSTEM]
    if not memorable:
        return turns, []
    wanted = st.tuples(st.sampled_from(memorable), st.integers(0, 100), st.booleans())
    drawn = draw(st.lists(wanted, max_size=10, unique_by=lambda one: one[:2]))
    return turns, [Need(at, turns[at].said_us + after * DAY_US, used) for at, after, used in drawn]


@given(histories(), POLICIES, st.integers(0, 60))
def test_a_replay_agrees_with_the_forgetting_cycle(
    given_: tuple[list[Turn], list[Need]], rules: Policy, more_days: int
) -> None:
    turns, needs = given_
    history = History(turns, needs)
    history = History(turns, needs, history.until_us + more_days * DAY_US)
    found = rehearse(history, rules)
    twin = Twin(turns, needs, rules)
    twin.run(history.until_us)
    stored = [lived for lived in twin.lived if lived.item is not None]
    assert found.needs_met == twin.met
    assert found.stored == len(stored)
    assert found.active == sum(lived.active for lived in stored)
    assert found.purged == sum(lived.purged for lived in stored)
    assert found.left == Counter(lived.rule for lived in stored if lived.rule)
    assert found.purged_by == Counter(lived.purge_rule for lived in stored if lived.purged)
    held = zip(turns, twin.lived, strict=True)
    assert found.bytes_end == sum(turn.size for turn, one in held if one.item is not None and not one.purged)


@given(histories(), POLICIES)
def test_a_replay_agrees_with_a_cycle_once_a_day(
    given_: tuple[list[Turn], list[Need]], rules: Policy
) -> None:
    turns, needs = given_
    history = History(turns, needs)
    twin = Twin(turns, needs, rules)
    twin.run(history.until_us, step=DAY_US)
    found = rehearse(history, rules)
    assert (found.needs_met, found.active) == (twin.met, sum(lived.active for lived in twin.lived))


# --- what must hold of every replay --------------------------------------------------------------------------


@given(histories(), POLICIES)
def test_the_counts_add_up(given_: tuple[list[Turn], list[Need]], rules: Policy) -> None:
    found = rehearse(History(*given_), rules)
    assert found.turns == found.system_prompts + found.below_gate + found.stored
    assert found.stored == found.active + found.forgotten + found.purged
    assert sum(found.left.values()) == found.forgotten + found.purged
    assert sum(found.purged_by.values()) == found.purged
    assert 0 <= found.needs_met <= found.needs == len(given_[1])
    assert 0.0 <= found.importance_kept <= 1.0 + 1e-9
    assert found.bytes_end <= found.bytes_peak <= sum(turn.size for turn in given_[0])


@given(histories(), POLICIES)
def test_the_months_lead_to_the_end(given_: tuple[list[Turn], list[Need]], rules: Policy) -> None:
    found = rehearse(History(*given_), rules)
    if not given_[0]:
        assert found.months == ()
        return
    assert sum(month.stored for month in found.months) == found.stored
    assert sum((Counter(month.left) for month in found.months), Counter()) == Counter(found.left)
    assert sum((Counter(month.purged) for month in found.months), Counter()) == Counter(found.purged_by)
    active = 0
    for month in found.months:
        active += month.stored - sum(month.left.values())
        assert month.active == active
    assert (found.months[-1].active, found.months[-1].bytes) == (found.active, found.bytes_end)


@given(histories(), st.sampled_from([0.01, 0.05, 0.2]), st.sampled_from([0.0, 0.3]), st.booleans())
def test_a_longer_half_life_never_keeps_less(
    given_: tuple[list[Turn], list[Need]], rate: float, boost: float, power: bool
) -> None:
    """Of what nobody needs; a slower decay makes a use worth less, so what is used is another matter."""
    history = History(given_[0], until_us=day(200))
    rules = DecayRules(curve="power" if power else "exponential", daily_rate=rate, use_boost=boost)
    shorter, longer = (rehearse(history, policy(one)) for one in (rules, replace(rules, daily_rate=rate / 2)))
    assert longer.active >= shorter.active
    assert longer.bytes_end >= shorter.bytes_end
    assert longer.importance_kept >= shorter.importance_kept - 1e-12
    assert (longer.median_lifetime_days or NEVER) >= (shorter.median_lifetime_days or NEVER)


@given(histories(), POLICIES, st.floats(0.0, 1.0))
def test_a_higher_gate_never_stores_more(
    given_: tuple[list[Turn], list[Need]], rules: Policy, gate: float
) -> None:
    low, high = sorted([gate, 0.5])
    found = [
        rehearse(History(given_[0]), replace(rules, routing=RoutingRules(cold_threshold=one)))
        for one in (low, high)
    ]
    assert found[0].stored >= found[1].stored
    assert found[0].bytes_peak >= found[1].bytes_peak


@given(histories(), POLICIES, st.randoms())
def test_the_order_of_what_is_given_does_not_matter(
    given_: tuple[list[Turn], list[Need]], rules: Policy, chance: random.Random
) -> None:
    turns, needs = given_
    order = list(range(len(turns)))
    chance.shuffle(order)
    moved = [Need(order.index(need.turn), need.at_us, need.used) for need in needs]
    chance.shuffle(moved)
    found = rehearse(History([turns[at] for at in order], moved), rules)
    expected = rehearse(History(turns, needs), rules)
    assert replace(found, importance_kept=0.0) == replace(expected, importance_kept=0.0)
    assert found.importance_kept == pytest.approx(expected.importance_kept)


# --- single cases --------------------------------------------------------------------------------------------


def test_an_empty_history_is_nothing_and_no_error() -> None:
    found = rehearse(History([]), Policy(), examples=3)
    assert (found.turns, found.stored, found.bytes_peak, found.months) == (0, 0, 0, ())
    assert found.median_lifetime_days is None
    assert found.needs_share is None
    assert found.benefit == 0.0


def test_what_fades_is_forgotten_at_its_moment_and_purged_after_the_undo_window() -> None:
    rules = policy()
    lives = lasting(0.5, rules)
    turns = [Turn(START_US, 0.5, size=10)]
    undo = 7 * DAY_US
    spans = (lives - 1, lives, lives + undo - 1, lives + undo)
    found = [rehearse(History(turns, until_us=START_US + span), rules) for span in spans]
    assert [one.active for one in found] == [1, 0, 0, 0]
    assert [one.forgotten for one in found] == [0, 1, 1, 0]
    assert [one.bytes_end for one in found] == [10, 10, 10, 0]
    assert found[3].left == {DECAY: 1}
    assert found[3].purged_by == {UNDO_WINDOW: 1}
    assert found[3].median_lifetime_days == pytest.approx(lives / DAY_US)


def test_a_ceiling_removes_at_once_and_a_floor_keeps_what_has_faded() -> None:
    bounds = dict(UNBOUNDED)
    bounds[Sensitivity.RESTRICTED] = RetentionRule(None, 30)
    bounds[Sensitivity.INTERNAL] = RetentionRule(60, None)
    turns = [Turn(START_US, 0.9, sensitivity=Sensitivity.RESTRICTED), Turn(START_US, 0.25)]
    found = rehearse(History(turns, until_us=day(61)), replace(Policy(), retention=bounds))
    assert found.left == {CEILING: 1, FLOOR: 1}
    assert found.purged_by == {CEILING: 1}
    assert (found.active, found.forgotten, found.purged) == (0, 1, 1)


def test_a_use_lengthens_life_and_meets_the_next_need() -> None:
    rules = policy()
    end = START_US + lasting(0.25, rules)
    late = Need(0, end + DAY_US)
    turns = [Turn(START_US, 0.25)]
    unused = rehearse(History(turns, [late]), rules, examples=1)
    used = rehearse(History(turns, [Need(0, end - DAY_US), late]), rules, examples=1)
    assert (unused.needs_met, unused.missed) == (0, (0,))
    assert (used.needs_met, used.missed) == (2, ())


def test_what_is_only_asked_for_counts_as_a_search_result_does() -> None:
    end = START_US + lasting(0.25, policy())
    needs = [Need(0, end - DAY_US, used=False), Need(0, end + DAY_US, used=False)]
    history = History([Turn(START_US, 0.25)], needs)
    assert rehearse(history, policy(DecayRules(retrieved_boost=0.0))).needs_met == 1
    assert rehearse(history, policy(DecayRules(retrieved_boost=1.0))).needs_met == 2


@pytest.mark.parametrize(
    ("after_us", "used", "met", "promoted"),
    [
        (3600 * 1_000_000 - 1, True, 1, 1),
        (3600 * 1_000_000, True, 0, 0),
        (HOUR_US // 2, False, 1, 0),
    ],
)
def test_below_the_gate_only_hot_has_it_and_a_use_promotes_it(
    after_us: int, used: bool, met: int, promoted: int
) -> None:
    found = rehearse(History([Turn(START_US, 0.1)], [Need(0, START_US + after_us, used)]), policy())
    assert (found.needs_met, found.promoted, found.stored) == (met, promoted, promoted)


def test_a_quantile_gate_looks_at_each_user_alone() -> None:
    gate = RoutingRules(gate="quantile", cold_quantile=0.5)
    loud = [Turn(day(at), 0.9, user="loud") for at in range(2 * LEAST_KNOWN)]
    quiet = [Turn(day(at), 0.3, user="quiet") for at in range(LEAST_KNOWN)]
    late = day(3 * LEAST_KNOWN)
    beside = [*loud, *quiet, Turn(late, 0.5, user="quiet"), Turn(late, 0.5, user="loud")]
    found = rehearse(History(beside), policy(gate=gate), examples=99)
    assert len(beside) - 2 not in found.dropped
    assert len(beside) - 1 in found.dropped


def test_examples_come_most_important_first_and_only_as_many_as_asked() -> None:
    turns = [Turn(day(at), importance) for at, importance in enumerate([0.3, 0.6, 0.05, 0.15, 0.4, 0.0])]
    history = History([*turns, Turn(day(9), 1.0, role=Role.SYSTEM)], until_us=day(1000))
    found = rehearse(history, policy(), examples=2)
    assert (found.gone, found.dropped) == ((1, 4), (3, 2))
    nothing = rehearse(history, policy())
    assert (nothing.gone, nothing.dropped, nothing.missed) == ((), (), ())


def test_a_threshold_of_nothing_keeps_for_ever() -> None:
    found = rehearse(History([Turn(START_US, 0.5)], until_us=day(36_500)), policy(DecayRules(threshold=0.0)))
    assert (found.active, found.median_lifetime_days) == (1, None)


def test_months_are_those_of_the_calendar() -> None:
    turns = [Turn(START_US, 1.0), Turn(day(31), 1.0), Turn(day(59) - 1, 1.0)]
    found = rehearse(History(turns, until_us=day(60)), policy())
    starts = [datetime.fromtimestamp(month.start_us / 1e6, UTC) for month in found.months]
    assert [(one.month, one.day) for one in starts] == [(1, 1), (2, 1), (3, 1)]
    assert [month.stored for month in found.months] == [1, 2, 0]
    assert [month.active for month in found.months] == [1, 3, 3]


def measured(cost: int, met: int) -> Rehearsal:
    empty = rehearse(History([]), Policy())
    return replace(empty, needs=10, needs_met=met, bytes_peak=cost)


def test_the_best_are_those_that_none_beats() -> None:
    found = [measured(10, 5), measured(10, 6), measured(20, 6), measured(30, 9), measured(5, 0)]
    assert best(found) == [False, True, False, True, True]
    assert best([measured(10, 5), measured(10, 5)]) == [True, True]
    assert best([]) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1))
def test_something_is_always_best_and_whatever_is_not_is_beaten_by_it(points: list[tuple[int, int]]) -> None:
    found = [measured(*point) for point in points]
    marks = best(found)
    assert any(marks)
    front = [point for point, mark in zip(points, marks, strict=True) if mark]
    for point, mark in zip(points, marks, strict=True):
        beaten = any(one[0] <= point[0] and one[1] >= point[1] and one != point for one in front)
        assert beaten is not mark


def test_a_twin_without_a_cycle_forgets_nothing() -> None:
    """The comparison above can fail."""
    turns = [Turn(START_US, 0.25)]
    twin = Twin(turns, [], policy())
    twin.arrive(START_US)
    assert twin.lived[0].active
    (decision,) = plan_forgetting(
        [replace(twin.lived[0].item or Due("m", "u", None), forgotten_at_us=START_US)],
        day(100),
        policy(),
        {"u": 1},
    ).decisions
    assert isinstance(decision, Purge)


def test_at_its_very_deadline_it_is_gone() -> None:
    end = START_US + lasting(0.5, policy())
    needs = [Need(0, end), Need(1, end - 1)]
    found = rehearse(History([Turn(START_US, 0.5), Turn(START_US, 0.5)], needs), policy(), examples=9)
    assert (found.needs_met, found.missed) == (1, (0,))


def test_what_is_promoted_counts_as_the_least_that_passes_from_then_on() -> None:
    rules = policy()
    found = rehearse(History([Turn(START_US, 0.1)], [Need(0, START_US + HOUR_US // 2)]), rules)
    assert found.median_lifetime_days == pytest.approx(lasting(0.2, rules) / DAY_US, abs=1e-6)
    assert found.median_lifetime_days != pytest.approx(lasting(0.1, rules) / DAY_US, abs=1e-3)


def test_the_median_lifetime_is_one_that_occurs() -> None:
    turns = [Turn(START_US, 0.9), Turn(START_US, 0.3), Turn(day(5), 0.6), Turn(day(5), 0.4)]
    expected = lasting(0.4, policy()) / DAY_US
    assert rehearse(History(turns), policy()).median_lifetime_days == pytest.approx(expected)
