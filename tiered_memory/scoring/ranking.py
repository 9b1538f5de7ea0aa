"""Fusing what the search arms found into one explained order.

Four arms judge a turn: the cosine of its vector and BM25 of its terms, each over the turn alone and over the turn
with its predecessor in the session. Each arm is divided by its best value among the candidates, weighted and
added (the "max" normalisation of Lee, SIGIR 1997); neighbours, a named author and a good session add their part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TERMS = (
    "vector",
    "lexical",
    "context_vector",
    "context_lexical",
    "neighbours",
    "author",
    "session",
    "length",
    "question",
    "importance",
    "cue",
    "time",
)
"""Names of the terms of a score; `apply_strength` adds "strength"."""

_TIE_DECIMALS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How much each term counts; the same for every subject and every kind of data.

    `previous` and `following` are the shares of a neighbour's arms that a turn borrows; the predecessor's is small
    because it is in the context arms already. A turn of `context_terms` index terms trusts its context half as
    much as a very short one does, and `context_power` says how sharply trust falls around that length.
    `full_length_terms` index terms earn the whole `length` term. `beyond` is the share of the neighbours' neighbours.
    """

    vector: float = 0.5
    lexical: float = 0.4
    context_vector: float = 0.5
    context_lexical: float = 0.8
    previous: float = 0.1
    following: float = 0.3
    beyond: float = 0.08
    author: float = 0.8
    session: float = 0.4
    length: float = 0.2
    question: float = -0.15
    importance: float = 0.3
    cue: float = 0.3
    time: float = 1.0
    context_terms: float = 80.0
    context_power: float = 4.0
    full_length_terms: float = 15.0


DEFAULT_WEIGHTS = Weights()

DEFAULT_STRENGTH_WEIGHT = 0.02
"""At most this share of a score is lost to weakness: enough to order equals, too little to hide an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What the arms found: `m` rows, each array of shape `(m,)` unless said otherwise.

    `arms` has shape `(4, m)` in the order vector, lexical, context vector, context lexical; values below zero
    count as zero. `previous` and `following` are the rows of the neighbours in the session, -1 where there is
    none. `session` numbers the sessions, -1 for none. `length` counts index terms. `named` tells whether the
    question names the turn's author, `question` whether the turn asks something. Rows that are not `eligible` are
    never returned; they are here to lend to their neighbours.
    """

    ids: Sequence[str]
    order: NDArray[np.int64]
    arms: NDArray[np.float32]
    previous: NDArray[np.intp]
    following: NDArray[np.intp]
    session: NDArray[np.intp]
    length: NDArray[np.float32]
    named: NDArray[np.bool_]
    question: NDArray[np.bool_]
    importance: NDArray[np.float32]
    cue: NDArray[np.float32]
    time: NDArray[np.float32]
    eligible: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Scored:
    """One ranked turn. `terms` (see `TERMS`) add up to `score`; terms that are zero are left out."""

    id: str
    score: float
    terms: Mapping[str, float]


def rank(candidates: Candidates, limit: int, weights: Weights = DEFAULT_WEIGHTS) -> list[Scored]:
    """Return the best `limit` (>= 0) eligible rows, highest score first; equal scores in order of `order`."""
    rows = np.flatnonzero(candidates.eligible)
    if limit <= 0 or not rows.size:
        return []
    terms = score_terms(candidates, weights)
    scores = np.round(terms.sum(axis=0)[rows], _TIE_DECIMALS)
    best = rows[np.lexsort((candidates.order[rows], -scores))[:limit]]
    return [_scored(candidates.ids[row], terms[:, row]) for row in best]


def score_terms(candidates: Candidates, weights: Weights = DEFAULT_WEIGHTS) -> Floats:
    """Return the terms of every row's score, shape `(len(TERMS), m)`; a score is the sum of its column."""
    trust = context_trust(candidates.length, weights)
    arms = _weighted_arms(candidates, trust, weights)
    lent = _lent(candidates, trust, arms.sum(axis=0), weights)
    author = weights.author * candidates.named
    cue, time = weights.cue * candidates.cue, weights.time * candidates.time
    found = arms.sum(axis=0) + lent + author + cue + time
    session = weights.session * _best_of_session(candidates, found)
    length = weights.length * np.minimum(1.0, candidates.length / weights.full_length_terms)
    question = weights.question * candidates.question
    importance = weights.importance * candidates.importance
    return np.vstack([arms, lent, author, session, length, question, importance, cue, time])


