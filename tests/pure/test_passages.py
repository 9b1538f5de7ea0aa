from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recall_twin import DIMENSIONS, index_of, turn, vector

from tiered_memory.errors import InvalidInputError
from tiered_memory.scoring.passages import LONG_WORDS, MOST_PASSAGES, PASSAGE_WORDS, Passage, Passages, split
from tiered_memory.scoring.ranking import rank
from tiered_memory.scoring.recall_index import IndexedTurn, Query, RecallIndex
from tiered_memory.scoring.text import analyze

SENTENCE = "The committee met again to weigh the plan for the harbour wall. "
FILLER = SENTENCE * 20
NEEDLE = "The violin was repaired in Cremona for 900 euros. "


def long_turn(order: int, content: str, session: str) -> IndexedTurn:
    parts = tuple(Passage(analyze(part).terms, vector(1.0)) for part in split(content))
    return replace(turn(order, content, session), passages=parts)


def best(index: RecallIndex, question: str) -> list[str]:
    return [one.id for one in rank(index.candidates(Query.of(question, vector())), 10)]


def test_a_short_text_is_one() -> None:
    assert split("") == []
    assert split("word " * LONG_WORDS) == []
    assert split("x" * 10_000) == []


def test_a_long_text_is_cut_at_the_end_of_a_sentence() -> None:
    parts = split(FILLER)
    assert [len(part.split()) for part in parts] == [120, 120]
    assert all(part.endswith(". ") for part in parts)
    assert all(len(part.split()) <= PASSAGE_WORDS for part in parts)


def test_decimals_and_abbreviations_are_not_torn() -> None:
    parts = split("It cost 3.5 million, e.g.for v1.2.3\n" * 60)
    assert all(part.startswith("It cost 3.5") for part in parts)


def test_a_text_without_sentences_is_cut_between_words() -> None:
    parts = split("word " * 1000)
    assert len(parts) == -(-1000 // PASSAGE_WORDS)
    assert max(len(part.split()) for part in parts) == PASSAGE_WORDS


def test_scripts_without_spaces_are_measured_too() -> None:
    parts = split("我们昨天又讨论了海港的计划。" * 100)
    assert len(parts) > 3
    assert all(part.endswith("。") for part in parts)


def test_a_huge_text_has_a_bounded_number_of_passages() -> None:
    parts = split(SENTENCE * 5000)
    assert len(parts) == MOST_PASSAGES
    assert "".join(parts) == SENTENCE * 5000


@given(
    st.lists(
        st.sampled_from(["word ", "End. ", "a\n", "茶。", "3.5 ", "?! ", "\n\n", "x" * 30, "'). "]),
        max_size=900,
    )
)
def test_nothing_is_lost(pieces: list[str]) -> None:
    text = "".join(pieces)
    parts = split(text)
    assert parts == [] or "".join(parts).split() == text.split()
    assert len(parts) != 1
    assert all(parts)


def test_a_detail_in_the_middle_of_a_long_message_is_found() -> None:
    content = FILLER + NEEDLE + FILLER
    short = [turn(order, f"The violin, again {order}", f"s{order}") for order in range(2, 9)]
    whole = index_of([turn(1, content, "a"), *short])
    parted = index_of([long_turn(1, content, "a"), *short])
    question = "Was the violin repaired in Cremona?"
    scores = [
        next(
            one.terms["lexical"]
            for one in rank(index.candidates(Query.of(question, vector())), 10)
            if one.id == "id1"
        )
        for index in (whole, parted)
    ]
    assert best(parted, question)[0] == "id1"
    assert scores[0] <= scores[1]
    raw = [index.candidates(Query.of(question, vector())).arms[1, 0] for index in (whole, parted)]
    assert raw[0] < raw[1]


def test_the_best_passages_vector_is_the_turns() -> None:
    parts = (Passage({"tea": 1}, vector(0, 1)), Passage({"tea": 1}, vector(1, 1)))
    index = index_of([replace(turn(1, "tea tea"), passages=parts)])
    found = index.candidates(Query({}, vector(0, 2)))
    assert found.arms[0, 0] == pytest.approx(1.0)


def test_removed_passages_leave_nothing_inside() -> None:
    index = index_of([long_turn(1, FILLER + NEEDLE, "a"), turn(2, "tea", "b")])
    assert "cremona" in index._passages._postings
    index.remove(["id1"])
    assert set(index._passages._postings) == set()
    assert not index._passages._columns.vectors.any()
    assert index._passages._of_turn == {}
    assert best(index, "Cremona") == []


def test_a_passages_vector_is_checked_before_anything_is_added() -> None:
    index = index_of([turn(1, "tea")])
    wrong = Passage({"tea": 1}, np.full(DIMENSIONS, np.nan, np.float32))
    with pytest.raises(InvalidInputError):
        index.add([turn(2, "coffee"), replace(turn(3, "tea"), passages=(wrong,))])
    assert len(index) == 1


def test_without_passages_next_to_nothing_is_held() -> None:
    empty = Passages(256)
    assert empty.bytes_used < 4096
    empty.add(3, (Passage({"tea": 2}, np.ones(256, np.float32)),), ("maya",))
    assert empty.bytes_used > 1024
