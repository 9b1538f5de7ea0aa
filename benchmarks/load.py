"""`load`: a daemon under the load of many callers, as its users meet it: HTTP in, fsynced state and cold tables behind.

The daemon and the load's generator are processes of their own on the same machine. With `--seconds 1800` it is a soak:
how the daemon's resident memory and its latency move is part of every run. In the first half of a run each user is
touched for the first time, which reads and verifies all they have; `settled` is the second half.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from rich.table import Table

from benchmarks.latency_reads import fill
from benchmarks.load_client import SEARCHES, TENANT
from benchmarks.metrics import percentile
from benchmarks.store import engines, fresh_folder, settings_for
from benchmarks.suite import Benchmark, Measured, Request, Results
from benchmarks.synthetic import Writer
from tiered_memory import TieredMemory
from tiered_memory.clock import stopwatch
from tiered_memory.config import Settings

ROOT = Path(__file__).parent.parent
ADDRESS = re.compile(r"http://([0-9.]+):(\d+)")
LOOK_SECONDS = 5.0
MIB, PAGES = 1 << 20, os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much: users with memories of each, callers at a time, seconds."""

    users: int
    each: int
    callers: int
    seconds: float


QUICK = Extent(users=40, each=250, callers=8, seconds=10.0)
FULL = Extent(users=200, each=1_000, callers=8, seconds=60.0)


async def run(request: Request) -> Measured:
    """Measure what quick or full asks for."""
    extent = FULL if request.full else QUICK
    if request.seconds is not None:
        extent = replace(extent, seconds=request.seconds)
    return await measure(request, extent)


async def measure(request: Request, extent: Extent) -> Measured:
    """Fill a store, serve it, and put load on it."""
    with fresh_folder() as folder:
        settings = settings_for(folder / "store", request.policy or "default")
        await _fill(settings, extent, request)
        async with _daemon(settings) as (process, host, port):
            request.progress.stage("seconds of load", round(extent.seconds / LOOK_SECONDS))
            seen, looks = await _under_load(process, (host, port), extent, request)
        config = {
            **engines(settings),
            "users": extent.users,
            "memories_each": extent.each,
            "callers": extent.callers,
            "seconds": extent.seconds,
            "searches": SEARCHES,
        }
    return Measured(config, _results(seen, looks, extent))


async def _fill(settings: Settings, extent: Extent, request: Request) -> None:
    writer = Writer(request.seed)
    request.progress.stage("memories to hold", extent.users * extent.each)
    async with TieredMemory.open(settings) as memory:
        for number in range(extent.users):
            await fill(memory.user(f"user{number}", TENANT), writer.messages(extent.each), request.progress)
        await memory.drain()


@asynccontextmanager
async def _daemon(settings: Settings) -> AsyncIterator[tuple[subprocess.Popen[bytes], str, str]]:
    command = [
        sys.executable,
        "-m",
        "tiered_memory",
        "serve",
        "--data",
        str(settings.data_dir),
        "--port",
        "0",
    ]
    environment = {
        **os.environ,
        "TIERED_MEMORY_POLICY": settings.policy,
        "TIERED_MEMORY_DAEMON__LOG_LEVEL": "warning",
        "TIERED_MEMORY_DAEMON__REQUESTS_PER_SECOND": "1000000",
        "TIERED_MEMORY_DAEMON__BURST": "1000000",
    }
    told = settings.data_dir.parent / "told"
    with told.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603, ASYNC220 - this very package, begun at once
            command, cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        host, port = await anyio.to_thread.run_sync(_address, told, process)
        yield process, host, port
    finally:
        process.send_signal(signal.SIGTERM)
        await anyio.to_thread.run_sync(process.wait)


