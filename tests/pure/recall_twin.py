"""A naive twin of the recall index, and what makes turns and questions for both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from tiered_memory.scoring.passages import Passage
from tiered_memory.scoring.ranking import Candidates
from tiered_memory.scoring.recall_index import IndexedTurn, Query, RecallIndex
from tiered_memory.scoring.signs import signs_of
from tiered_memory.scoring.text import analyze, is_question
from tiered_memory.scoring.time_spans import day_of, is_form, nearness, overlap, resolve, span_of

DIMENSIONS = 4
K1, B = 1.2, 0.75
DAY_US = 86_400_000_000


def vector(*values: float) -> np.ndarray:
    return np.array([*values, *[0.0] * (DIMENSIONS - len(values))], np.float32)


def turn(
    order: int, content: str, session: str | None = "s", author: str | None = None, direction: float = 0.0
) -> IndexedTurn:
    return IndexedTurn(
        id=f"id{order}",
        order=order,
        session=session,
        author=author,
        occurred_at_us=order * DAY_US // 2,
        characters=len(content),
        terms=analyze(content).terms,
        signs=signs_of(content),
        vector=vector(math.cos(direction), math.sin(direction)) if content else vector(),
        question=is_question(content),
    )


def index_of(turns: Iterable[IndexedTurn]) -> RecallIndex:
    index = RecallIndex(DIMENSIONS)
    index.add(list(turns))
    return index


# --- a naive twin: plain dictionaries, no index -----------------------------------------------------------------


def own_terms(one: IndexedTurn) -> dict[str, int]:
    counts = dict(one.terms)
    for name in analyze(one.author or "").terms:
        counts[name] = counts.get(name, 0) + 1
    return counts


def predecessors(turns: Sequence[IndexedTurn]) -> dict[str, IndexedTurn]:
    latest: dict[str, IndexedTurn] = {}
    before: dict[str, IndexedTurn] = {}
    for one in sorted(turns, key=lambda each: each.order):
        if one.session is not None:
            if one.session in latest:
                before[one.id] = latest[one.session]
            latest[one.session] = one
    return before


Counts = dict[str, float]


def counted(counts: Mapping[str, int], query: Query) -> Counts:
    """How often a text holds each term of the question; a related term counts its weight, once."""
    found: Counts = {}
    for term in query.terms:
        others = [weight for other, weight in query.related.get(term, {}).items() if other in counts]
        found[term] = float(counts.get(term, 0) or max(others, default=0.0))
    return found


def naive_bm25(
    documents: dict[str, Counts], lengths: dict[str, int], terms: Iterable[str]
) -> dict[str, float]:
    average = sum(lengths.values()) / len(documents)
    scores = dict.fromkeys(documents, 0.0)
    for term in terms:
        holding = sum(min(1.0, counts[term]) for counts in documents.values())
        rarity = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
        for key, counts in documents.items():
            if counts[term]:
                weight = counts[term] + K1 * (1 - B + B * lengths[key] / max(average, 1.0))
                scores[key] += rarity * counts[term] * (K1 + 1) / weight
    return scores


def naive_arms(turns: Sequence[IndexedTurn], query: Query) -> dict[str, list[float]]:
    before = predecessors(turns)
    own = {one.id: own_terms(one) for one in turns}
    lengths = {name: sum(counts.values()) for name, counts in own.items()}
    documents = {name: counted(counts, query) for name, counts in own.items()}
    wide, wide_lengths = {}, {}
    for one in turns:
        also = before[one.id].id if one.id in before else None
        wide_lengths[one.id] = lengths[one.id] + (lengths[also] if also else 0)
        wide[one.id] = {
            term: count + (documents[also][term] if also else 0) for term, count in documents[one.id].items()
        }
    sums = {one.id: one.vector + (before[one.id].vector if one.id in before else 0) for one in turns}
    lexical = naive_bm25(documents, lengths, query.terms)
    cosines = {one.id: cosine(one.vector, query.vector) for one in turns}
    for one in (one for one in turns if one.passages):
        parts = [passage_scores(one, place, turns, query) for place in range(len(one.passages))]
        cosines[one.id], lexical[one.id] = (max(values) for values in zip(*parts, strict=True))
    context = naive_bm25(wide, wide_lengths, query.terms)
    return {
        one.id: [
            cosines[one.id],
            lexical[one.id],
            cosine(sums[one.id], query.vector),
            context[one.id],
        ]
        for one in turns
    }


def passage_scores(
    one: IndexedTurn, place: int, turns: Sequence[IndexedTurn], query: Query
) -> tuple[float, float]:
    """The cosine and BM25 of one passage: terms as rare as among the turns, held against the turns' length."""
    own = {each.id: own_terms(each) for each in turns}
    lengths = {name: sum(counts.values()) for name, counts in own.items()}
    average = max(sum(lengths.values()) / len(turns), 1.0)
    documents = {name: counted(counts, query) for name, counts in own.items()}
    passage = one.passages[place]
    held = own_terms(replace(one, terms=passage.terms))
    counts, score = counted(held, query), 0.0
    for term in (term for term in query.terms if counts[term]):
        holding = sum(min(1.0, each[term]) for each in documents.values())
        rarity = math.log(1 + (len(turns) - holding + 0.5) / (holding + 0.5))
        weight = counts[term] + K1 * (1 - B + B * sum(held.values()) / average)
        score += rarity * counts[term] * (K1 + 1) / weight
    return cosine(passage.vector, query.vector), score


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    lengths = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / lengths if lengths > 1e-9 else 0.0


