"""Killing a writer again and again, at random times and at every named fail point, and looking what is left."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.crash_book import Book, Faults, repeats
from benchmarks.crash_lanes import TENANT, text_of
from benchmarks.crash_writer import settings_of
from benchmarks.store import fresh_folder
from benchmarks.suite import Progress
from benchmarks.timing import since_ms
from tiered_memory import TieredMemory
from tiered_memory.clock import stopwatch
from tiered_memory.embedding.base import Embedder
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.failpoints import POINTS, VARIABLE

CYCLES_PER_STORE = 10
PROBE_EVERY = 6
MOST_TIMES = 3
LATEST_KILL_S = 0.5
POINT_SECONDS = 30.0
OPENING = "open."


class CrashError(RuntimeError):
    """A writer ended by itself: the harness, or the product, is broken."""


@dataclass(frozen=True, slots=True)
class Death:
    """How a writer dies: at a fail point the `times`-th time, or `after_s` seconds after it was told to begin."""

    point: str | None = None
    times: int = 1
    after_s: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What the cycles came to. Recoveries are in milliseconds, from open() to the first answered search."""

    cycles: int = 0
    acked: int = 0
    faults: Faults = field(default_factory=Faults)
    hit: set[str] = field(default_factory=set)
    recoveries_ms: list[float] = field(default_factory=list)


def deaths(cycles: int, seed: int) -> list[list[Death]]:
    """Return the deaths of each cycle: every fail point once if there is room, random times and chains besides.

    A point of opening needs something to recover: the writer before it dies first, and nobody looks between.
    """
    draw = random.Random(seed)
    plans = [_at_point(point, draw) for point in POINTS[:cycles]]
    while len(plans) < cycles:
        drawn = draw.random()
        plans.append(_at_point(draw.choice(POINTS), draw) if drawn < 0.2 else [_at_random(draw)])
        if drawn > 0.8:
            plans[-1] += _at_point(draw.choice(POINTS), draw)
    draw.shuffle(plans)
    return plans


def _at_point(point: str, draw: random.Random) -> list[Death]:
    if point.startswith(OPENING):
        return [_at_random(draw), Death(point)]
    return [Death(point, draw.randint(1, MOST_TIMES))]


def _at_random(draw: random.Random) -> Death:
    return Death(after_s=draw.uniform(0.0, LATEST_KILL_S))


class _Writer:
    """A process that was started ahead of its turn: it imports while another one is looked at."""

    def __init__(self, data: Path, run: int, seed: int, death: Death | None, redis: str) -> None:
        self._death = death
        self.lines: list[dict[str, Any]] = []
        environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
        if death is not None and death.point is not None:
            environment[VARIABLE] = f"{death.point}:{death.times}"
        arguments = ("-m", "benchmarks.crash_writer", str(data), "--run", str(run), "--seed", str(seed))
        self._starting = asyncio.create_task(
            asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                "--redis",
                redis,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=1 << 20,
                env=environment,
                cwd=Path(__file__).resolve().parents[1],
            )
        )

    async def run(self, asked: dict[str, str]) -> int:
        """Tell the process what to do, kill it when its time has come, and return its exit status."""
        process = await self._starting
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        ready = await process.stdout.readline()
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        reading = asyncio.create_task(self._read(process.stdout))
        complaint = asyncio.create_task(process.stderr.read())
        killed = await self._wait(process, started=bool(ready))
        await reading
        status = await process.wait()
        if status != -signal.SIGKILL and not (asked and status == 0):
            raise CrashError(f"a writer ended with status {status}: {(await complaint).decode()[-2000:]}")
        await complaint
        return 0 if killed else status

    async def _wait(self, process: asyncio.subprocess.Process, *, started: bool) -> bool:
        """Return whether the process was killed from here."""
        at_point = self._death is None or self._death.point is not None
        seconds = POINT_SECONDS if at_point or self._death is None else self._death.after_s
        try:
            await asyncio.wait_for(process.wait(), seconds if started else 1.0)
        except TimeoutError:
            process.send_signal(signal.SIGKILL)
            return True
        return False

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            if line.endswith(b"\n"):
                self.lines.append(json.loads(line))


