"""How new words are beside all that was said before, without an index of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from tiered_memory.scoring.postings import inverse_document_frequency


class Vocabulary:
    """The index terms of one user's turns and how many turns have each; it only grows.

    `novelty` is that of a `RecallIndex` which holds the same turns.
    """

    def __init__(self) -> None:
        self._holding = Counter[str]()
        self._turns = 0

    def add(self, terms: Iterable[str], author_terms: Iterable[str] = ()) -> None:
        """Count a turn with these index terms, whose author's name has those."""
        self._holding.update({*terms, *author_terms})
        self._turns += 1

    def novelty(self, terms: Mapping[str, int]) -> float | None:
        """Return how new a text's index terms are, 0 (all known) to 1 (all new); None without terms.

        It is the terms' share by weight that no turn has; a term weighs its inverse document frequency.
        """
        total = new = 0.0
        for term in terms:
            holding = self._holding.get(term, 0)
            weight = inverse_document_frequency(holding, self._turns)
            total += weight
            new += 0.0 if holding else weight
        return new / total if terms else None
