"""Pairs of a stale and a current statement among true neighbours, and pairs that only look alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.datasets import Conversation, Question, Turn
from tiered_memory.model import Role

BUNDLED = Path(__file__).with_name("sets") / "supersession.json"
PAIRS_PER_USER = 20
_BEGINNING = datetime(2024, 1, 8, 9, tzinfo=UTC)
_BETWEEN_PAIRS = timedelta(hours=7)
_BETWEEN_TURNS = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Said:
    """One statement, by whom, in which role."""

    content: str
    author: str | None
    role: Role


@dataclass(frozen=True, slots=True)
class Pair:
    """A statement that was brought up to date `days_apart` days later, and a question for what holds now.

    `distractors` are about the same topic and stay true. `split` is "tune" or "report".
    """

    id: str
    style: str
    split: str
    days_apart: int
    stale: Said
    current: Said
    distractors: tuple[Said, ...]
    question: str


@dataclass(frozen=True, slots=True)
class Lookalike:
    """Two statements that are alike and both hold."""

    id: str
    split: str
    earlier: Said
    later: Said


@dataclass(frozen=True, slots=True)
class PairSet:
    """What a file of pairs holds."""

    pairs: tuple[Pair, ...]
    lookalikes: tuple[Lookalike, ...]


def load_pairs(path: Path = BUNDLED) -> PairSet:
    """Read a file of pairs; raises KeyError or ValueError when it is none."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    entries = raw["pairs"] if isinstance(raw, dict) else raw
    negatives = raw.get("negatives", ()) if isinstance(raw, dict) else ()
    return PairSet(
        tuple(_pair(entry, number) for number, entry in enumerate(entries)),
        tuple(
            Lookalike(
                str(entry.get("id", f"negative-{number}")),
                str(entry.get("split", "report")),
                _said(entry["earlier"]),
                _said(entry["later"]),
            )
            for number, entry in enumerate(negatives)
        ),
    )


def _pair(entry: Mapping[str, Any], number: int) -> Pair:
    stale = _said(entry["stale"])
    return Pair(
        id=str(entry.get("id", f"pair-{number}")),
        style=str(entry.get("style", "unnamed")),
        split=str(entry.get("split", "report")),
        days_apart=int(entry.get("days_apart", 30)),
        stale=stale,
        current=_said(entry["current"]),
        distractors=tuple(_said(one, stale) for one in entry.get("distractors", ())),
        question=str(entry["question"]),
    )


def _said(entry: Any, like: Said | None = None) -> Said:
    """A bare string is said by whoever said the stale statement."""
    if isinstance(entry, str):
        return Said(entry, like.author if like else None, like.role if like else Role.USER)
    return Said(str(entry["content"]), entry.get("author"), Role(entry.get("role", "user")))


def told_together(pairs: Sequence[Pair], per_user: int = PAIRS_PER_USER) -> list[Conversation]:
    """Return conversations in each of which `per_user` (>= 1) pairs with their distractors are told to one user.

    Half of the distractors come with the stale statement, half with the current one. A question's evidence is the
    current statement; turn ids are `PAIR/stale`, `PAIR/current` and `PAIR/0` and up.
    """
    groups = [pairs[start : start + per_user] for start in range(0, len(pairs), per_user)]
    return [_conversation(f"pairs-{number}", group) for number, group in enumerate(groups)]


def _conversation(name: str, pairs: Sequence[Pair]) -> Conversation:
    turns = sorted(
        (turn for number, pair in enumerate(pairs) for turn in _turns(pair, number)),
        key=lambda turn: turn.occurred_at,
    )
    questions = [Question(pair.question, frozenset({f"{pair.id}/current"}), 0) for pair in pairs]
    return Conversation(name, tuple(turns), tuple(questions))


def _turns(pair: Pair, number: int) -> Iterator[Turn]:
    half = len(pair.distractors) // 2
    numbered = [(str(place), said) for place, said in enumerate(pair.distractors)]
    begun = _BEGINNING + number * _BETWEEN_PAIRS
    yield from _session(pair, "before", begun, [*numbered[:half], ("stale", pair.stale)])
    updated = begun + timedelta(days=pair.days_apart)
    yield from _session(pair, "after", updated, [("current", pair.current), *numbered[half:]])


def _session(pair: Pair, phase: str, begun: datetime, told: Sequence[tuple[str, Said]]) -> Iterator[Turn]:
    for place, (name, said) in enumerate(told):
        when = begun + place * _BETWEEN_TURNS
        yield Turn(f"{pair.id}/{name}", f"{pair.id}-{phase}", said.author, said.role, said.content, when)