def context_trust(length: NDArray[np.float32], weights: Weights = DEFAULT_WEIGHTS) -> Floats:
    """Return how far turns of `length` index terms lean on their neighbours: 1 for none, falling towards 0."""
    ratio = length.astype(np.float64) / weights.context_terms
    falling: Floats = 1.0 / (1.0 + ratio**weights.context_power)
    return falling


def apply_strength(
    scored: Sequence[Scored], strengths: Mapping[str, float], weight: float = DEFAULT_STRENGTH_WEIGHT
) -> list[Scored]:
    """Multiply each score by a factor in `[1 - weight, 1]` and order anew.

    `strengths` maps ids to 0..1 (an unknown id counts as 1) and `weight` is 0..1. A weak memory may fall behind
    one about as relevant; none is dropped. Give more rows than will be shown, so that the order can change.
    """
    weakened = [_weakened(one, strengths.get(one.id, 1.0), weight) for one in scored]
    return sorted(weakened, key=lambda one: -round(one.score, _TIE_DECIMALS))


def apply_standing(scored: Sequence[Scored], standings: Mapping[str, float]) -> list[Scored]:
    """Multiply scores by the factors (0..1) of memories on probation, and order anew; the term is named "trust"."""
    if not standings:
        return list(scored)
    lowered = [_weakened(one, standings.get(one.id, 1.0), 1.0, "trust") for one in scored]
    return sorted(lowered, key=lambda one: -round(one.score, _TIE_DECIMALS))


def _weakened(one: Scored, strength: float, weight: float, term: str = "strength") -> Scored:
    lost = -abs(one.score) * weight * (1.0 - min(1.0, max(0.0, strength)))
    if not lost:
        return one
    return Scored(one.id, one.score + lost, {**one.terms, term: lost})


def _weighted_arms(candidates: Candidates, trust: Floats, weights: Weights) -> Floats:
    """Weigh the arms; where context is not trusted, its arms repeat what the turn alone says."""
    vector, lexical, context_vector, context_lexical = _normalised(candidates.arms)
    lean = trust * _neighbour_trust(trust, candidates.previous)
    return np.stack(
        [
            weights.vector * vector,
            weights.lexical * lexical,
            weights.context_vector * (lean * context_vector + (1.0 - lean) * vector),
            weights.context_lexical * (lean * context_lexical + (1.0 - lean) * lexical),
        ]
    )


def _normalised(arms: NDArray[np.float32]) -> Floats:
    """Divide each arm by its best row, so that values are 0..1 and arms compare."""
    positive = np.maximum(arms.astype(np.float64), 0.0)
    best = positive.max(axis=1, keepdims=True)
    scaled: Floats = positive / np.where(best > 0.0, best, 1.0)
    return scaled


def _lent(candidates: Candidates, trust: Floats, base: Floats, weights: Weights) -> Floats:
    """Return what the neighbours add: long turns neither lend nor borrow much."""
    previous, following = candidates.previous, candidates.following
    lendable = np.append(trust * base, 0.0)  # the row after the last stands for "none" (-1)
    borrowed = (
        weights.previous * lendable[previous]
        + weights.following * lendable[following]
        + weights.beyond * (lendable[_twice(previous)] + lendable[_twice(following)])
    )
    lent: Floats = trust * borrowed
    return lent


def _twice(neighbour: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return each row's neighbour's neighbour, -1 where there is none."""
    twice: NDArray[np.intp] = np.append(neighbour, -1)[neighbour]
    return twice


def _neighbour_trust(trust: Floats, neighbour: NDArray[np.intp]) -> Floats:
    return np.where(neighbour >= 0, trust[neighbour], 1.0)


def _best_of_session(candidates: Candidates, score: Floats) -> Floats:
    """Return for each row the best score in its session; a row without a session stands for itself."""
    session = candidates.session
    best = np.zeros(int(session.max(initial=-1)) + 2)
    np.maximum.at(best, session, np.where(candidates.eligible, score, 0.0))
    return np.where(session >= 0, best[session], score)


def _scored(identity: str, column: Floats) -> Scored:
    terms = {name: value for name, value in zip(TERMS, column.tolist(), strict=True) if value}
    return Scored(identity, sum(terms.values()), terms)
