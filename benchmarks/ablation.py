"""What each lever of the ranking is worth: recall without it, and what it costs a search.

Runs in the recall index alone, on the vectors, terms and importance that the product would store. A lever is left
out at a time; everything else stays as shipped. "cost" is the median time of a search with the lever by that
without it, over the same questions asked in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any

from benchmarks.datasets import Conversation, Question, Turn, load
from benchmarks.metrics import recall_at
from benchmarks.store import SEARCHED_AFTER
from tiered_memory.clock import to_us
from tiered_memory.embedding.related_terms import related_terms
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.scoring.importance import score_importance
from tiered_memory.scoring.passages import Passage, split
from tiered_memory.scoring.ranking import DEFAULT_WEIGHTS, Candidates, Weights, rank
from tiered_memory.scoring.recall_index import IndexedTurn, Query, RecallIndex
from tiered_memory.scoring.signs import signs_of
from tiered_memory.scoring.text import analyze, is_question

OWN_SETS = Path(__file__).parent / "sets"
OWN_NAMES = ("short_chat.json", "work_dialogues.json")
CUT = 10
TIMED_QUESTIONS = 150

Results = dict[str, Any]


def _as_it_is(query: Query) -> Query:
    return query


@dataclass(frozen=True, slots=True)
class Lever:
    """Something the ranking uses. `without` are the weights that leave it out, `ask` the question without it."""

    name: str
    without: Mapping[str, float] = field(default_factory=dict)
    ask: Callable[[Query], Query] = _as_it_is

    @property
    def weights(self) -> Weights:
        """The shipped weights without this lever."""
        return replace(DEFAULT_WEIGHTS, **self.without)


def _off(*names: str) -> Mapping[str, float]:
    return dict.fromkeys(names, 0.0)


LEVERS = (
    Lever("vectors", _off("vector", "context_vector")),
    Lever("words", _off("lexical", "context_lexical")),
    Lever("related words", ask=lambda query: replace(query, related={})),
    Lever("turn before (context)", _off("context_vector", "context_lexical")),
    Lever("neighbours", _off("previous", "following", "beyond")),
    Lever("neighbours' neighbours", _off("beyond")),
    Lever("named author", _off("author")),
    Lever("best of the session", _off("session")),
    Lever("time words", _off("time"), lambda query: replace(query, times=())),
    Lever("kind of thing asked for", _off("cue"), lambda query: replace(query, signs=frozenset())),
    Lever("importance", _off("importance")),
    Lever("length", _off("length")),
    Lever("question turns down", _off("question")),
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A conversation in the index, and its questions with their queries and what the index finds for them."""

    index: RecallIndex
    asked: Sequence[tuple[Question, Query, Candidates]]


def prepare(conversation: Conversation, embedder: StaticEmbedder, *, passages: bool = True) -> Prepared:
    """Index a conversation as the product would, turn by turn, with or without passages; read its questions."""
    index = RecallIndex(embedder.dimensions)
    vectors = embedder.embed_now([turn.text for turn in conversation.turns])
    for order, (turn, vector) in enumerate(zip(conversation.turns, vectors, strict=True)):
        parts = _passages(turn.text, embedder) if passages else ()
        index.add([replace(_indexed(turn, order, vector, index), passages=parts)])
    now_us = to_us(conversation.turns[-1].occurred_at + SEARCHED_AFTER)
    towards = embedder.embed_now([question.text for question in conversation.questions])
    queries = [
        Query.of(question.text, vector, now_us, related_terms(question.text))
        for question, vector in zip(conversation.questions, towards, strict=True)
    ]
    found = map(index.candidates, queries)
    return Prepared(index, list(zip(conversation.questions, queries, found, strict=True)))


def _passages(content: str, embedder: StaticEmbedder) -> list[Passage]:
    parts = split(content)
    return [
        Passage(analyze(part).terms, one) for part, one in zip(parts, embedder.embed_now(parts), strict=True)
    ]


