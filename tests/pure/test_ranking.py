from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.scoring.ranking import (
    DEFAULT_STRENGTH_WEIGHT,
    DEFAULT_WEIGHTS,
    TERMS,
    Candidates,
    Scored,
    apply_strength,
    context_trust,
    rank,
    score_terms,
)


def rows(count: int, **given_columns: object) -> Candidates:
    """Rows without neighbours, sessions or matches, apart from what is given."""
    columns: dict[str, object] = {
        "ids": [f"t{row}" for row in range(count)],
        "order": np.arange(count),
        "arms": np.zeros((4, count), np.float32),
        "previous": np.full(count, -1),
        "following": np.full(count, -1),
        "session": np.full(count, -1),
        "length": np.full(count, 20, np.float32),
        "named": np.zeros(count, bool),
        "question": np.zeros(count, bool),
        "importance": np.zeros(count, np.float32),
        "cue": np.zeros(count, np.float32),
        "time": np.zeros(count, np.float32),
        "eligible": np.ones(count, bool),
    }
    return Candidates(**(columns | given_columns))  # type: ignore[arg-type]


def arms(*lexical: float) -> np.ndarray:
    """The same values in the two lexical arms, nothing in the vector arms."""
    found = np.zeros((4, len(lexical)), np.float32)
    found[1] = found[3] = lexical
    return found


def ids(ranked: list[Scored]) -> list[str]:
    return [one.id for one in ranked]


@st.composite
def candidate_sets(draw: st.DrawFn) -> Candidates:
    count = draw(st.integers(1, 12))
    column = lambda values: draw(st.lists(values, min_size=count, max_size=count))  # noqa: E731
    neighbours = st.integers(-1, count - 1)
    return rows(
        count,
        order=np.array(column(st.integers(0, 5))),
        arms=np.array([column(st.floats(-1, 30, width=32)) for _ in range(4)], np.float32),
        previous=np.array(column(neighbours)),
        following=np.array(column(neighbours)),
        session=np.array(column(st.integers(-1, 3))),
        length=np.array(column(st.integers(0, 5000)), np.float32),
        named=np.array(column(st.booleans())),
        question=np.array(column(st.booleans())),
        importance=np.array(column(st.floats(0, 1, width=32)), np.float32),
        cue=np.array(column(st.floats(0, 1, width=32)), np.float32),
        time=np.array(column(st.floats(0, 1, width=32)), np.float32),
        eligible=np.array(column(st.booleans())),
    )


def test_the_better_match_comes_first() -> None:
    assert ids(rank(rows(3, arms=arms(1, 3, 2)), 3)) == ["t1", "t2", "t0"]


def test_equal_scores_keep_the_order_of_the_turns() -> None:
    tied = rows(4, order=np.array([30, 10, 40, 20]), arms=arms(1, 1, 1, 1))
    assert ids(rank(tied, 4)) == ["t1", "t3", "t0", "t2"]


def test_arms_count_relative_to_their_best_row() -> None:
    small, large = rows(3, arms=arms(1, 3, 2)), rows(3, arms=arms(10, 30, 20))
    assert [one.score for one in rank(small, 3)] == pytest.approx([one.score for one in rank(large, 3)])


def test_limit_and_empty_input() -> None:
    assert rank(rows(0), 5) == []
    assert rank(rows(3, arms=arms(1, 2, 3)), 0) == []
    assert len(rank(rows(3, arms=arms(1, 2, 3)), 2)) == 2


def test_rows_that_are_not_eligible_lend_but_never_appear() -> None:
    before = rows(2, arms=arms(0, 5), eligible=np.array([True, False]))
    linked = replace(before, following=np.array([1, -1]))
    assert ids(rank(linked, 5)) == ["t0"]
    assert rank(linked, 5)[0].score > rank(before, 5)[0].score
    assert "neighbours" in rank(linked, 5)[0].terms


def test_long_turns_neither_lend_nor_borrow() -> None:
    short = rows(2, arms=arms(1, 5), following=np.array([1, -1]))
    long = replace(short, length=np.array([20, 900], np.float32))
    lent = [score_terms(each)[TERMS.index("neighbours"), 0] for each in (short, long)]
    assert lent[0] > 0.2
    assert lent[1] < 0.001


def test_a_long_turn_stands_for_its_own_context() -> None:
    found = np.array([[1, 0.5], [4, 2], [0, 1], [0, 6]], np.float32)
    long = rows(2, arms=found, previous=np.array([-1, 0]), length=np.array([800, 800], np.float32))
    terms = score_terms(long)
    assert terms[2, 0] == pytest.approx(DEFAULT_WEIGHTS.context_vector, abs=1e-3)
    assert terms[3, 1] == pytest.approx(0.5 * DEFAULT_WEIGHTS.context_lexical, abs=1e-3)


def test_trust_in_context_falls_smoothly_with_length() -> None:
    trust = context_trust(np.array([0, 10, DEFAULT_WEIGHTS.context_terms, 300, 5000], np.float32))
    assert trust[0] == 1.0
    assert trust[1] > 0.99
    assert trust[2] == pytest.approx(0.5)
    assert trust[3] < 0.01
    assert all(np.diff(trust) < 0)


def test_a_named_author_counts() -> None:
    assert ids(rank(rows(2, arms=arms(2, 2), named=np.array([False, True])), 2)) == ["t1", "t0"]


