from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.logs import floods
from tiered_memory.logs.floods import FloodGate, Verdict, Window, judged

MOMENTS = st.lists(st.floats(0, 100_000, allow_nan=False), max_size=300)


def record(
    created: float, *, line: int = 7, level: int = logging.WARNING, name: str = "x"
) -> logging.LogRecord:
    made = logging.LogRecord(name, level, "/code/x.py", line, "it failed", (), None)
    made.created = created
    return made


@given(MOMENTS.map(sorted), st.integers(1, 5))
def test_no_minute_tells_more_than_its_share(moments: list[float], most: int) -> None:
    window, told = None, []
    for now in moments:
        window, verdict = judged(window, now, most)
        told += [now] * verdict.told
    for begun in told:
        # A fixed window of a minute: any minute touches two of them at most.
        assert sum(begun <= one < begun + 60 for one in told) <= 2 * most


@given(MOMENTS, st.integers(1, 5))
def test_each_line_is_told_or_counted(moments: list[float], most: int) -> None:
    window, told, reported = None, 0, 0
    for now in moments:
        window, verdict = judged(window, now, most)
        told += verdict.told
        reported += verdict.suppressed
    kept_back = 0 if window is None else window.suppressed
    assert told + reported + kept_back == len(moments)


def test_the_next_window_reports_what_the_last_kept_back() -> None:
    window, first = judged(None, 0.0, 1)
    window, second = judged(window, 1.0, 1)
    window, third = judged(window, 59.9, 1)
    assert (first, second, third) == (Verdict(told=True), Verdict(told=False), Verdict(told=False))
    assert judged(window, 60.0, 1) == (Window(60.0, 1), Verdict(told=True, suppressed=2))


def test_a_clock_that_goes_back_silences_nothing() -> None:
    window, _ = judged(None, 1_000.0, 1)
    assert judged(window, 10.0, 1)[1].told


def test_the_gate_bounds_each_event_by_itself() -> None:
    gate = FloodGate(3)
    assert [gate.filter(record(one)) for one in range(5)] == [True, True, True, False, False]
    assert gate.filter(record(5, line=8))
    late = record(70)
    assert gate.filter(late)
    assert vars(late)[floods.SUPPRESSED] == 2


def test_different_words_of_one_statement_are_one_event() -> None:
    gate = FloodGate(2)
    told = 0
    for number in range(10):
        one = record(0)
        one.msg = f"an f-string with {number}"
        told += gate.filter(one)
    assert told == 2


@pytest.mark.parametrize("given", [{"level": logging.INFO}, {"name": "access"}])
def test_what_is_no_warning_or_exempt_passes(given: dict[str, object]) -> None:
    gate = FloodGate(1, exempt=frozenset({"access"}))
    assert all(gate.filter(record(0, **given)) for _ in range(50))  # type: ignore[arg-type]


def test_the_gate_remembers_a_bounded_number_of_events() -> None:
    gate = FloodGate(1)
    for line in range(5 * floods.MOST_EVENTS):
        gate.filter(record(0, line=line))
    assert len(gate._windows) == floods.MOST_EVENTS
