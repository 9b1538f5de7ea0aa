"""Looks at how the store stands and reports it, beside everything that goes on; and how late the event loop wakes.

A look reads numbers, dates and words of a closed set; no content and no id. What grows with the number of people is
counted in pages, and then left alone for a multiple of the time it took.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from tiered_memory.clock import Clock, stopwatch
from tiered_memory.core import Core
from tiered_memory.errors import HotTierError, StateStoreError
from tiered_memory.formats.leaf import leaf_time_us
from tiered_memory.metrics import (
    ConsentsStanding,
    DiskStanding,
    HoldsStanding,
    KeysStanding,
    LedgerStanding,
    LoopLag,
    Observer,
    RecordsStanding,
    RequestsStanding,
    TierHeld,
    TierUp,
)
from tiered_memory.state import commands as c
from tiered_memory.state import standings as s
from tiered_memory.tiers.base import Measured

logger = logging.getLogger("tiered_memory")

PEOPLE_PER_PAGE = 250
OVERDUE_LIMIT = 100_000
"""Memories past their deadline are counted up to so many."""
REST = 200
"""What is counted over everybody rests for so many times as long as counting took: half a percent of the time."""
LAG_SECONDS = 0.5
"""How often the event loop is asked to wake a task."""
REQUEST = "request"
STATE_FILES = ("state.db", "state.db-wal")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a store's files lie; `root_key` is None when the root key is given from outside."""

    data_dir: Path
    root_key: Path | None = None


@dataclass(frozen=True, slots=True)
class _Files:
    """What the file system says: bytes, and when the root key's file was written (us)."""

    free_bytes: int
    size_bytes: int
    state_bytes: int
    root_key_us: int | None


@dataclass(slots=True)
class _Everybody:
    """What was counted over everybody, and when that is done again at the earliest."""

    again_at: float
    cold: TierHeld
    consents: Mapping[str, int]


class Gauges:
    """Looks, and reports to the core's observer: one fact for each matter."""

    def __init__(self, core: Core, places: Places, people_per_page: int = PEOPLE_PER_PAGE) -> None:
        self._core = core
        self._places = places
        self._people_per_page = people_per_page
        self._everybody: _Everybody | None = None
        self._state_up: bool | None = None

    async def look(self) -> None:
        """Report how the store stands now.

        Raises:
            StorageError: the state store could not be read; what was looked at before is reported.
        """
        try:
            await self._look()
        except StateStoreError:
            self._note_state(up=False)
            raise
        self._note_state(up=True)

    def _note_state(self, *, up: bool) -> None:
        if up is not self._state_up:
            self._state_up = up
            self._core.observer.observe(TierUp("state", up=up))

    async def _look(self) -> None:
        core, now_us = self._core, self._core.now_us()
        files = await anyio.to_thread.run_sync(_files, self._places)
        if files is not None:
            core.observer.observe(DiskStanding(files.free_bytes, files.size_bytes))
        core.observer.observe(HoldsStanding(len(core.holds.scopes())))
        core.observer.observe(await self._ledger(now_us))
        core.observer.observe(await self._keys(files, now_us))
        core.observer.observe(await self._requests(now_us))
        everybody = await self._counted(now_us)
        core.observer.observe(ConsentsStanding(everybody.consents))
        core.observer.observe(await self._records(files, everybody, now_us))

    async def _ledger(self, now_us: int) -> LedgerStanding:
        """The age is that of the oldest entry that no checkpoint covers."""
        _, leaf_index, _ = await self._core.state.read(c.Position())
        unsigned = await self._core.state.read(c.Leaves(self._core.notary.signed_size, 1))
        since_us = leaf_time_us(unsigned[0][1]) if unsigned else now_us
        return LedgerStanding(leaf_index + 1, None if since_us is None else _age(since_us, now_us))

    async def _keys(self, files: _Files | None, now_us: int) -> KeysStanding:
        oldest_us = await self._core.state.read(s.OldestEpoch())
        root_us = None if files is None else files.root_key_us
        return KeysStanding(
            None if oldest_us is None else _age(oldest_us, now_us),
            None if root_us is None else _age(root_us, now_us),
        )

    async def _requests(self, now_us: int) -> RequestsStanding:
        found = await self._core.state.read(s.DueOfKind(REQUEST, now_us))
        left = None if found.next_us is None else _age(now_us, found.next_us)
        return RequestsStanding(found.open, found.overdue, left)

    async def _records(self, files: _Files | None, everybody: _Everybody, now_us: int) -> RecordsStanding:
        tiers = {"cold": everybody.cold, "warm": self._core.warm.measure(), "hot": await self._hot()}
        if files is not None:
            tiers["state"] = TierHeld(None, files.state_bytes)
        return RecordsStanding(tiers, await self._core.state.read(s.OverdueCount(now_us, OVERDUE_LIMIT)))

    async def _hot(self) -> TierHeld:
        """A server that does not answer, or does not tell, leaves it unknown."""
        if isinstance(self._core.hot, Measured):
            try:
                return await self._core.hot.measure()
            except HotTierError:
                pass
        return TierHeld(None, None)

    async def _counted(self, now_us: int) -> _Everybody:
        if self._everybody is None or self._core.clock.monotonic() >= self._everybody.again_at:
            begun = stopwatch()
            cold, consents = await self._cold(), await self._consents(now_us)
            again_at = self._core.clock.monotonic() + REST * (stopwatch() - begun)
            self._everybody = _Everybody(again_at, cold, consents)
        return self._everybody

    async def _cold(self) -> TierHeld:
        records, size, after = 0, 0, b""
        while True:
            page = await self._core.state.read(s.TotalsPage(after, self._people_per_page))
            if page.last is None:
                return TierHeld(records, size)
            records, size, after = records + page.records, size + page.size, page.last

    async def _consents(self, now_us: int) -> Counter[str]:
        states, after = Counter[str](), b""
        while True:
            page = await self._core.state.read(s.ConsentsPage(after, self._people_per_page, now_us))
            if page.last is None:
                return states
            states.update(page.states)
            after = page.last


async def watch_loop(clock: Clock, observer: Observer) -> None:
    """Report, for ever, how late the event loop wakes a task."""
    while True:
        begun = clock.monotonic()
        await clock.sleep(LAG_SECONDS)
        observer.observe(LoopLag(max(0.0, clock.monotonic() - begun - LAG_SECONDS)))


def _age(since_us: int, now_us: int) -> float:
    return max(0, now_us - since_us) / 1e6


def _files(places: Places) -> _Files | None:
    """Synchronous. None when the file system does not answer; what is not there counts nothing."""
    try:
        disk = os.statvfs(places.data_dir)
    except OSError as error:
        logger.warning("the data directory's file system cannot be looked at (%s)", type(error).__name__)
        return None
    sizes = [_stat(places.data_dir / name) for name in STATE_FILES]
    root = None if places.root_key is None else _stat(places.root_key)
    return _Files(
        free_bytes=disk.f_bavail * disk.f_frsize,
        size_bytes=disk.f_blocks * disk.f_frsize,
        state_bytes=sum(one.st_size for one in sizes if one is not None),
        root_key_us=None if root is None else int(root.st_mtime * 1e6),
    )


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
