"""A memory over tiers that outlive it, as servers do, with a gate before and behind each of their operations.

For runs in which processes stop, crash, interleave and meet failing engines. What a gate does is its own affair:
`Pace` lets other tasks run for a seeded while, so that one seed is one interleaving.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar
from zlib import crc32

import anyio.lowlevel
import anyio.to_thread
import apsw
import numpy as np

from tiered_memory.clock import Clock
from tiered_memory.config import Settings
from tiered_memory.core import ColdTier, Core, HotTier
from tiered_memory.embedding.base import TextKind, Vectors
from tiered_memory.memory import TieredMemory
from tiered_memory.runtime import Runtime, assemble
from tiered_memory.state.base import Read, Write
from tiered_memory.state.group_commit import _fail, _Job, _run_in_savepoint, _settle
from tiered_memory.state.sqlite_state import SqliteState, _connect
from tiered_memory.state.sqlite_verbs import HANDLERS, READERS
from tiered_memory.tiers.base import SubjectRef, TierRecord
from tiered_memory.tiers.local_tier import LocalTier
from tiered_memory.wiring import Overrides, _engines

T = TypeVar("T")
Recast = Callable[[Core], Core]
WAITS = (*(0, 0, 0, 1, 1, 2, 3, 5, 8, 13, 21, 34) * 8, 100, 400)
"""How often a task lets others go at a gate: mostly a few times, now and then for as long as an erasure takes."""


class StagedMemory(TieredMemory):
    """A memory some of whose engines are put in by `recast` after the wiring has made its own."""

    def __init__(self, settings: Settings, overrides: Overrides, recast: Recast) -> None:
        super().__init__(settings, overrides)
        self._recast = recast

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            core, analytics = await _engines(self._settings, self._overrides, stack)
            parts = assemble(self._recast(core), analytics, self._settings.data_dir)
            self._runtime = Runtime(parts, self._settings, stack.pop_all().aclose)
        await self._runtime.start()
        await self._branches.take_up_tenants()
        return self

    async def abandon(self) -> None:
        """Let go of the directory as a killed process does: nothing is brought to rest before."""
        runtime = self._runtime
        if runtime is not None and runtime.open:
            runtime.open = False
            await runtime._release()  # noqa: SLF001 - the half of `stop` that a kill leaves


class KeptHot(LocalTier):
    """A hot tier in this process that stays when a runtime lets go of it."""

    async def close(self) -> None:
        """Keep everything."""

    def envelopes(self) -> list[bytes]:
        """Return every sealed value that is held, of whomever."""
        shelves = self._shelves.values()
        records = [record.payload for shelf in shelves for record in shelf.records.values()]
        return records + [blob for shelf in shelves for _, blob in shelf.snapshots.values()]


class KeptCold(LocalTier):
    """A cold tier in this process: one shelf per incarnation, as one table each, which outlives the runtime.

    `repeats` names the records that were appended though they were there: a table would have them twice.
    """

    def __init__(self, name: str, *, clock: Clock) -> None:
        super().__init__(name, clock=clock)
        self.repeats: list[str] = []

    async def append(self, subject: SubjectRef, records: Sequence[TierRecord]) -> None:
        """Store records that were never given before."""
        there = {record.id for record in await self.scan(subject)}
        self.repeats += [record.id for record in records if record.id in there]
        await self.put(subject, records)

    async def put(self, subject: SubjectRef, records: Sequence[TierRecord]) -> None:
        """Store records in the incarnation's own shelf."""
        await super().put(_table(subject), records)

    async def scan(self, subject: SubjectRef, *, limit: int | None = None) -> list[TierRecord]:
        """Return the incarnation's records."""
        return await super().scan(_table(subject), limit=limit)

    async def remove(self, subject: SubjectRef, ids: Sequence[str]) -> int:
        """Remove records from the incarnation's shelf."""
        return await super().remove(_table(subject), ids)

    async def drop(self, subject: SubjectRef) -> int:
        """Remove the incarnation's shelf."""
        return await super().drop(_table(subject))

    def exists(self, subject: SubjectRef) -> bool:
        """Tell whether the incarnation has a shelf."""
        return subject.incarnation in self._shelves

    async def compact(self, subject: SubjectRef) -> None:
        """Rewrite the incarnation's shelf in place."""
        shelf = self._shelves.get(subject.incarnation)
        if shelf is not None:
            shelf.records = {record.id: record for record in shelf.ordered()}

    async def scrub(self, subject: SubjectRef) -> None:
        """Do nothing: what is overwritten here leaves nothing behind."""

    async def copy(self, subject: SubjectRef, folder: Path) -> None:
        """Copy nothing: there are no files."""

    def records(self) -> list[TierRecord]:
        """Return every record that is held, of whomever."""
        return [record for shelf in self._shelves.values() for record in shelf.records.values()]

    async def close(self) -> None:
        """Keep everything."""


