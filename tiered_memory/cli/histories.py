"""A history as JSON lines: turns as `add --input` takes them, and when which of them was needed; scored as when written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, TextIO

from tiered_memory.cli.bulk import KEYS, decoded, interaction, numbered
from tiered_memory.cli.entry import moment
from tiered_memory.clock import to_us
from tiered_memory.errors import InvalidInputError
from tiered_memory.forgetting.rehearsal import Need, Turn
from tiered_memory.intake import ID_CHARACTERS, accept, check_id, check_moment
from tiered_memory.model import Interaction, Role, Sensitivity
from tiered_memory.scoring.importance import score_importance
from tiered_memory.scoring.text import analyze, is_question
from tiered_memory.scoring.vocabulary import Vocabulary

TURN_KEYS = KEYS | {"id", "user"}
USED, ASKED, AT = "used", "asked", "at"
NEED_KEYS = frozenset({USED, ASKED, AT})
STEP = 1000
_BLANK = Interaction(content="")


@dataclass(frozen=True, slots=True)
class Line:
    """A turn as it was read: its line, whose it is, what was said, and when."""

    number: int
    user: str
    said: Interaction
    at_us: int


@dataclass(frozen=True, slots=True)
class _Reference:
    number: int
    name: str
    at_us: int
    used: bool


@dataclass(slots=True)
class Reader:
    """Reads a history; `now` bounds how late a moment may be, `max_content_bytes` a content.

    A turn is named by its `id`, or else by the number of its line. Lines may come in any order.
    """

    now: datetime
    max_content_bytes: int
    lines: list[Line] = field(default_factory=list)
    _references: list[_Reference] = field(default_factory=list)
    _named: dict[str, int] = field(default_factory=dict)
    _numbered: dict[str, int] = field(default_factory=dict)

    def read(self, stream: TextIO, report: Callable[[int], None]) -> list[Need]:
        """Read all lines into `lines`; return the needs. `report` is told the number of a line now and then.

        Raises:
            InvalidInputError: names the line and what is wrong.
        """
        for number, text in numbered(stream):
            self._take(number, decoded(text, f"line {number}", TURN_KEYS | NEED_KEYS))
            if number % STEP == 0:
                report(number)
        return [self._need(one) for one in self._references]

    def _take(self, number: int, fields: dict[str, Any]) -> None:
        where = f"line {number}"
        try:
            if fields.keys() & NEED_KEYS:
                self._references.append(self._reference(number, fields))
            else:
                self._turn(number, fields)
        except InvalidInputError as error:
            message = str(error)
            raise InvalidInputError(message if message.startswith(where) else f"{where}: {message}") from None

    def _turn(self, number: int, fields: dict[str, Any]) -> None:
        name, user = fields.pop("id", None), fields.pop("user", None)
        given = interaction(fields, f"line {number}", _BLANK)
        if given.occurred_at is None:
            raise InvalidInputError("needs its time: without it nothing can be replayed")
        accepted = accept(given, self.now, self.max_content_bytes)
        place = len(self.lines)
        if name is not None and self._named.setdefault(check_id(name, "id"), place) != place:
            raise InvalidInputError(f"its id is that of line {self.lines[self._named[name]].number} as well")
        self._numbered[str(number)] = place
        whose = "" if user is None else check_id(user, "user")
        self.lines.append(Line(number, whose, accepted.interaction, to_us(accepted.occurred_at)))

    def _reference(self, number: int, fields: Mapping[str, Any]) -> _Reference:
        name, alone = fields.get(USED, fields.get(ASKED)), (USED in fields) != (ASKED in fields)
        if not alone or fields.keys() - NEED_KEYS or not isinstance(fields.get(AT), str):
            raise InvalidInputError('what was needed is said as {"used": "id", "at": "time"}, or "asked"')
        if isinstance(name, int) and not isinstance(name, bool):
            name = str(name)
        at = moment(fields[AT], f"line {number}: {AT}")
        at_us = to_us(check_moment(at, AT, self.now))
        return _Reference(number, check_id(name, "the id of what was needed"), at_us, USED in fields)

    def _need(self, one: _Reference) -> Need:
        place = self._named.get(one.name, self._numbered.get(one.name))
        if place is None:
            shown = one.name[:ID_CHARACTERS]
            raise InvalidInputError(f"line {one.number}: no turn has the id {shown!r}")
        turn = self.lines[place]
        if turn.said.role is Role.SYSTEM:
            raise InvalidInputError(f"line {one.number}: {one.name!r} is a system prompt, which is no memory")
        if one.at_us < turn.at_us:
            raise InvalidInputError(f"line {one.number}: {one.name!r} is needed before it was said")
        return Need(place, one.at_us, one.used)


def scored(lines: Sequence[Line], report: Callable[[int], None]) -> list[Turn]:
    """Return the turns of `lines`, in their order, each as important as it was when it was said.

    What is new for a user is told from all that was said before, forgotten or not.
    """
    found: dict[int, Turn] = {}
    scorer = _Scorer()
    in_time = sorted(range(len(lines)), key=lambda place: lines[place].at_us)
    for done, place in enumerate(in_time):
        found[place] = scorer.turn(lines[place])
        if done % STEP == 0:
            report(done)
    return [found[place] for place in range(len(lines))]


class _Scorer:
    """Scores turns that come in the order of time, each beside those of the same user before."""

    def __init__(self) -> None:
        self._vocabularies: dict[str, Vocabulary] = {}
        self._asking: dict[tuple[str, str], bool] = {}

    def turn(self, line: Line) -> Turn:
        said, size = line.said, len(line.said.content.encode())
        return Turn(
            line.at_us,
            self._importance(line),
            size,
            Role(said.role),
            Sensitivity(said.sensitivity),
            line.user,
        )

    def _importance(self, line: Line) -> float:
        said, vocabulary = line.said, self._vocabularies.setdefault(line.user, Vocabulary())
        terms, answers = analyze(said.content).terms, self._answers(line)
        novelty = vocabulary.novelty(terms)
        vocabulary.add(terms, () if said.author is None else _terms_of_name(said.author))
        if said.importance is not None:
            return said.importance
        return score_importance(said.content, Role(said.role), novelty, answers=answers).value

    def _answers(self, line: Line) -> bool:
        """Tell whether what came before in the session asks."""
        if line.said.session is None:
            return False
        session = line.user, line.said.session
        before = self._asking.get(session, False)
        self._asking[session] = is_question(line.said.content)
        return before


@lru_cache(maxsize=1024)
def _terms_of_name(author: str) -> tuple[str, ...]:
    return tuple(analyze(author).terms)
