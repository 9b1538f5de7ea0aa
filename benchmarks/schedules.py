"""Seeded interleavings: an erasure against everything else at once, many times over, each repeatable by its seed.

State is the real store's statements on SQLite, cold and hot are the local tiers (or LanceDB for cold), and a gate
before and behind every operation of each of them lets other tasks run for a seeded while. Some schedules kill the
process at a seeded moment and open the directory again.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.lowlevel

from benchmarks.schedule_works import EXPECTED, PURPOSE, SESSION, Said, Stage, Work, Works
from benchmarks.staged import threads_at_once
from benchmarks.suite import Progress
from tiered_memory.crypto.envelope import MAGIC, key_id_of
from tiered_memory.errors import TieredMemoryError

LIMIT_SECONDS = 60.0
MOST_TURNS = 150
RESURRECTED, BRICKED, SURPRISED = "resurrected", "bricked", "surprised"
SUBJECT_TABLES = ("journal", "memories", "session_tail", "data_keys", "consent_events", "operations")
ID_COLUMNS = {
    "journal": "memory_id",
    "memories": "memory_id",
    "session_tail": "record_id",
    "tombstones": "memory_id",
}
SEALED_COLUMNS = {
    "journal": "sealed",
    "session_tail": "sealed",
    "consent_events": "sealed",
    "operations": "receipt",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong in the schedule of a seed: something `resurrected`, a user `bricked`, a caller `surprised`."""

    seed: int
    sort: str
    what: str


@dataclass(frozen=True, slots=True)
class ScheduleResult:
    """What a run of schedules came to, in schedules: of which something was resurrected, bricked, or a surprise.

    A caller is surprised by an error that is not a typed answer to an erasure. `works` counts the calls that met
    an erasure, `kills` the processes that were killed, `steps` how often a task came to an engine and let others go.
    """

    schedules: int
    resurrected: int
    bricked: int
    surprised: int
    works: int
    kills: int
    steps: int
    failures: tuple[Failure, ...]


async def run_schedules(
    count: int,
    seed: int,
    progress: Progress,
    *,
    real_cold: bool = False,
    kind: type[Schedule] | None = None,
) -> ScheduleResult:
    """Run `count` (>= 0) schedules, those of the seeds from `seed` on: an erasure's, or those of another `kind`."""
    failures: list[Failure] = []
    works = kills = steps = 0
    progress.stage("schedules on LanceDB" if real_cold else "schedules", count)
    for one in range(seed, seed + count):
        with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
            schedule = (kind or Schedule)(one, Path(folder) / "data", real_cold=real_cold)
            failures += await schedule.run()
        works, kills = works + schedule.met, kills + schedule.killed
        steps += schedule.steps
        progress.step()
    hit = Counter(sort for _, sort in {(failure.seed, failure.sort) for failure in failures})
    return ScheduleResult(
        count, hit[RESURRECTED], hit[BRICKED], hit[SURPRISED], works, kills, steps, tuple(failures)
    )


