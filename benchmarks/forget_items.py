"""What the forgetting benchmark replays: the turns of a conversation as they arrive, and when questions are asked.

Everything that does not depend on a policy is computed here once: vectors, index terms, and the importance the
product gives a turn on arrival, with the novelty its router would have seen had nothing been forgotten.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.datasets import Conversation, Turn
from tiered_memory.clock import to_us
from tiered_memory.embedding.base import Embedder
from tiered_memory.scoring import text
from tiered_memory.scoring.importance import score_importance
from tiered_memory.scoring.recall_index import IndexedTurn, Query, RecallIndex, Vector

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
SHORTEST_LAG_US, LONGEST_LAG_US = HOUR_US, 120 * DAY_US


@dataclass(frozen=True, slots=True)
class Item:
    """One turn: its place in order of arrival, when it arrived, and its importance (0..1) on arrival."""

    place: int
    at_us: int
    importance: float
    turn: IndexedTurn


@dataclass(frozen=True, slots=True)
class Asked:
    """A question: the places of its evidence (one or more), and when it is asked in each regime."""

    query: Query
    evidence: tuple[int, ...]
    at_end_us: int
    interleaved_us: int

    def share_of(self, held: Sequence[bool]) -> float:
        """Return the share (0..1) of the evidence that is held."""
        return sum(held[place] for place in self.evidence) / len(self.evidence)


@dataclass(frozen=True, slots=True)
class Story:
    """One conversation, ready to be replayed."""

    name: str
    items: tuple[Item, ...]
    questions: tuple[Asked, ...]


async def story_of(conversation: Conversation, embedder: Embedder, seed: int) -> Story:
    """Return a conversation as it is replayed; the same seed asks at the same times."""
    turns = sorted(conversation.turns, key=lambda turn: turn.occurred_at)
    vectors = await embedder.embed([turn.text for turn in turns], "document")
    indexed = [
        _indexed(turn, place, vector) for place, (turn, vector) in enumerate(zip(turns, vectors, strict=True))
    ]
    items = _scored(turns, indexed)
    asked = await embedder.embed([question.text for question in conversation.questions], "query")
    queries = [Query.of(q.text, vector) for q, vector in zip(conversation.questions, asked, strict=True)]
    evidence = [question.evidence for question in conversation.questions]
    return Story(conversation.name, items, _timed(items, queries, evidence, f"{seed}:{conversation.name}"))


def _indexed(turn: Turn, place: int, vector: Vector) -> IndexedTurn:
    return IndexedTurn(
        id=turn.id,
        order=place,
        session=turn.session,
        author=turn.author,
        occurred_at_us=to_us(turn.occurred_at),
        characters=len(turn.text),
        terms=text.analyze(turn.text).terms,
        vector=vector,
        question=text.is_question(turn.text),
    )


def _scored(turns: Sequence[Turn], indexed: Sequence[IndexedTurn]) -> tuple[Item, ...]:
    known = RecallIndex(len(indexed[0].vector)) if indexed else None
    items = []
    for place, (turn, one) in enumerate(zip(turns, indexed, strict=True)):
        assert known is not None
        novelty = known.novelty(one.terms) if one.terms else None
        answers = known.ends_asking(turn.session)
        importance = score_importance(turn.text, turn.role, novelty, answers=answers).value
        items.append(Item(place, one.occurred_at_us, importance, one))
        known.add([one])
    return tuple(items)


def _timed(
    items: Sequence[Item], queries: Sequence[Query], evidence: Sequence[frozenset[str]], seed: str
) -> tuple[Asked, ...]:
    """At the end: one day after the last turn. Interleaved: log-uniform 1 hour to 120 days after the newest evidence."""
    place_of = {item.turn.id: item.place for item in items}
    draw, found = random.Random(seed), []
    for query, ids in zip(queries, evidence, strict=True):
        places = tuple(sorted(place_of[one] for one in ids))
        lag_us = math.exp(draw.uniform(math.log(SHORTEST_LAG_US), math.log(LONGEST_LAG_US)))
        found.append(Asked(query, places, items[-1].at_us + DAY_US, items[places[-1]].at_us + round(lag_us)))
    return tuple(found)
