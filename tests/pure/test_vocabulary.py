"""A vocabulary finds the same new that the index of the same turns finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.scoring.recall_index import IndexedTurn, RecallIndex
from tiered_memory.scoring.text import analyze
from tiered_memory.scoring.vocabulary import Vocabulary

WORDS = st.lists(
    st.sampled_from(["falcon", "harbour", "violin", "gravel", "copper", "Maya", "Iris"]), max_size=5
)
TEXTS = st.lists(st.tuples(WORDS.map(" ".join), st.sampled_from([None, "Maya", "Iris"])), max_size=8)


def indexed(number: int, content: str, author: str | None) -> IndexedTurn:
    return IndexedTurn(
        id=str(number),
        order=number,
        session=None,
        author=author,
        occurred_at_us=0,
        characters=len(content),
        terms=analyze(content).terms,
        vector=np.ones(2, dtype=np.float32),
    )


@given(TEXTS, WORDS.map(" ".join))
def test_novelty_is_that_of_the_index(texts: list[tuple[str, str | None]], asked: str) -> None:
    vocabulary, index = Vocabulary(), RecallIndex(2)
    for number, (content, author) in enumerate(texts):
        vocabulary.add(analyze(content).terms, analyze(author or "").terms)
        index.add([indexed(number, content, author)])
    terms = analyze(asked).terms
    expected = index.novelty(terms) if terms else None
    assert vocabulary.novelty(terms) == pytest.approx(expected)


def test_all_is_new_at_first_and_nothing_the_second_time() -> None:
    vocabulary, terms = Vocabulary(), analyze("the falcon left the harbour").terms
    assert vocabulary.novelty(terms) == 1.0
    vocabulary.add(terms)
    assert vocabulary.novelty(terms) == 0.0
    half = vocabulary.novelty(analyze("falcon violin").terms)
    assert half is not None
    assert 0.5 < half < 1.0
