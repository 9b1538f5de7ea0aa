"""How much a turn matters, judged when it is written: hand-set weights over a few features, then rules with bands.

The features are those that tell turns later asked about from turns never asked about: how much is told, in words new
for this user, in the first person or of the past, with times, names, figures and events, in answer to a question; and (against) speaking of the
listener, cheering, and asking. What is asked tells nothing, so most features read the sentences that do not ask. A
rule that applies maps the features' score into its band, so that order within a band still means something.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tiered_memory.model import Role
from tiered_memory.scoring import cues
from tiered_memory.scoring.text import is_question

HEAD_CHARACTERS = 4_000
"""Only so much of a text is read for words and rules; its whole length still counts."""


@dataclass(frozen=True, slots=True)
class Importance:
    """`value` is 0..1; `reasons` are short fixed phrases, the telling one first, and hold no content."""

    value: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Feature:
    """A property of 0..1, its weight in the sum, and the reason given when it is strong."""

    reason: str
    weight: float
    measure: Callable[[_Reading], float]
    strong: float = 0.99


@dataclass(frozen=True, slots=True)
class _Rule:
    """A kind of statement: where it applies, importance lies between `low` and `high`."""

    reason: str
    low: float
    high: float
    applies: Callable[[_Reading], bool]


@dataclass(frozen=True, slots=True)
class _Reading:
    """One text, read once."""

    role: Role
    head: str
    words: Sequence[str]
    seen: frozenset[str]
    told: str
    told_words: Sequence[str]
    told_size: float
    novelty: float
    asks: bool
    answers: bool

    def count(self, vocabulary: frozenset[str]) -> int:
        return sum(map(vocabulary.__contains__, self.told_words))

    def lowered(self) -> str:
        return self.head.lower()


def score_importance(content: str, role: Role, novelty: float | None, *, answers: bool = False) -> Importance:
    """Score one turn.

    Args:
        content: The turn's text, of any length; only its beginning is read closely.
        role: Who speaks; what an assistant says of itself is no preference or error of the person.
        novelty: Share of the turn's index terms that are new for this user, weighted by rarity, 0..1 (see
            `RecallIndex.novelty`); None when unknown.
        answers: Whether the turn before it in its session asks something (`RecallIndex.ends_asking`).
    """
    reading = _read(content, role, novelty, answers=answers)
    measured = [(feature, feature.measure(reading)) for feature in _FEATURES]
    score = 1.0 / (1.0 + math.exp(-_BIAS - sum(feature.weight * value for feature, value in measured)))
    features = [feature.reason for feature, value in measured if value >= feature.strong]
    for rule in _RULES_OF_ASSISTANT if role is Role.ASSISTANT else _RULES:
        if rule.applies(reading):
            value = rule.low + (rule.high - rule.low) * score
            return Importance(round(value, 4), (rule.reason, *features))
    return Importance(round(score, 4), tuple(features) or ("nothing in particular",))


def _read(content: str, role: Role, novelty: float | None, *, answers: bool = False) -> _Reading:
    head = content[:HEAD_CHARACTERS].replace("\u2019", "'")
    words = cues.WORD.findall(head.lower())
    told = _told(head) if _ASKED.search(head) else head
    return _Reading(
        role=role,
        head=head,
        words=words,
        seen=frozenset(words),
        told=told,
        told_words=cues.WORD.findall(told.lower()),
        told_size=_bytes(told) + _bytes(content[HEAD_CHARACTERS:]),
        novelty=_NEUTRAL_NOVELTY if novelty is None else min(1.0, max(0.0, novelty)),
        asks=is_question(content[-200:]),
        answers=answers,
    )


def _told(text: str) -> str:
    """Return the sentences that do not ask."""
    kept, begun = [], 0
    for end in cues.SENTENCE_END.finditer(text):
        if not _ASKED.search(end[0]):
            kept.append(text[begun : end.end()])
        begun = end.end()
    return "".join([*kept, text[begun:]])


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


_ASKED = re.compile("[?\uff1f]")


# --- features --------------------------------------------------------------------------------------------------


def _length(reading: _Reading) -> float:
    """About 1 from 50 words on; bytes, so that scripts without spaces count as well."""
    return min(1.0, math.log1p(reading.told_size / 6) / math.log(51))


def _newness(reading: _Reading) -> float:
    """New words count by their share and their number: one new word is little, however rare."""
    return reading.novelty * min(1.0, reading.told_size / 90)


def _first_person(reading: _Reading) -> float:
    return min(1.0, reading.count(cues.FIRST_PERSON) / 2)


def _own(reading: _Reading) -> float:
    return min(1.0, reading.count(cues.OWN) / 2)


def _circumstances(reading: _Reading) -> float:
    return min(1.0, reading.count(cues.CIRCUMSTANCES))


def _times(reading: _Reading) -> float:
    return min(1.0, reading.count(cues.TIMES))


def _names(reading: _Reading) -> float:
    """Names of those spoken of; who is spoken to is no news."""
    named = set(cues.MID_SENTENCE_NAME.findall(reading.told)) - cues.NO_NAMES
    return min(1.0, len(named.difference(*cues.ADDRESSED_NAME.findall(reading.told))) / 2)


def _figures(reading: _Reading) -> float:
    return float(any(map(str.isdecimal, reading.told)))


def _past(reading: _Reading) -> float:
    return min(1.0, reading.count(cues.PAST) / 2)


def _of_the_listener(reading: _Reading) -> float:
    return min(1.0, reading.count(cues.ADDRESS) / 2)


def _cheers(reading: _Reading) -> float:
    return min(1.0, reading.count(cues.CHEER) / 2)


def _events(reading: _Reading) -> float:
    return min(1.0, reading.count(cues.EVENTS) / 2)


def _asks(reading: _Reading) -> float:
    return float(reading.asks)


def _answers(reading: _Reading) -> float:
    return float(reading.answers)


def _by_assistant(reading: _Reading) -> float:
    return float(reading.role is Role.ASSISTANT)


def _uplifts(reading: _Reading) -> float:
    return min(1.0, reading.count(cues.UPLIFT) / 2)


def _supposes(reading: _Reading) -> float:
    """What can, should or will be is less than what is."""
    return min(1.0, reading.count(cues.POSSIBLE))


_NEUTRAL_NOVELTY = 0.4
_BIAS = -2.5
_FEATURES = (
    _Feature("long enough to say something", 2.0, _length),
    _Feature("new words for this user", 2.0, _newness, strong=0.5),
    _Feature("first person", 0.4, _first_person, strong=0.5),
    _Feature("speaks of one's own", 0.4, _own, strong=0.5),
    _Feature("names a time", 1.0, _times),
    _Feature("names someone or something", 1.9, _names, strong=0.5),
    _Feature("gives a figure", 1.1, _figures),
    _Feature("tells of an event or a taste", 0.4, _events, strong=0.5),
    _Feature("tells of the past", 0.5, _past, strong=0.5),
    _Feature("tells when or why", 0.3, _circumstances),
    _Feature("answers a question", 0.3, _answers),
    _Feature("speaks of the listener", -0.6, _of_the_listener),
    _Feature("cheers", -0.4, _cheers),
    _Feature("uplifts", -0.4, _uplifts),
    _Feature("speaks of what may be", -0.3, _supposes),
    _Feature("asks", -0.2, _asks),
    _Feature("said by the assistant", -0.5, _by_assistant),
)


# --- rules -----------------------------------------------------------------------------------------------------


def _states(triggers: frozenset[str], pattern: re.Pattern[str]) -> Callable[[_Reading], bool]:
    """Return a rule's test: some trigger word is there, and the pattern is in a sentence that does not ask."""

    def applies(reading: _Reading) -> bool:
        if reading.seen.isdisjoint(triggers):
            return False
        lowered = reading.lowered()
        return any(not _is_asked(lowered, match.end()) for match in pattern.finditer(lowered))

    return applies


