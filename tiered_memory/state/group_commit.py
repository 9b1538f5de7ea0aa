"""One writer thread that commits many callers' work with one fsync.

A piece of work that raises is rolled back alone and its caller told, the others commit. Callers wait for the commit of the whole group, never for their turn in it.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import apsw

from tiered_memory.clock import stopwatch
from tiered_memory.errors import ClosedError, DiskFullError, StateStoreError, StorageError, TieredMemoryError

T = TypeVar("T")
Work = Callable[[apsw.Connection], Any]
GROUP_LIMIT = 512
REFUSALS = (TieredMemoryError, apsw.Error, OverflowError, TypeError, ValueError)
"""What ends one caller's work and not the writer: a value the driver cannot store is that caller's trouble."""


class CommitCount(Protocol):
    """Numbers the commits; both are called in the writer's thread."""

    def count(self, connection: apsw.Connection) -> None:
        """Count this commit inside its own transaction."""
        ...

    def committed(self) -> None:
        """Hear that the commit counted last is on disk; its callers do not know yet."""
        ...


@dataclass(slots=True)
class _Job:
    work: Work
    future: asyncio.Future[Any]
    alone: bool = False
    result: Any = None
    error: Exception | None = None


class GroupCommitWriter:
    """Owns the only connection that writes."""

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        on_commit: Callable[[int, float], None],
        counting: CommitCount,
    ) -> None:
        self._connect = connect
        self._counting = counting
        self._on_commit = on_commit
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="tiered-memory-writer", daemon=True)
        self._started: asyncio.Future[None] = self._loop.create_future()

    async def start(self) -> None:
        """Open the connection in the writer thread; raise what opening raised."""
        self._thread.start()
        await self._started

    async def run(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` in the next group and return its result once the group is on disk."""
        result: T = await self._done(_Job(work, self._loop.create_future()))
        return result

    async def run_alone(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` outside of any transaction, while nobody else writes, and return its result."""
        result: T = await self._done(_Job(work, self._loop.create_future(), alone=True))
        return result

    async def _done(self, job: _Job) -> Any:
        if self._closed:
            raise ClosedError
        self._jobs.put(job)
        return await job.future

    async def close(self) -> None:
        """Commit what is queued and end the thread."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            connection = self._connect()
        except (apsw.Error, TieredMemoryError, OSError) as error:
            self._loop.call_soon_threadsafe(self._started.set_exception, error)
            return
        self._loop.call_soon_threadsafe(self._started.set_result, None)
        try:
            while (group := self._next_group()) is not None:
                self._commit(connection, [job for job in group if not job.alone])
                for job in group:
                    if job.alone:
                        self._run_alone(connection, job)
        finally:
            connection.close()

    def _next_group(self) -> list[_Job] | None:
        first = self._jobs.get()
        if first is None:
            return None
        group = [first]
        while len(group) < GROUP_LIMIT and not self._jobs.empty():
            job = self._jobs.get()
            if job is None:
                self._jobs.put(None)
                break
            group.append(job)
        return group

    def _commit(self, connection: apsw.Connection, group: list[_Job]) -> None:
        if not group:
            return
        begun = stopwatch()
        try:
            connection.execute("BEGIN IMMEDIATE")
            if not _run_together(connection, group):
                _roll_back(connection)
                connection.execute("BEGIN IMMEDIATE")
                for job in group:
                    _run_in_savepoint(connection, job)
            self._counting.count(connection)
            connection.execute("COMMIT")
            self._counting.committed()
        except apsw.Error as error:
            _fail(connection, group, error)
        self._on_commit(len(group), stopwatch() - begun)
        self._report(_settle, group)

    def _run_alone(self, connection: apsw.Connection, job: _Job) -> None:
        try:
            job.result = job.work(connection)
        except (TieredMemoryError, apsw.Error) as error:
            job.error = error if isinstance(error, TieredMemoryError) else _translated(error)
        self._report(_settle, [job])

    def _report(self, callback: Callable[[list[_Job]], None], group: list[_Job]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, group)


def _run_together(connection: apsw.Connection, group: list[_Job]) -> bool:
    """Run the group's work without savepoints, as nearly always goes well; return whether it did.

    Work is a function of the connection alone, so that after a rollback it can be run again, one by one.
    """
    try:
        for job in group:
            job.result = job.work(connection)
    except REFUSALS:
        return False
    return True


def _run_in_savepoint(connection: apsw.Connection, job: _Job) -> None:
    connection.execute("SAVEPOINT job")
    try:
        job.result = job.work(connection)
    except REFUSALS as error:
        job.error = error if isinstance(error, TieredMemoryError) else _translated(error)
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _fail(connection: apsw.Connection, group: list[_Job], error: apsw.Error) -> None:
    _roll_back(connection)
    for job in group:
        job.error = job.error or _translated(error)


def _roll_back(connection: apsw.Connection) -> None:
    """A full disk may have ended the transaction already."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _translated(error: Exception) -> StorageError:
    if isinstance(error, apsw.FullError):
        return DiskFullError()
    return StateStoreError(
        f"the state store refused a write ({type(error).__name__}); nothing of it was stored"
    )


def _settle(group: list[_Job]) -> None:
    for job in group:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
