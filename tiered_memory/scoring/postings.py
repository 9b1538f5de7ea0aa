"""An inverted index in memory: which slots hold a term, and how often."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

K1 = 1.2
"""BM25: how fast repeating a term stops helping."""
B = 0.75
"""BM25: how much long texts are held against their length, 0..1."""

Slots = NDArray[np.intp]
Column = NDArray[np.float32]
Match = tuple[Slots, Column]
"""The slots that hold a term, and how often each does."""
Matches = Mapping[str, Match]

Related = Mapping[str, Mapping[str, float]]
"""For a term the terms related to it, each with a weight above 0 and below 1, a multiple of 1/256."""


@dataclass(frozen=True, slots=True)
class Matching:
    """What is matched: a question's terms, those related to them, and how rare each known one is."""

    terms: Iterable[str]
    related: Related
    rarity: Mapping[str, float]


_COUNT_BITS = 24
_COUNT_MASK = (1 << _COUNT_BITS) - 1
_BYTES_PER_TERM = 320
_BYTES_PER_POSTING = 16


_NO_SLOTS: Slots = np.zeros(0, dtype=np.intp)


class _Posting:
    """The slots of one term, each packed with its count, in order of arrival."""

    __slots__ = ("packed", "term")

    def __init__(self, term: str) -> None:
        self.term = term
        self.packed = array("q")

    def slots_and_counts(self) -> tuple[Slots, Column]:
        packed = np.array(self.packed, dtype=np.int64)
        return packed >> _COUNT_BITS, (packed & _COUNT_MASK).astype(np.float32)

    def slots(self) -> Slots:
        return np.array(self.packed, dtype=np.int64) >> _COUNT_BITS

    def discard(self, slot: int) -> None:
        packed = np.array(self.packed, dtype=np.int64)
        del self.packed[int(np.flatnonzero(packed >> _COUNT_BITS == slot)[0])]


class Postings:
    """Terms of numbered slots. Removing a slot removes every trace of its terms."""

    def __init__(self) -> None:
        self._postings: dict[str, _Posting] = {}
        self._of_slot: dict[int, tuple[_Posting, ...]] = {}
        self._count = 0

    def __contains__(self, term: str) -> bool:
        return term in self._postings

    @property
    def bytes_used(self) -> int:
        """Estimate of the memory held, in bytes."""
        return len(self._postings) * _BYTES_PER_TERM + self._count * _BYTES_PER_POSTING

    def add(self, slot: int, terms: Mapping[str, int]) -> None:
        """Store the counts (each >= 1) of a slot that holds nothing yet."""
        postings = self._postings
        shifted = slot << _COUNT_BITS
        held = []
        for term, count in terms.items():
            posting = postings.get(term)
            if posting is None:
                posting = postings[term] = _Posting(term)
            posting.packed.append(shifted | min(count, _COUNT_MASK))
            held.append(posting)
        self._of_slot[slot] = tuple(held)
        self._count += len(held)

    def remove(self, slot: int) -> None:
        """Forget the terms of a slot."""
        held = self._of_slot.pop(slot)
        for posting in held:
            posting.discard(slot)
            if not posting.packed:
                del self._postings[posting.term]
        self._count -= len(held)

    def __iter__(self) -> Iterator[str]:
        return iter(self._postings)

    def slots(self, term: str) -> Slots:
        """Return the slots that hold a term, in order of arrival."""
        posting = self._postings.get(term)
        return _NO_SLOTS if posting is None else posting.slots()

    def matching(
        self, terms: Iterable[str], related: Related = MappingProxyType({}), size: int = 0
    ) -> dict[str, Match]:
        """Return the slots and counts of each known term, in the order given.

        A term with `related` terms is one with them: a slot that lacks it but has a related term counts that
        term's weight in its place (the largest, once). All slots are below `size`, which matters only then.
        """
        found = {}
        scratch = np.zeros(size if related else 0, dtype=np.float32)
        for term in dict.fromkeys(terms):
            match = self._match(term, related.get(term, {}), scratch)
            if match is not None:
                found[term] = match
        return found

    def _match(self, term: str, related: Mapping[str, float], scratch: Column) -> tuple[Slots, Column] | None:
        own = self._postings.get(term)
        others = [
            (held, weight)
            for other, weight in related.items()
            if (held := self._postings.get(other)) is not None and held is not own
        ]
        if not others:
            return None if own is None else own.slots_and_counts()
        for held, weight in sorted(others, key=_weight):
            scratch[held.slots()] = weight
        if own is not None:
            slots, counts = own.slots_and_counts()
            scratch[slots] = counts
        slots = np.flatnonzero(scratch)
        counts = scratch[slots]
        scratch[slots] = 0.0
        return slots, counts

    def document_frequency(self, term: str) -> int:
        """Return in how many slots the term is."""
        posting = self._postings.get(term)
        return 0 if posting is None else len(posting.packed)


def _weight(one: tuple[_Posting, float]) -> float:
    return one[1]


def inverse_document_frequency(holding: float, total: int) -> float:
    """Return `ln(1 + (N - n + 0.5) / (n + 0.5))` for a term held by n of N texts: rarity, always above 0."""
    return math.log1p((total - holding + 0.5) / (holding + 0.5))


def average_length(lengths: Column, total: int) -> float:
    """Return the mean length of `total` slots in use; unused slots have length 0."""
    return float(lengths.sum(dtype=np.float64)) / max(total, 1)


def saturation_points(lengths: Column, average: float) -> Column:
    """Return BM25's `k1 (1 - b + b length / average)` per slot."""
    points: Column = (K1 * (1.0 - B) + (K1 * B / max(average, 1.0)) * lengths).astype(np.float32)
    return points


def rarities(matches: Matches, total: int) -> dict[str, float]:
    """Return each matched term's inverse document frequency among `total` slots.

    A slot with a count below 1 holds its term by that share only (the weighted synonyms of Pirkola, SIGIR 1998).
    """
    # shares are multiples of 1/256, so the sums are exact in any order
    holding = {
        term: float(np.minimum(counts, 1.0).sum(dtype=np.float64)) for term, (_, counts) in matches.items()
    }
    return {term: inverse_document_frequency(held, total) for term, held in holding.items()}


def bm25(matches: Matches, rarity: Mapping[str, float], points: Column) -> Column:
    """Return exact BM25 (Robertson and Zaragoza 2009, eq. 3.15) of every slot against the matched terms.

    A term without a `rarity` counts for nothing.
    """
    scores = np.zeros_like(points)
    for term, (slots, counts) in matches.items():
        scores[slots] += np.float32(rarity.get(term, 0.0) * (K1 + 1.0)) * counts / (counts + points[slots])
    return scores


def with_previous(matches: Matches, following: Slots) -> dict[str, Match]:
    """Return the matches over *previous + current*: each slot's counts also count for the slot that follows it.

    `following` maps a slot to its successor; 0 stands for none and is no slot.
    """
    scratch = np.zeros(len(following), dtype=np.float32)
    return {term: _widened(*match, following, scratch) for term, match in matches.items()}


def _widened(slots: Slots, counts: Column, following: Slots, scratch: Column) -> tuple[Slots, Column]:
    successors = following[slots]
    scratch[slots] = counts
    joined = successors[(scratch[successors] == 0.0) & (successors > 0)]
    scratch[successors] += counts  # no two slots have the same successor, but for slot 0
    both = np.concatenate([slots, joined])
    summed = scratch[both]
    scratch[both] = 0.0
    scratch[0] = 0.0
    return both, summed