def _is_asked(text: str, position: int) -> bool:
    end = cues.SENTENCE_END.search(text, position)
    return end is not None and "?" in end[0]


def _tells_error(reading: _Reading) -> bool:
    if cues.TRACEBACK.search(reading.head):
        return True
    if reading.seen.isdisjoint(cues.ERROR_TRIGGERS) or reading.seen.isdisjoint(cues.FIRST_PERSON):
        return False
    return any(_is_own_error(sentence) for sentence in cues.SENTENCE_END.split(reading.lowered()))


def _is_own_error(sentence: str) -> bool:
    return bool(cues.ERROR.search(sentence)) and not cues.FIRST_PERSON.isdisjoint(cues.WORD.findall(sentence))


def _gives_metric(reading: _Reading) -> bool:
    lowered = reading.lowered()
    return any(not _is_asked(lowered, match.end()) for match in cues.METRIC.finditer(lowered))


def _is_acknowledgement(reading: _Reading) -> bool:
    if not reading.words:
        return not any(map(str.isalnum, reading.head))
    return len(reading.words) <= cues.ACKNOWLEDGEMENT_WORDS and cues.is_acknowledgement(reading.head)


def _is_small_talk(reading: _Reading) -> bool:
    return len(reading.words) <= cues.SMALL_TALK_WORDS and cues.is_small_talk(reading.head)