def _table(subject: SubjectRef) -> SubjectRef:
    return replace(subject, pseudonym=subject.incarnation)


class Gate(Protocol):
    """What every operation of an engine passes: it may wait, and it may raise."""

    async def enter(self, tier: str, operation: str) -> None:
        """Pass before the engine is asked."""
        ...

    async def leave(self, tier: str, operation: str) -> None:
        """Pass after the engine has done it, before the caller knows."""
        ...


class Pace:
    """A gate that lets other tasks run for a seeded while, unless it is `quiet`.

    Once `stopped` nothing gets through, as after a kill. `look` is called whenever somebody comes by; `passed`
    counts them.
    """

    def __init__(self, seed: int, look: Callable[[], None]) -> None:
        self._draw = random.Random(seed)
        self._look = look
        self.stopped = False
        self.quiet = False
        self.passed = 0

    async def enter(self, tier: str, operation: str) -> None:
        """Wait."""
        del tier, operation
        await self.wait()

    async def leave(self, tier: str, operation: str) -> None:
        """Wait."""
        del tier, operation
        await self.wait()

    async def wait(self) -> None:
        """Let other tasks run, a seeded number of times."""
        self._look()
        self.passed += 1
        for _ in range(0 if self.quiet else self._draw.choice(WAITS)):
            self._refuse_stopped()
            await anyio.lowlevel.checkpoint()
        self._refuse_stopped()

    def _refuse_stopped(self) -> None:
        if self.stopped:
            raise asyncio.CancelledError


class GatedTier:
    """A tier behind a gate."""

    def __init__(self, tier: Any, gate: Gate) -> None:
        self._tier = tier
        self._gate = gate
        self.name: str = tier.name
        self.up = True

    async def put(self, subject: SubjectRef, records: Sequence[TierRecord]) -> None:
        """See `Tier`."""
        await self._through("put", subject, records)

    async def append(self, subject: SubjectRef, records: Sequence[TierRecord]) -> None:
        """See `ColdTier`."""
        await self._through("append", subject, records)

    async def copy(self, subject: SubjectRef, folder: Path) -> None:
        """See `ColdTier`."""
        await self._through("copy", subject, folder)

    async def scan(self, subject: SubjectRef, *, limit: int | None = None) -> list[TierRecord]:
        """See `Tier`."""
        found: list[TierRecord] = await self._through("scan", subject)
        return found[:limit]

    async def remove(self, subject: SubjectRef, ids: Sequence[str]) -> int:
        """See `Tier`."""
        return int(await self._through("remove", subject, ids))

    async def drop(self, subject: SubjectRef) -> int:
        """See `Tier`."""
        return int(await self._through("drop", subject))

    async def compact(self, subject: SubjectRef) -> None:
        """Have the tier compact what it has of a subject."""
        await self._through("compact", subject)

    async def scrub(self, subject: SubjectRef) -> None:
        """Have the tier scrub what it has of a subject."""
        await self._through("scrub", subject)

    def exists(self, subject: SubjectRef) -> bool:
        """See `ColdTier`."""
        return bool(self._tier.exists(subject))

    async def save_snapshot(self, subject: SubjectRef, session: str, blob: bytes, ttl_seconds: float) -> None:
        """See `SnapshotStore`."""
        await self._through("save_snapshot", subject, session, blob, ttl_seconds)

    async def load_snapshot(self, subject: SubjectRef, session: str) -> bytes | None:
        """See `SnapshotStore`."""
        blob: bytes | None = await self._through("load_snapshot", subject, session)
        return blob

    async def close(self) -> None:
        """Close the tier."""
        await self._tier.close()

    async def _through(self, operation: str, *arguments: Any) -> Any:
        await self._gate.enter(self.name, operation)
        answer = await getattr(self._tier, operation)(*arguments)
        await self._gate.leave(self.name, operation)
        return answer


