"""schemathesis asks a live daemon for about a thousand things that its description allows or forbids."""

from __future__ import annotations

import pytest

pytest.importorskip("uvicorn", reason="needs the extra server")
pytest.importorskip("schemathesis", reason="needs schemathesis")

from benchmarks import schema
from benchmarks.registry import find
from benchmarks.suite import Request

pytestmark = pytest.mark.anyio
LEFT_OUT = 4
FINE = {"failures": 0, "server_errors": 0, "errors": 0, "complete": 1}


async def test_every_answer_is_one_that_the_description_allows() -> None:
    measured = await schema.measure(Request(seed=7), schema.QUICK)
    assert schema.missed(measured.results) == [], measured.config["failed"]
    assert measured.results["cases"] >= 1000
    assert measured.results["operations"] == measured.results["operations_total"] - LEFT_OUT
    assert schema.tables(measured.results)[0].row_count == len(measured.results)
    assert find("schema") is schema.BENCHMARK


@pytest.mark.parametrize("worse", [{"failures": 1}, {"server_errors": 2}, {"errors": 1}, {"complete": 0}])
def test_the_gates_name_what_is_worse(worse: dict[str, int]) -> None:
    assert len(schema.missed(FINE | worse)) == 1
    assert schema.missed(FINE) == []