class Cycles:
    """Runs the cycles, each store living for `CYCLES_PER_STORE` of them."""

    def __init__(self, seed: int, redis: str = "private") -> None:
        self._seed = seed
        self._redis = redis
        self._embedder: Embedder = StaticEmbedder()
        self._runs = 0
        self.outcome = Outcome()

    async def run(self, plans: list[list[Death]], progress: Progress) -> Outcome:
        """Carry out every plan and return what came of it."""
        progress.stage("kill -9", len(plans))
        for start in range(0, len(plans), CYCLES_PER_STORE):
            with fresh_folder() as folder:
                await self._life(folder / "data", plans[start : start + CYCLES_PER_STORE], progress)
        return self.outcome

    async def _life(self, data: Path, plans: list[list[Death]], progress: Progress) -> None:
        book, waiting = Book(), self._writers(data, plans)
        ahead = next(waiting)
        for plan in plans:
            for death in plan:
                writer, ahead = ahead, next(waiting, ahead)
                status = await writer.run({})
                if death.point is not None and status:
                    self.outcome.hit.add(death.point)
                for line in writer.lines:
                    book.take(line)
            await self._look(data, book)
            self.outcome.cycles += 1
            progress.step()
        self.outcome.acked += book.acked
        for table, count in (await asyncio.to_thread(cold_repeats, data)).items():
            self.outcome.faults.add("duplicated", f"{count} ids in the cold table {table}")

    def _writers(self, data: Path, plans: list[list[Death]]) -> Iterator[_Writer]:
        for plan in plans:
            for death in plan:
                self._runs += 1
                yield _Writer(data, self._runs, self._seed, death, self._redis)

    async def _look(self, data: Path, book: Book) -> None:
        """Check what is left, finish what was under way, check again."""
        wanted = book.some_mark()
        if wanted is not None and self.outcome.cycles % PROBE_EVERY == 0:
            await self._probe(data, *wanted)
        begun = stopwatch()
        settings = settings_of(data, self._redis).model_copy(update={"background": False})
        async with TieredMemory.open(settings, embedder=self._embedder) as memory:
            if wanted is not None:
                await self._first_search(memory, *wanted)
                self.outcome.recoveries_ms.append(since_ms(begun))
            self.outcome.faults.take(await book.check(memory))
            self.outcome.faults.take(await book.settle(memory))

    async def _first_search(self, memory: TieredMemory, user: str, mark: str) -> None:
        hits = await memory.user(user, tenant=TENANT).search(text_of(mark), limit=10)
        if not any(mark in hit.memory.content for hit in hits):
            self.outcome.faults.add("lost", f"{mark} of {user} is not found by a search")

    async def _probe(self, data: Path, user: str, mark: str) -> None:
        """Recover in a fresh process, which has to import the engines as well."""
        probe = _Writer(data, 0, self._seed, None, self._redis)
        await probe.run({"user": user, "mark": mark})
        said = next(line for line in probe.lines if line["what"] == "probed")
        self.outcome.recoveries_ms.append(said["ms"])
        if not said["found"]:
            self.outcome.faults.add("lost", f"{mark} of {user} is not found by a search in a fresh process")


def cold_repeats(data: Path) -> dict[str, int]:
    """Return, for each cold table that holds an id more than once, how many such ids it holds."""
    import lancedb

    connection = lancedb.connect(str(data / "cold"))
    found: Counter[str] = Counter()
    for path in (data / "cold").glob("*.lance"):
        ids = connection.open_table(path.stem).to_arrow().column("id").to_pylist()
        found[path.stem] = repeats(ids)
    return dict(+found)
