"""ForgetBench on examples small enough to work out by hand, and what must hold on any."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.datasets import Conversation, Question, Turn
from benchmarks.forget_items import DAY_US, HOUR_US, Asked, Item, Story, story_of
from benchmarks.forget_optimum import greatest_gain, needs_of, optimum
from benchmarks.forget_policies import (
    AgentMemoryServer,
    AtRandom,
    ByCurve,
    Clairvoyant,
    FirstIn,
    FivePercentADay,
    LeastFrequentlyUsed,
    LeastImportant,
    LeastRecentlyUsed,
    RecencyAndImportance,
    baselines,
    by_curve,
)
from benchmarks.forget_replay import Policy, Regime, growing, quota, replay, schedule
from tiered_memory.clock import from_us
from tiered_memory.forgetting.decay import ExponentialCurve
from tiered_memory.model import Role
from tiered_memory.policy.rules import DecayRules
from tiered_memory.scoring.recall_index import IndexedTurn, Query

NOW_US = 1_767_225_600_000_000
WORDS = ["cat", "kite", "tram", "plum", "lamp", "fern", "moss", "wren", "bolt", "drum", "silk", "oak"]
MAKERS = baselines(0) | {"default": by_curve(ExponentialCurve(DecayRules()))}


def vector(word: str) -> np.ndarray:
    found = np.zeros(len(WORDS), dtype=np.float32)
    found[WORDS.index(word)] = 1.0
    return found


def item(place: int, day: float, importance: float) -> Item:
    word, at_us = WORDS[place % len(WORDS)], NOW_US + round(day * DAY_US)
    turn = IndexedTurn(
        id=f"t{place}",
        order=place,
        session=f"s{place}",
        author=None,
        occurred_at_us=at_us,
        characters=len(word),
        terms={word: 1},
        vector=vector(word),
    )
    return Item(place, at_us, importance, turn)


def asked(*evidence: int, day: float = 0.0) -> Asked:
    word = WORDS[evidence[0] % len(WORDS)]
    query = Query({word: 1}, vector(word))
    return Asked(query, evidence, NOW_US + 1000 * DAY_US, NOW_US + round(day * DAY_US))


def story(importances: Sequence[float], *questions: Asked, days: Sequence[float] | None = None) -> Story:
    times = range(len(importances)) if days is None else days
    items = [item(place, day, one) for place, (day, one) in enumerate(zip(times, importances, strict=True))]
    return Story("told", tuple(items), questions)


def held_at_end(policy: Policy, importances: Sequence[float], room: int) -> set[int]:
    told = story(importances, *[asked(place) for place in range(len(importances))])
    kept = replay(told, policy, lambda _: room, Regime.END).kept
    return {place for place, share in enumerate(kept) if share}


# --- policies ------------------------------------------------------------------------------------------------------


def test_the_oldest_or_the_least_important_goes() -> None:
    importances = [0.9, 0.1, 0.5, 0.2]
    assert held_at_end(FirstIn(), importances, 2) == {2, 3}
    assert held_at_end(LeastImportant(), importances, 2) == {0, 2}


def test_of_equals_the_earlier_goes() -> None:
    assert held_at_end(LeastImportant(), [0.5, 0.5, 0.5], 2) == {1, 2}


def test_nothing_goes_while_there_is_room() -> None:
    told = story([0.1, 0.2, 0.3], asked(0, 2))
    outcome = replay(told, LeastImportant(), quota(1.0, 3), Regime.END)
    assert (outcome.kept, outcome.forgotten, outcome.touched, outcome.most_held) == ([1.0], 0, 0, 3)


def test_a_use_saves_the_oldest_from_the_least_recently_used() -> None:
    """0 is asked for on day 1.5, so on day 2 it is 1 that goes, and on day 4.5 0 is still there."""
    questions = [asked(0, day=1.5), asked(0, day=2.5), asked(1, day=2.5)]
    outcome = replay(story([0.5] * 3, *questions), LeastRecentlyUsed(), lambda _: 2, Regime.ORACLE)
    assert outcome.kept == [1.0, 1.0, 0.0]
    assert replay(story([0.5] * 3, *questions), FirstIn(), lambda _: 2, Regime.ORACLE).kept == [1.0, 0.0, 1.0]


def test_at_the_end_nothing_was_used_before() -> None:
    questions = [asked(0, day=1.5), asked(1, day=1.6), asked(2, day=1.7)]
    kept = replay(story([0.5] * 3, *questions), LeastRecentlyUsed(), lambda _: 2, Regime.END).kept
    assert kept == [0.0, 1.0, 1.0]


def test_how_often_counts_for_the_least_frequently_used() -> None:
    """0 is used twice, 1 once and later: the new one goes, which was never used."""
    questions = [asked(0, day=1.1), asked(0, day=1.2), asked(1, day=1.3), asked(0, 1, 2, day=3)]
    outcome = replay(story([0.5] * 3, *questions), LeastFrequentlyUsed(), lambda _: 2, Regime.ORACLE)
    assert outcome.kept == [1.0, 1.0, 1.0, 2 / 3]


def test_five_percent_a_day_orders_by_strength_at_any_time() -> None:
    """0 has .8 * .95^10 = .479, 1 has .5 * .95^2 = .451, 2 has .46; used on day 9.5, 1 has .5 * .95^1.5 + 1."""
    policy = FivePercentADay()
    told = story([0.8, 0.5, 0.46], days=[0, 8, 10])
    for one in told.items:
        policy.arrived(one)
    now_us = NOW_US + 10 * DAY_US
    levels = policy.values(np.array([0, 1, 2]), now_us)
    assert levels.argsort().tolist() == [1, 2, 0]
    assert np.exp(levels - levels[2]) * 0.46 == pytest.approx([0.479, 0.451, 0.46], abs=5e-4)
    policy.used(1, NOW_US + round(9.5 * DAY_US))
    used = np.exp(policy.values(np.array([1]), now_us) - levels[2]) * 0.46
    assert used == pytest.approx([(0.5 * 0.95**1.5 + 1) * 0.95**0.5])


def test_the_scores_of_others_are_as_published() -> None:
    told, now_us = story([0.3, 0.7]), NOW_US + 30 * DAY_US
    agents, server = RecencyAndImportance(), AgentMemoryServer()
    for one in told.items:
        agents.arrived(one)
        server.arrived(one)
    for policy in (agents, server):
        policy.used(0, NOW_US + 23 * DAY_US)
    assert agents.values(np.array([0, 1]), now_us) == pytest.approx(
        [0.995 ** (7 * 24) + 0.3, 0.995 ** (29 * 24) + 0.7]
    )
    assert server.values(np.array([0]), now_us) == pytest.approx([0.6 * 0.5 + 0.4 * 0.5])


def test_the_product_forgets_what_its_curve_forgets_first() -> None:
    curve = ExponentialCurve(DecayRules())
    policy, told = ByCurve(curve), story([0.6, 0.3, 0.05, 0.9])
    for one in told.items:
        policy.arrived(one)
    deadlines = [curve.forget_at_us(curve.start(one.importance, one.at_us)) for one in told.items]
    assert policy.values(np.arange(4), NOW_US).tolist() == deadlines
    policy.used(1, NOW_US + 30 * DAY_US)
    used = curve.use(curve.start(0.3, told.items[1].at_us), NOW_US + 30 * DAY_US)
    assert policy.values(np.array([1]), NOW_US).tolist() == [curve.forget_at_us(used)]


def test_a_curve_without_end_is_never_first() -> None:
    policy = ByCurve(ExponentialCurve(DecayRules(threshold=0)))
    policy.arrived(item(0, 0, 0.1))
    assert policy.values(np.array([0]), NOW_US).tolist() == [math.inf]


def test_the_clairvoyant_lets_go_of_what_is_never_asked_for_again() -> None:
    """1 is asked for on day 5, 2 on day 9; 0 and 3 never: with room for two nothing asked for is lost."""
    told = story([0.9, 0.1, 0.1, 0.9], asked(1, day=5), asked(2, day=9))
    outcome = replay(told, Clairvoyant(told, Regime.ORACLE), lambda _: 2, Regime.ORACLE)
    assert outcome.kept == [1.0, 1.0]
    assert replay(told, LeastImportant(), lambda _: 2, Regime.ORACLE).kept == [0.0, 0.0]


# --- the replay ----------------------------------------------------------------------------------------------------


def test_a_question_sees_what_is_held_when_it_is_asked() -> None:
    """Room for one: 0 until day 1, then 1 until day 2, then 2. A question at the very time of an arrival comes after."""
    questions = [asked(0, day=0.5), asked(0, day=1), asked(0, 1, day=1.5), asked(2, day=50)]
    outcome = replay(story([0.5] * 3, *questions), FirstIn(), lambda _: 1, Regime.ORACLE)
    assert outcome.kept == [1.0, 0.0, 0.5, 1.0]


def test_whatever_a_noisy_search_returns_is_used() -> None:
    """Asked for 1 alone, the search returns 1 and not 0: with room for two it is 0 that goes when 2 comes."""
    questions = [asked(0, day=1.2), asked(1, day=1.5), asked(0, 1, day=2.5)]
    outcome = replay(story([0.5] * 3, *questions), LeastRecentlyUsed(), lambda _: 2, Regime.NOISY)
    assert outcome.kept == [1.0, 1.0, 0.5]
    assert outcome.recalls == [1.0, 1.0, 0.0]  # 0 is gone, and the question does not name what 1 says


def test_what_was_evicted_is_not_found() -> None:
    told = story([0.9, 0.1], asked(1, day=5))
    outcome = replay(told, LeastImportant(), lambda _: 1, Regime.NOISY)
    assert (outcome.kept, outcome.recalls) == ([0.0], [0.0])


def test_rows_touched_are_those_evicted_and_used_or_all_that_are_scored_anew() -> None:
    told = story([0.5] * 5, asked(4, day=9))
    touched = {
        type(policy): replay(told, policy, lambda _: 2, Regime.ORACLE).touched
        for policy in (FirstIn(), LeastRecentlyUsed(), AgentMemoryServer())
    }
    assert touched == {FirstIn: 3, LeastRecentlyUsed: 3 + 1, AgentMemoryServer: 3 * 3 + 1}


def test_a_quota_stands_from_the_first_and_a_share_grows() -> None:
    assert [quota(0.3, 10)(arrived) for arrived in (1, 5, 10)] == [3, 3, 3]
    assert [growing(0.3)(arrived) for arrived in (1, 3, 4, 7, 10)] == [0, 0, 1, 2, 3]


# --- the optimum ---------------------------------------------------------------------------------------------------


def test_the_optimum_of_three_items_in_room_for_one() -> None:
    """0 earns 1 in step 1, and 1 more if held until step 3; 2 earns 1.5 in step 3. Holding 0 first and 2 then: 2.5."""
    needs = {0: {1: 1.0, 3: 1.0}, 2: {3: 1.5}}
    assert greatest_gain(3, needs, lambda _: 1) == pytest.approx(2.5)
    assert greatest_gain(3, needs, lambda _: 2) == pytest.approx(3.5)
    assert greatest_gain(3, needs, lambda _: 0) == 0


def test_what_was_let_go_does_not_come_back_in_the_optimum() -> None:
    """1 must be held in step 2, for which 0 is let go: its second use is lost."""
    assert greatest_gain(3, {0: {1: 1.0, 3: 1.0}, 1: {2: 5.0}}, lambda _: 1) == pytest.approx(6.0)


def test_room_that_comes_later_is_used_later() -> None:
    assert greatest_gain(4, {0: {4: 1.0}, 2: {4: 1.0}, 3: {4: 1.0}}, lambda n: n // 2) == pytest.approx(2.0)


def test_without_questions_there_is_nothing_to_gain() -> None:
    assert optimum(story([0.5, 0.5]), Regime.END, lambda _: 1) == 0


@st.composite
def interleaved(draw: st.DrawFn) -> Story:
    """Questions at any time after their newest evidence."""
    count = draw(st.integers(1, 7))
    drawn = draw(
        st.lists(
            st.tuples(st.sets(st.integers(0, count - 1), min_size=1, max_size=3), st.floats(0.01, 9)),
            min_size=1,
            max_size=6,
        )
    )
    importances = draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))
    return story(importances, *[asked(*sorted(places), day=max(places) + lag) for places, lag in drawn])


def best_by_trying(told: Story, regime: Regime, room: int) -> float:
    """Try every choice of a last step for each item."""
    needs, count = needs_of(told, regime), len(told.items)
    choices = [[place, *needs.get(place, {})] for place in range(count)]
    best = 0.0
    for ends in product(*choices):
        loads = [sum(place < step <= end for place, end in enumerate(ends)) for step in range(1, count + 1)]
        if max(loads) <= room:
            gains = (
                worth
                for place, end in enumerate(ends)
                for step, worth in needs.get(place, {}).items()
                if step <= end
            )
            best = max(best, sum(gains))
    return best


@settings(max_examples=60)
@given(interleaved(), st.integers(0, 3), st.sampled_from([Regime.END, Regime.ORACLE]))
def test_the_optimum_is_the_best_there_is(told: Story, room: int, regime: Regime) -> None:
    assert optimum(told, regime, lambda _: room) == pytest.approx(best_by_trying(told, regime, room))


@settings(max_examples=40)
@given(interleaved(), st.floats(0, 1), st.sampled_from(Regime), st.booleans())
def test_no_policy_beats_the_optimum_nor_exceeds_its_room(
    told: Story, share: float, regime: Regime, grows: bool
) -> None:
    room = growing(share) if grows else quota(share, len(told.items))
    best = optimum(told, regime, room)
    for maker in MAKERS.values():
        outcome = replay(told, maker(told, regime), room, regime)
        assert sum(outcome.kept) <= best + 1e-6
        assert outcome.most_held <= room(len(told.items))
        assert outcome.forgotten >= len(told.items) - room(len(told.items))
        assert all(recall <= 1 for recall in outcome.recalls)


def long_story(seed: int) -> Story:
    draw = np.random.default_rng(seed)
    places = draw.integers(0, 120, size=60)
    questions = [asked(int(place), day=int(place) + draw.exponential(20)) for place in places]
    return story(draw.random(120).tolist(), *questions)


@pytest.mark.parametrize("regime", [Regime.END, Regime.ORACLE])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_the_clairvoyant_comes_first_and_the_optimum_before_it(regime: Regime, share: float) -> None:
    told = long_story(3)
    room = quota(share, len(told.items))
    kept = {name: sum(replay(told, maker(told, regime), room, regime).kept) for name, maker in MAKERS.items()}
    assert max(kept, key=lambda name: kept[name]) == "clairvoyant"
    assert kept["clairvoyant"] <= optimum(told, regime, room) + 1e-6


# --- what is replayed ----------------------------------------------------------------------------------------------


class WordVectors:
    """Counts letters: enough of an embedder for a replay."""

    name, dimensions = "letters", 26

    async def embed(self, texts: Sequence[str], _kind: str) -> np.ndarray:
        counts = [[text.lower().count(chr(97 + letter)) for letter in range(26)] for text in texts]
        return np.array(counts, dtype=np.float32).reshape(len(texts), 26)


def told_turn(number: int, text: str) -> Turn:
    return Turn(f"d{number}", "s", "Ann", Role.USER, text, from_us(NOW_US + number * DAY_US))


CONVERSATION = Conversation(
    "c",
    tuple(told_turn(n, f"I bought {word} number {n} in Lisbon") for n, word in enumerate(WORDS)),
    tuple(Question(f"Where is the {word}?", frozenset({f"d{n}"}), 1) for n, word in enumerate(WORDS)),
)

pytestmark = pytest.mark.anyio


async def test_the_same_seed_asks_at_the_same_times_and_another_does_not() -> None:
    one, same, other = [await story_of(CONVERSATION, WordVectors(), seed) for seed in (1, 1, 2)]
    assert [q.interleaved_us for q in one.questions] == [q.interleaved_us for q in same.questions]
    assert [q.interleaved_us for q in one.questions] != [q.interleaved_us for q in other.questions]
    room = quota(0.3, len(WORDS))
    kept = [replay(told, AtRandom(5), room, Regime.ORACLE).kept for told in (one, same)]
    assert kept[0] == kept[1]


async def test_questions_come_an_hour_to_120_days_after_their_newest_evidence_or_a_day_after_all() -> None:
    told = await story_of(CONVERSATION, WordVectors(), 0)
    for question in told.questions:
        lag_us = question.interleaved_us - told.items[question.evidence[-1]].at_us
        assert HOUR_US <= lag_us <= 120 * DAY_US
        assert question.at_end_us == told.items[-1].at_us + DAY_US


async def test_importance_sees_how_new_a_turn_is() -> None:
    again = tuple(told_turn(number, CONVERSATION.turns[0].text) for number in range(3))
    told = await story_of(Conversation("c", again, ()), WordVectors(), 0)
    first, *repeated = [one.importance for one in told.items]
    assert all(one < first for one in repeated)
    assert [one.place for one in told.items] == [0, 1, 2]


async def test_turns_arrive_in_the_order_of_their_times() -> None:
    jumbled = Conversation("c", CONVERSATION.turns[::-1], CONVERSATION.questions)
    told = await story_of(jumbled, WordVectors(), 0)
    assert [one.turn.id for one in told.items] == [turn.id for turn in CONVERSATION.turns]


def test_questions_are_asked_in_order_of_time() -> None:
    questions = [asked(0, day=3), asked(0, day=1), asked(0, day=2)]
    assert [number for _, number, _ in schedule(questions, Regime.ORACLE)] == [1, 2, 0]
    assert [number for _, number, _ in schedule(questions, Regime.END)] == [0, 1, 2]
