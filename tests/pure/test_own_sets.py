from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pytest

from benchmarks.datasets import Conversation, Question, Turn, load
from tiered_memory.model import Role

SETS = Path(__file__).resolve().parents[2] / "benchmarks" / "sets"
FILES = tuple(sorted(path for path in SETS.glob("*.json") if path.stem != "supersession"))
CATEGORIES = {1, 2, 3, 4}
HIGHEST_MEAN_OVERLAP = 0.12
_WORD = re.compile(r"\w+")
_FIGURE = re.compile(r"\d[\d,.]*\d|\d")
_CHINESE = re.compile("[\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class Size:
    """The least that makes a set's figures mean something."""

    conversations: int
    sessions: int
    turns: int
    questions: int


SIZES = {
    "short_chat": Size(conversations=8, sessions=5, turns=700, questions=200),
    "work_dialogues": Size(conversations=7, sessions=3, turns=290, questions=200),
}


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def overlap(one: str, other: str) -> float:
    """Return the Jaccard index of two texts' words, 0 to 1."""
    left, right = set(words(one)), set(words(other))
    return len(left & right) / len(left | right)


def raw(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return entries


def questions(path: Path) -> Iterator[tuple[Conversation, Question]]:
    for conversation in load(path):
        for question in conversation.questions:
            yield conversation, question


def turns(path: Path) -> list[Turn]:
    return [turn for conversation in load(path) for turn in conversation.turns]


def evidence_of(conversation: Conversation, question: Question) -> str:
    return " ".join(turn.text for turn in conversation.turns if turn.id in question.evidence)


def dates_of(conversation: Conversation, question: Question) -> str:
    found = [turn.occurred_at for turn in conversation.turns if turn.id in question.evidence]
    return " ".join(f" {when.day} {when.year}" for when in found)


def missing_figures(answer: str, spoken: str) -> list[str]:
    """Return the numbers of `answer` that `spoken` does not have, digit for digit."""
    return [figure for figure in _FIGURE.findall(answer) if figure not in spoken]


def overlaps(path: Path) -> list[float]:
    return [overlap(one.text, evidence_of(conversation, one)) for conversation, one in questions(path)]


def test_the_sizes_are_of_these_files() -> None:
    assert [path.stem for path in FILES] == sorted(SIZES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_set_is_large_enough(path: Path) -> None:
    size, loaded = SIZES[path.stem], load(path)
    assert len(loaded) >= size.conversations
    assert min(len(conversation.sessions) for conversation in loaded) >= size.sessions
    assert sum(len(conversation.turns) for conversation in loaded) >= size.turns
    assert sum(len(conversation.questions) for conversation in loaded) >= size.questions


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_ids_are_unique_and_say_where_a_turn_is(path: Path) -> None:
    names = [entry["sample_id"] for entry in raw(path)]
    assert len(set(names)) == len(names)
    for conversation in load(path):
        places: Counter[str] = Counter()
        for turn in conversation.turns:
            places[turn.session] += 1
            number = turn.session.removeprefix("session_")
            assert turn.id == f"D{number}:{places[turn.session]}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_question_is_kept_with_all_its_evidence(path: Path) -> None:
    for entry, conversation in zip(raw(path), load(path), strict=True):
        stated = [(one["question"], frozenset(one["evidence"]), one["category"]) for one in entry["qa"]]
        assert [(one.text, one.evidence, one.category) for one in conversation.questions] == stated
        assert all(one["answer"].strip() for one in entry["qa"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_figures_of_an_answer_stand_in_its_evidence(path: Path) -> None:
    for entry, conversation in zip(raw(path), load(path), strict=True):
        for one, question in zip(entry["qa"], conversation.questions, strict=True):
            spoken = evidence_of(conversation, question) + dates_of(conversation, question)
            assert missing_figures(one["answer"], spoken) == [], one["question"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_evidence_is_one_to_three_turns_and_categories_are_known(path: Path) -> None:
    for _, question in questions(path):
        assert 1 <= len(question.evidence) <= 3
        assert question.category in CATEGORIES
        assert question.category != 1 or len(question.evidence) > 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_question_and_no_message_is_repeated(path: Path) -> None:
    asked = [question.text for _, question in questions(path)]
    assert len(set(asked)) == len(asked)
    long_enough = [turn.text for turn in turns(path) if len(words(turn.text)) > 8]
    assert len(set(long_enough)) == len(long_enough)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_time_only_goes_forward(path: Path) -> None:
    for conversation in load(path):
        times = [turn.occurred_at for turn in conversation.turns]
        assert times == sorted(times)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_speakers_are_the_two_named(path: Path) -> None:
    for entry, conversation in zip(raw(path), load(path), strict=True):
        named = {entry["conversation"]["speaker_a"], entry["conversation"]["speaker_b"]}
        assert {turn.author for turn in conversation.turns} == named


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_questions_are_paraphrases(path: Path) -> None:
    assert fmean(overlaps(path)) < HIGHEST_MEAN_OVERLAP


def test_work_dialogues_have_long_replies_to_shorter_messages() -> None:
    spoken = turns(SETS / "work_dialogues.json")
    replies = [len(turn.text.split()) for turn in spoken if turn.role is Role.ASSISTANT]
    messages = [len(turn.text.split()) for turn in spoken if turn.role is Role.USER]
    assert median(replies) >= 100
    assert max(replies) <= 350
    assert min(messages) >= 15
    assert max(messages) <= 120
    assert abs(len(replies) - len(messages)) <= len(spoken) // 10


def test_short_chat_is_short() -> None:
    lengths = [len(turn.text.split()) for turn in turns(SETS / "short_chat.json")]
    assert median(lengths) <= 25
    assert max(lengths) <= 40


def test_short_chat_has_a_german_and_a_chinese_conversation() -> None:
    by_name = {conversation.name: conversation for conversation in load(SETS / "short_chat.json")}
    german = [words(one.text)[0] for one in by_name["lena-tobi-de"].questions]
    assert german.count("wann") + german.count("was") + german.count("wer") > 3
    chinese = by_name["xiaoyu-azhe-zh"]
    texts = [turn.text for turn in chinese.turns] + [question.text for question in chinese.questions]
    assert all(_CHINESE.search(text) for text in texts)


def test_overlap_is_of_words() -> None:
    assert overlap("When did it rain?", "It did rain, when?") == 1.0
    assert overlap("a b", "c d") == 0.0
    assert overlap("one two", "two three") == pytest.approx(1 / 3)


def test_a_wrong_figure_is_found() -> None:
    assert missing_figures("6,000 euros in 3 days", "a stop at 6,500, for 3 days") == ["6,000"]
