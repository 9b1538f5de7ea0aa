"""Many interactions from a file or standard input: one JSON object a line, stored in atomic groups."""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tiered_memory.cli.entry import moment
from tiered_memory.clock import stopwatch
from tiered_memory.errors import InvalidInputError, TieredMemoryError
from tiered_memory.model import Durability, Interaction

if TYPE_CHECKING:
    from rich.progress import Progress

    from tiered_memory.model import Receipt
    from tiered_memory.user import User

GROUP = 100
LONGEST_LINE = 32 << 20
KEYS = frozenset(
    {"content", "role", "time", "session", "author", "agent", "kind", "sensitivity", "importance", "metadata"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What holds for every line: defaults for what a line does not say, and the options of the write."""

    defaults: Interaction
    purpose: str | None = None
    operation_id: str | None = None
    durability: Durability | None = None


@dataclass(slots=True)
class Summary:
    """What became of the lines."""

    added: int = 0
    repeated: int = 0
    by_deepest_tier: Counter[str] = field(default_factory=Counter)
    by_durability: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def count(self, receipts: Sequence[Receipt]) -> None:
        """Count receipts in."""
        for receipt in receipts:
            self.added += not receipt.repeated
            self.repeated += receipt.repeated
            self.by_deepest_tier[receipt.tiers[-1].value if receipt.tiers else "none"] += 1
            self.by_durability[receipt.durability.value] += 1


def opened(source: Path | None) -> TextIO:
    """Return a file, or standard input, for reading; bytes that are not UTF-8 are refused when met."""
    if source is None:
        return io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8")
    try:
        return source.open(encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"the input file cannot be read ({type(error).__name__})") from None


def lines_in(source: Path | None) -> int | None:
    """Return how many lines a file has; None for standard input and what is no regular file."""
    if source is None or not source.is_file():
        return None
    with source.open("rb") as stream:
        return sum(1 for _ in stream)


async def add_lines(user: User, stream: TextIO, how: How, progress: Progress) -> Summary:
    """Store a stream of lines, a hundred at a time; a group is stored whole or not at all.

    Raises:
        TieredMemoryError: names the line and how many lines before it were stored.
    """
    summary, begun, done = Summary(), stopwatch(), 0
    for number, group in enumerate(_groups(stream, how.defaults)):
        if isinstance(group, TieredMemoryError):
            raise type(group)(f"{group}; {_stored(done)}")
        operation = None if how.operation_id is None else f"{how.operation_id}:{number}"
        try:
            receipts = await user.add_many(
                group, purpose=how.purpose, operation_id=operation, durability=how.durability
            )
        except TieredMemoryError as error:
            raise type(error)(f"lines {done + 1} to {done + len(group)}: {error}; {_stored(done)}") from error
        summary.count(receipts)
        done += len(group)
        for task in progress.task_ids:
            progress.update(task, completed=done)
    summary.seconds = stopwatch() - begun
    return summary


def _stored(count: int) -> str:
    return f"the {count} lines before were stored" if count else "nothing was stored"


def _groups(stream: TextIO, defaults: Interaction) -> Iterator[list[Interaction] | TieredMemoryError]:
    """Yield groups of interactions; what is wrong with a line comes after the lines before it."""
    group: list[Interaction] = []
    try:
        for number, line in numbered(stream):
            group.append(parsed(line, f"line {number}", defaults))
            if len(group) == GROUP:
                yield group
                group = []
    except InvalidInputError as error:
        if group:
            yield group
        yield error
        return
    if group:
        yield group


def numbered(stream: TextIO) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank with their numbers, from 1.

    Raises:
        InvalidInputError: a line is not UTF-8 text, or longer than 32 Mi characters.
    """
    number = 0
    while True:
        number += 1
        try:
            line = stream.readline(LONGEST_LINE)
        except UnicodeDecodeError:
            raise InvalidInputError(f"about line {number}: the input is not UTF-8 text") from None
        if not line:
            return
        if len(line) == LONGEST_LINE:
            raise InvalidInputError(f"line {number} is longer than {LONGEST_LINE} characters")
        if line.strip():
            yield number, line


def parsed(line: str, where: str, defaults: Interaction) -> Interaction:
    """Return the interaction in one line of JSON; what it does not say comes from `defaults`.

    Raises:
        InvalidInputError: names `where` and what is wrong.
    """
    return interaction(decoded(line, where, KEYS), where, defaults)


def decoded(line: str, where: str, known: Collection[str]) -> dict[str, Any]:
    """Return the JSON object in one line, which has none but `known` keys.

    Raises:
        InvalidInputError: names `where` and what is wrong.
    """
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidInputError(
            f'{where}: not JSON; each line is an object like {{"content": "…"}}'
        ) from None
    if not isinstance(fields, dict):
        raise InvalidInputError(f"{where}: must be a JSON object, not {type(fields).__name__}")
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise InvalidInputError(f"{where}: {unknown[0]!r} is not a key; known are {', '.join(sorted(known))}")
    return fields


def interaction(fields: Mapping[str, Any], where: str, defaults: Interaction) -> Interaction:
    """Return the interaction that the fields of one line give; see `parsed`."""
    if not isinstance(fields.get("content"), str):
        raise InvalidInputError(f"{where}: needs its content as text")
    given = {key: value for key, value in fields.items() if key != "time" and value is not None}
    when = fields.get("time")
    if when is not None and not isinstance(when, str):
        raise InvalidInputError(f"{where}: time must be text, ISO 8601 with an offset")
    said = moment(when, f"{where}: time") or defaults.occurred_at
    return replace(defaults, **given, occurred_at=said)
