"""Signs: what kind of thing a text holds (a time, a number, a name), and what kind a question asks for.

Signs are kept beside the index terms under names that no word can have, so they are stored, found and forgotten
with them. They count neither as words nor towards a text's length.
"""

from __future__ import annotations

import re

from tiered_memory.scoring.text import analyze
from tiered_memory.scoring.time_words import time_forms

MARK = "@"
"""First character of a sign; words consist of letters and digits."""

TIME, NUMBER, NAME = "@time", "@number", "@name"

_TIME_WORDS = frozenset(
    """
    monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays
    saturdays sundays week weeks weekend weekends month months year years recently lately since morning afternoon
    evening night birthday anniversary january february april june july august september october november
    december am pm
    """.split()  # noqa: SIM905 - prose wraps better than a list
)
_NUMBER_WORDS = frozenset(
    """
    two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand million
    once twice couple dozen half
    """.split()  # noqa: SIM905
)
_WORD = re.compile(r"[a-z]+")
_DIGIT = re.compile(r"\d")
_DATES = (
    "Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"  # and some names: no matter
)
_NAME = re.compile(rf"[a-z,;:(] (?!{_DATES})[A-Z][a-z]{{2}}|[\"\u201c][A-Z]")

_ASKS_TIME = re.compile(
    r"\b(?:when|since when|how long (?:ago|has|have|had)|(?:what|which) (?:date|day|month|year|time|weekday))\b",
    re.IGNORECASE,
)
_ASKS_NUMBER = re.compile(r"\bhow (?:many|much|old|long|often|far|tall|big|large|fast|few)\b", re.IGNORECASE)
_ASKS_NAME = re.compile(
    r"\b(?:who|whom|whose|where|(?:what|which)(?:'s| is| was)? (?:the )?(?:names?|titles?|city|cities"
    r"|country|countries|places?|states?|town|books?|movies?|films?|songs?|bands?|artists?|games?|brands?"
    r"|company|companies|restaurants?|tools?|library|libraries))\b",
    re.IGNORECASE,
)


def is_sign(term: str) -> bool:
    """Tell whether an index term is a sign."""
    return term.startswith(MARK)


def signs_of(text: str) -> dict[str, int]:
    """Return the signs of a stored text, each with the count 1: kinds, and the normal form of each time word."""
    forms, words = time_forms(text), _WORD.findall(text.lower())
    signs = [MARK + form for form in forms]
    if forms or not _TIME_WORDS.isdisjoint(words):
        signs.append(TIME)
    if _DIGIT.search(text) or not _NUMBER_WORDS.isdisjoint(words):
        signs.append(NUMBER)
    if _NAME.search(text):
        signs.append(NAME)
    return dict.fromkeys(signs, 1)


def asked_for(question: str) -> frozenset[str]:
    """Return the kinds of signs that an answer to `question` is likely to hold."""
    kinds = ((TIME, _ASKS_TIME), (NUMBER, _ASKS_NUMBER), (NAME, _ASKS_NAME))
    return frozenset(sign for sign, asks in kinds if asks.search(question))


def index_terms(text: str) -> dict[str, int]:
    """Return the words and the signs of a text, as they are stored."""
    return {**analyze(text).terms, **signs_of(text)}
