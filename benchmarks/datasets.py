"""Conversations with questions, read from files: the LoCoMo schema (JSON) and plain turns (JSON lines)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tiered_memory.model import Role

ADVERSARIAL = 5
"""LoCoMo's category of questions that the conversation does not answer."""

_EVIDENCE_ID = re.compile(r"D\d+:\d+")
_SESSION_KEY = re.compile(r"session_(\d+)")
_SESSION_TIME = re.compile(
    r"(\d{1,2}):(\d{2})\s*([ap]m)\s+on\s+(\d{1,2})\s+([A-Za-z]+),?\s+(\d{4})", re.IGNORECASE
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_UNDATED = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. `occurred_at` is aware; `id` is unique within its conversation."""

    id: str
    session: str
    author: str | None
    role: Role
    text: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """A question with the ids of the turns that answer it (one or more, all existing)."""

    text: str
    evidence: frozenset[str]
    category: int
    asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """One subject's turns in order, and the questions asked about them."""

    name: str
    turns: tuple[Turn, ...]
    questions: tuple[Question, ...]

    @property
    def sessions(self) -> tuple[str, ...]:
        """The session names in order of first appearance."""
        return tuple(dict.fromkeys(turn.session for turn in self.turns))

    @property
    def session_of(self) -> dict[str, str]:
        """The session name of each turn, by the turn's id."""
        return {turn.id: turn.session for turn in self.turns}


def load(path: Path) -> list[Conversation]:
    """Read conversations from `path`.

    A `.jsonl` file is one conversation of role/content/time/session objects; a turn's id is its line number from 1
    unless it names one, and a `questions.json` beside the file asks about those ids. Anything else is a JSON list (or one object) in LoCoMo's schema. Raises `ValueError` when a turn or a session
    time cannot be read.
    """
    if path.suffix == ".jsonl":
        return [_from_lines(path)]
    raw = json.loads(path.read_text(encoding="utf-8"))
    entries = raw if isinstance(raw, list) else [raw]
    return [_from_locomo(entry, position) for position, entry in enumerate(entries)]


def parse_session_time(text: str) -> datetime:
    """Read LoCoMo's "1:56 pm on 8 May, 2023" (or an ISO 8601 time) as an aware UTC datetime."""
    match = _SESSION_TIME.search(text)
    if match is None:
        return _aware(datetime.fromisoformat(text))
    hour, minute, half, day, month, year = match.groups()
    month_number = _MONTHS.index(month[:3].lower()) + 1
    hour_of_day = int(hour) % 12 + (12 if half.lower() == "pm" else 0)
    return datetime(int(year), month_number, int(day), hour_of_day, int(minute), tzinfo=UTC)


def _aware(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


def _from_locomo(entry: Mapping[str, Any], position: int) -> Conversation:
    turns = tuple(_locomo_turns(entry["conversation"]))
    known = {turn.id for turn in turns}
    questions = tuple(_locomo_questions(entry.get("qa", ()), known))
    return Conversation(str(entry.get("sample_id", position)), turns, questions)


def _locomo_turns(conversation: Mapping[str, Any]) -> Iterator[Turn]:
    numbers = sorted(int(match[1]) for match in map(_SESSION_KEY.fullmatch, conversation) if match)
    for number in numbers:
        name = f"session_{number}"
        stated = conversation.get(f"{name}_date_time")
        started = parse_session_time(stated) if stated else _UNDATED + timedelta(days=number)
        for index, raw in enumerate(conversation[name]):
            yield _locomo_turn(raw, name, started + timedelta(minutes=index))


def _locomo_turn(raw: Mapping[str, Any], session: str, when: datetime) -> Turn:
    speaker = str(raw["speaker"])
    role = Role(raw["role"]) if "role" in raw else _role_of(speaker)
    caption = raw.get("blip_caption")
    text = f"{raw['text']} [shares {caption}]" if caption else str(raw["text"])
    return Turn(str(raw["dia_id"]), session, speaker, role, text, when)


def _role_of(speaker: str) -> Role:
    """People talk to people in LoCoMo; a speaker called "assistant" is one."""
    return Role.ASSISTANT if speaker.lower() in {"assistant", "agent", "ai", "bot"} else Role.USER


def _locomo_questions(raw_questions: Any, known: set[str]) -> Iterator[Question]:
    for raw in raw_questions:
        category = int(raw.get("category", 0))
        evidence = frozenset(_evidence_ids(raw.get("evidence", ())) & known)
        if category != ADVERSARIAL and evidence:
            yield Question(str(raw["question"]), evidence, category)


def _evidence_ids(raw: Any) -> set[str]:
    entries = [raw] if isinstance(raw, str) else raw
    return {found for entry in entries for found in _EVIDENCE_ID.findall(str(entry))}


def _from_lines(path: Path) -> Conversation:
    raw_turns = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    turns = tuple(_line_turn(raw, position) for position, raw in enumerate(raw_turns))
    beside = path.with_name("questions.json")
    questions = tuple(_line_questions(beside)) if beside.exists() else ()
    return Conversation(path.stem, turns, questions)


def _line_turn(raw: Mapping[str, Any], position: int) -> Turn:
    when = raw.get("time") or raw.get("occurred_at")
    return Turn(
        id=str(raw.get("id", position + 1)),
        session=str(raw.get("session", "session_1")),
        author=raw.get("author"),
        role=Role(raw.get("role", "user")),
        text=str(raw["content"]),
        occurred_at=_aware(datetime.fromisoformat(when)) if when else _UNDATED + timedelta(minutes=position),
    )


def _line_questions(path: Path) -> Iterator[Question]:
    for raw in json.loads(path.read_text(encoding="utf-8")):
        yield Question(
            str(raw["question"]), frozenset(map(str, raw["evidence"])), int(raw.get("category", 0))
        )