# --- strategies -------------------------------------------------------------------------------------------------


def naive_times(turns: Sequence[IndexedTurn], query: Query) -> dict[str, float]:
    newest = max(turns, key=lambda one: one.order)
    span = span_of(query.times, day_of(query.now_us or 0, newest.zone_minutes))
    near = {}
    for one in turns:
        day = np.array([day_of(one.occurred_at_us, one.zone_minutes)])
        told = [sign for sign in one.signs if is_form(sign)]
        shares = [float(overlap(*resolve(form, day), span)[0]) for form in told]
        near[one.id] = max([float(nearness(day, span)[0]), *shares])
    return near


WORDS = ["tea", "coffee", "lisbon", "train", "error", "timeout", "maya", "garden", "tuesday", "violin"]
WORDS += ["yesterday", "two days ago", "in January", "1970-01-09", "12"]
contents = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)


@st.composite
def passages_of(draw: st.DrawFn, whole: IndexedTurn) -> tuple[Passage, ...]:
    """A turn's words dealt out to two passages, or none."""
    if draw(st.booleans()):
        return ()
    words = dict(whole.terms)
    cut = draw(st.integers(0, len(words)))
    halves = (dict(list(words.items())[:cut]), dict(list(words.items())[cut:]))
    values = st.lists(st.integers(-3, 3).map(float), min_size=DIMENSIONS, max_size=DIMENSIONS)
    return tuple(Passage(half, vector(*draw(values))) for half in halves)


@st.composite
def turn_lists(draw: st.DrawFn) -> list[IndexedTurn]:
    orders = draw(st.lists(st.integers(0, 60), unique=True, max_size=14))
    whole = st.integers(-3, 3).map(float)
    made = []
    for order in orders:
        session, author = (
            draw(st.sampled_from([None, "a", "b"])),
            draw(st.sampled_from([None, "Maya", "Ben"])),
        )
        values = draw(st.lists(whole, min_size=DIMENSIONS, max_size=DIMENSIONS))
        made.append(
            replace(
                turn(order, draw(contents), session, author),
                vector=vector(*values),
                zone_minutes=draw(st.sampled_from([-600, 0, 330])),
                importance=draw(st.sampled_from([0.0, 0.5, 1.0])),
            )
        )
        made[-1] = replace(made[-1], passages=draw(passages_of(made[-1])))
    return made


RELATED = {
    "tea": {"coffe": 0.25, "garden": 0.125},
    "train": {"lisbon": 0.5, "tea": 0.25},
    "mous": {"violin": 0.25},
}


@st.composite
def queries(draw: st.DrawFn) -> Query:
    values = draw(st.lists(st.integers(-3, 3).map(float), min_size=DIMENSIONS, max_size=DIMENSIONS))
    now_us = draw(st.sampled_from([None, 5 * DAY_US, 40 * DAY_US]))
    return Query.of(draw(contents), vector(*values), now_us, draw(st.sampled_from([{}, RELATED])))


def picture(candidates: Candidates) -> dict[str, tuple[object, ...]]:
    """All that candidates say, by id, independent of rows and session numbers."""
    names = [*candidates.ids, None]
    return {
        name: (
            int(candidates.order[row]),
            tuple(np.round(candidates.arms[:, row].astype(float), 4)),
            names[int(candidates.previous[row])],
            names[int(candidates.following[row])],
            float(candidates.length[row]),
            bool(candidates.named[row]),
            bool(candidates.question[row]),
            round(float(candidates.importance[row]), 5),
            round(float(candidates.cue[row]), 5),
            round(float(candidates.time[row]), 5),
            bool(candidates.eligible[row]),
            frozenset(
                candidates.ids[other]
                for other in np.flatnonzero(candidates.session == candidates.session[row])
                if candidates.session[row] >= 0
            ),
        )
        for row, name in enumerate(candidates.ids)
    }
