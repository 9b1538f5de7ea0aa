"""Long messages in parts: a message of hundreds of words is as good an answer as its best passage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tiered_memory.scoring import postings
from tiered_memory.scoring.columns import Columns, Floats, Slots

LONG_WORDS = 180
"""A message of up to so many words is searched as a whole."""
PASSAGE_WORDS = 120
"""A passage ends with the sentence or line before it would grow longer than this."""
MOST_PASSAGES = 64
"""The rest of a message of more is in its last passage."""

_SENTENCE = re.compile(r".+?(?:[.!?][\"')\]]*\s+|\n\s*|[\u3002\uff01\uff1f]+\s*|\Z)", re.DOTALL)
_WORDS = re.compile(rf"\s*(?:\S+\s*){{1,{PASSAGE_WORDS}}}")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a turn: its index terms (words, no signs) and its vector `(dimensions,)`, finite."""

    terms: Mapping[str, int]
    vector: Floats


def split(text: str) -> list[str]:
    """Return the passages of a long text in order, nothing of it lost, or an empty list for a text that is short."""
    if len(text) <= LONG_WORDS or _words(text) <= LONG_WORDS:
        return []
    parts, size = [""], 0
    for sentence in (
        piece for found in _SENTENCE.findall(text) for piece in _WORDS.findall(found) or [found]
    ):
        words = _words(sentence)
        if size and size + words > PASSAGE_WORDS and len(parts) < MOST_PASSAGES:
            parts.append("")
            size = 0
        parts[-1] += sentence
        size += words
    return parts if len(parts) > 1 else []


def _words(text: str) -> int:
    """Count words; two characters of a script without spaces are about one."""
    return len(text.split()) + (0 if text.isascii() else len(_UNSPACED.findall(text)) // 2)


class Passages:
    """The passages of numbered turns. Removing a turn's passages removes every trace of them."""

    def __init__(self, dimensions: int) -> None:
        self._columns = Columns(dimensions, capacity=1)
        self._postings = postings.Postings()
        self._of_turn: dict[int, Slots] = {}

    @property
    def bytes_used(self) -> int:
        """Estimate of the memory held, in bytes."""
        return self._columns.bytes_used + self._postings.bytes_used

    def check(self, passages: Iterable[Passage]) -> None:
        """Raise `InvalidInputError` for a vector that has another shape or is not finite."""
        vectors = [passage.vector for passage in passages]
        if vectors:
            self._columns.checked(vectors)

    def add(self, turn: int, passages: Sequence[Passage], names: Sequence[str]) -> None:
        """Take the passages (one or more) of a turn that has none here; each holds the index terms `names` too."""
        slots = self._columns.reserve(len(passages))
        vectors, norms = self._columns.checked([passage.vector for passage in passages])
        self._columns.vectors[slots], self._columns.norms[slots] = vectors, norms
        self._columns.context_norms[slots] = norms
        for slot, passage in zip(slots.tolist(), passages, strict=True):
            terms = dict(passage.terms)
            for name in names:
                terms[name] = terms.get(name, 0) + 1
            self._postings.add(slot, terms)
            self._columns.length[slot] = sum(terms.values())
        self._columns.order[slots] = turn
        self._columns.held[slots] = True
        self._of_turn[turn] = slots

    def remove(self, turn: int) -> None:
        """Forget the passages of a turn, if it has any."""
        for slot in self._of_turn.pop(turn, np.zeros(0, dtype=np.intp)).tolist():
            self._postings.remove(slot)
            self._columns.clear(slot)

    def stand_for(
        self, turns: tuple[Floats, Floats], vector: Floats, matching: postings.Matching, average: float
    ) -> None:
        """Put the best passage's cosine and BM25 in the place of its turn's, in the two arrays `turns`.

        A term is as rare as it is among turns, and a passage is held against the turns' `average` length.
        """
        if not self._of_turn:
            return
        columns = self._columns
        held = np.flatnonzero(columns.held)
        owners = columns.order[held]
        matches = self._postings.matching(matching.terms, matching.related, len(columns.held))
        points = postings.saturation_points(columns.length, average)
        lexical = postings.bm25(matches, matching.rarity, points)
        for scores, found in zip(turns, (columns.cosines(vector)[0], lexical), strict=True):
            scores[owners] = -np.inf
            np.maximum.at(scores, owners, found[held])
