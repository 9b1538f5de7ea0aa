from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.scoring.text import ANALYZER, MAX_TERM_CHARACTERS, analyze, is_question, words


def terms(text: str) -> set[str]:
    return set(analyze(text).terms)


def test_the_analyzer_has_a_version() -> None:
    assert ANALYZER == "en-porter-2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Caroline's paintings", {"carolin", "paint"}),
        ("I don't think we've won, can't say", {"think", "won", "sai"}),
        ("the 2nd run took 840 seconds", {"2nd", "run", "took", "840", "second"}),
        ("kebab-case, dotted.name", {"kebab", "case", "dot", "name"}),
        ("What did she say, and why?", {"sai"}),
        ("typographic it\u2019s Bob\u2019s", {"typograph", "bob"}),
    ],
)
def test_english(text: str, expected: set[str]) -> None:
    assert terms(text) == expected


def test_inflections_meet_in_one_term() -> None:
    assert terms("connected") == terms("connecting") == terms("connections")


def test_letters_outside_ascii_are_kept() -> None:
    assert terms("Привет, κόσμε") == {"привет", "κοσμε"}


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("Café", "cafe"),
        ("Mölndal", "molndal"),
        ("Łódź", "lodz"),
        ("straße", "strasse"),
        ("Ærø", "aero"),
        ("ёлка", "елка"),
    ],
)
def test_accents_do_not_matter(marked: str, plain: str) -> None:
    assert analyze(marked) == analyze(plain)


@pytest.mark.parametrize("word", ["हिन्दी", "ภาษาไทย", "ガイド", "한국어"])
def test_marks_that_make_another_letter_are_kept(word: str) -> None:
    assert set("".join(terms(word))) == set(word)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fooBar", {"foobar", "foo", "bar"}),
        ("HTTPServer", {"httpserver", "http", "server"}),
        ("foo_bar", {"foo_bar", "foo", "bar"}),
        ("gpt4", {"gpt4", "gpt", "4"}),
        ("v1.2.3", {"1.2.3", "1.2", "v1", "2", "3"}),
        ("10,000", {"10000", "10", "000"}),
        ("C++ or C#", {"c", "c++", "c#"}),
        ("ERR_CONN_RESET", {"err_conn_reset", "err", "conn", "reset"}),
        ("the 3rd", {"3rd"}),
        ("a1b2c3d4", {"a1b2c3d4"}),
    ],
)
def test_names_out_of_code_and_numbers_are_kept_whole_and_in_parts(text: str, expected: set[str]) -> None:
    assert terms(text) == expected


def test_a_name_is_found_however_it_is_written() -> None:
    for written, asked in (("gpt4", "GPT-4"), ("parseDate", "parse date"), ("retry_limit", "retry limit")):
        assert terms(asked) <= terms(written)
    assert "1.2" in terms("1.2") & terms("v1.2.3")
    assert "10000" in terms("10,000") & terms("10000")


def test_composed_and_decomposed_letters_are_one() -> None:
    assert terms("cafe\u0301") == terms("caf\u00e9")


def test_scripts_without_spaces_become_bigrams_and_single_ideographs() -> None:
    assert analyze("我喜欢茶").terms == {"我喜": 1, "喜欢": 1, "欢茶": 1, "喜": 1, "欢": 1, "茶": 1}
    assert terms("アイス") == {"アイ", "イス"}
    assert analyze("喝 tea 茶").terms == {"喝": 1, "tea": 1, "茶": 1}
    assert terms("API错误") == {"api", "错误", "错", "误"}


def test_a_part_of_a_word_in_chinese_is_found() -> None:
    assert terms("绿茶") <= terms("我每天早上喝绿茶")
    assert terms("茶") <= terms("我每天早上喝绿茶")


def test_counts_and_length() -> None:
    analysis = analyze("Tea, tea and more teas: coffee")
    assert analysis.terms == {"tea": 3, "coffe": 1}
    assert analysis.length == 4


def test_long_runs_are_cut() -> None:
    assert max(map(len, terms("a" * 500 + " " + "9" * 500))) == MAX_TERM_CHARACTERS


def test_nothing_to_index() -> None:
    for text in ("", "   ", "the and of", "!?…", "👍"):
        assert analyze(text).terms == {}
        assert analyze(text).length == 0


def test_words_are_plain_and_without_stop_words() -> None:
    assert words("What does Maya's brother drink?") == {"maya", "brother", "drink"}


@pytest.mark.parametrize(
    "text", ["Why?", "Really?! ... so?", "(is it so?)", "本当ですか\uff1f", '"who?" ', "*why?*"]
)
def test_questions(text: str) -> None:
    assert is_question(text)


@pytest.mark.parametrize("text", ["", "No.", "Is it? Yes it is.", "why"])
def test_no_questions(text: str) -> None:
    assert not is_question(text)


@given(st.text())
def test_any_text_has_terms_that_add_up(text: str) -> None:
    analysis = analyze(text)
    assert analysis.length == sum(analysis.terms.values())
    assert all(term and count >= 1 for term, count in analysis.terms.items())
    assert all(len(term) <= MAX_TERM_CHARACTERS for term in analysis.terms)


@given(st.text(alphabet=st.characters(max_codepoint=0x24F), max_size=40), st.text(max_size=40))
def test_texts_apart_are_analyzed_apart(left: str, right: str) -> None:
    together = analyze(f"{left}\n{right}").terms
    apart = analyze(left).terms
    assert all(together.get(term, 0) >= count for term, count in apart.items())


@given(st.text(alphabet="abcdefghij -'", max_size=60))
def test_case_does_not_matter(text: str) -> None:
    assert analyze(text) == analyze(text.upper())
