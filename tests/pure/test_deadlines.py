"""One month is a calendar month, as Regulation 1182/71 counts it."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import InvalidInputError
from tiered_memory.privacy.deadlines import due_at, last_day, months_after
from tiered_memory.privacy.requests import (
    Outcome,
    Request,
    Right,
    check_outcome,
    check_right,
    extension,
)

DAYS = st.dates(date(1971, 1, 1), date(9990, 1, 1))
MONTHS = st.integers(0, 36)


@pytest.mark.parametrize(
    ("received", "months", "last"),
    [
        (date(2026, 3, 5), 1, date(2026, 4, 6)),  # the 5th is a Sunday
        (date(2025, 3, 5), 1, date(2025, 4, 7)),  # a Saturday
        (date(2026, 8, 31), 1, date(2026, 9, 30)),
        (date(2026, 1, 31), 1, date(2026, 3, 2)),  # 28 February is a Saturday
        (date(2028, 1, 31), 1, date(2028, 2, 29)),
        (date(2026, 12, 15), 1, date(2027, 1, 15)),
        (date(2026, 11, 20), 3, date(2027, 2, 22)),
    ],
)
def test_the_last_day(received: date, months: int, last: date) -> None:
    assert last_day(received, months) == last


@given(DAYS, MONTHS)
def test_the_same_date_or_the_last_of_a_shorter_month(day: date, months: int) -> None:
    after = months_after(day, months)
    assert (after.year * 12 + after.month) - (day.year * 12 + day.month) == months
    assert after.day == min(day.day, monthrange(after.year, after.month)[1])


@given(DAYS, DAYS, MONTHS)
def test_what_came_later_is_not_due_earlier(one: date, other: date, months: int) -> None:
    first, second = sorted((one, other))
    assert last_day(first, months) <= last_day(second, months)


@given(DAYS, MONTHS, st.integers(0, 5))
def test_periods_do_not_add_up_days_that_are_lost(day: date, months: int, more: int) -> None:
    """31 January and two months is 31 March, whatever February has."""
    assert months_after(day, months + more) >= months_after(months_after(day, months), more)


@given(DAYS, MONTHS, st.sets(st.integers(0, 60)))
def test_the_last_day_is_a_working_day(day: date, months: int, offsets: set[int]) -> None:
    holidays = {months_after(day, months) + timedelta(days=one) for one in offsets}
    last = last_day(day, months, holidays)
    assert last.weekday() < 5
    assert last not in holidays
    between = [
        months_after(day, months) + timedelta(days=n) for n in range((last - months_after(day, months)).days)
    ]
    assert all(one.weekday() >= 5 or one in holidays for one in between)


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(9990, 1, 1)),  # noqa: DTZ001 - hypothesis adds the zone
    st.integers(-14 * 60, 14 * 60),
)
def test_it_ends_with_the_last_hour_where_it_was_received(moment: datetime, offset: int) -> None:
    received = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    due = due_at(received)
    assert (due.utcoffset(), due.time()) == (received.utcoffset(), datetime.min.time())
    assert (due - timedelta(microseconds=1)).date() == last_day(received.date())
    assert due - received >= timedelta(days=28)


# --- requests ------------------------------------------------------------------------------------------------

RECEIVED = datetime(2026, 1, 31, 18, tzinfo=UTC)
REQUEST = Request(id="r", right=Right.ACCESS, received_at=RECEIVED, due_at=due_at(RECEIVED))


def test_it_is_overdue_when_its_last_day_has_passed() -> None:
    assert not REQUEST.overdue(REQUEST.due_at - timedelta(microseconds=1))
    assert REQUEST.overdue(REQUEST.due_at)
    closed = Request(
        id="r", right=Right.ACCESS, received_at=RECEIVED, due_at=RECEIVED, outcome=Outcome.FULFILLED
    )
    assert not closed.overdue(REQUEST.due_at)


@pytest.mark.parametrize(
    ("months", "due"), [(1, datetime(2026, 4, 1, tzinfo=UTC)), (2, datetime(2026, 5, 1, tzinfo=UTC))]
)
def test_an_extension_counts_from_the_receipt(months: int, due: datetime) -> None:
    assert extension(REQUEST, months, RECEIVED) == due


@pytest.mark.parametrize("months", [0, 3, -1])
def test_no_more_than_two_months(months: int) -> None:
    with pytest.raises(InvalidInputError, match="12"):
        extension(REQUEST, months, RECEIVED)


def test_too_late_or_closed_is_not_extended() -> None:
    with pytest.raises(InvalidInputError, match="first month"):
        extension(REQUEST, 1, REQUEST.due_at)
    closed = Request(
        id="r", right=Right.ACCESS, received_at=RECEIVED, due_at=RECEIVED, outcome=Outcome.REFUSED
    )
    with pytest.raises(InvalidInputError, match="closed"):
        extension(closed, 1, RECEIVED)
    extended = Request(id="r", right=Right.ACCESS, received_at=RECEIVED, due_at=RECEIVED, months=2)
    with pytest.raises(InvalidInputError, match="in all"):
        extension(extended, 2, RECEIVED)
    assert extension(extended, 1, RECEIVED) == datetime(2026, 5, 1, tzinfo=UTC)


def test_a_refusal_says_why() -> None:
    assert check_outcome("fulfilled", None) is Outcome.FULFILLED
    assert check_outcome("refused", "manifestly excessive") is Outcome.REFUSED
    for outcome in ("refused", "partly_fulfilled"):
        with pytest.raises(InvalidInputError, match=r"12\(4\)"):
            check_outcome(outcome, None)
    with pytest.raises(InvalidInputError, match="one of"):
        check_outcome("done", None)
    with pytest.raises(InvalidInputError, match="portability"):
        check_right("everything")
    assert check_right("erasure") is Right.ERASURE
