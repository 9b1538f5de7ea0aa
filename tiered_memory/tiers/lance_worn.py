"""Which tables of this process may need compaction: those it has written to since, as far as it remembers."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path

import anyio.to_thread

from tiered_memory.errors import StorageError
from tiered_memory.tiers.base import SubjectRef

REMEMBERED = 10_000
LOOKS_A_TABLE = 10
WORN_FILES = 10
"""Pieces from which on a table is worth compacting: each put adds one, and each costs every read a little."""


class WornTables:
    """Remembers the newest 10 000 subjects whose tables were written to, the longest ago first."""

    def __init__(self) -> None:
        self._written: OrderedDict[SubjectRef, None] = OrderedDict()

    def note(self, subject: SubjectRef) -> None:
        """Take note of a write."""
        self._written.setdefault(subject)
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    async def compact(
        self,
        most: int,
        path_of: Callable[[SubjectRef], Path],
        compact: Callable[[SubjectRef], Awaitable[None]],
    ) -> int:
        """Compact up to `most` (>= 1) tables that are in pieces, looking at ten times as many; see `Compacting`."""
        compacted, failure = 0, None
        for subject in list(islice(self._written, most * LOOKS_A_TABLE)):
            if await anyio.to_thread.run_sync(pieces_of, path_of(subject)) >= WORN_FILES:
                if compacted == most:
                    break
                try:
                    await compact(subject)
                except StorageError as error:
                    failure = error
                    self._postpone(subject)
                    continue
                compacted += 1
            self._written.pop(subject, None)
        if failure is not None:
            raise failure
        return compacted

    def _postpone(self, subject: SubjectRef) -> None:
        if subject in self._written:
            self._written.move_to_end(subject)


def pieces_of(path: Path) -> int:
    """Return how many data files a table has; 0 when that cannot be told. Synchronous; no engine is asked."""
    try:
        with os.scandir(path / "data") as entries:
            return sum(1 for _ in entries)
    except OSError:
        return 0
