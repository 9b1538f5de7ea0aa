"""Signs: what kind of thing a text holds (a time, a number, a name), and what kind a question asks for.

Signs are kept beside the index terms, and are forgotten with them. A sign is a kind of thing, or the normal form of
a time word (see `time_words`).
"""

from __future__ import annotations

import re

from tiered_memory.scoring.time_words import time_forms

TIME, NUMBER, NAME = "time", "number", "name"

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


def signs_of(text: str) -> list[str]:
    """Return the signs of a stored text, each once: the normal forms of its time words, and kinds."""
    forms, words = time_forms(text), _WORD.findall(text.lower())
    signs = list(forms)
    if forms or not _TIME_WORDS.isdisjoint(words):
        signs.append(TIME)
    if _DIGIT.search(text) or not _NUMBER_WORDS.isdisjoint(words):
        signs.append(NUMBER)
    if _NAME.search(text):
        signs.append(NAME)
    return signs


def asked_for(question: str) -> frozenset[str]:
    """Return the kinds of signs that an answer to `question` is likely to hold."""
    kinds = ((TIME, _ASKS_TIME), (NUMBER, _ASKS_NUMBER), (NAME, _ASKS_NAME))
    return frozenset(sign for sign, asks in kinds if asks.search(question))
