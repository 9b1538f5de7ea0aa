"""Faults: Redis in trouble under the product and under a bare client, and flipped bytes in everything stored."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from benchmarks.damage import COUNTED, IDENTICAL, REFUSED, UNTYPED, WRONG
from benchmarks.flips import bare_lance, run_flips
from benchmarks.redis_trouble import TROUBLED_ROUNDS, run_troubles
from benchmarks.suite import Benchmark, Measured, Request, Results

QUICK_FLIPS, FULL_FLIPS = 100, 1_000
QUICK_BARE_SECONDS, FULL_BARE_SECONDS = 5.0, 90.0
QUICK_BARE_FLIPS, FULL_BARE_FLIPS = 40, 400
FIGURES = ("first_call_ms", "open_p99_ms", "back_ms", "bare_client_first_ms")


async def run(request: Request) -> Measured:
    """Put Redis through every fault, then damage what is stored."""
    flips = FULL_FLIPS if request.full else QUICK_FLIPS
    bare_seconds = FULL_BARE_SECONDS if request.full else QUICK_BARE_SECONDS
    bare_flips = FULL_BARE_FLIPS if request.full else QUICK_BARE_FLIPS
    troubles = await run_troubles(request.progress, bare_seconds)
    damaged = await run_flips(flips, request.seed, request.progress)
    config = {
        "redis": "redis-server over TCP behind the suite's own proxy",
        "rounds_per_fault": TROUBLED_ROUNDS,
        "bare_client": "redis-py with its default settings",
        "bare_client_given_up_after_seconds": bare_seconds,
    }
    results: Results = {
        "redis": troubles,
        "flips": len(damaged.flips),
        "silent_wrong": damaged.count(WRONG),
        "untyped_errors": damaged.count(UNTYPED),
        "identical": damaged.count(IDENTICAL),
        "typed_errors": damaged.count(REFUSED),
        "counted_losses": damaged.count(COUNTED),
        "by_file": damaged.by_kind(),
        "failures": [f"{one.kind}: {one.what}: {one.where}" for one in damaged.failures()],
        "bare_lance_flips": bare_flips,
        "bare_lance_silent_wrong": await bare_lance(bare_flips, request.seed),
    }
    return Measured(config, results)


def tables(results: Results) -> Sequence[Table]:
    """Show Redis's faults, then the damages by kind of file."""
    return [_redis_table(results), _flips_table(results)]


def _redis_table(results: Results) -> Table:
    table = Table("fault", "errors", "first call ms", "p99 ms", "back ms", "bare client's first call ms")
    for fault, found in results["redis"].items():
        table.add_row(fault, str(found["errors"]), *(f"{found[name]:.1f}" for name in FIGURES))
    return table


def _flips_table(results: Results) -> Table:
    verdicts = (WRONG, UNTYPED, IDENTICAL, REFUSED, COUNTED)
    ratio = f"{results['bare_lance_silent_wrong']} of {results['bare_lance_flips']}"
    title = (
        f"{results['flips']} flips, {results['silent_wrong']} silently wrong (a plain LanceDB table: {ratio})"
    )
    table = Table("file", *verdicts, title=title)
    for kind, found in results["by_file"].items():
        table.add_row(kind, *(str(found.get(verdict, 0)) for verdict in verdicts))
    return table


BENCHMARK = Benchmark("faults", run, tables)
