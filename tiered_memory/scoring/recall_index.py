"""The recall index: one active user's turns in memory, searched exactly.

Every turn keeps only what is its own: its vector, its term counts, its place in its session. What is said of a
turn together with its predecessor is computed from both when asked, so a removed turn leaves no trace. Slot 0 is
nobody: it stands for "no neighbour".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tiered_memory.scoring import postings, signs, text, time_spans, time_words
from tiered_memory.scoring.columns import NOBODY, Columns
from tiered_memory.scoring.labels import Authors, Labels
from tiered_memory.scoring.passages import Passage, Passages
from tiered_memory.scoring.ranking import Candidates

Vector = NDArray[np.float32]

PER_ARM = 100
"""How many turns each arm nominates; more changes the best ten hardly ever."""

_TINY = 1e-12
_UNLIKE = 1e-3
_BYTES_PER_TURN = 420


@dataclass(frozen=True, slots=True)
class IndexedTurn:
    """A turn as the index takes it.

    `order` (unique per user) places it in its session, whatever the order of arrival. `terms` are those of
    `analyze(content)`; the author's name is added by the index. `vector` has shape `(dimensions,)`, is finite and
    unnormalised: its length is its weight beside its neighbour, and it may be zero. `characters` counts the
    content's characters, `question` tells whether it asks something. `signs` are those of `signs_of(content)`; of a
    long turn `passages` are the parts that it is searched by. `zone_minutes` is the offset from UTC where it was said, `importance` 0..1.
    """

    id: str
    order: int
    session: str | None
    author: str | None
    occurred_at_us: int
    characters: int
    terms: Mapping[str, int]
    vector: Vector
    question: bool = False
    signs: Collection[str] = ()
    zone_minutes: int = 0
    importance: float = 0.0
    passages: Sequence[Passage] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A question as the index takes it: index terms, vector `(dimensions,)`, and plain words to find names in.

    `related` names for index terms others that mean about the same. `signs` are the kinds of things that an answer
    holds. `times` are the normal forms of the time words, which count only when it is known that it is now `now_us`.
    """

    terms: Mapping[str, int]
    vector: Vector
    words: frozenset[str] = frozenset()
    related: postings.Related = field(default_factory=dict)
    signs: frozenset[str] = frozenset()
    times: tuple[str, ...] = ()
    now_us: int | None = None

    @classmethod
    def of(
        cls,
        question: str,
        vector: Vector,
        now_us: int | None = None,
        related: postings.Related = MappingProxyType({}),
    ) -> Query:
        """Return the query of a question's text, its vector, the moment it is asked and its related terms."""
        return cls(
            terms=text.analyze(question).terms,
            vector=vector,
            words=text.words(question),
            related=related,
            signs=signs.asked_for(question),
            times=tuple(time_words.time_forms(question)),
            now_us=now_us,
        )


