"""What a memory without tiers would do: rank turns by one plain method. Baselines, run on the same questions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.datasets import Conversation, Turn
from tiered_memory.embedding.base import Embedder, Vectors
from tiered_memory.scoring.text import analyze

K1, B = 1.2, 0.75


def spoken(turn: Turn) -> str:
    """Return a turn as "Author: text"."""
    return f"{turn.author}: {turn.text}" if turn.author else turn.text


async def by_vector(conversation: Conversation, embedder: Embedder, depth: int) -> list[list[str]]:
    """Return per question the ids of the `depth` turns with the highest cosine to it."""
    turns = _normalised(await embedder.embed([spoken(turn) for turn in conversation.turns], "document"))
    questions = _normalised(await embedder.embed([q.text for q in conversation.questions], "query"))
    return [_best(conversation.turns, scores.tolist(), depth) for scores in questions @ turns.T]


def by_bm25(conversation: Conversation, depth: int) -> list[list[str]]:
    """Return per question the ids of the `depth` turns with the highest BM25 score (Robertson and Zaragoza 2009).

    The analyzer is the product's, so that what differs is the ranking.
    """
    ranker = _Bm25([analyze(spoken(turn)).terms for turn in conversation.turns])
    asked = [analyze(question.text).terms for question in conversation.questions]
    return [_best(conversation.turns, ranker.scores(terms), depth) for terms in asked]


class _Bm25:
    def __init__(self, texts: Sequence[Mapping[str, int]]) -> None:
        lengths = [sum(terms.values()) for terms in texts]
        average = sum(lengths) / max(len(texts), 1) or 1.0
        self._points = [K1 * (1 - B + B * length / average) for length in lengths]
        self._holding: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for place, terms in enumerate(texts):
            for term, count in terms.items():
                self._holding[term].append((place, count))

    def scores(self, asked: Mapping[str, int]) -> list[float]:
        scores = [0.0] * len(self._points)
        for term in asked:
            holding = self._holding.get(term, ())
            rarity = np.log1p((len(scores) - len(holding) + 0.5) / (len(holding) + 0.5))
            for place, count in holding:
                scores[place] += float(rarity) * count * (K1 + 1) / (count + self._points[place])
        return scores


def _best(turns: Sequence[Turn], scores: Sequence[float], depth: int) -> list[str]:
    """Ties go to the earlier turn."""
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    return [turns[place].id for place in order[:depth]]


def _normalised(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return unit