def _indexed(turn: Turn, order: int, vector: Any, index: RecallIndex) -> IndexedTurn:
    terms = analyze(turn.text).terms
    return IndexedTurn(
        id=turn.id,
        order=order,
        session=turn.session,
        author=turn.author,
        occurred_at_us=to_us(turn.occurred_at),
        characters=len(turn.text),
        terms=terms,
        vector=vector,
        question=is_question(turn.text),
        signs=signs_of(turn.text),
        importance=score_importance(turn.text, turn.role, index.novelty(terms)).value,
    )


def ablate(chosen: Sequence[Conversation], name: str, step: Callable[[], None] = lambda: None) -> Results:
    """Return recall at 10 with every lever and without each, on `chosen` and on the project's own sets.

    The figures of `chosen` are for all conversations and for every other one from the second ("report").
    """
    whole, sets = Lever("nothing"), _sets(chosen, name)
    prepared = _prepared(sets, passages=True)
    results: Results = {
        "with everything": {each: mean_recall(found, whole) for each, found in prepared.items()}
    }
    for lever in LEVERS:
        figures = {each: mean_recall(found, lever) for each, found in prepared.items()}
        results[f"without {lever.name}"] = figures | {"cost": cost_of(lever, next(iter(prepared.values())))}
        step()
    unparted = _prepared(sets, passages=False)
    results["without passages"] = {each: mean_recall(found, whole) for each, found in unparted.items()}
    return results


def _sets(chosen: Sequence[Conversation], name: str) -> dict[str, Sequence[Conversation]]:
    """Return the conversations of each set; the first are all of `chosen`."""
    sets: dict[str, Sequence[Conversation]] = {f"{name}, all": chosen}
    if len(chosen) > 1:
        sets[f"{name}, report half"] = chosen[1::2]
    own = (OWN_SETS / each for each in OWN_NAMES if each != name)
    return sets | {path.stem: load(path) for path in own if path.exists()}


def _prepared(sets: Mapping[str, Sequence[Conversation]], *, passages: bool) -> dict[str, list[Prepared]]:
    """Prepare each conversation once, however many sets it is in."""
    embedder, once = StaticEmbedder(), dict[int, Prepared]()
    for one in (one for chosen in sets.values() for one in chosen):
        if id(one) not in once:
            once[id(one)] = prepare(one, embedder, passages=passages)
    return {name: [once[id(one)] for one in chosen] for name, chosen in sets.items()}


def mean_recall(sets: Iterable[Prepared], lever: Lever) -> float | None:
    """Return recall at 10 without `lever`, over all questions; None where there are none."""
    recalls = [
        recall_at(_ranked(one.index, query, found, lever), question.evidence, CUT)
        for one in sets
        for question, query, found in one.asked
    ]
    return fmean(recalls) if recalls else None


def _ranked(index: RecallIndex, query: Query, found: Candidates, lever: Lever) -> list[str]:
    """Rank anew what was found with everything; search anew only for a lever that the search itself uses."""
    if lever.ask is not _as_it_is:
        found = index.candidates(lever.ask(query))
    return [one.id for one in rank(found, CUT, lever.weights)]


def cost_of(lever: Lever, sets: Sequence[Prepared]) -> float | None:
    """Return the median time of a search with `lever` by that without it."""
    asked = [(one.index, query) for one in sets for _, query, _ in one.asked]
    spread = asked[:: max(1, len(asked) // TIMED_QUESTIONS)][:TIMED_QUESTIONS]
    if not spread:
        return None
    whole = Lever("nothing")
    spent: dict[str, list[float]] = {whole.name: [], lever.name: []}
    for place, (index, query) in enumerate(spread):
        for one in (whole, lever) if place % 2 else (lever, whole):  # the second finds the caches warm
            begun = perf_counter()
            rank(index.candidates(one.ask(query)), CUT, one.weights)
            spent[one.name].append(perf_counter() - begun)
    return median(spent[whole.name]) / median(spent[lever.name])