def _is_generic_question(reading: _Reading) -> bool:
    return (
        reading.asks
        and len(reading.words) <= cues.GENERIC_QUESTION_WORDS
        and reading.seen.isdisjoint(cues.PERSONS)
        and not set(cues.MID_SENTENCE_NAME.findall(reading.head)) - cues.NO_NAMES
        and all("?" in end for end in cues.SENTENCE_END.findall(reading.head.rstrip()))
    )


def _is_filler(reading: _Reading) -> bool:
    return len(reading.words) <= cues.FILLER_WORDS and cues.is_filler(reading.head)


def _is_plan(reading: _Reading) -> bool:
    return bool(cues.PLAN.search(reading.lowered()))


_ACKNOWLEDGEMENT = _Rule("bare acknowledgement", 0.0, 0.2, _is_acknowledgement)
_SMALL_TALK = _Rule("small talk", 0.02, 0.2, _is_small_talk)
_GENERIC_QUESTION = _Rule("generic question", 0.05, 0.2, _is_generic_question)
_DECISION = _Rule("states a decision", 0.78, 0.95, _states(cues.DECISION_TRIGGERS, cues.DECISION))
_ACTION = _Rule("action item or deadline", 0.75, 0.92, _states(cues.ACTION_TRIGGERS, cues.ACTION))
_METRIC = _Rule("gives a metric", 0.75, 0.92, _gives_metric)

_RULES = (
    _ACKNOWLEDGEMENT,
    _SMALL_TALK,
    _GENERIC_QUESTION,
    _Rule("asks to remember", 0.95, 1.0, _states(cues.REMEMBER_TRIGGERS, cues.REMEMBER)),
    _Rule("states a preference", 0.85, 0.97, _states(cues.PREFERENCE_TRIGGERS, cues.PREFERENCE)),
    _Rule("reports an error", 0.8, 0.95, _tells_error),
    _DECISION,
    _ACTION,
    _METRIC,
)
"""The first rule that applies decides: what drops comes first because it asks for the whole text."""

_RULES_OF_ASSISTANT = (
    _ACKNOWLEDGEMENT,
    _SMALL_TALK,
    _Rule("assistant's filler", 0.02, 0.2, _is_filler),
    _GENERIC_QUESTION,
    _Rule("assistant's plan", 0.4, 0.7, _is_plan),
    _DECISION,
    _ACTION,
    _METRIC,
)