def _address(told: Path, process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Wait until the daemon has said where it listens; whoever connects then waits until it is ready."""
    from urllib.error import URLError
    from urllib.request import urlopen

    while process.poll() is None:
        found = ADDRESS.search(told.read_text(encoding="utf-8"))
        if found is not None:
            try:
                with urlopen(f"{found[0]}/readyz") as answer:  # noqa: S310 - the daemon's own address
                    if answer.status == 200:
                        return found[1], found[2]
            except URLError:
                pass
        anyio.from_thread.run(anyio.sleep, 0.1)
    raise RuntimeError(f"the daemon ended: {told.read_text(encoding='utf-8')[-500:]}")


async def _under_load(
    process: subprocess.Popen[bytes], address: tuple[str, str], extent: Extent, request: Request
) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    command = [sys.executable, "-m", "benchmarks.load_client", *address]
    command += [str(extent.users), str(extent.callers), str(extent.seconds), str(request.seed)]
    begun, looks = stopwatch(), list[tuple[float, float]]()
    client = await anyio.open_process(command, cwd=ROOT, stderr=None)
    async with client, anyio.create_task_group() as tasks:
        tasks.start_soon(_look, process.pid, looks, begun, request)
        assert client.stdout is not None
        said = b"".join([piece async for piece in client.stdout])
        tasks.cancel_scope.cancel()
    seen: dict[str, Any] = json.loads(said)
    return seen, looks


async def _look(pid: int, looks: list[tuple[float, float]], begun: float, request: Request) -> None:
    while True:
        looks.append((stopwatch() - begun, _resident_mib(pid)))
        await anyio.sleep(LOOK_SECONDS)
        request.progress.step()


def _resident_mib(pid: int) -> float:
    """Return the RAM of the daemon's process; its private Redis is another."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * PAGES / MIB


def _results(seen: dict[str, Any], looks: list[tuple[float, float]], extent: Extent) -> Results:
    every = sorted([*seen["search"], *seen["add"]])
    return {
        "requests_per_second": len(every) / extent.seconds,
        "errors": sum(seen["failures"].values()),
        "failures": seen["failures"],
        "all": _spread(every),
        "search": _spread(seen["search"]),
        "add": _spread(seen["add"]),
        "settled": _spread([one for one in every if one[0] >= extent.seconds / 2]),
        "p99_end_over_start": _p99_ratio(every, extent.seconds),
        "resident_mib": [round(mib, 1) for _, mib in looks][:: max(1, len(looks) // 60)],
        "resident_mib_per_10_min": _slope(looks, extent.seconds) * 600,
    }


def _spread(seen: Sequence[Sequence[float]]) -> Results:
    taken = [ms for _, ms in seen]
    if not taken:
        return {"requests": 0}
    shares = {f"p{share:g}_ms": percentile(taken, share) for share in (50, 90, 99, 99.9)}
    return {"requests": len(taken), **shares}


def _p99_ratio(every: Sequence[Sequence[float]], seconds: float) -> float | None:
    """The last quarter beside the second: the first one warms up."""
    start = [ms for at, ms in every if seconds / 4 <= at < seconds / 2]
    end = [ms for at, ms in every if at >= seconds * 3 / 4]
    return percentile(end, 99) / percentile(start, 99) if start and end else None


def _slope(looks: Sequence[tuple[float, float]], seconds: float) -> float:
    """Return the MiB per second by least squares over the second half, where caches are full."""
    late = [(at, mib) for at, mib in looks if at >= seconds / 2]
    if len(late) < 3:
        return 0.0
    mean_at = sum(at for at, _ in late) / len(late)
    mean_mib = sum(mib for _, mib in late) / len(late)
    spread = sum((at - mean_at) ** 2 for at, _ in late)
    return sum((at - mean_at) * (mib - mean_mib) for at, mib in late) / spread


def tables(results: Results) -> list[Table]:
    """Show a run to people."""
    table = Table(title="a daemon under load")
    for column in ("what", "requests", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for kind in ("all", "search", "add", "settled"):
        spread = results[kind]
        figures = [f"{spread.get(f'p{share}_ms', 0):.1f}" for share in ("50", "90", "99", "99.9")]
        table.add_row(kind, str(spread["requests"]), *figures)
    table.caption = (
        f"{results['requests_per_second']:.0f} requests a second, {results['errors']} errors; "
        f"{results['resident_mib_per_10_min']:+.2f} MiB in 10 minutes"
    )
    return [table]


def missed(results: Results) -> list[str]:
    """Name what is worse than it may be: nothing may fail."""
    return [f"{results['errors']} requests failed"] if results["errors"] else []


BENCHMARK = Benchmark("load", run, tables, missed=missed)
