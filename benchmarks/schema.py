"""`schema`: schemathesis asks a live daemon for everything that its description offers, and for what it forbids.

Quick runs draw about a thousand requests over all operations. Full runs go through the systematic cases of every
parameter first, some ten thousand, and draw more. All of schemathesis's default checks are on.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.daemon_process import ROOT, DaemonError, daemon
from benchmarks.store import fresh_folder
from benchmarks.suite import Benchmark, Measured, Request, Results
from tiered_memory import TieredMemory
from tiered_memory.config import load_settings
from tiered_memory.principals import Grant

RULES = Path(__file__).with_name("schemathesis.toml")
UNASKED = "/events$|^/v1/api-keys/"
"""Streams of events have no end; a key that is revoked or rotated would be the run's own."""
UNHURRIED = {
    "TIERED_MEMORY_DAEMON__BURST": "1000000",
    "TIERED_MEMORY_DAEMON__FAILURES": "10000",
    "TIERED_MEMORY_DAEMON__FAILURES_PER_MINUTE": "10000",
}
"""Bounds on how often one may ask have tests of their own."""
OPTIONS = (
    "--continue-on-failure",
    "--no-shrink",
    "--suppress-health-check",
    "all",
    "--request-timeout",
    "20",
)
SERVER_ERROR = "ServerError"
NEVER = ("failures", "server_errors", "errors")


@dataclass(frozen=True, slots=True)
class Extent:
    """Which phases of schemathesis run, and how many requests are drawn for each operation."""

    phases: str
    drawn: int


QUICK, FULL = Extent("fuzzing", 9), Extent("coverage,fuzzing", 25)


async def run(request: Request) -> Measured:
    """Ask what quick or full asks for."""
    return await measure(request, FULL if request.full else QUICK)


async def measure(request: Request, extent: Extent) -> Measured:
    """Serve an empty store, ask, and say what was answered wrongly."""
    request.progress.stage("schema", 1)
    with fresh_folder() as folder:
        key = await _key(folder / "data")
        async with daemon(folder / "data", **UNHURRIED) as running:
            report = await _asked(running.address, key, extent, request.seed, folder / "report.json")
    request.progress.step()
    config = {
        "phases": extent.phases,
        "drawn": extent.drawn,
        "left_out": UNASKED,
        "failed": report["failures"],
    }
    return Measured(config, _results(report))


async def _key(data: Path) -> str:
    """Without a key the first one that the run makes would shut everybody else out."""
    async with TieredMemory.open(load_settings(data_dir=data, redis_url="local")) as memory:
        return (await memory.api_keys.create("schema", grants=list(Grant))).secret


async def _asked(address: str, key: str, extent: Extent, seed: int, report: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(RULES)),
        *("run", f"{address}/openapi.json", "--header", f"Authorization: Bearer {key}"),
        *("--phases", extent.phases, "--max-examples", str(extent.drawn), "--seed", str(seed)),
        *("--exclude-path-regex", UNASKED, "--report", "json", "--report-json-path", str(report), *OPTIONS),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=report.parent,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "benchmarks.schema_bodies", "PYTHONPATH": _path()},
    )
    told, _ = await process.communicate()
    return _read(report, told)


def _read(report: Path, told: bytes) -> dict[str, Any]:
    if not report.is_file():
        raise DaemonError(f"schemathesis did not run: {told.decode(errors='replace')[-2000:]}")
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


def _path() -> str:
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def _results(report: Mapping[str, Any]) -> Results:
    cases, failures = report["test_cases"], report["failures"]
    return {
        "operations": report["operations"]["tested"],
        "operations_total": report["operations"]["total"],
        "cases": cases["generated"],
        "failures": cases["unique_failures"],
        "server_errors": sum(one["count"] for one in failures if one["type"] == SERVER_ERROR),
        "errors": len(report["errors"]),
        "complete": int(report["complete"]),
    }


def tables(results: Results) -> list[Table]:
    """Return the counts."""
    table = Table(title="schema")
    table.add_column("")
    table.add_column("figure", justify="right")
    for name, count in results.items():
        table.add_row(name.replace("_", " "), str(count))
    return [table]


def missed(results: Results) -> list[str]:
    """Name what is worse than it may be: a wrong answer, an answer of 500 or more, a run that was cut short."""
    worse = [f"{name.replace('_', ' ')} is {results[name]}, not 0" for name in NEVER if results[name]]
    if not results["complete"]:
        worse.append("the run was not completed")
    return worse


BENCHMARK = Benchmark("schema", run, tables, missed=missed)
