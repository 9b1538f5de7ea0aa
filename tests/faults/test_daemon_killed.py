"""A daemon that is ended under load, by SIGTERM and by kill -9, loses nothing that it acknowledged over HTTP."""

from __future__ import annotations

import pytest

pytest.importorskip("uvicorn", reason="needs the extra server")

from benchmarks import daemon
from benchmarks.daemon_load import Outcome, Said, compare, text_of
from benchmarks.registry import find
from benchmarks.suite import Request

pytestmark = pytest.mark.anyio
FINE = {"lost": 0, "duplicated": 0, "wrong_status": 0, "refused": 0, "acked": 9, "exit_within_bar": 1}


async def test_nothing_acknowledged_is_lost_and_nothing_acts_twice() -> None:
    measured = await daemon.measure(Request(seed=7), daemon.Extent(lives=3))
    assert daemon.missed(measured.results) == []
    for found in measured.results.values():
        assert found["cycles"] == 3
        assert found["acked"] >= 3
        assert found["unanswered"] >= 1
    assert daemon.tables(measured.results)[0].row_count == len(measured.results["sigterm"])
    assert find("daemon") is daemon.BENCHMARK


def test_the_comparison_sees_what_is_gone_changed_and_doubled() -> None:
    said, outcome = Said(), Outcome()
    said.acked["alice"] = {"1": "a", "2": "b", "3": "c"}
    there = [("a", text_of("1")), ("b", "something else"), ("d", text_of("1"))]
    compare(there, said, "alice", outcome.faults)
    assert (outcome.faults.lost, outcome.faults.duplicated) == (2, 1)


@pytest.mark.parametrize(
    ("worse", "named"),
    [
        ({"lost": 1}, "lost is 1"),
        ({"duplicated": 2}, "duplicated is 2"),
        ({"wrong_status": 1}, "wrong status is 1"),
        ({"refused": 1}, "refused is 1"),
        ({"exit_within_bar": 0, "exit_max_ms": 12_000.0}, "12000 ms"),
        ({"acked": 0}, "nothing was acknowledged"),
    ],
)
def test_the_gates_name_what_is_worse(worse: dict[str, float], named: str) -> None:
    (told,) = daemon.missed({"sigterm": FINE | worse})
    assert named in told
    assert daemon.missed({"sigterm": FINE}) == []
