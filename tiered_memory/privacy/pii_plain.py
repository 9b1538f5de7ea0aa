"""A text as the recognisers read it: what only looks different is written alike, what no screen shows is left out. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate

from tiered_memory.policy.pii_types import Span

_SPACES = (0x00A0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)
_HYPHENS = (0x2010, 0x2011, 0x2212, 0xFE63)
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_ALIKE: dict[int, str | int] = {**dict.fromkeys(_SPACES, " "), **dict.fromkeys(_HYPHENS, "-"), **_FULL_WIDTH}
"""One character for one: places in the text stay what they are."""
_UNSEEN = re.compile(
    "[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f]+"
)


def plain(text: str) -> str:
    """Return `text` with ASCII in place of wide letters, odd spaces and hyphens, and without what is not seen."""
    return text if text.isascii() else _UNSEEN.sub("", text.translate(_ALIKE))


def in_original(text: str, spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """Return spans of `plain(text)` as spans of `text`: what is not seen within one belongs to it."""
    if not spans or text.isascii():
        return spans
    unseen = [match.span() for match in _UNSEEN.finditer(text)]
    if not unseen:
        return spans
    left_out = accumulate(end - start for start, end in unseen)
    shifts = [(end - gone, gone) for (_, end), gone in zip(unseen, left_out, strict=True)]
    return tuple(
        replace(one, start=_shifted(one.start, shifts), end=_shifted(one.end - 1, shifts) + 1)
        for one in spans
    )


def _shifted(place: int, shifts: list[tuple[int, int]]) -> int:
    """Of a place in the plain text: it is moved by all that was left out before it."""
    before = bisect_right(shifts, place, key=_place)
    return place + (shifts[before - 1][1] if before else 0)


def _place(shift: tuple[int, int]) -> int:
    return shift[0]