class RecallIndex:
    """The turns of one user. Not safe for concurrent use by threads.

    The state depends only on which turns are held, never on how they came: adding and removing in any order
    gives the same answers as building the index from what is left.

    Args:
        dimensions: Number of components of every vector (> 0).
    """

    def __init__(self, dimensions: int) -> None:
        self._columns = Columns(dimensions)
        self._postings = postings.Postings()
        self._signs = postings.Postings()
        self._passages = Passages(dimensions)
        self._slot_of: dict[str, int] = {}
        self._ids: dict[int, str] = {}
        self._sessions = Labels()
        self._authors = Authors()
        self._chains: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self._slot_of)

    def __contains__(self, turn_id: str) -> bool:
        return turn_id in self._slot_of

    @property
    def bytes_used(self) -> int:
        """Estimate of the memory held, in bytes."""
        return (
            self._columns.bytes_used
            + self._postings.bytes_used
            + self._signs.bytes_used
            + self._passages.bytes_used
            + len(self) * _BYTES_PER_TURN
        )

    def add(self, turns: Sequence[IndexedTurn]) -> None:
        """Take turns in, in any order; a turn whose id is held replaces the old one.

        Raises:
            InvalidInputError: A vector has another shape, is not finite or is longer than 1e18; nothing was added.
        """
        fresh = list({turn.id: turn for turn in turns}.values())
        if not fresh:
            return
        vectors, norms = self._columns.checked([turn.vector for turn in fresh])
        self._passages.check(passage for turn in fresh for passage in turn.passages)
        self.remove(turn.id for turn in fresh)
        slots = self._columns.reserve(len(fresh))
        self._columns.vectors[slots] = vectors
        self._columns.norms[slots] = self._columns.context_norms[slots] = norms
        touched = self._describe(slots, fresh)
        self._link(touched)

    def remove(self, ids: Iterable[str]) -> int:
        """Forget turns; unknown ids are ignored. Return how many were held."""
        slots = [self._slot_of.pop(one) for one in ids if one in self._slot_of]
        for slot in slots:
            del self._ids[slot]
            self._postings.remove(slot)
            self._signs.remove(slot)
            self._passages.remove(slot)
            self._unlink(slot)
            self._authors.release(int(self._columns.author[slot]))
            self._sessions.release(int(self._columns.session[slot]))
            self._columns.clear(slot)
        return len(slots)

    def novelty(self, terms: Mapping[str, int]) -> float:
        """Return how new a text's index terms are for this user: 0 (all known, or none) to 1 (all new).

        It is the terms' share by weight that no held turn has; a term weighs its inverse document frequency.
        """
        total = new = 0.0
        for term in terms:
            holding = self._postings.document_frequency(term)
            weight = postings.inverse_document_frequency(holding, len(self))
            total += weight
            new += 0.0 if holding else weight
        return new / total if total else 0.0

    def ends_asking(self, session: str) -> bool:
        """Tell whether the last held turn of a session asks something."""
        chain = self._chains.get(self._sessions.code(session))
        return chain is not None and bool(self._columns.question[chain[-1]])

    def candidates(
        self, query: Query, *, eligible: Collection[str] | None = None, per_arm: int = PER_ARM
    ) -> Candidates:
        """Return the best `per_arm` (>= 1) turns of each arm, and their neighbours, ready to be ranked.

        Only ids in `eligible` (all when None) may be returned by `rank`; others lend score to their neighbours.
        A turn that no arm finds anything in, and whose neighbours are not found either, is no candidate.

        Raises:
            InvalidInputError: The query's vector has another shape or is not finite.
        """
        arms = self._arms(query)
        allowed = self._allowed(eligible)
        times = self._times(query)
        nominated = [_best(arm, allowed, per_arm) for arm in arms]
        if times.any():
            nominated.append(_best(times * (1.0 + arms[0]), allowed, per_arm))
        slots = self._with_neighbours(np.concatenate(nominated))
        return self._gather(slots, arms, allowed, query, times)

    def _with_neighbours(self, slots: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the slots and those before and after them, each once, ascending."""
        wanted = np.zeros(len(self._columns.held), dtype=np.bool_)
        wanted[slots] = True
        wanted[self._columns.previous[slots]] = True
        wanted[self._columns.following[slots]] = True
        wanted[NOBODY] = False
        return np.flatnonzero(wanted)

    def alike(
        self,
        terms: Mapping[str, int],
        vector: Vector,
        count: int,
        eligible: Callable[[str], bool] = lambda _: True,
    ) -> list[tuple[str, float]]:
        """Return the `count` (>= 1) turns most like a text in words and vector, each with its cosine, best first.

        Each turn is looked at alone: no neighbours, no passages, and nothing of what a question asks for. One that
        shares no term, and whose cosine is about 0 or less, is not like it. `eligible` is asked from the best on, until
        there are enough.

        Raises:
            InvalidInputError: The vector has another shape or is not finite.
        """
        columns, total = self._columns, len(self)
        matches = self._postings.matching(terms, {}, len(columns.length))
        points = postings.saturation_points(columns.length, postings.average_length(columns.length, total))
        lexical = postings.bm25(matches, postings.rarities(matches, total), points)
        cosines, _ = columns.cosines(vector)
        likeness = cosines + lexical / max(float(lexical.max(initial=0.0)), _TINY)
        related = np.flatnonzero(columns.held & ((cosines > _UNLIKE) | (lexical > 0)))
        best = related[np.argsort(-likeness[related], kind="stable")]
        chosen = (slot for slot in best.tolist() if eligible(self._ids[slot]))
        return [(self._ids[slot], float(cosines[slot])) for slot in islice(chosen, count)]

    def _describe(self, slots: NDArray[np.intp], fresh: Sequence[IndexedTurn]) -> dict[int, list[int]]:
        """Fill in everything but the vectors; return the new slots of each session code."""
        columns, touched = self._columns, dict[int, list[int]]()
        authors, sessions, lengths = [], [], []
        for slot, turn in zip(slots.tolist(), fresh, strict=True):
            author, session = self._authors.acquire(turn.author), self._sessions.acquire(turn.session)
            terms = dict(turn.terms)
            names = self._authors.terms(author)
            for name in names:
                terms[name] = terms.get(name, 0) + 1
            self._postings.add(slot, terms)
            self._signs.add(slot, dict.fromkeys(turn.signs, 1))
            if turn.passages:
                self._passages.add(slot, turn.passages, names)
            self._slot_of[turn.id], self._ids[slot] = slot, turn.id
            authors.append(author)
            sessions.append(session)
            lengths.append(sum(terms.values()))
            if session:
                touched.setdefault(session, []).append(slot)
        columns.author[slots], columns.session[slots], columns.length[slots] = authors, sessions, lengths
        columns.order[slots] = [turn.order for turn in fresh]
        columns.zone[slots] = [turn.zone_minutes for turn in fresh]
        moments = np.array([turn.occurred_at_us for turn in fresh], dtype=np.int64)
        columns.day[slots] = time_spans.days_of(moments, columns.zone[slots])
        columns.importance[slots] = [turn.importance for turn in fresh]
        columns.question[slots] = [turn.question for turn in fresh]
        columns.held[slots] = True
        return touched

    def _link(self, touched: Mapping[int, list[int]]) -> None:
        order = self._columns.order
        for session, added in touched.items():
            chain = self._chains.setdefault(session, [])
            if len(added) == 1:
                place = bisect_left(chain, order[added[0]], key=order.__getitem__)
                chain.insert(place, added[0])
                self._columns.link(chain[max(place - 1, 0) : place + 2])
            else:
                chain += added
                chain.sort(key=order.__getitem__)
                self._columns.link(chain)

    def _unlink(self, slot: int) -> None:
        session = int(self._columns.session[slot])
        if not session:
            return
        chain = self._chains[session]
        place = chain.index(slot)
        del chain[place]
        before = chain[place - 1] if place else NOBODY
        after = chain[place] if place < len(chain) else NOBODY
        self._columns.join(before, after)
        if not chain:
            del self._chains[session]

    def _arms(self, query: Query) -> NDArray[np.float32]:
        """Return each slot's vector, lexical, context vector and context lexical score, shape `(4, slots)`."""
        columns, total = self._columns, len(self)
        lengths, previous, following = columns.length, columns.previous, columns.following
        matches = self._postings.matching(query.terms, query.related, len(lengths))
        rarity, average = postings.rarities(matches, total), postings.average_length(lengths, total)
        wider = postings.with_previous(matches, following)
        vector, context_vector = columns.cosines(query.vector)
        lexical = postings.bm25(matches, rarity, postings.saturation_points(lengths, average))
        matching = postings.Matching(query.terms, query.related, rarity)
        self._passages.stand_for((vector, lexical), query.vector, matching, average)
        wide_lengths = lengths + lengths[previous]
        points = postings.saturation_points(wide_lengths, postings.average_length(wide_lengths, total))
        context = postings.bm25(wider, postings.rarities(wider, total), points)
        return np.stack([vector, lexical, context_vector, context])

    def _cues(self, query: Query) -> NDArray[np.float32]:
        """Return for each slot the share of what the question asks for (a time, a number, a name) that it holds."""
        cues = np.zeros(len(self._columns.held), dtype=np.float32)
        for sign in query.signs:
            cues[self._signs.slots(sign)] += np.float32(1.0 / len(query.signs))
        return cues

    def _times(self, query: Query) -> NDArray[np.float32]:
        """Return for each slot how near it is, 0..1, to the days that the question means."""
        columns = self._columns
        near = np.zeros(len(columns.held), dtype=np.float32)
        if query.now_us is None or not query.times or not len(self):
            return near
        newest = int(np.argmax(np.where(columns.held, columns.order, -1)))
        span = time_spans.span_of(query.times, time_spans.day_of(query.now_us, int(columns.zone[newest])))
        held = np.flatnonzero(columns.held)
        near[held] = time_spans.nearness(columns.day[held], span)
        for sign in self._signs:
            if time_spans.is_form(sign):
                slots = self._signs.slots(sign)
                first, last = time_spans.resolve(sign, columns.day[slots])
                near[slots] = np.maximum(near[slots], time_spans.overlap(first, last, span))
        return near

    def _allowed(self, eligible: Collection[str] | None) -> NDArray[np.bool_]:
        if eligible is None:
            return self._columns.held
        allowed = np.zeros(len(self._columns.held), dtype=np.bool_)
        allowed[[self._slot_of[one] for one in eligible if one in self._slot_of]] = True
        return allowed

    def _gather(
        self,
        slots: NDArray[np.intp],
        arms: NDArray[np.float32],
        allowed: NDArray[np.bool_],
        query: Query,
        times: NDArray[np.float32],
    ) -> Candidates:
        columns = self._columns
        row_of = np.full(len(columns.held), -1, dtype=np.intp)
        row_of[slots] = np.arange(len(slots))
        return Candidates(
            ids=[self._ids[slot] for slot in slots.tolist()],
            order=columns.order[slots],
            arms=arms[:, slots],
            previous=row_of[columns.previous[slots]],
            following=row_of[columns.following[slots]],
            session=columns.session[slots] - 1,
            length=columns.length[slots],
            named=self._authors.named(query.words)[columns.author[slots]],
            question=columns.question[slots],
            importance=columns.importance[slots],
            cue=self._cues(query)[slots],
            time=times[slots],
            eligible=allowed[slots],
        )


def _best(arm: NDArray[np.float32], allowed: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    """Return the allowed slots with the `count` highest scores above zero; ties at the border may all come."""
    found = np.flatnonzero((arm > 0) & allowed)
    if len(found) <= count:
        return found
    scores = arm[found]
    border = np.partition(scores, len(scores) - count)[len(scores) - count]
    best: NDArray[np.intp] = found[scores >= border]
    return best
