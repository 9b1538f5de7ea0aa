from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.scoring.signs import NAME, NUMBER, TIME, asked_for, signs_of
from tiered_memory.scoring.time_spans import is_form
from tiered_memory.scoring.time_words import time_forms


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("We walked along the river.", set()),
        ("We met on Tuesday.", {TIME}),
        ("It took a few weeks.", {TIME}),
        ("We saw fourteen of them, twice.", {NUMBER}),
        ("It cost 40 euros.", {NUMBER}),
        ("I moved to Lisbon.", {NAME}),
        ('She read "Dune" again.', {NAME}),
        ("Yesterday I met Ines at 5.", {TIME, NUMBER, NAME}),
    ],
)
def test_what_a_text_holds(text: str, kinds: set[str]) -> None:
    assert {sign for sign in signs_of(text) if sign in {TIME, NUMBER, NAME}} == kinds


def test_the_first_word_and_i_are_no_names() -> None:
    assert NAME not in signs_of("Walking home, I saw it. Then I slept. OK")


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("When did Maya move?", {TIME}),
        ("What year was it?", {TIME}),
        ("How many cats are there?", {NUMBER}),
        ("How much did the boat cost?", {NUMBER}),
        ("Who taught her?", {NAME}),
        ("Where does he live?", {NAME}),
        ("What's the name of the dog?", {NAME}),
        ("Which book did she read?", {NAME}),
        ("Where and when was it?", {TIME, NAME}),
        ("Why did she leave?", set()),
        ("What does he drink?", set()),
    ],
)
def test_what_a_question_asks_for(question: str, kinds: set[str]) -> None:
    assert asked_for(question) == kinds


def test_time_words_become_signs() -> None:
    assert {"d-1", "2023-05", TIME} <= set(signs_of("Yesterday and in May 2023"))


@given(st.text())
def test_signs_are_kinds_and_forms_each_once(text: str) -> None:
    signs = signs_of(text)
    assert len(set(signs)) == len(signs)
    assert set(signs) - {TIME, NUMBER, NAME} == set(time_forms(text))
    assert (TIME in signs) or not time_forms(text)
    assert not any(map(is_form, (TIME, NUMBER, NAME)))
