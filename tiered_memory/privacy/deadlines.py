"""Until when a person's request is to be answered: GDPR Art. 12(3), counted after Regulation (EEC, Euratom) 1182/71. Pure.

Art. 12(3): one month from receipt, which may be extended by two months; the person hears of that within the first.
Regulation 1182/71, Art. 3(2)(c): a period in months ends with the last hour of the day that has the same date as the
day of receipt, or of the last day of a month that has no such date. Art. 3(4): when that day is a Saturday, a Sunday or
a public holiday, it ends with the last hour of the next working day. Which days are holidays is the caller's
knowledge; one that is not named leaves the earlier, stricter date.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Collection
from datetime import date, datetime, time, timedelta

MONTHS = 1
MOST_EXTENSION = 2
MONTHS_A_YEAR = 12
SATURDAY = 5


def months_after(day: date, months: int) -> date:
    """Return the day of the same date `months` (>= 0) later, or the last of a month that has no such date."""
    year, month = divmod(day.month - 1 + months, MONTHS_A_YEAR)
    year, month = day.year + year, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def last_day(received: date, months: int = MONTHS, holidays: Collection[date] = ()) -> date:
    """Return the last day of a period of months that begins with a receipt."""
    day = months_after(received, months)
    while day.weekday() >= SATURDAY or day in holidays:
        day += timedelta(days=1)
    return day


def due_at(received: datetime, months: int = MONTHS, holidays: Collection[date] = ()) -> datetime:
    """Return the moment at which the last hour of the last day has passed, in the time zone of the receipt (aware)."""
    day = last_day(received.date(), months, holidays)
    return datetime.combine(day + timedelta(days=1), time.min, received.tzinfo)
