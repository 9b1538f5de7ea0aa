from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recall_twin import (
    DAY_US,
    DIMENSIONS,
    contents,
    index_of,
    naive_arms,
    naive_times,
    own_terms,
    picture,
    queries,
    turn,
    turn_lists,
    vector,
)

from tiered_memory.errors import InvalidInputError
from tiered_memory.scoring.ranking import Scored, rank
from tiered_memory.scoring.recall_index import IndexedTurn, Query, RecallIndex
from tiered_memory.scoring.text import analyze


def search(
    index: RecallIndex, question: str, limit: int = 10, direction: float | None = None
) -> list[Scored]:
    towards = vector() if direction is None else vector(math.cos(direction), math.sin(direction))
    return rank(index.candidates(Query.of(question, towards)), limit)


def ids(ranked: Sequence[Scored]) -> list[str]:
    return [one.id for one in ranked]


def assert_alike(left: RecallIndex, right: RecallIndex, query: Query) -> None:
    assert len(left) == len(right)
    assert picture(left.candidates(query)) == picture(right.candidates(query))
    ranked_left, ranked_right = rank(left.candidates(query), 20), rank(right.candidates(query), 20)
    assert ids(ranked_left) == ids(ranked_right)
    assert [one.score for one in ranked_left] == pytest.approx([one.score for one in ranked_right], abs=1e-5)
    assert left.novelty(query.terms) == pytest.approx(right.novelty(query.terms))


# --- properties -------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(turn_lists(), queries())
def test_arms_equal_a_naive_search(turns: list[IndexedTurn], query: Query) -> None:
    candidates = index_of(turns).candidates(query)
    expected = naive_arms(turns, query) if turns else {}
    for row, name in enumerate(candidates.ids):
        assert candidates.arms[:, row].tolist() == pytest.approx(expected[name], abs=1e-4)
    found = {name for name, values in expected.items() if max(values) > 1e-5}
    assert found <= set(candidates.ids)


@settings(max_examples=200)
@given(turn_lists(), queries(), st.integers(1, 8))
def test_what_is_alike_is_near_in_words_and_in_meaning(
    turns: list[IndexedTurn], query: Query, count: int
) -> None:
    plain = [replace(turn, passages=()) for turn in turns]
    asked = replace(query, related={})
    found = index_of(plain).alike(asked.terms, asked.vector, count)
    expected = naive_arms(plain, asked) if plain else {}
    most = max((arms[1] for arms in expected.values()), default=0.0) or 1.0
    related = {name: arms for name, arms in expected.items() if arms[0] > 1e-3 or arms[1] > 0}
    likeness = {name: arms[0] + arms[1] / most for name, arms in related.items()}
    assert len(found) == min(count, len(likeness))
    assert [likeness[name] for name, _ in found] == pytest.approx(
        sorted(likeness.values(), reverse=True)[:count], abs=1e-3
    )
    assert [cosine for _, cosine in found] == pytest.approx(
        [expected[name][0] for name, _ in found], abs=1e-4
    )
    best = [name for name, _ in index_of(plain).alike(asked.terms, asked.vector, len(plain) + 1)]
    odd = set(best[::2])
    among = index_of(plain).alike(asked.terms, asked.vector, count, odd.__contains__)
    assert [name for name, _ in among] == [name for name in best if name in odd][:count]


@settings(max_examples=200)
@given(turn_lists(), queries())
def test_times_equal_a_naive_reading(turns: list[IndexedTurn], query: Query) -> None:
    candidates = index_of(turns).candidates(query)
    if not turns or query.now_us is None or not query.times:
        assert not candidates.time.any()
        return
    expected = naive_times(turns, query)
    for row, name in enumerate(candidates.ids):
        assert candidates.time[row] == pytest.approx(expected[name], abs=1e-5)
    assert {name for name, near in expected.items() if near > 0} <= set(candidates.ids)


@settings(max_examples=200)
@given(turn_lists(), queries(), st.data())
def test_a_removed_turn_was_never_there(turns: list[IndexedTurn], query: Query, data: st.DataObject) -> None:
    gone = (
        set(data.draw(st.lists(st.sampled_from([one.id for one in turns]), unique=True))) if turns else set()
    )
    index = index_of(turns)
    assert index.remove([*gone, "unknown"]) == len(gone)
    assert not any(one in index for one in gone)
    assert_alike(index, index_of(one for one in turns if one.id not in gone), query)


