"""A benchmark that measures something worse than it may be says so, and ends with a status of its own."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import durability, erasure
from benchmarks.__main__ import main
from benchmarks.crash_book import Faults
from benchmarks.kill_cycles import Outcome
from benchmarks.suite import MISSED, Benchmark, Measured, Request
from tiered_memory.failpoints import POINTS


def outcome(*recoveries_ms: float, lost: int = 0, hit: int = len(POINTS), cycles: int = 60) -> Outcome:
    faults = Faults()
    for number in range(lost):
        faults.add("lost", f"mark {number}")
    return Outcome(cycles, 100, faults, set(POINTS[:hit]), list(recoveries_ms))


def durable(found: Outcome) -> dict[str, Any]:
    return durability._results(found, None)


@pytest.mark.parametrize(
    ("recoveries", "within"),
    [((), None), ((70.0, 1_400.0), 1), ((70.0, 2_999.9), 1), ((70.0, 3_000.0), 0), ((9_000.0,), 0)],
)
def test_the_slowest_recovery_is_held_against_the_bar(
    recoveries: tuple[float, ...], within: int | None
) -> None:
    results = durable(outcome(*recoveries))
    assert results["recovery_within_bar"] == within
    assert bool(durability.missed(results)) == (within == 0)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (outcome(70.0, lost=2), "lost is 2, not 0"),
        (outcome(70.0, hit=len(POINTS) - 1), f"only {len(POINTS) - 1} of {len(POINTS)} fail points"),
        (outcome(4_321.0), "a recovery took 4321 ms, not under 3000 ms"),
    ],
)
def test_what_is_worse_than_it_may_be_is_named(found: Outcome, words: str) -> None:
    [named] = durability.missed(durable(found))
    assert words in named


def test_too_few_kills_for_every_fail_point_miss_nothing() -> None:
    assert durability.missed(durable(outcome(70.0, hit=3, cycles=len(POINTS) - 1))) == []


SOUND = {"marker_hits": 0, "resurrected": 0, "bricked": 0, "full_disk_ok": 1}


@pytest.mark.parametrize(
    ("worse", "words"),
    [
        ({}, None),
        ({"full_disk_ok": None}, None),
        ({"marker_hits": 3}, "marker hits is 3"),
        ({"resurrected": 1}, "resurrected is 1"),
        ({"bricked": 1}, "bricked is 1"),
        ({"full_disk_ok": 0}, "full disk"),
    ],
)
def test_an_erasure_that_leaves_something_misses(worse: dict[str, Any], words: str | None) -> None:
    named = erasure.missed(SOUND | worse)
    assert len(named) == (0 if words is None else 1)
    assert words is None or words in named[0]


@pytest.mark.parametrize("slowest", [2_000.0, 5_000.0])
def test_the_command_says_what_was_missed_and_ends_with_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], slowest: float
) -> None:
    async def run(_request: Request) -> Measured:
        return Measured({}, durable(outcome(slowest)))

    chosen = Benchmark("durability", run, durability.tables, missed=durability.missed)
    monkeypatch.setattr(durability, "BENCHMARK", chosen)
    assert main(["durability"]) == (MISSED if slowest > durability.RECOVERY_BAR_MS else 0)
    shown = capsys.readouterr()
    assert ("missed: a recovery took 5000 ms" in shown.err) == (slowest == 5_000.0)
    assert f"slowest {slowest:.0f} ms" in shown.out
