"""The words around a candidate, which speak for or against what it looks like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tiered_memory.policy.pii_types import BLANK

BEFORE = 48
AFTER = 16
_WORD = re.compile(r"[^\W\d_]+")


def before(text: str, start: int, width: int = BEFORE) -> str:
    """Return up to `width` characters before `start`, none from beyond something already found."""
    return text[max(0, start - width) : start].rpartition(BLANK)[2]


def after(text: str, end: int, width: int = AFTER) -> str:
    """Return up to `width` characters from `end` on, none from beyond something already found."""
    return text[end : end + width].partition(BLANK)[0]


def words_of(piece: str) -> list[str]:
    """Return the words of `piece` in lower case; a word cut by its beginning counts as it stands."""
    return _WORD.findall(piece.lower())


def says(words: Iterable[str], phrases: Iterable[str]) -> bool:
    """Tell whether one of `phrases` (words with single spaces between) occurs as whole words."""
    line = f" {' '.join(words)} "
    return any(f" {phrase} " in line for phrase in phrases)


def has(text: str, parts: Iterable[str]) -> bool:
    """Tell whether any of `parts` occurs in `text`: the cheap question before a pattern is tried."""
    for part in parts:  # noqa: SIM110  # a generator costs more than the question
        if part in text:
            return True
    return False


def lowered(text: str) -> str:
    """Return `text` in lower case, each character in its place: one whose lower case is longer stays as it is."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(low if len(low := one.lower()) == 1 else one for one in text)


def at_words(
    words: re.Pattern[str], pattern: re.Pattern[str], text: str, lower: str
) -> Iterator[re.Match[str]]:
    """Yield the matches of `pattern` that begin where `words` begin in `lower`, the lowered text.

    A pattern that ignores case is slow to search with; words in lower case are quick to find.
    """
    for word in words.finditer(lower):
        match = pattern.match(text, word.start())
        if match is not None:
            yield match
