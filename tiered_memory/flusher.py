"""From the journal to cold: in batches by subject, each batch on disk before its journal entries are trimmed."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from tiered_memory.clock import stopwatch
from tiered_memory.core import Core
from tiered_memory.errors import BacklogFullError, ColdTierError, StorageError
from tiered_memory.failpoints import reach
from tiered_memory.inflight import KeyedLocks
from tiered_memory.metrics import Flushed, JournalState, TierUp
from tiered_memory.state import commands as c
from tiered_memory.state.base import JournalEntry, JournalSize
from tiered_memory.tiers.base import SubjectRef, TierRecord

logger = logging.getLogger("tiered_memory")

FLUSH_WORKERS = 1
RETRY_SECONDS = 1.0


@dataclass(slots=True)
class _Backlog:
    """What waits for one subject: entries by journal number, and since when."""

    ref: SubjectRef
    since: float
    entries: dict[int, JournalEntry] = field(default_factory=dict)
    compare: bool = False
    """Whether cold may have some of the entries already: after a replay, or a flush of unknown outcome."""
    failed: bool = False


class Flusher:
    """Carries acknowledged records to the cold tier.

    A subject is flushed when it has `flush_records` waiting or the oldest waits `flush_age_seconds`; while the
    workers are busy, batches grow by themselves, so that many active users cost no more than the workers.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._backlogs: OrderedDict[bytes, _Backlog] = OrderedDict()
        self._flushing: set[bytes] = set()
        self._flush_locks = KeyedLocks[bytes]()
        self._records = 0
        self._bytes = 0
        self._wake = anyio.Event()
        self._cold_up: bool | None = None
        """None: nothing was asked of it yet."""
        self.last_error: StorageError | None = None
        self.told: Callable[[float, StorageError | None], None] | None = None
        """Hears of each flush of the loop: its seconds, and what kept it from being done."""
        self._held = False

    @property
    def has_room(self) -> bool:
        """Whether the journal takes another record."""
        return self._records < self._core.limits.journal_records

    def check_room(self, records: int) -> None:
        """Refuse a write the journal has no room for; nothing already acknowledged is touched."""
        if records and self._records + records > self._core.limits.journal_records:
            raise BacklogFullError(
                f"the journal holds {self._records} records that are not in cold yet, its limit is "
                f"{self._core.limits.journal_records}; nothing was stored, retry in a few seconds"
            )

    def add(self, ref: SubjectRef, entries: Sequence[JournalEntry], *, replayed: bool = False) -> None:
        """Take over entries that are durable in the journal (with their numbers).

        Those `replayed` from an earlier process may be in cold already.
        """
        if not entries:
            return
        backlog = self._backlogs.get(ref.pseudonym)
        if backlog is None:
            backlog = self._backlogs[ref.pseudonym] = _Backlog(ref, self._core.clock.monotonic())
        backlog.compare = backlog.compare or replayed
        for entry in entries:
            backlog.entries[entry.seq] = entry
        self._records += len(entries)
        self._bytes += sum(len(entry.sealed) for entry in entries)
        if len(backlog.entries) >= self._core.limits.flush_records:
            self._wake.set()

    def pending(self, pseudonym: bytes) -> list[TierRecord]:
        """Return a subject's records that cold does not have yet."""
        backlog = self._backlogs.get(pseudonym)
        return [] if backlog is None else [record_of(entry) for entry in backlog.entries.values()]

    def discard(self, pseudonym: bytes, memory_ids: frozenset[str] | None = None) -> int:
        """Drop what waits for a subject (all, or some memories) because it must not reach cold any more."""
        backlog = self._backlogs.get(pseudonym)
        if backlog is None:
            return 0
        gone = [s for s, e in backlog.entries.items() if memory_ids is None or e.memory_id in memory_ids]
        self._settle(backlog, gone)
        return len(gone)

    def size(self) -> JournalSize:
        """Return how much waits."""
        oldest = min(
            (e.created_us for b in self._backlogs.values() for e in b.entries.values()), default=None
        )
        return JournalSize(self._records, self._bytes, oldest)

    async def run(self) -> None:
        """Flush what is due until cancelled."""
        async with anyio.create_task_group() as tasks:
            for _ in range(FLUSH_WORKERS):
                tasks.start_soon(self._work)
            tasks.start_soon(self._tick)

    def hold(self, held: bool) -> None:
        """Let the loop rest while `held`: what is written meanwhile waits in the journal, which has a bound."""
        self._held = held
        self._wake.set()

    async def drain(self) -> None:
        """Return when everything that waits now is in cold; raises what kept it from getting there."""
        failure: StorageError | None = None
        for pseudonym in list(self._backlogs):
            try:
                await self.flush(pseudonym)
            except StorageError as error:
                self._note_cold_failure(error)
                failure = error
        if failure is not None:
            raise failure

    async def flush(self, pseudonym: bytes) -> None:
        """Flush one subject now."""
        async with self.paused(pseudonym):
            backlog = self._backlogs.get(pseudonym)
            if backlog is not None and backlog.entries:
                with anyio.CancelScope(shield=True):
                    await self._flush(backlog)

    @asynccontextmanager
    async def paused(self, pseudonym: bytes) -> AsyncIterator[None]:
        """Hold off flushes of a subject: what is removed inside cannot be put back by one under way."""
        async with self._flush_locks.held(pseudonym):
            yield

    async def _flush(self, backlog: _Backlog) -> None:
        """The put is shielded: a cancelled one would commit all the same, and nobody would know."""
        begun = stopwatch()
        batch = dict(backlog.entries)
        backlog.since = self._core.clock.monotonic()
        records = newest_of(batch.values())
        reach("flush.before_put")
        fresh = not backlog.compare and all(record.version == 1 for record in records)
        backlog.compare = True
        await (self._core.cold.append if fresh else self._core.cold.put)(backlog.ref, records)
        reach("flush.after_put")
        await self._core.state.write(c.Trim(tuple(batch)))
        reach("flush.after_trim")
        backlog.compare = False
        backlog.failed = False
        self._settle(backlog, batch)
        self._note_cold(up=True)
        self._core.observer.observe(Flushed(len(batch), stopwatch() - begun))
        self._report()

    def _settle(self, backlog: _Backlog, seqs: Iterable[int]) -> None:
        for seq in seqs:
            entry = backlog.entries.pop(seq, None)
            if entry is not None:
                self._records -= 1
                self._bytes -= len(entry.sealed)
        if not backlog.entries and self._backlogs.get(backlog.ref.pseudonym) is backlog:
            del self._backlogs[backlog.ref.pseudonym]

    def _report(self) -> None:
        oldest = next((e.created_us for b in self._backlogs.values() for e in b.entries.values()), None)
        age = 0.0 if oldest is None else max(0.0, (self._core.now_us() - oldest) / 1e6)
        self._core.observer.observe(JournalState(self._records, self._bytes, age))

    async def _tick(self) -> None:
        while True:
            await self._core.clock.sleep(self._core.limits.flush_age_seconds / 2)
            self._wake.set()

    async def _work(self) -> None:
        while True:
            pseudonym = self._next_due()
            if pseudonym is None:
                wake = self._wake
                await wake.wait()
                if self._wake is wake:
                    self._wake = anyio.Event()
                continue
            await self._flush_or_wait(pseudonym)

    async def _flush_or_wait(self, pseudonym: bytes) -> None:
        """Rest as long as the flush took, so that batches grow with the load; not when the journal fills up."""
        self._flushing.add(pseudonym)
        begun, watch = self._core.clock.monotonic(), stopwatch()
        try:
            await self.flush(pseudonym)
            self.last_error = None
            self._tell(stopwatch() - watch, None)
            if self._records < self._core.limits.journal_records // 2:
                await self._core.clock.sleep(self._core.clock.monotonic() - begun)
        except StorageError as error:
            self._note_failure(pseudonym, error)
            self._tell(stopwatch() - watch, error)
            await self._core.clock.sleep(RETRY_SECONDS)
        finally:
            self._flushing.discard(pseudonym)

    def _note_cold(self, *, up: bool) -> None:
        if up is not self._cold_up:
            self._cold_up = up
            self._core.observer.observe(TierUp("cold", up=up))

    def _note_cold_failure(self, error: StorageError) -> None:
        if isinstance(error, ColdTierError):
            self._note_cold(up=False)

    def _tell(self, seconds: float, error: StorageError | None) -> None:
        if self.told is not None:
            self.told(seconds, error)

    def _note_failure(self, pseudonym: bytes, error: StorageError) -> None:
        """A backlog that cannot be flushed grows: the gauges must say so, and the log does once."""
        self._note_cold_failure(error)
        self.last_error = error
        backlog = self._backlogs.get(pseudonym)
        if backlog is not None and not backlog.failed:
            backlog.failed = True
            logger.warning("flushing one user failed and is tried again: %s", error)
        self._report()

    def _next_due(self) -> bytes | None:
        """Return the subject that waits longest among those due."""
        now, limits = self._core.clock.monotonic(), self._core.limits
        if self._held:
            return None
        for pseudonym, backlog in self._backlogs.items():
            due = (
                now - backlog.since >= limits.flush_age_seconds
                or len(backlog.entries) >= limits.flush_records
            )
            if due and pseudonym not in self._flushing:
                self._backlogs.move_to_end(pseudonym)
                return pseudonym
        return None


def record_of(entry: JournalEntry) -> TierRecord:
    """Return a journal entry as the cold tier takes it."""
    return TierRecord(entry.memory_id, entry.order, entry.version, entry.sealed)


def newest_of(entries: Iterable[JournalEntry]) -> list[TierRecord]:
    """Return one record per memory: the last version wins."""
    newest: dict[str, TierRecord] = {}
    for entry in entries:
        known = newest.get(entry.memory_id)
        if known is None or entry.version >= known.version:
            newest[entry.memory_id] = record_of(entry)
    return list(newest.values())
