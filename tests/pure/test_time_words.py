from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.clock import to_us
from tiered_memory.scoring.time_spans import (
    day_of,
    days_of,
    is_absolute,
    is_form,
    nearness,
    overlap,
    resolve,
    span_of,
)
from tiered_memory.scoring.time_words import time_forms

EPOCH = date(1970, 1, 1)
WEDNESDAY = date(2023, 5, 10)


def days(*dates: date) -> np.ndarray:
    return np.array([(one - EPOCH).days for one in dates], np.int64)


def meant(text: str, spoken: date = WEDNESDAY) -> tuple[str, str]:
    """The first and last day that the one expression in a text means."""
    (form,) = time_forms(text)
    first, last = resolve(form, days(spoken))
    return tuple(str(EPOCH + timedelta(int(day[0]))) for day in (first, last))  # type: ignore[return-value]


FORMS = [
    *(
        "d-1",
        "d+0",
        "d+1",
        "d-14",
        "w-1",
        "w+0",
        "w-2",
        "e-1",
        "e+1",
        "m-1",
        "m+1",
        "m-7",
        "y-1",
        "y+0",
        "y+1",
    ),
    *(
        "p0",
        "p3",
        "p6",
        "n0",
        "n2",
        "s0",
        "s1",
        "s2",
        "s3",
        "s2+1",
        "--01",
        "--05",
        "--12",
        "--05-07",
        "--02-29",
    ),
    *("1999", "2023", "2023-05", "2023-12", "2023-05-07", "2024-02-29", "2022-s0", "2022-s2"),
]
forms = st.sampled_from(FORMS)
moments = st.dates(date(1980, 1, 1), date(2060, 12, 31))


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("today", "2023-05-10", "2023-05-10"),
        ("What did I eat yesterday?", "2023-05-09", "2023-05-09"),
        ("last night", "2023-05-09", "2023-05-09"),
        ("the day before yesterday", "2023-05-08", "2023-05-08"),
        ("the day after tomorrow", "2023-05-12", "2023-05-12"),
        ("3 days ago", "2023-05-07", "2023-05-07"),
        ("two weeks ago", "2023-04-24", "2023-04-30"),
        ("last week", "2023-05-01", "2023-05-07"),
        ("this week", "2023-05-08", "2023-05-14"),
        ("next weekend", "2023-05-20", "2023-05-21"),
        ("a couple of months ago", "2023-03-01", "2023-03-31"),
        ("last year", "2022-01-01", "2022-12-31"),
        ("last Tuesday", "2023-05-09", "2023-05-09"),
        ("on Wednesday", "2023-05-03", "2023-05-03"),
        ("next Wednesday", "2023-05-17", "2023-05-17"),
        ("on Friday", "2023-05-05", "2023-05-05"),
        ("last summer", "2022-06-01", "2022-08-31"),
        ("last winter", "2022-12-01", "2023-02-28"),
        ("next summer", "2023-06-01", "2023-08-31"),
        ("in the summer of 2021", "2021-06-01", "2021-08-31"),
        ("winter 2021", "2020-12-01", "2021-02-28"),
        ("in May", "2023-05-01", "2023-05-31"),
        ("in December", "2022-12-01", "2022-12-31"),
        ("mid-August 2022", "2022-08-01", "2022-08-31"),
        ("May 2022", "2022-05-01", "2022-05-31"),
        ("on 7 May 2023", "2023-05-07", "2023-05-07"),
        ("on the 7th of May, 2023", "2023-05-07", "2023-05-07"),
        ("December 1,2023", "2023-12-01", "2023-12-01"),
        ("on May 7", "2023-05-07", "2023-05-07"),
        ("on 12 June", "2022-06-12", "2022-06-12"),
        ("2023-05-07", "2023-05-07", "2023-05-07"),
        ("2023-05", "2023-05-01", "2023-05-31"),
        ("2023年5月7日", "2023-05-07", "2023-05-07"),
        ("5月", "2023-05-01", "2023-05-31"),
        ("back in 2010", "2010-01-01", "2010-12-31"),
    ],
)
def test_time_words_mean_days(text: str, first: str, last: str) -> None:
    assert meant(text) == (first, last)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I may go",
        "march on",
        "30 February 2023",
        "the other day",
        "one day",
        "week",
        "2023年13月",
        "a second",
        "12023",
    ],
)
def test_other_words_mean_none(text: str) -> None:
    assert time_forms(text) == []


def test_each_form_is_given_once_in_order() -> None:
    assert time_forms("Yesterday, in May 2023, and again yesterday") == ["d-1", "2023-05"]


def test_a_question_means_its_first_absolute_time() -> None:
    today = int(days(WEDNESDAY)[0])
    assert span_of(["p4", "2022-01-23"], today) == tuple(days(date(2022, 1, 23), date(2022, 1, 23)))
    assert span_of(["d-1", "w-2"], today) == (today - 1, today - 1)


@given(forms, st.lists(moments, min_size=1, max_size=5))
def test_forms_mean_whole_days_of_a_sensible_number(form: str, spoken: list[date]) -> None:
    first, last = resolve(form, days(*spoken))
    assert first.shape == last.shape == (len(spoken),)
    assert np.all((last - first >= 0) & (last - first < 366))
    for place, one in enumerate(spoken):
        alone = resolve(form, days(one))
        assert (alone[0][0], alone[1][0]) == (first[place], last[place])


