"""Time words: "yesterday", "two weeks ago", "in May 2023" as normal forms, and the days they mean.

A form says nothing of the day it was spoken on, so that a text can be analyzed before its time is known:
`d-1` one day before, `w-1` the week before (Monday to Sunday), `m-1` the month, `y-1` the year, `e-1` the
weekend; `p1` the latest Tuesday gone by and `n1` the next one (Monday is 0); `2023`, `2023-05`, `2023-05-07`
a year, month or day, `--05` and `--05-07` the latest May and 7 May begun; `s2` the latest summer begun, `s2-1` the
one before this year's (winter 0, spring 1, summer 2, autumn 3; northern seasons of whole months) and
`2023-s2` that of a year. English, and the digits of ISO 8601 and of Chinese and Japanese dates.
"""

from __future__ import annotations

import re
from datetime import date

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SEASONS = {"winter": 0, "spring": 1, "summer": 2, "autumn": 3, "fall": 3}
_COUNTS = {
    word: count
    for count, words in enumerate(
        ("", "a an one", "two couple", "three few", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
    for word in words.split()
}
_SHIFTS = {"last": -1, "past": -1, "previous": -1, "this": 0, "next": 1}
_UNITS = {"day": "d", "week": "w", "month": "m", "year": "y", "weekend": "e"}
_NAMED_DAYS = {"today": 0, "tonight": 0, "yesterday": -1, "tomorrow": 1}

_MONTH = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
_WEEKDAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?"
_SEASON = r"(?:winter|spring|summer|autumn|fall)"
_FULL_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_YEAR = r"(?:19|20)\d\d"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_COUNT = r"\d{1,3}|a|an|one|two|three|four|five|six|seven|eight|nine|ten|couple|few"

_TIME = re.compile(
    rf"\b(?P<iso>{_YEAR}[-/](?:0[1-9]|1[0-2])(?:[-/](?:0[1-9]|[12]\d|3[01]))?)\b"
    rf"|(?P<cjk>(?:{_YEAR}年)?\d{{1,2}}月(?:\d{{1,2}}日)?)"
    rf"|\b(?P<day>{_DAY})\s+(?:of\s+)?(?P<month>{_MONTH})\b\.?(?:,?\s*(?P<year>{_YEAR})\b)?"
    rf"|\b(?P<month2>{_MONTH})\b\.?\s+(?P<day2>{_DAY})\b(?!:\d)(?:,?\s*(?P<year2>{_YEAR})\b)?"
    rf"|\b(?P<month3>{_MONTH})\b\.?,?\s+(?:of\s+)?(?P<year3>{_YEAR})\b"
    rf"|\b(?P<lead>in|since|until|during|by|last|this|next|of|early|late|mid)[\s-]+(?P<month4>{_MONTH})\b(?!\s+\d\d?(?!\d))"
    rf"(?:,?\s+(?P<year4>{_YEAR})\b)?"
    rf"|\b(?P<ago>{_COUNT})\s+(?:of\s+)?(?P<agounit>day|week|weekend|month|year)s?\s+(?:ago|back|earlier)\b"
    rf"|\bthe\s+day\s+(?P<beyond>before\s+yesterday|after\s+tomorrow)\b"
    rf"|\b(?P<shift>last|past|previous|this|next)\s+(?P<unit>weekend|week|month|year|(?P<season>{_SEASON})|(?P<weekday>{_WEEKDAY})|night)\b"
    rf"|\b(?P<named>yesterday|today|tonight|tomorrow)\b"
    rf"|\b(?:(?:in|during)\s+(?:the\s+)?)?(?P<season2>{_SEASON})\s+(?:of\s+)?(?P<seasonyear>{_YEAR})\b"
    rf"|\b(?:in|during)\s+(?:the\s+)?(?P<season3>{_SEASON})\b"
    rf"|\bon\s+(?:the\s+)?(?P<onday>{_FULL_WEEKDAY})\b"
    rf"|\b(?P<onlyyear>{_YEAR})\b(?![-/.:]\d)",
    re.IGNORECASE,
)
_TELLING = frozenset(
    """
    ago back earlier yesterday today tonight tomorrow winter spring summer autumn fall
    mon tue tues wed thu thur thurs fri sat sun jan feb mar apr jun jul aug sep sept oct nov dec
    january february march april may june july august september october november december
    monday tuesday wednesday thursday friday saturday sunday
    """.split()  # noqa: SIM905 - prose wraps better than a list
)
_TELLING_SHIFTS = frozenset(_SHIFTS) | {"before", "after"}
_TELLING_UNITS = frozenset((*_UNITS, "night"))
_WORD = re.compile(r"[a-z]+")
_DIGITS = re.compile(rf"{_YEAR}|\d月")


def time_forms(text: str) -> list[str]:
    """Return the normal forms of the time words in `text`, each once, in order of appearance."""
    lowered = text.lower()
    if not _is_telling(lowered):
        return []
    return list(dict.fromkeys(form for match in _TIME.finditer(lowered) if (form := _form(match))))


def _is_telling(lowered: str) -> bool:
    """Tell cheaply whether there may be time words: most texts have none."""
    words = _WORD.findall(lowered)
    shifted = not (_TELLING_SHIFTS.isdisjoint(words) or _TELLING_UNITS.isdisjoint(words))
    return shifted or not _TELLING.isdisjoint(words) or _DIGITS.search(lowered) is not None


def _form(match: re.Match[str]) -> str:
    """Return the normal form of one expression, "" for what cannot be a date."""
    get = match.groupdict().get
    if get("iso"):
        return _dated(*match["iso"].replace("/", "-").split("-"))
    if get("cjk"):
        return _dated_cjk(match["cjk"])
    month = get("month") or get("month2") or get("month3") or get("month4")
    if month:
        day = (get("day") or get("day2") or "").rstrip("stndrh")
        year = get("year") or get("year2") or get("year3") or get("year4") or ""
        return _dated(year, _month_number(month), day)
    return _undated(match)


def _undated(match: re.Match[str]) -> str:
    get = match.groupdict().get
    if get("season2"):
        return f"{match['seasonyear']}-s{_SEASONS[match['season2']]}"
    if get("season3"):
        return f"s{_SEASONS[match['season3']]}"
    if get("onday"):
        return f"p{_weekday_number(match['onday'])}"
    return get("onlyyear") or _relative(match)


def _relative(match: re.Match[str]) -> str:
    get = match.groupdict().get
    if get("ago"):
        return f"{_UNITS[match['agounit']]}-{_count(match['ago'])}"
    if get("beyond"):
        return "d-2" if "before" in match["beyond"] else "d+2"
    if get("named"):
        return f"d{_NAMED_DAYS[match['named']]:+d}"
    return _shift_form(match)


def _shift_form(match: re.Match[str]) -> str:
    shift, unit = _SHIFTS[match["shift"]], match["unit"]
    if match["season"]:
        return f"s{_SEASONS[match['season']]}" + ("+1" if shift > 0 else "")
    if match["weekday"]:
        return f"{'n' if shift >= 0 else 'p'}{_weekday_number(match['weekday'])}"
    if unit == "night":
        return f"d{shift:+d}"
    return f"{_UNITS[unit]}{shift:+d}"


def _dated(year: str, month: str, day: str = "") -> str:
    if not day:
        return f"{year or '-'}-{month}"
    if not _is_date(int(year or 2024), int(month), int(day)):
        return ""
    return f"{year or '-'}-{month}-{int(day):02d}"


def _dated_cjk(text: str) -> str:
    numbers = re.findall(r"\d+", text)
    year = numbers.pop(0) if "年" in text else ""
    month, day = int(numbers[0]), numbers[1] if len(numbers) > 1 else ""
    return _dated(year, f"{month:02d}", day) if 1 <= month <= len(_MONTHS) else ""


def _is_date(year: int, month: int, day: int) -> bool:
    return 1 <= month <= len(_MONTHS) and 1 <= day <= _days_in(year, month)


def _days_in(year: int, month: int) -> int:
    return (date(year + month // 12, month % 12 + 1, 1) - date(year, month, 1)).days


def _month_number(name: str) -> str:
    return f"{_MONTHS.index(name[:3]) + 1:02d}"


def _weekday_number(name: str) -> int:
    return _WEEKDAYS.index(name[:3])


def _count(word: str) -> int:
    return int(word) if word.isdigit() else _COUNTS[word]