def test_a_statement_goes_before_a_question() -> None:
    assert ids(rank(rows(2, arms=arms(2, 2), question=np.array([True, False])), 2)) == ["t1", "t0"]


@pytest.mark.parametrize("term", ["importance", "cue", "time"])
def test_what_speaks_for_a_turn_decides_between_equals(term: str) -> None:
    given = {term: np.array([0.2, 0.9, 0.0], np.float32)}
    best = rank(rows(3, arms=arms(2, 2, 2), **given), 3)
    assert ids(best) == ["t1", "t0", "t2"]
    assert best[0].terms[term] == pytest.approx(0.9 * getattr(DEFAULT_WEIGHTS, term))
    assert term not in best[2].terms


@pytest.mark.parametrize("term", ["importance", "cue"])
def test_what_speaks_for_a_turn_is_bounded(term: str) -> None:
    given = {term: np.array([0.0, 1.0], np.float32)}
    assert ids(rank(rows(2, arms=arms(4, 2), **given), 2)) == ["t0", "t1"]


def test_neighbours_of_neighbours_lend_a_little() -> None:
    chain = rows(
        4, arms=arms(0, 0, 6, 0), previous=np.array([-1, 0, 1, 2]), following=np.array([1, 2, 3, -1])
    )
    lent = score_terms(chain)[TERMS.index("neighbours")]
    assert lent[1] > lent[0] > 0
    assert lent[0] == pytest.approx(DEFAULT_WEIGHTS.beyond / DEFAULT_WEIGHTS.following * lent[1])


def test_a_good_session_lifts_its_turns() -> None:
    good = rows(3, arms=arms(1, 1, 6), session=np.array([0, 1, 1]))
    assert ids(rank(good, 3)) == ["t2", "t1", "t0"]


@given(candidate_sets(), st.integers(0, 15))
def test_terms_add_up_and_order_holds(candidates: Candidates, limit: int) -> None:
    ranked = rank(candidates, limit)
    assert len(ranked) == min(limit, int(candidates.eligible.sum()))
    for one in ranked:
        assert np.isfinite(one.score)
        assert set(one.terms) <= set(TERMS)
        assert sum(one.terms.values()) == pytest.approx(one.score)
    scores = [one.score for one in ranked]
    assert scores == pytest.approx(sorted(scores, reverse=True), abs=1e-8)


@given(candidate_sets(), st.randoms())
def test_the_order_of_rows_does_not_matter(candidates: Candidates, shuffler: object) -> None:
    count = len(candidates)
    order = np.arange(count)
    candidates = replace(candidates, order=order)
    permuted = list(range(count))
    shuffler.shuffle(permuted)  # type: ignore[attr-defined]
    place = np.argsort(permuted)
    moved = Candidates(
        ids=[candidates.ids[row] for row in permuted],
        order=candidates.order[permuted],
        arms=candidates.arms[:, permuted],
        previous=np.where(candidates.previous[permuted] >= 0, place[candidates.previous[permuted]], -1),
        following=np.where(candidates.following[permuted] >= 0, place[candidates.following[permuted]], -1),
        session=candidates.session[permuted],
        length=candidates.length[permuted],
        named=candidates.named[permuted],
        question=candidates.question[permuted],
        importance=candidates.importance[permuted],
        cue=candidates.cue[permuted],
        time=candidates.time[permuted],
        eligible=candidates.eligible[permuted],
    )
    assert ids(rank(moved, count)) == ids(rank(candidates, count))


scored_lists = st.lists(st.floats(0, 5).map(lambda score: score + 0.25), min_size=1, max_size=10).map(
    lambda scores: [Scored(f"t{i}", s, {"lexical": s}) for i, s in enumerate(sorted(scores, reverse=True))]
)


@given(scored_lists, st.data(), st.floats(0, 1))
def test_strength_is_a_bounded_factor_and_never_a_filter(
    scored: list[Scored], data: st.DataObject, weight: float
) -> None:
    strengths = {one.id: data.draw(st.floats(-0.5, 1.5)) for one in scored}
    before = {one.id: one.score for one in scored}
    weakened = apply_strength(scored, strengths, weight)
    assert {one.id for one in weakened} == set(before)
    for one in weakened:
        assert (1 - weight) * before[one.id] - 1e-9 <= one.score <= before[one.id] + 1e-9
        assert sum(one.terms.values()) == pytest.approx(one.score)


def test_strength_orders_what_is_about_as_relevant() -> None:
    scored = [Scored("weak", 2.00, {"lexical": 2.00}), Scored("strong", 1.985, {"lexical": 1.985})]
    assert ids(apply_strength(scored, {"weak": 0.1, "strong": 1.0})) == ["strong", "weak"]
    assert ids(apply_strength(scored, {"weak": 0.9, "strong": 1.0})) == ["weak", "strong"]


def test_strength_by_default_cannot_overturn_relevance() -> None:
    scored = [Scored("answer", 2.0, {"lexical": 2.0}), Scored("fresh", 1.8, {"lexical": 1.8})]
    assert ids(apply_strength(scored, {"answer": 0.0, "fresh": 1.0})) == ["answer", "fresh"]
    assert 0 < DEFAULT_STRENGTH_WEIGHT < 0.1


def test_unknown_strength_changes_nothing() -> None:
    scored = [Scored("a", 2.0, {"lexical": 2.0}), Scored("b", 1.0, {"lexical": 1.0})]
    assert apply_strength(scored, {}) == scored
