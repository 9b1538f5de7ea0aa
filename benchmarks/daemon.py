"""`daemon`: a daemon under load is ended by SIGTERM and by kill -9, again and again; what it acknowledged is there.

Clients add memories over HTTP, each under an operation id, while a stream of events is open. After each end the
directory is opened and compared; what got no answer is asked for again under its operation id, and acts once.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from rich.table import Table

from benchmarks.daemon_load import Life, Outcome, Said, look, prepare
from benchmarks.metrics import percentile
from benchmarks.store import engines, fresh_folder, settings_for
from benchmarks.suite import Benchmark, Measured, Progress, Request, Results
from tiered_memory.embedding.static_embedder import StaticEmbedder

EXIT_BAR_MS = 10_000
LIVES_PER_STORE = 10
SHOWN = 20
ENDS = {"sigterm": signal.SIGTERM, "sigkill": signal.SIGKILL}
NEVER = ("lost", "duplicated", "wrong_status", "refused")


@dataclass(frozen=True, slots=True)
class Extent:
    """How many lives end each way."""

    lives: int


QUICK, FULL = Extent(10), Extent(100)


async def run(request: Request) -> Measured:
    """Try what quick or full asks for."""
    return await measure(request, FULL if request.full else QUICK)


async def measure(request: Request, extent: Extent) -> Measured:
    """End daemons and say what was lost."""
    with fresh_folder() as folder:
        config = engines(settings_for(folder, "default"))
    trials = {name: Trials(how, request.seed) for name, how in ENDS.items()}
    for name, one in trials.items():
        request.progress.stage(name, extent.lives)
        await one.run(extent.lives, request.progress)
    named = [fault for one in trials.values() for fault in one.outcome.faults.named]
    return Measured(
        config | {"faults": named[:SHOWN]}, {name: _results(one.outcome) for name, one in trials.items()}
    )


class Trials:
    """Lives that all end the same way, several to a store."""

    def __init__(self, how: signal.Signals, seed: int) -> None:
        self._how = how
        self._seed = seed
        self._embedder = StaticEmbedder()
        self.outcome = Outcome()

    async def run(self, lives: int, progress: Progress) -> None:
        """Live `lives` (>= 1) times."""
        for start in range(0, lives, LIVES_PER_STORE):
            with fresh_folder() as folder:
                data, said = folder / "data", Said()
                await prepare(data, self._embedder)
                for number in range(start, min(start + LIVES_PER_STORE, lives)):
                    await Life(data, number, self._how, self._seed).run(said, self.outcome)
                    await look(data, said, self.outcome, self._embedder)
                    self.outcome.cycles += 1
                    progress.step()


def _results(outcome: Outcome) -> Results:
    return {
        "cycles": outcome.cycles,
        "acked": outcome.acked,
        "unanswered": outcome.unanswered,
        "lost": outcome.faults.lost,
        "duplicated": outcome.faults.duplicated,
        "refused": outcome.refused,
        "wrong_status": outcome.wrong_status,
        "exit_p50_ms": percentile(outcome.exits_ms, 50),
        "exit_max_ms": max(outcome.exits_ms),
        "exit_within_bar": int(max(outcome.exits_ms) <= EXIT_BAR_MS),
    }


def tables(results: Results) -> list[Table]:
    """Return a column for each way to end."""
    table = Table(title="daemon")
    table.add_column("")
    for name in ENDS:
        table.add_column(name, justify="right")
    for row in next(iter(results.values())):
        cells = (results[name][row] for name in ENDS)
        table.add_row(row.replace("_", " "), *(f"{one:.0f}" for one in cells))
    return [table]


def missed(results: Results) -> list[str]:
    """Name what is worse than it may be: anything lost or doubled, a wrong status, a slow end."""
    worse = []
    for name, found in results.items():
        worse += [f"{name}: {one.replace('_', ' ')} is {found[one]}, not 0" for one in NEVER if found[one]]
        if not found["exit_within_bar"]:
            worse.append(f"{name}: an end took {found['exit_max_ms']:.0f} ms, not within {EXIT_BAR_MS} ms")
        if not found["acked"]:
            worse.append(f"{name}: nothing was acknowledged, so nothing could be lost")
    return worse


BENCHMARK = Benchmark("daemon", run, tables, missed=missed)