class PacedState:
    """The real state store's statements on the event loop's own thread, in groups whose makeup follows from a pace.

    It works on the file that `state` has open; nothing goes through `state` meanwhile.
    """

    def __init__(self, state: SqliteState, pace: Pace) -> None:
        self._state = state
        self._db = _connect(state._path, state._key)  # noqa: SLF001 - the same file, under the same key
        self._pace = pace
        self._jobs: list[_Job] = []
        self._committing: asyncio.Task[None] | None = None

    async def write(self, command: Write[T]) -> T:
        """Carry out one change with the next group."""
        await self._pace.wait()
        handler = HANDLERS[type(command)]
        job = _Job(lambda db: handler(db, command), asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit())
        result: T = await job.future
        await self._pace.wait()
        return result

    async def read(self, query: Read[T]) -> T:
        """Answer from what is committed."""
        await self._pace.wait()
        answer: T = READERS[type(query)](self._db, query)
        await self._pace.wait()
        return answer

    async def checkpoint(self) -> None:
        """Move the log into the database and truncate it."""
        await self._pace.wait()
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        await self._pace.wait()

    async def snapshot(self, path: Path) -> None:
        """Write a copy of the store."""
        await self._state.snapshot(path)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what a statement finds, for those who look behind the scenes."""
        return list(self._db.execute(statement))

    async def close(self) -> None:
        """Release the file."""
        self._db.close()

    async def _commit(self) -> None:
        with suppress(asyncio.CancelledError):
            await self._pace.wait()
        group, self._jobs = self._jobs, []
        if self._pace.stopped:
            for job in group:
                job.future.cancel()
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for job in group:
                _run_in_savepoint(self._db, job)
            self._db.execute("COMMIT")
        except apsw.Error as error:
            _fail(self._db, group, error)
        _settle(group)


@contextmanager
def threads_at_once() -> Iterator[None]:
    """Have worker threads' work done on the event loop: when a thread gets its turn does not follow from a seed."""
    in_threads = anyio.to_thread.run_sync
    anyio.to_thread.run_sync = _at_once  # type: ignore[assignment]
    try:
        yield
    finally:
        anyio.to_thread.run_sync = in_threads


async def _at_once(work: Callable[..., T], *arguments: Any, **_options: Any) -> T:
    await anyio.lowlevel.checkpoint()
    return work(*arguments)


SLOWNESS = 5


class WordEmbedder:
    """An embedder without a model: every word has a vector of its own by its checksum. It passes a gate, too."""

    name = "words-8"
    dimensions = 8

    def __init__(self, gate: Gate | None = None) -> None:
        self._gate = gate

    async def embed(self, texts: Sequence[str], kind: TextKind = "document") -> Vectors:
        """Return the sums of the words' vectors, shape `(len(texts), 8)`."""
        if self._gate is not None:
            for _ in range(SLOWNESS):
                await self._gate.enter("embedder", kind)
        return np.array([_vector(text) for text in texts], dtype=np.float32).reshape(-1, self.dimensions)


def _vector(text: str) -> Vectors:
    total = np.zeros(WordEmbedder.dimensions, dtype=np.float32)
    for word in text.lower().split():
        draw = np.random.default_rng(crc32(word.encode()))
        total += draw.standard_normal(WordEmbedder.dimensions).astype(np.float32)
    return total


def settings_for(directory: Path, **more: Any) -> Settings:
    """Return settings under which nothing happens by itself, no server is started and no disk is reserved."""
    still = {"data_dir": directory, "background": False, "redis_url": "local", "ballast_mib": 0}
    return Settings(**{**still, **more})


def replacing(*, hot: HotTier | None = None, cold: ColdTier | None = None) -> Recast:
    """Return what puts these tiers in the place of the wiring's own."""

    def recast(core: Core) -> Core:
        return replace(core, hot=hot or core.hot, cold=cold or core.cold)

    return recast
