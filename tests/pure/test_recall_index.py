from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiered_memory.errors import InvalidInputError
from tiered_memory.scoring.ranking import Candidates, Scored, rank
from tiered_memory.scoring.recall_index import IndexedTurn, Query, RecallIndex
from tiered_memory.scoring.text import analyze, is_question

DIMENSIONS = 4
K1, B = 1.2, 0.75


def vector(*values: float) -> np.ndarray:
    return np.array([*values, *[0.0] * (DIMENSIONS - len(values))], np.float32)


def turn(
    order: int, content: str, session: str | None = "s", author: str | None = None, direction: float = 0.0
) -> IndexedTurn:
    return IndexedTurn(
        id=f"id{order}",
        order=order,
        session=session,
        author=author,
        occurred_at_us=order * 1_000_000,
        characters=len(content),
        terms=analyze(content).terms,
        vector=vector(math.cos(direction), math.sin(direction)) if content else vector(),
        question=is_question(content),
    )


def index_of(turns: Iterable[IndexedTurn]) -> RecallIndex:
    index = RecallIndex(DIMENSIONS)
    index.add(list(turns))
    return index


def search(
    index: RecallIndex, question: str, limit: int = 10, direction: float | None = None
) -> list[Scored]:
    towards = vector() if direction is None else vector(math.cos(direction), math.sin(direction))
    return rank(index.candidates(Query.of(question, towards)), limit)


def ids(ranked: Sequence[Scored]) -> list[str]:
    return [one.id for one in ranked]


# --- a naive twin: plain dictionaries, no index -----------------------------------------------------------------


def own_terms(one: IndexedTurn) -> dict[str, int]:
    counts = dict(one.terms)
    for name in analyze(one.author or "").terms:
        counts[name] = counts.get(name, 0) + 1
    return counts


def predecessors(turns: Sequence[IndexedTurn]) -> dict[str, IndexedTurn]:
    latest: dict[str, IndexedTurn] = {}
    before: dict[str, IndexedTurn] = {}
    for one in sorted(turns, key=lambda each: each.order):
        if one.session is not None:
            if one.session in latest:
                before[one.id] = latest[one.session]
            latest[one.session] = one
    return before


def naive_bm25(documents: dict[str, dict[str, int]], terms: Iterable[str]) -> dict[str, float]:
    average = sum(sum(counts.values()) for counts in documents.values()) / len(documents)
    scores = dict.fromkeys(documents, 0.0)
    for term in terms:
        holding = sum(term in counts for counts in documents.values())
        rarity = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
        for key, counts in documents.items():
            if term in counts:
                length = sum(counts.values())
                weight = counts[term] + K1 * (1 - B + B * length / max(average, 1.0))
                scores[key] += rarity * counts[term] * (K1 + 1) / weight
    return scores


def naive_arms(turns: Sequence[IndexedTurn], query: Query) -> dict[str, list[float]]:
    before = predecessors(turns)
    documents = {one.id: own_terms(one) for one in turns}
    wide = {}
    for one in turns:
        wide[one.id] = dict(documents[one.id])
        for term, count in (documents[before[one.id].id] if one.id in before else {}).items():
            wide[one.id][term] = wide[one.id].get(term, 0) + count
    vectors = {one.id: one.vector for one in turns}
    sums = {one.id: one.vector + (before[one.id].vector if one.id in before else 0) for one in turns}
    lexical, context = naive_bm25(documents, query.terms), naive_bm25(wide, query.terms)
    return {
        one.id: [
            cosine(vectors[one.id], query.vector),
            lexical[one.id],
            cosine(sums[one.id], query.vector),
            context[one.id],
        ]
        for one in turns
    }


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    lengths = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / lengths if lengths > 1e-9 else 0.0


# --- strategies -------------------------------------------------------------------------------------------------

WORDS = ["tea", "coffee", "lisbon", "train", "error", "timeout", "maya", "garden", "tuesday", "violin"]
contents = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)


@st.composite
def turn_lists(draw: st.DrawFn) -> list[IndexedTurn]:
    orders = draw(st.lists(st.integers(0, 60), unique=True, max_size=14))
    whole = st.integers(-3, 3).map(float)
    made = []
    for order in orders:
        session, author = (
            draw(st.sampled_from([None, "a", "b"])),
            draw(st.sampled_from([None, "Maya", "Ben"])),
        )
        values = draw(st.lists(whole, min_size=DIMENSIONS, max_size=DIMENSIONS))
        made.append(replace(turn(order, draw(contents), session, author), vector=vector(*values)))
    return made


@st.composite
def queries(draw: st.DrawFn) -> Query:
    values = draw(st.lists(st.integers(-3, 3).map(float), min_size=DIMENSIONS, max_size=DIMENSIONS))
    return Query.of(draw(contents), vector(*values))


def picture(candidates: Candidates) -> dict[str, tuple[object, ...]]:
    """All that candidates say, by id, independent of rows and session numbers."""
    names = [*candidates.ids, None]
    return {
        name: (
            int(candidates.order[row]),
            tuple(np.round(candidates.arms[:, row].astype(float), 4)),
            names[int(candidates.previous[row])],
            names[int(candidates.following[row])],
            float(candidates.length[row]),
            bool(candidates.named[row]),
            bool(candidates.question[row]),
            bool(candidates.eligible[row]),
            frozenset(
                candidates.ids[other]
                for other in np.flatnonzero(candidates.session == candidates.session[row])
                if candidates.session[row] >= 0
            ),
        )
        for row, name in enumerate(candidates.ids)
    }


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
    index = index_of([turn(1, "tea"), turn(2, "violin", "t", "Zoe", direction=1.0), turn(3, "garden")])
    index.remove(["id2"])
    assert "violin" not in index._postings
    assert "zoe" not in index._postings
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
