"""The conversation a demo plays: the bundled one, JSON lines of one's own, or one in LoCoMo's shape."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from tiered_memory.cli.bulk import parsed
from tiered_memory.errors import InvalidInputError
from tiered_memory.model import Interaction

BUNDLED = "the bundled conversation"
TURN_SECONDS = 40
QUESTIONS = 2
RARE_WORDS = 4
MARKERS = 3
MARKER_LETTERS = 6
_WORD = re.compile(r"[^\W\d_]{4,}")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][^\W\d_A-Z]+")
_SESSION = re.compile(r"session_(\d+)")


@dataclass(frozen=True, slots=True)
class Question:
    """A question for the demo to ask, and why it is asked; `why` may be empty."""

    text: str
    why: str = ""


BUNDLED_QUESTIONS = (
    Question(
        "Which version of PostgreSQL does the primary run?",
        "The fact changed in April: the present one comes first, the former one is history.",
    ),
    Question(
        "Dangerous foods for the child",
        "By meaning: the answer says neither dangerous, food nor child.",
    ),
)
BUNDLED_TASK = Question("Write a cake recipe for my daughter Elsa")


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns with their times, whose they are, and what to ask of them."""

    name: str
    user: str
    turns: tuple[Interaction, ...]
    questions: tuple[Question, ...]
    task: Question

    @property
    def times(self) -> tuple[datetime, ...]:
        """When each turn was said; all are aware."""
        return tuple(turn.occurred_at for turn in self.turns if turn.occurred_at is not None)


def bundled() -> Conversation:
    """Return the conversation that comes with the package."""
    text = (files("tiered_memory") / "demo_data" / "conversation.jsonl").read_text(encoding="utf-8")
    return Conversation(BUNDLED, "maya.lindqvist", tuple(_lines(text)), BUNDLED_QUESTIONS, BUNDLED_TASK)


def read(path: Path, number: int = 1) -> Conversation:
    """Return the conversation in a file: JSON lines of content, role and time, or the `number`-th in LoCoMo's shape.

    Raises:
        InvalidInputError: says what is wrong with the file and where.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"the input file cannot be read ({type(error).__name__})") from None
    except UnicodeDecodeError:
        raise InvalidInputError("the input file is not UTF-8 text") from None
    whole = _whole(text)
    if whole is None:
        return _of_lines(path.name, tuple(_lines(text)))
    return _of_locomo(path.name, whole, number)


def _whole(text: str) -> list[Any] | None:
    """Return a file's conversations when it is one JSON document of them; None when it is lines."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    documents = document if isinstance(document, list) else [document]
    return documents if documents and all(_is_conversation(one) for one in documents) else None


def _is_conversation(document: Any) -> bool:
    return isinstance(document, dict) and isinstance(document.get("conversation"), dict)


def _lines(text: str) -> Iterator[Interaction]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield parsed(line, f"line {number}", Interaction(content=""))


def _of_lines(name: str, turns: tuple[Interaction, ...]) -> Conversation:
    if not turns:
        raise InvalidInputError("the input file holds no turns")
    timed = tuple(_timed(turns))
    texts = [turn.content for turn in timed]
    questions = tuple(Question(text) for text in _telling_questions(texts))
    return Conversation(name, _user_of(timed), timed, questions, questions[0])


def _timed(turns: Sequence[Interaction]) -> Iterator[Interaction]:
    for number, turn in enumerate(turns, 1):
        if turn.occurred_at is None:
            raise InvalidInputError(f"turn {number} has no time: a demo needs one for each turn")
        yield turn


def _user_of(turns: Sequence[Interaction]) -> str:
    """Return an id for the person whose conversation it is: the first who speaks as a user."""
    person = next((turn.author for turn in turns if turn.role == "user" and turn.author), None)
    return f"demo.{'.'.join((person or 'someone').lower().split())}"


def _telling_questions(texts: Sequence[str]) -> list[str]:
    """Return a few rare words of the longest turns, as somebody would type them who remembers half of it."""
    counts = Counter(word for text in texts for word in set(_words(text)))
    longest = sorted(range(len(texts)), key=lambda at: (-len(set(_words(texts[at]))), at))[:QUESTIONS]
    asked = []
    for at in longest:
        rare = sorted(dict.fromkeys(_words(texts[at])), key=lambda word: counts[word])[:RARE_WORDS]
        asked.append(" ".join(rare) or texts[at][:80])
    return asked


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def markers(texts: Sequence[str], avoid: str) -> tuple[str, ...]:
    """Return words whose presence anywhere would betray the content: rare, long, names if possible.

    They are in lower case; none is part of `avoid`.
    """
    counts = Counter(word for text in texts for word in set(_words(text)))
    names = {name.lower() for text in texts for name in _NAME.findall(text)}
    fit = [word for word in counts if len(word) >= MARKER_LETTERS and word not in avoid.lower()]
    fit.sort(key=lambda word: (word not in names, counts[word], -len(word), word))
    return tuple(fit[:MARKERS])


# --- LoCoMo (Maharana et al., ACL 2024) ----------------------------------------------------------------------


def _of_locomo(name: str, documents: Sequence[Any], number: int) -> Conversation:
    if not 1 <= number <= len(documents):
        raise InvalidInputError(
            f"the file holds {len(documents)} conversations; give one of 1 to {len(documents)}"
        )
    document = documents[number - 1]
    turns = tuple(_locomo_turns(document["conversation"]))
    if not turns:
        raise InvalidInputError(f"conversation {number} holds no turns")
    asked = [Question(text) for text in _locomo_questions(document)]
    asked += [Question(text) for text in _telling_questions([turn.content for turn in turns])]
    return Conversation(
        f"{name}, conversation {number}", _user_of(turns), turns, tuple(asked[:QUESTIONS]), asked[0]
    )


def _locomo_questions(document: Any) -> list[str]:
    """Return a question of each of the first categories; the fifth is adversarial."""
    first: dict[Any, str] = {}
    for one in document.get("qa", ()):
        if (
            isinstance(one, dict)
            and one.get("category") in {1, 2, 3, 4}
            and isinstance(one.get("question"), str)
        ):
            first.setdefault(one["category"], one["question"])
    return [first[category] for category in sorted(first, reverse=True)]


def _locomo_turns(sessions: Any) -> Iterator[Interaction]:
    numbered = (_SESSION.fullmatch(str(key)) for key in sessions)
    for number in sorted(int(match[1]) for match in numbered if match):
        key = f"session_{number}"
        begins = _locomo_time(sessions.get(f"{key}_date_time"), key)
        for place, turn in enumerate(sessions[key] or ()):
            yield _locomo_turn(turn, key, begins + timedelta(seconds=TURN_SECONDS * place))


def _locomo_time(given: Any, key: str) -> datetime:
    try:
        return datetime.strptime(str(given), "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidInputError(f"{key}_date_time is not of the form '1:56 pm on 8 May, 2023'") from None


def _locomo_turn(turn: Any, key: str, when: datetime) -> Interaction:
    if not isinstance(turn, dict) or not isinstance(turn.get("text"), str) or not turn.get("speaker"):
        raise InvalidInputError(f"{key}: each turn needs a speaker and a text")
    caption = turn.get("blip_caption")
    content = f"{turn['text']} (shows a picture: {caption})" if caption else turn["text"]
    return Interaction(
        content=content or "(nothing)", author=str(turn["speaker"]), session=key, occurred_at=when
    )
