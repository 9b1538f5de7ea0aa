"""Commit sections that outlive their callers: a caller may give up waiting, what was begun is finished."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tiered_memory.errors import OutcomeUnknownError

T = TypeVar("T")


class InFlight:
    """Runs commit sections as tasks of their own.

    A cancelled caller leaves at once and the section goes on; one that waited `deadline_seconds` learns that the
    outcome is unknown, which is not that it failed: the same operation id, given again, tells.
    """

    def __init__(self, deadline_seconds: float) -> None:
        self._deadline_seconds = deadline_seconds
        self._tasks: set[asyncio.Task[Any]] = set()

    async def finish(self, section: Coroutine[Any, Any, T]) -> T:
        """Run a section to its end and return its result.

        Raises:
            OutcomeUnknownError: it was not done within the deadline; it still goes on.
        """
        task = asyncio.create_task(section)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        done, _ = await asyncio.wait({task}, timeout=self._deadline_seconds)
        if not done:
            raise OutcomeUnknownError
        return task.result()

    async def settle(self) -> None:
        """Return when every section begun so far has ended."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a caller that left does not hear of it; the loop must not complain
