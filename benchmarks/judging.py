"""The judge of supersession alone: what it says of pairs, of what only looks alike, and of natural talk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.datasets import Conversation, load
from benchmarks.metrics import percentile
from benchmarks.pairs import PairSet, Said
from benchmarks.suite import Progress, Results
from benchmarks.timing import since_ms
from tiered_memory.clock import stopwatch, to_us
from tiered_memory.embedding.base import Vectors
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.scoring.supersession import Relation, Statement, judge, judge_all
from tiered_memory.scoring.text import analyze

NEIGHBOURS = 20
"""How many earlier turns a new one is compared with."""

_LATER_US = 86_400_000_000


@dataclass(slots=True)
class _Replay:
    """What natural talk came to: relations, the ids of updated turns per conversation, and time per turn."""

    relations: Counter[Relation] = field(default_factory=Counter)
    updated: dict[str, set[str]] = field(default_factory=dict)
    taken_ms: list[float] = field(default_factory=list)


def judged(found: PairSet, embedder: StaticEmbedder) -> Results:
    """Count what the judge says of each pair, and of each pair that only looks alike, per half."""
    pairs = Counter(
        f"pairs {pair.split}: {_relation(pair.stale, pair.current, embedder)}" for pair in found.pairs
    )
    alike = Counter(
        f"lookalikes {one.split}: {_relation(one.earlier, one.later, embedder)}" for one in found.lookalikes
    )
    return dict(sorted((pairs + alike).items()))


def _relation(earlier: Said, later: Said, embedder: StaticEmbedder) -> Relation:
    old, new = _normalised(embedder.embed_now([earlier.content, later.content]))
    return judge(_statement(later, _LATER_US), _statement(earlier, 0), float(old @ new)).relation


def _statement(said: Said, at_us: int) -> Statement:
    return Statement(said.content, said.role, said.author, at_us, analyze(said.content).terms)


def natural_talk(data: Path, embedder: StaticEmbedder, progress: Progress) -> Results:
    """Replay conversations turn by turn through the judge, each turn against its nearest earlier ones.

    Returns relations per 1 000 turns, the share of the evidence of the data's questions that updates would hide, and
    the judge's time per turn in milliseconds.
    """
    conversations, replay = load(data), _Replay()
    progress.stage("natural talk", len(conversations))
    for conversation in conversations:
        _replay(conversation, embedder, replay)
        progress.step()
    turns = len(replay.taken_ms)
    rates = {f"{one.value}_per_1000_turns": 1000 * replay.relations[one] / turns for one in Relation}
    del rates[f"{Relation.UNRELATED.value}_per_1000_turns"]
    return {
        "turns": turns,
        **rates,
        "evidence_hidden_ratio": _hidden(conversations, replay),
        "judge_p50_ms": percentile(replay.taken_ms, 50),
        "judge_mean_ms": sum(replay.taken_ms) / turns,
        "judge_p99_ms": percentile(replay.taken_ms, 99),
    }


def _replay(conversation: Conversation, embedder: StaticEmbedder, replay: _Replay) -> None:
    vectors = _normalised(embedder.embed_now([turn.text for turn in conversation.turns]))
    told = list(_statements(conversation))
    for place, turn in enumerate(told):
        cosines = vectors[:place] @ vectors[place]
        nearest = np.argsort(-cosines, kind="stable")[:NEIGHBOURS].tolist()
        candidates = [(told[one], float(cosines[one])) for one in nearest]
        begun = stopwatch()
        judgements = judge_all(turn, candidates)
        replay.taken_ms.append(since_ms(begun))
        replay.relations.update(one.relation for one in judgements)
        updated = zip(nearest, judgements, strict=True)
        replay.updated.setdefault(conversation.name, set()).update(
            conversation.turns[one].id for one, found in updated if found.relation is Relation.UPDATES
        )


def _statements(conversation: Conversation) -> Iterator[Statement]:
    for turn in conversation.turns:
        yield _statement(Said(turn.text, turn.author, turn.role), to_us(turn.occurred_at))


def _hidden(conversations: Sequence[Conversation], replay: _Replay) -> float:
    lost = [
        len(question.evidence & replay.updated[conversation.name]) / len(question.evidence)
        for conversation in conversations
        for question in conversation.questions
    ]
    return sum(lost) / max(1, len(lost))


def _normalised(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0.0, lengths, 1.0)).astype(np.float32)
