"""The benchmark of faults: its documented keys are there, its gates hold on a small run, its tables show them."""

from __future__ import annotations

import pytest

from benchmarks import faults, redis_trouble
from benchmarks.registry import find
from benchmarks.suite import Request
from tiered_memory.tiers.redis_server import find_redis_server

pytestmark = pytest.mark.anyio

FIGURES = {"errors", "first_call_ms", "open_p99_ms", "back_ms", "bare_client_first_ms"}


async def test_it_reports_the_documented_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_redis_server() is None:
        pytest.skip("needs redis-server")
    two = {name: redis_trouble.FAULTS[name] for name in ("frozen", "out_of_memory")}
    monkeypatch.setattr(redis_trouble, "FAULTS", two)
    monkeypatch.setattr(faults, "QUICK_FLIPS", 8)
    monkeypatch.setattr(faults, "QUICK_BARE_SECONDS", 0.3)
    measured = await faults.run(Request())
    results = measured.results
    assert results["redis"].keys() == two.keys()
    assert all(found.keys() == FIGURES for found in results["redis"].values())
    assert [found["errors"] for found in results["redis"].values()] == [0, 0]
    assert results["redis"]["frozen"]["bare_client_first_ms"] >= 300.0
    assert (results["flips"], results["silent_wrong"], results["untyped_errors"]) == (8, 0, 0)
    assert all(table.row_count for table in faults.tables(results))
    assert find("faults") is faults.BENCHMARK
