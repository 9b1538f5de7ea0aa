"""What of a log record may be told: words of known form, numbers, places in code. What is not known to be safe stays out.

Our own messages carry no content and no id, by the contract of `errors.py`. A library's message may carry anything (a
URL, a request's body, the arguments of a failed call), so it is told only where the library is known to keep its
messages apart from its values, and then without the values.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final

from tiered_memory import errors

OURS: Final = "tiered_memory"
TEMPLATED: Final = ("uvicorn", "opentelemetry.exporter", "opentelemetry.sdk")
"""Libraries whose messages are fixed texts, with every value an argument of its own."""
WITHHELD: Final = "withheld"
LIBRARY_MESSAGE: Final = "the message of a library is withheld"
MOST_TEXT: Final = 1000
MOST_WORD: Final = 64
MOST_TEMPLATE: Final = 200
MOST_FRAMES: Final = 30
MOST_CAUSES: Final = 8
FOLDERS_SHOWN: Final = 3

_WORD = re.compile(r"[A-Za-z0-9_.:-]+", re.ASCII)
_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"}
)
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

Told = str | int | float | bool | None


def text(value: str, most: int = MOST_TEXT) -> str:
    """Return `value` as valid Unicode of at most `most` characters: lone surrogates become U+FFFD."""
    cut = value if len(value) <= most else value[: most - 1] + "…"
    return cut.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def one_line(value: str) -> str:
    """Return `value` without anything that moves a terminal's cursor: control characters become escapes."""
    return _UNSEEN.sub(lambda found: f"\\x{ord(found[0]):02x}", value)


def word(value: Any) -> str:
    """Return a word of letters, digits and `_ . : -`, at most 64 of them; anything else is withheld."""
    if isinstance(value, str) and len(value) <= MOST_WORD and _WORD.fullmatch(value):
        return str(value)
    return WITHHELD


def number(value: Any) -> Told:
    """Return a finite number rounded to microseconds; anything else is withheld."""
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return round(value, 6)
    return WITHHELD


def method(value: Any) -> str:
    """Return a known HTTP method; any other token is the caller's own text, and told as "_OTHER"."""
    return value if isinstance(value, str) and value in _METHODS else "_OTHER"


def template(value: Any) -> str:
    """Return a route's template, e.g. "/v1/users/{user}/memories"."""
    return text(value, MOST_TEMPLATE) if isinstance(value, str) else WITHHELD


FIELDS: Final[Mapping[str, Callable[[Any], Told]]] = {
    "op": word,
    "outcome": word,
    "seconds": number,
    "method": method,
    "route": template,
    "status": number,
    "suppressed": number,
    "count": number,
    "tier": word,
    "job": word,
    "key": word,
    "request_id": word,
    "trace_id": word,
    "span_id": word,
}
"""The fields a line may have beside its own, and the form each must have. Any other is dropped."""


def fields(given: Mapping[str, Any]) -> dict[str, Told]:
    """Return the fields of `given` that a line may have, in their form; None and unknown fields are dropped."""
    return {
        name: form(given[name]) for name, form in FIELDS.items() if name in given and given[name] is not None
    }


# --- messages ------------------------------------------------------------------------------------------------


def message(record: logging.LogRecord) -> str:
    """Return what may be told of a record's message; never raises on what stands in it."""
    ours = is_ours(record.name)
    if not ours and not _belongs(record.name, TEMPLATED):
        return LIBRARY_MESSAGE
    if not isinstance(record.msg, str):
        return f"({type(record.msg).__name__})"
    return text(_filled(record.msg, record.args, _plain if ours else _bare).rstrip("\n"))


def is_ours(logger: str) -> bool:
    """Tell whether a logger is this package's."""
    return _belongs(logger, (OURS,))


def _belongs(logger: str, families: tuple[str, ...]) -> bool:
    return any(logger == family or logger.startswith(family + ".") for family in families)


class _Named(dict[str, Told]):
    """Arguments by name, of which "%s" tells nothing: a record's only argument may be a mapping full of content."""

    def __str__(self) -> str:
        return "(dict)"

    __repr__ = __str__


def _filled(given: str, args: Any, shown: Callable[[Any], Told]) -> str:
    if not args:
        return given
    try:
        if isinstance(args, Mapping):
            return given % _Named({name: shown(one) for name, one in args.items()})
        return given % tuple(shown(one) for one in args)
    except (KeyError, TypeError, ValueError):
        return given


def _plain(value: Any) -> Told:
    if isinstance(value, BaseException):
        return _said(value) or type(value).__name__
    return value if isinstance(value, str | int | float | bool) else f"({type(value).__name__})"


def _bare(value: Any) -> Told:
    if isinstance(value, BaseException):
        return type(value).__name__
    return value if isinstance(value, int | float | bool) else f"({WITHHELD})"


# --- errors --------------------------------------------------------------------------------------------------


def trouble(error: BaseException) -> dict[str, Any]:
    """Return an error as told: its type, our own message, its stack (innermost last), and what caused it.

    Of foreign errors the message is left out, because it may quote what was stored; no line of source, no value of
    a variable, and of a file's name only its last folders.
    """
    told = _one(error)
    causes = [_one(one) for one in _causes(error)]
    return {**told, "causes": causes} if causes else told


def _one(error: BaseException) -> dict[str, Any]:
    told: dict[str, Any] = {"type": text(type(error).__name__, MOST_WORD)}
    said = _said(error)
    if said is not None:
        told["message"] = text(said)
    return {**told, "stack": stack(error.__traceback__)}


def _said(error: BaseException) -> str | None:
    # A subclass made elsewhere may say what it likes: the contract binds the classes of errors.py.
    return str(error) if type(error).__module__ == errors.__name__ else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen, waiting = {id(error)}, _behind(error)
    while waiting and len(seen) <= MOST_CAUSES:
        one = waiting.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += _behind(one)


def _behind(error: BaseException) -> list[BaseException]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return [one for one in (cause, *members) if one is not None]


def stack(traceback: TracebackType | None) -> list[str]:
    """Return "file:line function" of the innermost 30 frames, innermost last."""
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f"{place(code.co_filename)}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return [text(one, MOST_TEMPLATE) for one in frames[-MOST_FRAMES:]]


def place(filename: str) -> str:
    """Return a source file's name with its last two folders: whose home it lies in is nobody's business."""
    return "/".join(filename.replace("\\", "/").split("/")[-FOLDERS_SHOWN:])
