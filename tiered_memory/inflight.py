"""Commit sections that outlive their callers: a caller may give up waiting, what was begun is finished."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Coroutine, Hashable
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import anyio

from tiered_memory.errors import OutcomeUnknownError

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class InFlight:
    """Runs commit sections as tasks of their own.

    A cancelled caller leaves at once and the section goes on; one that waited `deadline_seconds` learns that the
    outcome is unknown, which is not that it failed: the same operation id, given again, tells.
    """

    def __init__(self, deadline_seconds: float = math.inf) -> None:
        self._deadline_seconds = deadline_seconds
        self._tasks: set[asyncio.Task[Any]] = set()

    async def finish(self, section: Coroutine[Any, Any, T]) -> T:
        """Run a section to its end and return its result.

        Raises:
            OutcomeUnknownError: it was not done within the deadline; it still goes on.
        """
        task = self._begin(section)
        deadline = None if math.isinf(self._deadline_seconds) else self._deadline_seconds
        done, _ = await asyncio.wait({task}, timeout=deadline)
        if not done:
            raise OutcomeUnknownError
        return task.result()

    async def complete(self, section: Coroutine[Any, Any, T]) -> T:
        """Run a section to its end, however long it takes, and return its result."""
        task = self._begin(section)
        await asyncio.wait({task})
        return task.result()

    async def settle(self) -> None:
        """Return when every section begun so far has ended."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _begin(self, section: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(section)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a caller that left does not hear of it; the loop must not complain


class Turns:
    """Lets those whose names meet go one after another, in the order they came; the others go side by side."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, list[anyio.Event]] = {}
        self.ended = 0
        """How many turns with a name have ended."""

    @asynccontextmanager
    async def held(self, names: AbstractSet[Hashable]) -> AsyncIterator[None]:
        """Go on when all have ended, or given up, that came before with one of `names`."""
        mine, lines = anyio.Event(), [self._lines.setdefault(name, []) for name in names]
        for line in lines:
            line.append(mine)
        try:
            for line in lines:
                while line[0] is not mine:
                    await line[line.index(mine) - 1].wait()
            yield
        finally:
            self.ended += bool(names)
            self._leave(names, mine)

    def _leave(self, names: AbstractSet[Hashable], mine: anyio.Event) -> None:
        for name in names:
            self._lines[name].remove(mine)
            if not self._lines[name]:
                del self._lines[name]
        mine.set()


class KeyedLocks(Generic[K]):
    """One lock per key, forgotten when nobody has it."""

    def __init__(self) -> None:
        self._locks: dict[K, anyio.Lock] = {}

    def keys(self) -> list[K]:
        """Return the keys whose locks somebody has."""
        return list(self._locks)

    @asynccontextmanager
    async def held(self, key: K) -> AsyncIterator[None]:
        """Hold the lock of `key`."""
        lock = self._locks.setdefault(key, anyio.Lock())
        try:
            async with lock:
                yield
        finally:
            # A lock that was released may belong to the next in line already.
            if not lock.locked():
                self._locks.pop(key, None)
