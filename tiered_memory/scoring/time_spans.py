"""The days that time words mean: forms of `time_words` resolved against the day they were spoken on."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Days = NDArray[np.int64]
"""Days since 1970-01-01, local."""

Floats = NDArray[np.float32]

FADES_AFTER_DAYS = 3.0
FADES_BEFORE_DAYS = 1.5
FADES_SHARE = 0.2
_LEAST_NEARNESS = np.float32(0.05)


_FORM = re.compile(
    r"(?P<year>\d{4})(?:-(?P<ymonth>\d\d)(?:-(?P<yday>\d\d))?|-s(?P<yseason>[0-3]))?"
    r"|--(?P<month>\d\d)(?:-(?P<day>\d\d))?"
    r"|s(?P<season>[0-3])(?P<before>[+-]\d+)?"
    r"|(?P<side>[pn])(?P<weekday>[0-6])"
    r"|(?P<unit>[dwmye])(?P<shift>[+-]\d{1,3})"
)


def is_absolute(form: str) -> bool:
    """Tell whether a form means the same days whenever it is spoken."""
    return form[0].isdigit()


def is_form(word: str) -> bool:
    """Tell whether `resolve` knows the form."""
    return _FORM.fullmatch(word) is not None


def day_of(moment_us: int, offset_minutes: int = 0) -> int:
    """Return the local day of a UTC moment, as days since 1970-01-01."""
    return (moment_us + offset_minutes * 60_000_000) // 86_400_000_000


def days_of(moments_us: Days, offsets_minutes: Days) -> Days:
    """Return the local days of UTC moments, as days since 1970-01-01."""
    local: Days = (moments_us + offsets_minutes * 60_000_000) // 86_400_000_000
    return local


def resolve(form: str, spoken: Days) -> tuple[Days, Days]:
    """Return the first and last day that `form` means when spoken on each of the days `spoken`, same shape.

    Raises:
        ValueError: `form` is none that `time_forms` returns.
    """
    match = _FORM.fullmatch(form)
    if match is None:
        raise ValueError("no such time form")
    if match["year"] is not None:
        first, last = _absolute(match)
        return np.full_like(spoken, first), np.full_like(spoken, last)
    if match["month"] is not None:
        return _latest_month(int(match["month"]), int(match["day"] or 0), spoken)
    if match["season"] is not None:
        return _latest_season(int(match["season"]), int(match["before"] or 0), spoken)
    if match["weekday"] is not None:
        return _weekday(match["side"], int(match["weekday"]), spoken)
    return _shifted(match["unit"], int(match["shift"]), spoken)


def span_of(forms: Sequence[str], today: int) -> tuple[int, int]:
    """Return the first and last day a question means: those of its first absolute form, else of its first."""
    chosen = next((form for form in forms if is_absolute(form)), forms[0])
    first, last = resolve(chosen, np.array([today], dtype=np.int64))
    return int(first[0]), int(last[0])


def _absolute(match: re.Match[str]) -> tuple[int, int]:
    """Return the first and last day of a year, month, day or season."""
    year = int(match["year"])
    if match["yseason"]:
        return _months(12 * (year - 1970) + _first_month(int(match["yseason"])), 3)
    if match["ymonth"] is None:
        return _months(12 * (year - 1970), 12)
    first, last = _months(12 * (year - 1970) + int(match["ymonth"]) - 1, 1)
    if match["yday"] is None:
        return first, last
    return first + int(match["yday"]) - 1, first + int(match["yday"]) - 1


def _first_month(season: int) -> int:
    """Return the first month of a season, counted from January as 0; winter begins in the December before."""
    return 3 * season - 1


def _months(first: int, count: int) -> tuple[int, int]:
    """Return the first and last day of `count` months; `first` counts from January 1970."""
    begin, end = _month_starts(np.array([first, first + count], dtype=np.int64))
    return int(begin), int(end) - 1


def _month_starts(months: Days) -> Days:
    starts: Days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return starts


def _month_of(days: Days) -> Days:
    months: Days = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return months


def _latest_month(month: int, day: int, spoken: Days) -> tuple[Days, Days]:
    """Return the latest such month (or day of it) that had begun."""
    present = _month_of(spoken)
    back = (present - (month - 1)) % 12
    first = _month_starts(present - back)
    if not day:
        return first, _month_starts(present - back + 1) - 1
    before = _month_starts(present - back - 12)
    wanted = np.where(first + day - 1 <= spoken, first, before) + day - 1
    return wanted, wanted.copy()


def _latest_season(season: int, years: int, spoken: Days) -> tuple[Days, Days]:
    present = _month_of(spoken)
    back = (present - _first_month(season)) % 12
    first = present - back + 12 * years
    return _month_starts(first), _month_starts(first + 3) - 1


def _weekday(side: str, weekday: int, spoken: Days) -> tuple[Days, Days]:
    today = (spoken + 3) % 7  # 1970-01-01 was a Thursday
    apart = (today - weekday - 1) % 7 + 1 if side == "p" else -((weekday - today - 1) % 7 + 1)
    wanted = spoken - apart
    return wanted, wanted.copy()


def _shifted(unit: str, shift: int, spoken: Days) -> tuple[Days, Days]:
    if unit == "d":
        return spoken + shift, spoken + shift
    if unit in {"w", "e"}:
        monday = spoken - (spoken + 3) % 7 + 7 * shift
        return monday + (5 if unit == "e" else 0), monday + 6
    if unit == "m":
        month = _month_of(spoken) + shift
        return _month_starts(month), _month_starts(month + 1) - 1
    year = _month_of(spoken) // 12 + shift
    return _month_starts(12 * year), _month_starts(12 * year + 12) - 1


def nearness(days: Days, span: tuple[int, int]) -> Floats:
    """Return for each day 1 within `span`, and less the further outside: what happened is told of afterwards.

    It falls by e in three days after the span, half as many before it, both plus a fifth of its length; below
    1/20 it is 0.
    """
    first, last = span
    length = last - first + 1
    before = np.maximum(first - days, 0) / (FADES_BEFORE_DAYS + FADES_SHARE / 2 * length)
    after = np.maximum(days - last, 0) / (FADES_AFTER_DAYS + FADES_SHARE * length)
    near: Floats = np.exp(-(before + after)).astype(np.float32)
    return np.where(near < _LEAST_NEARNESS, np.float32(0), near)


def overlap(first: Days, last: Days, span: tuple[int, int]) -> Floats:
    """Return how well the days from `first` to `last` tell those of `span`: 1 within it or nearly as long."""
    common = np.minimum(last, span[1]) - np.maximum(first, span[0]) + 1
    length = span[1] - span[0] + 1
    told = np.minimum(1.0, (length + 2) / (last - first + 1))
    shares: Floats = np.where(common > 0, told, 0.0).astype(np.float32)
    return shares