def _fast_folder() -> str | None:
    """Return where files cost no disk, if there is such a place: no power fails here."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder made there has a name of its own
    return str(memory) if memory.is_dir() else None


class Schedule:
    """One interleaving, from an empty directory to the verdict."""

    expected: tuple[type[Exception], ...] = EXPECTED

    def __init__(self, seed: int, directory: Path, *, real_cold: bool = False) -> None:
        self._seed = seed
        self._chance = random.Random(seed)
        self._real_cold = real_cold
        self._stage = Stage(seed, directory, real_cold=real_cold)
        self._works = Works(self._stage, self._chance)
        self._failures: list[Failure] = []
        self.met = 0
        self.killed = False

    @property
    def steps(self) -> int:
        """How often a task came to an engine."""
        return sum(pace.passed for pace in self._stage.paces)

    async def run(self) -> list[Failure]:
        """Run the schedule and return what went wrong."""
        threads = nullcontext() if self._real_cold else threads_at_once()
        with threads, anyio.move_on_after(LIMIT_SECONDS) as limit:
            await self._stage.open()
            await self._quietly(self._before)
            await self._collide()
            await self._quietly(self._after)
            await self._stage.close()
            if self._stage.damage:
                self._note(SURPRISED, "damage is reported though nothing was damaged")
        if limit.cancelled_caught:
            self._note(BRICKED, "it did not end")
            await self._stage.abandon()
        return self._failures

    async def _quietly(self, part: Work) -> None:
        """Run a part in which nothing interleaves."""
        self._stage.pace.quiet = True
        await part()
        self._stage.pace.quiet = False

    async def _before(self) -> None:
        """Give the user a past: forgotten, flushed, waiting, volatile, used, in a session, perhaps out of RAM."""
        works, chance = self._works, self._chance
        await works.grant()
        await works.add("old")
        if chance.random() < 0.5:
            await self._stage.user().pin(await self._fade())
        for _ in range(chance.randrange(1, 4)):
            await works.add("old")
            await chance.choice([works.flush, works.use, works.search, works.context])()
        await chance.choice([works.snapshot, works.reload, works.add_many])()

    async def _fade(self) -> str:
        """Have one memory forgotten and another one kept; return the kept one's id."""
        kept = (await self._stage.user().add("old kept", importance=0.9)).id
        faint = await self._stage.user().add("old faint", importance=0.25)
        tick = next(self._works.ticks)
        self._works.record.said.append(Said("old", tick, tick, faint.id))
        self._stage.clock.advance(40 * 86_400.0)
        await self._stage.memory.forget(confirmed=True)
        return kept

    async def _collide(self) -> None:
        chosen, chance = self._chosen(), self._chance
        before = asyncio.all_tasks()
        tasks = [asyncio.create_task(self._later(work)) for work in chosen]
        self.met = len(tasks)
        if chance.random() < 0.3:
            await self._turns()
            chance.choice(tasks[1:]).cancel()
        if not self._real_cold and chance.random() < 0.2:
            await self._kill(before, tasks)
        await asyncio.wait(tasks)
        for work, task in zip(chosen, tasks, strict=True):
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, self.expected):
                self._note(SURPRISED, f"{work.__name__}: {type(error).__name__}: {error}")

    def _chosen(self) -> list[Work]:
        """Return what meets, the erasure first."""
        everything, chance = self._works.all(), self._chance
        return [self._works.erase, *(chance.choice(everything) for _ in range(chance.randrange(2, 8)))]

    async def _later(self, work: Work) -> None:
        await self._turns()
        await work()

    async def _turns(self) -> None:
        for _ in range(self._chance.randrange(MOST_TURNS)):
            await anyio.lowlevel.checkpoint()

    async def _kill(self, before: set[asyncio.Task[object]], tasks: Sequence[asyncio.Task[None]]) -> None:
        """End the process where it stands: nothing it had begun gets any further, then open the directory again."""
        await self._turns()
        self.killed = True
        self._stage.pace.stopped = True
        for task in tasks:
            task.cancel()
        while dying := asyncio.all_tasks() - before:
            for task in dying:
                task.cancel()
            await asyncio.wait(dying)
        await self._stage.abandon()
        await self._stage.open()

    async def _after(self) -> None:
        """Finish the erasure if need be, look everywhere, and begin anew."""
        try:
            await self._settle()
            await self._look()
            await self._begin_anew()
            await self._erase_for_good()
        except TieredMemoryError as error:
            self._note(BRICKED, f"{type(error).__name__}: {error}")

    async def _settle(self) -> None:
        if not self._works.record.erasures:
            await self._works.erase()
        await self._stage.parts.inflight.settle()
        await self._stage.memory.drain()

    async def _look(self) -> None:
        """Nothing that was acknowledged before an erasure may be seen after it, or be anywhere."""
        works, record = self._works, self._works.record
        for look in (works.reload, works.search, works.context, works.forgotten):
            await look()
        for began, ended in record.erasures:
            gone = {one.word for one in record.gone(began)}
            for read in record.reads:
                if read.ended > ended and read.contents & gone:
                    self._note(RESURRECTED, f"{read.kind} shows what was erased")
        last = max(began for began, _ in record.erasures)
        for trace in self._traces({one.id for one in record.gone(last)}):
            self._note(RESURRECTED, trace)
        self._check_new(max(ended for _, ended in record.erasures))

    def _check_new(self, ended: int) -> None:
        """What was kept durably after the last erasure is the new generation's, and stays."""
        record = self._works.record
        if record.withdrawn or len(record.erasures) > 1:
            return
        seen = next(read.contents for read in reversed(record.reads) if read.kind == "list")
        if any(one.durable and one.began > ended and one.word not in seen for one in record.said):
            self._note(BRICKED, "what was said after the erasure is lost")

    def _traces(self, ids: set[str]) -> Iterator[str]:
        """Return where anything of the old generation lies: its ids, its rows, or envelopes under its keys."""
        rows = self._stage.state.rows
        generation = rows("SELECT MAX(generation) FROM subjects")[0][0]
        for table in SUBJECT_TABLES:
            if rows(f"SELECT 1 FROM {table} WHERE generation < {generation}"):  # noqa: S608 - names of this module
                yield f"{table} has rows of the old generation"
        yield from self._named(ids)
        yield from self._sealed_before(generation)

    def _named(self, ids: set[str]) -> Iterator[str]:
        rows = self._stage.state.rows
        for table, column in ID_COLUMNS.items():
            if ids & {row[0] for row in rows(f"SELECT {column} FROM {table}")}:  # noqa: S608
                yield f"{table} names what was erased"
        if self._stage.cold is not None and self._stage.cold.repeats:
            yield "cold has a record twice"

    def _sealed_before(self, generation: int) -> Iterator[str]:
        old = {key for key, seen in self._stage.seen_keys.items() if seen < generation}
        for place, envelopes in self._envelopes().items():
            if any(key_id_of(one) in old for one in envelopes if one.startswith(MAGIC)):
                yield f"{place} holds envelopes under the old generation's keys"

    def _envelopes(self) -> dict[str, list[bytes]]:
        stage = self._stage
        places = {
            table: [row[0] for row in stage.state.rows(f"SELECT {column} FROM {table}") if row[0]]  # noqa: S608
            for table, column in SEALED_COLUMNS.items()
        }
        places["hot"] = stage.hot.envelopes()
        if stage.cold is not None:
            places["cold"] = [record.payload for record in stage.cold.records()]
        return places

    async def _begin_anew(self) -> None:
        """The user can be used again, across a restart too."""
        user = self._stage.user()
        await user.consent.grant(PURPOSE, notice="again", explicit=True)
        await user.add("anew word", importance=0.9, session=SESSION)
        await self._stage.memory.drain()
        await self._stage.close()
        await self._stage.open()
        self._stage.pace.quiet = True
        user = self._stage.user()
        found = [hit.memory.content for hit in await user.search("anew word")]
        context = (await user.context("anew", session=SESSION)).items
        if "anew word" not in found or "anew word" not in [item.content for item in context]:
            self._note(BRICKED, "what was said anew is not found")
        await self._works.reload()
        gone = {
            one.word
            for one in self._works.record.gone(max(began for began, _ in self._works.record.erasures))
        }
        if self._works.record.reads[-1].contents & gone:
            self._note(RESURRECTED, "a restart brings back what was erased")

    async def _erase_for_good(self) -> None:
        """A last erasure that nothing disturbs leaves nothing at all."""
        await self._works.erase()
        rows = self._stage.state.rows
        left = [t for t in (*SUBJECT_TABLES, "tombstones") if rows(f"SELECT 1 FROM {t}")]  # noqa: S608
        left += [place for place, envelopes in self._envelopes().items() if envelopes]
        if left or await self._stage.user().list():
            self._note(RESURRECTED, f"an undisturbed erasure leaves {', '.join(left)}")

    def _note(self, sort: str, what: str) -> None:
        self._failures.append(Failure(self._seed, sort, what))