@given(forms, moments, moments)
def test_only_absolute_forms_mean_the_same_always(form: str, one: date, other: date) -> None:
    assert is_form(form)
    if is_absolute(form):
        assert resolve(form, days(one)) == resolve(form, days(other))


@given(st.sampled_from(["d", "w", "e", "m", "y"]), st.integers(-40, 40), moments)
def test_consecutive_spans_do_not_overlap(unit: str, shift: int, spoken: date) -> None:
    _, last = resolve(f"{unit}{shift:+d}", days(spoken))
    following, _ = resolve(f"{unit}{shift + 1:+d}", days(spoken))
    assert following[0] > last[0]
    assert unit == "e" or following[0] == last[0] + 1


@given(st.sampled_from([one for one in FORMS if one[0] in "ps-"]), moments)
def test_what_is_gone_by_had_begun(form: str, spoken: date) -> None:
    first, _ = resolve(form, days(spoken))
    assert (first[0] <= days(spoken)[0]) or "+" in form
    assert days(spoken)[0] - first[0] < 2 * 366


@given(st.integers(0, 6), moments)
def test_weekdays_are_within_a_week(weekday: int, spoken: date) -> None:
    for side, sign in (("p", -1), ("n", 1)):
        (day,), _ = resolve(f"{side}{weekday}", days(spoken))
        assert 1 <= sign * (day - days(spoken)[0]) <= 7
        assert (EPOCH + timedelta(int(day))).weekday() == weekday


@given(st.dates(date(1900, 1, 1), date(2099, 12, 31)))
def test_dates_are_read_in_every_way_they_are_written(day: date) -> None:
    written = [
        day.isoformat(),
        f"{day:%d %B %Y}",
        f"{day:%B} {day.day}, {day.year}",
        f"{day:%b} {day.day}, {day.year}",
        f"{day.year}年{day.month}月{day.day}日",
    ]
    for text in written:
        assert meant(f"It was on {text}.") == (day.isoformat(), day.isoformat())


@given(st.text())
def test_any_text_gives_forms_that_resolve(text: str) -> None:
    for form in time_forms(text):
        assert is_form(form)
        assert len(resolve(form, days(WEDNESDAY))[0]) == 1


@given(
    st.lists(
        st.sampled_from(
            [
                "in",
                "on",
                "last",
                "next",
                "7",
                "may",
                "monday",
                "week",
                "2023",
                "-",
                "/",
                "ago",
                "two",
                "day",
                "summer",
                "night",
                "th",
            ]
        )
    )
)
def test_any_mixture_of_time_words_gives_forms_that_resolve(parts: list[str]) -> None:
    for text in (" ".join(parts), "".join(parts)):
        for form in time_forms(text):
            first, last = resolve(form, days(WEDNESDAY))
            assert first[0] <= last[0]


@given(st.text(alphabet="dwmyepns+-0123456789@", max_size=8))
def test_what_is_no_form_is_refused(word: str) -> None:
    if is_form(word):
        assert re.fullmatch(r"[dwmyepns+\-0-9]+", word)
    else:
        with pytest.raises(ValueError, match="no such time form"):
            resolve(word, days(WEDNESDAY))


def test_a_day_is_that_of_its_place() -> None:
    moment = datetime(2023, 5, 9, 23, 30, tzinfo=UTC)
    assert day_of(to_us(moment)) == days(date(2023, 5, 9))[0]
    assert day_of(to_us(moment), 60) == days(WEDNESDAY)[0]
    there = moment.astimezone(timezone(timedelta(hours=-10)))
    assert day_of(to_us(there), -600) == days(there.date())[0]


@given(st.lists(st.tuples(st.integers(-(10**17), 10**17), st.integers(-1439, 1439)), min_size=1))
def test_days_of_many_moments_are_those_of_each(given_moments: list[tuple[int, int]]) -> None:
    moments, offsets = (np.array(column, np.int64) for column in zip(*given_moments, strict=True))
    assert days_of(moments, offsets).tolist() == [day_of(*one) for one in given_moments]


spans = st.tuples(st.integers(-500, 500), st.integers(0, 400)).map(lambda given: (given[0], sum(given)))


@given(spans, st.lists(st.integers(-1500, 1500), min_size=1))
def test_nearness_falls_with_distance(span: tuple[int, int], given_days: list[int]) -> None:
    ordered = np.array(sorted(given_days), np.int64)
    near = nearness(ordered, span)
    assert np.all((near >= 0) & (near <= 1))
    inside = (ordered >= span[0]) & (ordered <= span[1])
    assert np.all(near[inside] == 1)
    assert np.all(near[~inside] < 1)
    assert np.all(np.diff(near[ordered >= span[1]]) <= 0)
    assert np.all(np.diff(near[ordered <= span[0]]) >= 0)


def test_what_was_said_after_is_nearer_than_what_was_said_before() -> None:
    before, after = nearness(np.array([8, 12], np.int64), (10, 10))
    assert 0 < before < after < 1


@given(spans, spans)
def test_overlap_is_whole_within_the_span_and_none_outside(
    told: tuple[int, int], span: tuple[int, int]
) -> None:
    share = float(overlap(np.array([told[0]]), np.array([told[1]]), span)[0])
    if told[1] < span[0] or told[0] > span[1]:
        assert share == 0
    else:
        assert 0 < share <= 1
    if span[0] <= told[0] and told[1] <= span[1]:
        assert share == 1
