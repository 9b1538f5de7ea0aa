"""Assertions that could not relate are not compared: the gate in front of the judge never costs a verdict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from judge_words import FIRST_PERSON, SENTENCES, said, sentences, similarities, texts

from tiered_memory.scoring.claims import Assertion, assertions, read
from tiered_memory.scoring.comparison import compare, could_relate, speak_for_themselves
from tiered_memory.scoring.supersession import UNRELATED, _verdict, worth_comparing

told = st.sampled_from([one for text in SENTENCES for one in assertions(text)])
made = texts.map(read)


@given(told | made, told | made, similarities, st.booleans())
def test_what_the_gate_stops_no_rule_applies_to(
    after: Assertion, before: Assertion, similarity: float, brief: bool
) -> None:
    if not could_relate(after, before, similarity, brief=brief):
        assert _verdict(compare(after, before, similarity, brief=brief)) == UNRELATED


def test_of_the_sentences_of_the_set_it_stops_most_and_lets_through_what_is_related() -> None:
    every = [one for text in SENTENCES[:120] for one in assertions(text)]
    pairs = [(after, before) for after in every for before in every if after is not before]
    stopped = [pair for pair in pairs if not could_relate(*pair, 0.3, brief=True)]
    assert len(pairs) / 2 < len(stopped) < len(pairs)
    assert {_verdict(compare(*pair, 0.3, brief=True)) for pair in stopped} == {UNRELATED}


def test_a_shared_term_a_shared_attribute_and_likeness_of_brief_texts_pass() -> None:
    flat, moved = read("I live in Madrid."), read("We moved to Lisbon.")
    assert could_relate(moved, flat, 0.0, brief=False)
    concert, cake = read("The concert begins at 19:30."), read("Grandma bakes at 19:30.")
    assert not could_relate(concert, cake, 0.3, brief=False)
    assert could_relate(concert, cake, 0.3, brief=True)
    rain, lamp = read("Rain fell."), read("The lamp broke.")
    assert not could_relate(rain, lamp, 0.3, brief=True)
    assert could_relate(rain, lamp, 0.4, brief=True)
    assert not could_relate(rain, lamp, 0.4, brief=False)


@given(sentences | texts)
def test_what_is_noted_of_an_assertion_is_no_part_of_it(text: str) -> None:
    one, other = read(text), read(text)
    signs = one.signs
    assert one == other
    assert hash(one) == hash(other)
    assert one.signs is signs
    assert other.signs == signs
    assert "noted" not in repr(one)


@given(sentences | texts)
def test_a_statement_is_weighed_once(text: str) -> None:
    one = said(text)
    found = worth_comparing(one)
    assert one.weighed == [found]
    assert worth_comparing(one) is found
    assert one == said(text)


def test_whoever_speaks_of_themselves_is_not_contradicted_by_another() -> None:
    first, second = (read(text) for text in FIRST_PERSON[:2])
    assert speak_for_themselves(first, second)
    named = read("Marta lives in Madrid."), read("Marta moved to Lisbon.")
    assert not speak_for_themselves(*named)