@settings(max_examples=200)
@given(turn_lists(), queries(), st.data())
def test_the_way_turns_came_does_not_matter(
    turns: list[IndexedTurn], query: Query, data: st.DataObject
) -> None:
    index = RecallIndex(DIMENSIONS)
    held: dict[str, IndexedTurn] = {}
    for one in data.draw(st.permutations(turns)):
        index.add([one])
        held[one.id] = one
        action = data.draw(st.sampled_from(["keep", "remove", "replace", "batch"]))
        victim = data.draw(st.sampled_from(sorted(held)))
        if action == "remove":
            assert index.remove([victim]) == 1
            del held[victim]
        elif action == "replace":
            changed = replace(held[victim], terms={"violin": 2}, session="b", vector=vector(0, 0, 1))
            index.add([changed])
            held[victim] = changed
        elif action == "batch":
            index.add(list(held.values()))
    assert_alike(index, index_of(held.values()), query)


@given(turn_lists(), queries(), st.data())
def test_only_eligible_turns_are_ranked(turns: list[IndexedTurn], query: Query, data: st.DataObject) -> None:
    names = [one.id for one in turns]
    eligible = set(data.draw(st.lists(st.sampled_from(names)))) if names else set()
    candidates = index_of(turns).candidates(query, eligible=eligible | {"unknown"})
    assert set(ids(rank(candidates, 50))) <= eligible


@given(turn_lists(), queries())
def test_scores_are_finite_and_add_up(turns: list[IndexedTurn], query: Query) -> None:
    for one in rank(index_of(turns).candidates(query), 50):
        assert np.isfinite(one.score)
        assert sum(one.terms.values()) == pytest.approx(one.score)


@given(turn_lists(), contents)
def test_novelty_is_a_share(turns: list[IndexedTurn], content: str) -> None:
    index = index_of(turns)
    terms = analyze(content).terms
    known = {term for one in turns for term in own_terms(one)}
    assert 0.0 <= index.novelty(terms) <= 1.0
    assert (index.novelty(terms) == 0.0) == (set(terms) <= known)
    assert (index.novelty(terms) == pytest.approx(1.0)) == (bool(terms) and not known & set(terms))


# --- examples ---------------------------------------------------------------------------------------------------


def test_an_empty_index_finds_nothing() -> None:
    index = RecallIndex(DIMENSIONS)
    assert len(index) == 0
    assert search(index, "tea", direction=0.0) == []
    assert index.remove(["unknown"]) == 0
    index.add([])
    assert index.novelty({"tea": 1}) == 1.0
    assert index.novelty({}) == 0.0


def test_an_empty_question_finds_nothing() -> None:
    index = index_of([turn(1, "green tea"), turn(2, "black coffee")])
    assert search(index, "") == []
    assert search(index, "what is the of?") == []
    assert search(index, "unheard") == []


def test_one_turn_is_found_by_word_or_by_vector() -> None:
    index = index_of([turn(1, "green tea", direction=0.3)])
    assert ids(search(index, "tea")) == ["id1"]
    assert ids(search(index, "unheard", direction=0.3)) == ["id1"]


def test_a_turn_without_terms_or_vector_is_harmless() -> None:
    index = index_of([turn(1, ""), turn(2, "green tea"), turn(3, "")])
    assert ids(search(index, "tea", direction=0.0))[0] == "id2"


def test_the_reply_carries_what_was_asked_before_it() -> None:
    index = index_of(
        [
            turn(1, "Which instrument does your daughter play?"),
            turn(2, "The violin, since last spring."),
            turn(3, "We painted the garden fence."),
            turn(4, "Nothing new over here."),
        ]
    )
    found = search(index, "daughter instrument")
    assert set(ids(found[:2])) == {"id1", "id2"}
    reply = next(one for one in found if one.id == "id2")
    assert reply.terms["context_lexical"] > 0
    assert "lexical" not in reply.terms


def test_neighbours_of_other_sessions_lend_nothing() -> None:
    index = index_of(
        [turn(1, "violin lessons", "a"), turn(2, "garden", "b"), turn(3, "train", None), turn(4, "tea", None)]
    )
    assert ids(search(index, "violin")) == ["id1"]


def test_a_named_author_comes_first() -> None:
    index = index_of(
        [turn(1, "I drink green tea", "a", "Ben Stone"), turn(2, "I drink green tea", "b", "Maya Lind")]
    )
    best = search(index, "Which tea does Maya's family drink?")
    assert ids(best) == ["id2", "id1"]
    assert best[0].terms["author"] > 0
    assert "author" not in best[1].terms


def test_a_related_word_finds_a_turn_but_less_than_the_word_itself() -> None:
    index = index_of(
        [turn(1, "We purchased a canoe", "a"), turn(2, "We bought a canoe", "b"), turn(3, "Tea", "c")]
    )
    query = Query.of("bought", vector(), related={"bought": {"purchas": 0.25, "unheard": 0.25}})
    assert ids(rank(index.candidates(query), 5)) == ["id2", "id1"]


