"""One format for everything the process logs, through structlog's formatter for the standard library's records."""

from __future__ import annotations

import json as json_text
import logging
import sys
import threading
from collections.abc import Callable, Iterable, MutableMapping
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TextIO

from tiered_memory.errors import ConfigurationError
from tiered_memory.logs.floods import FloodGate
from tiered_memory.logs.requests import ACCESS, request_id
from tiered_memory.logs.scrubbing import (
    MOST_TEMPLATE,
    OURS,
    fields,
    is_ours,
    message,
    one_line,
    place,
    text,
    trouble,
    word,
)

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
ACCESS_OF_THE_SERVER: Final = "uvicorn.access"
"""Its lines hold raw paths, and paths hold people's ids: `AccessLog` takes its place."""
TAMED: Final = (OURS, ACCESS, "uvicorn", "uvicorn.error", ACCESS_OF_THE_SERVER, "py.warnings")
UNTOLD: Final = "a log line could not be written"

Line = MutableMapping[str, Any]


def configure(
    *,
    json: bool | None = None,
    level: str = "info",
    stream: TextIO | None = None,
    filters: Iterable[logging.Filter] = (),
) -> Callable[[], None]:
    """Log everything of this process to `stream` (stderr), a line each; return what undoes it.

    `json` None means JSON unless the stream is a terminal. `level` holds for this package and the HTTP server; other
    libraries are told from "warning" on, without their messages. `filters` may note `trace_id` and `span_id` on records.

    Raises:
        ConfigurationError: there is no such level, or structlog is not installed.
    """
    if level.lower() not in LEVELS:
        raise ConfigurationError(f"the log level must be one of {', '.join(LEVELS)}")
    target = stream or sys.stderr
    handler = _Lines(target)
    handler.setFormatter(_formatter(as_json=not target.isatty() if json is None else json))
    for one in (FloodGate(exempt=frozenset({ACCESS})), *filters):
        handler.addFilter(one)
    return _installed(handler, logging.getLevelNamesMapping()[level.upper()])


def _formatter(*, as_json: bool) -> logging.Formatter:
    try:
        from structlog.dev import ConsoleRenderer
        from structlog.processors import JSONRenderer
        from structlog.stdlib import ProcessorFormatter
    except ModuleNotFoundError:
        raise ConfigurationError(
            "the daemon's logs need structlog: pip install 'tiered-memory[server]'"
        ) from None
    if as_json:
        return ProcessorFormatter(processors=[_line, JSONRenderer(serializer=_serialized)])
    return ProcessorFormatter(processors=[_line, _flat, ConsoleRenderer(colors=False)])


def _line(_logger: Any, _method: str, event: Line) -> Line:
    record: logging.LogRecord = event["_record"]
    line: Line = {
        "timestamp": moment(record.created),
        "level": record.levelname.lower(),
        "logger": text(record.name, MOST_TEMPLATE),
        "event": event["event"],
        **fields(vars(record)),
    }
    named = request_id()
    if named:
        line["request_id"] = word(named)
    if not is_ours(record.name):
        line["where"] = _where(record)
    error = event.get("exc_info", (None, None))[1]
    if error is not None:
        line["error"] = trouble(error)
    return line


def _where(record: logging.LogRecord) -> str:
    return text(f"{place(record.pathname)}:{record.lineno}", MOST_TEMPLATE)


def moment(created: float) -> str:
    """Return a record's creation (seconds since 1970) in UTC, ISO 8601, to the microsecond."""
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _serialized(line: Line, **_given: Any) -> str:
    return json_text.dumps(line, allow_nan=False)


def _flat(_logger: Any, _method: str, line: Line) -> Line:
    """For people: the error below the line, and nothing that a terminal would obey."""
    error = line.pop("error", None)
    shown = {name: one_line(value) if isinstance(value, str) else value for name, value in line.items()}
    if error is not None:
        shown["exception"] = "\n".join(_told(error))
    return shown


def _told(error: dict[str, Any]) -> Iterable[str]:
    for one in (error, *error.get("causes", ())):
        yield one_line(f"{one['type']}: {one['message']}" if "message" in one else one["type"])
        yield from (f"  {one_line(frame)}" for frame in one["stack"])


class _Lines(logging.StreamHandler[TextIO]):
    """Writes lines; what cannot be written is told without what stood in it."""

    def format(self, record: logging.LogRecord) -> str:
        # Of what structlog itself sends through the standard library, the fields alone are told, as of others.
        given = {name: value for name, value in vars(record).items() if name not in {"_logger", "_name"}}
        safe = logging.makeLogRecord({**given, "msg": message(record), "args": ()})
        return super().format(safe)

    def filter(self, record: logging.LogRecord) -> Any:
        return False if record.name == ACCESS_OF_THE_SERVER else super().filter(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        """Replace the standard library's answer, which prints the message and its arguments."""
        line = {"level": "error", "logger": OURS, "event": UNTOLD, "where": _where(record)}
        try:
            self.stream.write(json_text.dumps(line) + "\n")
        except (OSError, ValueError):
            return  # stderr is gone: there is nobody left to tell


# --- the process's loggers and last words --------------------------------------------------------------------


def _installed(handler: logging.Handler, level: int) -> Callable[[], None]:
    stack = ExitStack()
    root = logging.getLogger()
    _take_over(root, stack, [handler], max(level, logging.WARNING))
    for name in TAMED:
        _take_over(logging.getLogger(name), stack, [], logging.NOTSET)
    for name in (OURS, "uvicorn"):
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
    stack.callback(logging.captureWarnings, False)
    _hear_last_words(stack)
    return stack.close


def _take_over(logger: logging.Logger, stack: ExitStack, handlers: list[logging.Handler], level: int) -> None:
    stack.callback(_put_back, logger, logger.handlers[:], logger.level, logger.propagate, logger.disabled)
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate, logger.disabled = True, False


def _put_back(
    logger: logging.Logger, handlers: list[logging.Handler], level: int, propagate: bool, disabled: bool
) -> None:
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate, logger.disabled = propagate, disabled


def _hear_last_words(stack: ExitStack) -> None:
    """Log what nobody caught: the interpreter would print it with its message, which may quote content."""
    before = sys.excepthook, threading.excepthook, sys.unraisablehook
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable

    def restore() -> None:
        sys.excepthook, threading.excepthook, sys.unraisablehook = before

    stack.callback(restore)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logging.getLogger(OURS).critical(
            "the process ends by an unforeseen error", exc_info=(kind, error, trace)
        )


def _uncaught_in_thread(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is not None and not issubclass(given.exc_type, SystemExit):
        logging.getLogger(OURS).critical("a thread ended by an unforeseen error", exc_info=given.exc_value)


def _unraisable(given: Any) -> None:
    logging.getLogger(OURS).error("an error could not be raised where it happened", exc_info=given.exc_value)
