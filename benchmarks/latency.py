"""`latency`: how long the calls of an application take, beside what the engines alone need.

Everything goes through the public face on real engines with the background work running. Users to read from are filled
with memories of a given importance, so that every one is in cold; timed adds are scored as any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rich.table import Table

from benchmarks.footprint import active_users_mib
from benchmarks.latency_indexed import crossover, measure_indexed
from benchmarks.latency_reads import SESSION_TURNS, Reads, measure_reads
from benchmarks.latency_writes import Writes, measure_writes
from benchmarks.machine import folder_mib
from benchmarks.raw import import_ms, raw_engines
from benchmarks.store import engines, fresh_folder, settings_for
from benchmarks.suite import Benchmark, Measured, Request, Results

DEFAULT_POLICY = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured. `footprint` is (users, memories of each); `imports` is the number of processes."""

    reads: Reads
    writes: Writes
    raw_calls: int
    footprint: tuple[int, int]
    imports: int


QUICK = Extent(
    reads=Reads(sizes=(100, 1_000, 10_000), queries=200, reopenings=3),
    writes=Writes(adds=400, seconds=10.0, users=200, callers=32),
    raw_calls=200,
    footprint=(100, 100),
    imports=5,
)
FULL = Extent(
    reads=Reads(sizes=(100, 1_000, 10_000, 100_000), queries=2_000, reopenings=9),
    writes=Writes(adds=3_000, seconds=30.0, users=200, callers=32),
    raw_calls=1_000,
    footprint=(100, 1_000),
    imports=15,
)


async def run(request: Request) -> Measured:
    """Measure what quick or full asks for."""
    extent = FULL if request.full else QUICK
    if request.seconds is not None:
        extent = replace(extent, writes=replace(extent.writes, seconds=request.seconds))
    return await measure(request, extent)


async def measure(request: Request, extent: Extent) -> Measured:
    """Measure reads, writes, the engines alone, memory and import, each on a store of its own."""
    policy = request.policy or DEFAULT_POLICY
    with fresh_folder() as folder:
        config = _config(engines(settings_for(folder / "reads", policy)), extent)
        results = await measure_reads(settings_for(folder / "reads", policy), extent.reads, request)
        store_mib = folder_mib(folder / "reads")
        indexed = await measure_indexed(settings_for(folder / "reads", policy), extent.reads, request)
        results["indexed"] = indexed | {
            "faster_first_from": crossover(results["first_touch"], indexed, "first_p50_ms"),
            "faster_from": crossover(results["search"], indexed, "p50_ms"),
        }
        results["add"] = await measure_writes(settings_for(folder / "writes", policy), extent.writes, request)
        results["raw"] = await raw_engines(folder / "raw", extent.raw_calls, extent.reads.sizes, request)
        users, each = extent.footprint
        settings = settings_for(folder / "footprint", policy)
        active_mib = await active_users_mib(settings, users, each, request)
    results["memory"] = {"store_mib": store_mib, "active_100_users_mib": active_mib * 100 / users}
    results.update(await import_ms(extent.imports, request.progress))
    return Measured(config, results)


def _config(described: Mapping[str, Any], extent: Extent) -> Results:
    users, each = extent.footprint
    return {
        **described,
        "sizes": list(extent.reads.sizes),
        "queries": extent.reads.queries,
        "first_touch": "first search of a user after opening again, the cold engine already connected",
        "reopenings": extent.reads.reopenings,
        "adds": extent.writes.adds,
        "session_turns": SESSION_TURNS,
        "load": f"{extent.writes.callers} callers over {extent.writes.users} users",
        "store_memories": sum(extent.reads.sizes),
        "active_users": f"{users} users with {each} memories each, growth of a process of their own",
    }


def tables(results: Results) -> list[Table]:
    """Return reads by size, then writes and the rest, each with its ratio to the engine alone."""
    return [_reads_table(results), _writes_table(results)]


def _reads_table(results: Results) -> Table:
    table = Table(title="latency of reads, milliseconds")
    columns = ("memories", "search p50", "p99", "context p50", "p99", "first touch p50", "search / scan")
    for column in (*columns, "indexed: search p50", "first p50"):
        table.add_column(column, justify="right")
    for size, search in results["search"].items():
        context, scan = results["context"][size], results["raw"]["scan_ms"][size]
        figures = (search["p50_ms"], search["p99_ms"], context["p50_ms"], context["p99_ms"])
        touch, ratio = results["first_touch"][size]["p50_ms"], search["p50_ms"] / scan
        indexed = results["indexed"][size]
        last = f"{indexed['p50_ms']:.1f}", f"{indexed['first_p50_ms']:.1f}"
        table.add_row(size, *(f"{one:.2f}" for one in figures), f"{touch:.1f}", f"{ratio:.1f}", *last)
    return table


def _writes_table(results: Results) -> Table:
    table = Table(title="latency of writes, and the rest")
    table.add_column("")
    table.add_column("figure", justify="right")
    add, raw, memory = results["add"], results["raw"], results["memory"]
    redis = "no server" if raw["redis_ms"] is None else f"{raw['redis_ms']:.3f} ms"
    rows = {
        "durable add / bare commit": f"{add['p50_ms'] / raw['journal_commit_ms']:.1f}",
        "durable add": f"{add['p50_ms']:.2f} ms, p99 {add['p99_ms']:.2f} ms",
        "32 callers, adds per second": f"{add['per_second_32_callers']:.0f} for {add['seconds']:.0f} s",
        "backlog drained in": f"{add['backlog_drained_s']:.1f} s",
        "bare commit of the state store": f"{raw['journal_commit_ms']:.3f} ms",
        "bare Redis call": redis,
        "embedding one text": f"{raw['embed_ms']:.3f} ms",
        "store": f"{memory['store_mib']:.1f} MiB",
        "100 active users": f"{memory['active_100_users_mib']:.1f} MiB",
        "indexed mode's first search is faster from": _memories(results["indexed"]["faster_first_from"]),
        "and its every search from": _memories(results["indexed"]["faster_from"]),
        "import tiered_memory": f"{results['import_ms']:.0f} ms, its face {results['import_face_ms']:.0f} ms",
    }
    for name, figure in rows.items():
        table.add_row(name, figure)
    return table


def _memories(count: float | None) -> str:
    return "none of the sizes" if count is None else f"{count:.0f} memories"


BENCHMARK = Benchmark("latency", run, tables)