def test_days_asked_for_come_first() -> None:
    index = index_of([turn(2 * day, "We had tea", f"s{day}") for day in range(40)])
    now_us = 39 * DAY_US + 1
    best = rank(index.candidates(Query.of("What did we have on 11 January 1970?", vector(), now_us)), 3)
    assert best[0].id == "id20"
    assert best[0].terms["time"] > best[1].terms["time"] > 0
    week = rank(index.candidates(Query.of("tea a week ago", vector(), now_us)), 7)
    assert ids(week) == [f"id{2 * day}" for day in range(32, 39)]


def test_a_turn_that_tells_of_a_day_is_of_that_day() -> None:
    index = index_of([turn(40, "Yesterday we had tea", "a"), turn(80, "We had tea", "b")])
    query = Query.of("Who had tea on 20 January 1970?", vector(), 100 * DAY_US)
    assert ids(rank(index.candidates(query), 2)) == ["id40", "id80"]


def test_days_are_those_of_the_place_where_a_turn_was_said() -> None:
    late = replace(turn(1, "tea"), occurred_at_us=DAY_US - 1, zone_minutes=60)
    index = index_of([late])
    for now_us, near in ((DAY_US + DAY_US // 2, 1.0), (2 * DAY_US - 3_600_000_000, 0.0)):
        found = index.candidates(Query.of("tea today", vector(), now_us))
        assert (found.time[0] == 1.0) == bool(near)


def test_without_a_moment_time_words_are_only_words() -> None:
    index = index_of([turn(1, "tea yesterday")])
    assert not index.candidates(Query.of("tea yesterday", vector())).time.any()


def test_a_question_that_asks_for_a_number_prefers_turns_with_one() -> None:
    index = index_of([turn(1, "We saw llamas", "a"), turn(2, "We saw 14 llamas", "b")])
    best = search(index, "How many llamas?")
    assert ids(best)[0] == "id2"
    assert best[0].terms["cue"] > 0


def test_a_turn_may_arrive_late() -> None:
    index = index_of([turn(1, "violin"), turn(3, "garden")])
    assert "neighbours" in {term for one in search(index, "violin") for term in one.terms}
    index.add([turn(2, "train")])
    late = index.candidates(Query.of("violin", vector()))
    rows = {name: row for row, name in enumerate(late.ids)}
    assert late.previous[rows["id2"]] == rows["id1"]
    assert late.following[rows["id2"]] == rows["id3"]
    assert late.arms[3, rows["id2"]] > 0
    assert late.arms[3, rows["id3"]] == 0


def test_a_removed_turn_leaves_nothing_inside() -> None:
    index = index_of(
        [turn(1, "tea"), turn(2, "violin, yesterday at 5", "t", "Zoe", direction=1.0), turn(3, "garden")]
    )
    index.remove(["id2"])
    assert "violin" not in index._postings
    assert "zoe" not in index._postings
    assert set(index._signs) == set()
    assert index._authors._code_of == {}
    assert set(index._sessions._code_of) == {"s"}
    assert np.count_nonzero(index._columns.vectors.any(axis=1)) == 2


def test_each_arm_nominates_so_many() -> None:
    index = index_of(turn(order, f"tea number {order}", None) for order in range(200))
    assert len(index.candidates(Query.of("tea", vector()), per_arm=7)) >= 7
    assert len(rank(index.candidates(Query.of("17", vector()), per_arm=7), 50)) == 1


def test_what_cannot_be_a_vector_is_refused() -> None:
    index = index_of([turn(1, "tea")])
    for wrong in (
        np.zeros(3, np.float32),
        np.full(DIMENSIONS, np.nan, np.float32),
        np.full(DIMENSIONS, np.inf, np.float32),
    ):
        with pytest.raises(InvalidInputError):
            index.add([turn(2, "coffee"), replace(turn(3, "train"), vector=wrong)])
        with pytest.raises(InvalidInputError):
            index.candidates(Query({}, wrong))
    assert len(index) == 1
    assert "id2" not in index


def test_very_long_vectors_stay_finite() -> None:
    index = index_of([replace(turn(order, "tea"), vector=vector(1e17, 3e17)) for order in range(3)])
    assert all(np.isfinite(one.score) for one in search(index, "tea", direction=1.0))


def test_memory_is_estimated() -> None:
    index = RecallIndex(DIMENSIONS)
    empty = index.bytes_used
    index.add([turn(order, f"word{order} tea", f"s{order % 7}", f"Author {order}") for order in range(500)])
    full = index.bytes_used
    assert full > empty + 500 * DIMENSIONS * 4
    index.remove([f"id{order}" for order in range(500)])
    assert empty <= index.bytes_used < full
    assert len(index) == 0


def test_freed_places_are_used_again() -> None:
    index = index_of(turn(order, "tea") for order in range(40))
    for order in range(40, 1000):
        index.remove([f"id{order - 40}"])
        index.add([turn(order, "tea")])
    assert len(index) == 40
    assert index.bytes_used < 2 * index_of(turn(order, "tea") for order in range(40)).bytes_used
