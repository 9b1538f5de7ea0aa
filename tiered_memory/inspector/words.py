"""How values are said to people: texts that cannot steer a page, moments, amounts. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any

_FIRST_PICTURE = 0x2400
_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_UNSEEN = "\u00ad\u200b\u2060\ufeff"
_HARMLESS = {
    **{code: _FIRST_PICTURE + code for code in range(0x20) if chr(code) not in "\n\t"},
    **dict.fromkeys(
        [*range(0x7F, 0xA0), *map(ord, _BIDI + _UNSEEN), 0x2028, 0x2029, *range(0xD800, 0xE000)], 0xFFFD
    ),
    **dict.fromkeys(range(0xE0000, 0xE0080), 0xFFFD),
}
UNITS = (("year", 365.25 * 86400), ("month", 30.44 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60))
MOST_OF_A_UNIT = 2
"""From so many of a unit on it is counted in; below, in the next smaller one: 45 days, not 1 month."""
KIB = 1024
SMALL = 10


def visible(text: str) -> str:
    """Return text that cannot steer a page: a memory's words are somebody else's.

    Control characters become their pictures; what turns the direction of writing or cannot be seen, and lone
    surrogates, become the replacement character.
    """
    return text.translate(_HARMLESS)


def moment(when: datetime | None, otherwise: str = "never") -> str:
    """Return a moment to the minute, in UTC where it is."""
    return otherwise if when is None else f"{when:%-d %b %Y, %H:%M} {when.tzname() or ''}".rstrip()


def day(when: datetime | None, otherwise: str = "never") -> str:
    """Return a moment's date."""
    return otherwise if when is None else f"{when:%-d %b %Y}"


def clock(when: datetime) -> str:
    """Return a moment's time of day."""
    return f"{when:%H:%M:%S} {when.tzname() or ''}".rstrip()


def span(duration: timedelta) -> str:
    """Return how long something takes in the one unit that says most: "3 months"."""
    seconds = abs(duration.total_seconds())
    for name, size in UNITS:
        if seconds >= size * (MOST_OF_A_UNIT if name in {"year", "month"} else 1):
            return counted(round(seconds / size), name)
    return counted(round(seconds), "second")


def relative(when: datetime | None, now: datetime) -> str:
    """Return a moment as seen from `now`: "in 3 months", "2 hours ago", "now"; "" for none."""
    if when is None:
        return ""
    if abs(when - now) < timedelta(seconds=1):
        return "now"
    return f"in {span(when - now)}" if when > now else f"{span(now - when)} ago"


def counted(count: int, one: str, more: str = "") -> str:
    """Return a number with its noun, e.g. "1 user", "2 users"."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def size(amount: float) -> str:
    """Return bytes in the unit that suits them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < KIB or unit == "GiB":
            return (
                f"{amount:.0f} {unit}" if unit == "B" or amount >= SMALL * SMALL else f"{amount:.1f} {unit}"
            )
        amount /= KIB
    raise AssertionError


def share(value: float) -> str:
    """Return a share (0..1) as two digits: ".42", "1.00"."""
    return f"{value:.2f}"


FATES = {
    "decay": "fades",
    "grace": "fades",
    "ceiling": "reaches its ceiling",
    "floor": "leaves after its floor",
    "undo window": "gone for good",
    "hot tier's time to live": "ends",
}


def fate(rule: str, held: bool = False) -> str:
    """Return what a rule does to a memory, as a verb; `held`: it has no day on which it does."""
    return f"stays ({phrase(rule)})" if held else FATES.get(rule, f"leaves by {phrase(rule)}")


def phrase(word: str) -> str:
    """Return a word of a closed vocabulary as people write it."""
    return word.replace("_", " ")


def plain(value: Any) -> Any:
    """Return a value as JSON has it: dataclasses become objects, moments ISO 8601, words their text."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def as_json(value: Any, *, indent: int | None = None) -> str:
    """Return one JSON document in ASCII."""
    return json.dumps(plain(value), indent=indent)
