"""`durability`: what was acknowledged is there after kill -9 at any moment and after a power cut.

Writers are killed at random times and at every named fail point; power cuts are made by following a recording of a
writer's system calls and dropping what was not fsynced. Every store is opened again and compared with what its
writers had told.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table

from benchmarks.kill_cycles import Cycles, Outcome, deaths
from benchmarks.metrics import percentile
from benchmarks.power_cuts import Cuts, PowerCuts, recorded
from benchmarks.store import engines, fresh_folder, settings_for
from benchmarks.suite import Benchmark, Measured, Progress, Request, Results
from benchmarks.trace_reader import TraceError, available
from tiered_memory.failpoints import POINTS

COLD = "/cold"
SHOWN = 20
RECOVERY_BAR_MS = 3_000
"""How long a store may take from open() to its first answer after a kill, imports of a fresh process included."""
NEVER = ("lost", "duplicated", "half_applied", "power_cut_lost")


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is tried: `cuts` are drawn from `recordings` recordings, each of writers of its own."""

    cycles: int
    cuts: int
    recordings: int


QUICK = Extent(cycles=60, cuts=200, recordings=1)
FULL = Extent(cycles=1_000, cuts=5_000, recordings=10)


async def run(request: Request) -> Measured:
    """Try what quick or full asks for."""
    return await measure(request, FULL if request.full else QUICK)


async def measure(request: Request, extent: Extent) -> Measured:
    """Kill, cut, and say what was lost."""
    with fresh_folder() as folder:
        config = engines(settings_for(folder, "default"))
    killed = await Cycles(request.seed).run(deaths(extent.cycles, request.seed), request.progress)
    cuts = await cut_power(extent, request.seed, request.progress) if available() else None
    config |= {
        "recovery": "from open() to the first answered search; one in six in a fresh process, imports included",
        "power_cuts": "needs strace" if cuts is None else f"{extent.recordings} recorded pairs of writers",
        "faults": [*killed.faults.named[:SHOWN], *(cuts.faults.named[:SHOWN] if cuts else ())],
    }
    return Measured(config, _results(killed, cuts))


async def cut_power(extent: Extent, seed: int, progress: Progress) -> Cuts:
    """Cut the power of every recording, after a look whether a disk that lies would be noticed.

    Raises:
        TraceError: a recording cannot be followed, or losing every fsync of cold lost nothing.
    """
    every, each = Cuts(), -(-extent.cuts // extent.recordings)
    for number in range(extent.recordings):
        with recorded(seed + number) as recording:
            tried = PowerCuts(recording, seed + number)
            if not (await tried.at_end(deaf=COLD)).faults.lost:
                raise TraceError("a disk that ignores every fsync of cold lost nothing: the harness is blind")
            every.take(await tried.run(each, progress))
    return every


def _results(killed: Outcome, cuts: Cuts | None) -> Results:
    faults = killed.faults
    other = cuts.faults if cuts is not None else None
    slowest = max(killed.recoveries_ms, default=None)
    return {
        "cycles": killed.cycles,
        "acked": killed.acked,
        "lost": faults.lost,
        "duplicated": faults.duplicated + (other.duplicated if other else 0),
        "half_applied": faults.half + (other.half if other else 0),
        "failpoints_hit": len(killed.hit),
        "failpoints_total": len(POINTS),
        "failpoints": sorted(killed.hit),
        "recovery_p50_ms": percentile(killed.recoveries_ms, 50) if killed.recoveries_ms else None,
        "recovery_max_ms": slowest,
        "recovery_within_bar": None if slowest is None else int(slowest < RECOVERY_BAR_MS),
        "power_cuts": None if cuts is None else cuts.cuts,
        "power_cut_lost": None if other is None else other.lost,
    }


def tables(results: Results) -> list[Table]:
    """Return the counts, those that must be 0 first."""
    table = Table(title="durability")
    table.add_column("")
    table.add_column("figure", justify="right")
    for name in NEVER:
        count = results[name]
        table.add_row(name.replace("_", " "), "needs strace" if count is None else str(count))
    hit, total = results["failpoints_hit"], results["failpoints_total"]
    table.add_row("fail points hit", f"{hit} of {total}")
    table.add_row("kills", f"{results['cycles']} with {results['acked']} memories acknowledged")
    table.add_row(
        "power cuts", "needs strace" if results["power_cuts"] is None else str(results["power_cuts"])
    )
    if results["recovery_max_ms"] is not None:
        slowest = f"{results['recovery_p50_ms']:.0f} ms, slowest {results['recovery_max_ms']:.0f} ms"
        table.add_row(f"open to first answer (at most {RECOVERY_BAR_MS} ms)", slowest)
    return [table]


def missed(results: Results) -> list[str]:
    """Name what is worse than it may be: anything lost, a fail point nobody came to, a slow recovery."""
    worse = [f"{name.replace('_', ' ')} is {results[name]}, not 0" for name in NEVER if results[name]]
    hit, total = results["failpoints_hit"], results["failpoints_total"]
    if hit < total <= results["cycles"]:
        worse.append(f"only {hit} of {total} fail points were hit")
    if results["recovery_within_bar"] == 0:
        worse.append(f"a recovery took {results['recovery_max_ms']:.0f} ms, not under {RECOVERY_BAR_MS} ms")
    return worse


BENCHMARK = Benchmark("durability", run, tables, missed=missed)
