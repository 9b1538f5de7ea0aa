"""Where answers, warnings and errors go: documents to standard output, everything about the work to standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

WIDEST = 120
PIPED_WIDTH = 100
_FIRST_PICTURE = 0x2400
_BIDI = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_HARMLESS = {
    **{code: _FIRST_PICTURE + code for code in range(0x20) if chr(code) not in "\n\t"},
    **dict.fromkeys([*range(0x7F, 0xA0), *map(ord, _BIDI), 0x2028, 0x2029, *range(0xD800, 0xE000)], 0xFFFD),
}


def harmless(text: str) -> str:
    """Return text that cannot steer a terminal: a memory's words are somebody else's.

    Control characters become their pictures, direction marks and lone surrogates the replacement character.
    """
    return text.translate(_HARMLESS)


def one_line(text: str) -> str:
    """Return text for a table's cell: harmless, and on one line."""
    return harmless(" ".join(text.split()))


def plain(value: Any) -> Any:
    """Return a value as JSON has it: dataclasses become objects, moments ISO 8601, words their text."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str):
        return [plain(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value


def as_json(value: Any) -> str:
    """Return one JSON document, indented."""
    return json.dumps(plain(value), ensure_ascii=False, indent=2)


def console(*, stderr: bool = False, widest: int = WIDEST) -> Console:
    """Return a console of the terminal's width, at most `widest` columns; 100 into a file or pipe."""
    made = Console(stderr=stderr, highlight=False)
    made.width = min(widest, made.width if made.is_terminal else PIPED_WIDTH)
    return made


class Output:
    """How one command answers."""

    def __init__(self, *, as_document: bool) -> None:
        self.as_document = as_document
        self.out = console()
        self.err = console(stderr=True)

    def show(self, document: Any, *pictures: RenderableType) -> None:
        """Write the document under `--json`, else the pictures."""
        if self.as_document:
            sys.stdout.write(as_json(document) + "\n")
            return
        for picture in pictures:
            self.out.print(picture)

    def text(self, document: Any, text: str) -> None:
        """Write the document under `--json`, else text as it is: not wrapped, not coloured."""
        sys.stdout.write((as_json(document) if self.as_document else harmless(text)) + "\n")

    def note(self, message: str, style: str = "dim") -> None:
        """Say something about the work."""
        self.err.print(Text(harmless(message), style=style), soft_wrap=True)

    def fail(self, error: Exception) -> None:
        """Say what was refused or failed."""
        message = harmless(str(error))
        if self.as_document:
            sys.stderr.write(json.dumps({"error": type(error).__name__, "message": message}) + "\n")
            return
        self.err.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)

    def progress(self, what: str, total: int | None = None) -> Progress:
        """Return a progress display with one task; silent unless standard error is a terminal."""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        shown = Progress(
            *columns, TimeElapsedColumn(), console=self.err, transient=True, disable=not self.err.is_terminal
        )
        shown.add_task(what, total=total)
        return shown


class WarningLines(logging.Handler):
    """Shows what the runtime warns of as plain lines."""

    def __init__(self, output: Output) -> None:
        super().__init__(logging.WARNING)
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line to standard error."""
        self._output.note(f"warning: {record.getMessage()}", "yellow")
