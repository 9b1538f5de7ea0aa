"""A tier in this process's memory: it defines what the contract means, and serves where no engine is at hand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tiered_memory.clock import Clock
from tiered_memory.errors import ClosedError, ConfigurationError
from tiered_memory.metrics import TierHeld
from tiered_memory.tiers.base import SubjectRef, TierRecord

MOST_SESSIONS = 64
"""Snapshots kept per subject; past it the one that expires first goes."""


@dataclass(slots=True)
class _Shelf:
    """What one subject has here."""

    records: dict[str, TierRecord] = field(default_factory=dict)
    snapshots: dict[str, tuple[datetime, bytes]] = field(default_factory=dict)
    touched: float = 0.0

    def put(self, record: TierRecord) -> None:
        held = self.records.get(record.id)
        if held is None or held.version <= record.version:
            self.records[record.id] = record

    def ordered(self) -> list[TierRecord]:
        return sorted(self.records.values(), key=lambda record: (record.order, record.id), reverse=True)

    def trim(self, capacity: int) -> None:
        if len(self.records) > capacity:
            self.records = {record.id: record for record in self.ordered()[:capacity]}

    def trim_snapshots(self, now: datetime) -> None:
        alive = [(until, name, blob) for name, (until, blob) in self.snapshots.items() if until > now]
        alive.sort(key=lambda item: item[:2])
        self.snapshots = {name: (until, blob) for until, name, blob in alive[-MOST_SESSIONS:]}


class LocalTier:
    """Holds records and snapshots in memory; everything is gone with the process.

    `capacity` (>= 1, None for no bound) records are kept per subject: the lowest `order` goes first. As a stand-in
    for a server it can bound itself further: at most `most_subjects`, those written to last, and none that was
    not written to for `ttl_seconds`. Raises `ConfigurationError` for a capacity below 1.
    """

    def __init__(
        self,
        name: str = "local",
        capacity: int | None = None,
        *,
        clock: Clock,
        ttl_seconds: float | None = None,
        most_subjects: int | None = None,
    ) -> None:
        if capacity is not None and capacity < 1:
            raise ConfigurationError("capacity must be at least 1")
        self._name = name
        self._capacity = capacity
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        self._most_subjects = most_subjects
        self._shelves: OrderedDict[bytes, _Shelf] = OrderedDict()
        self._closed = False

    @property
    def name(self) -> str:
        """Short name for metrics and receipts."""
        return self._name

    async def put(self, subject: SubjectRef, records: Sequence[TierRecord]) -> None:
        """Store records; the same id replaces an older or equal `version` and never a newer one."""
        self._sweep()
        if not records:
            return
        shelf = self._touch(subject)
        for record in records:
            shelf.put(record)
        if self._capacity is not None:
            shelf.trim(self._capacity)

    async def append(self, subject: SubjectRef, records: Sequence[TierRecord]) -> None:
        """Store records that were never given to this tier before; here that is a `put`."""
        await self.put(subject, records)

    def exists(self, subject: SubjectRef) -> bool:
        """Tell whether anything of the subject is held."""
        shelf = self._shelves.get(subject.pseudonym)
        return shelf is not None and bool(shelf.records or shelf.snapshots)

    async def scan(self, subject: SubjectRef, *, limit: int | None = None) -> list[TierRecord]:
        """Return what is held, highest `order` first, at most `limit` (>= 0) records."""
        self._sweep()
        shelf = self._shelves.get(subject.pseudonym)
        return shelf.ordered()[:limit] if shelf else []

    async def remove(self, subject: SubjectRef, ids: Sequence[str]) -> int:
        """Remove records by id; unknown ids are ignored. Return how many were there."""
        self._sweep()
        shelf = self._shelves.get(subject.pseudonym, _Shelf())
        return sum(shelf.records.pop(record_id, None) is not None for record_id in ids)

    async def drop(self, subject: SubjectRef) -> int:
        """Remove everything held for the subject, snapshots too; return how many records that was."""
        self._sweep()
        shelf = self._shelves.pop(subject.pseudonym, _Shelf())
        return len(shelf.records)

    async def save_snapshot(self, subject: SubjectRef, session: str, blob: bytes, ttl_seconds: float) -> None:
        """Keep `blob` under the session's pseudonym for `ttl_seconds` (> 0), replacing an older one."""
        self._sweep()
        now = self._clock.now()
        shelf = self._touch(subject)
        shelf.snapshots[session] = (now + timedelta(seconds=ttl_seconds), blob)
        shelf.trim_snapshots(now)

    async def load_snapshot(self, subject: SubjectRef, session: str) -> bytes | None:
        """Return the blob, or None when there is none or its time has passed."""
        self._sweep()
        shelf = self._shelves.get(subject.pseudonym, _Shelf())
        until, blob = shelf.snapshots.get(session, (None, b""))
        return blob if until and self._clock.now() < until else None

    async def measure(self) -> TierHeld:
        """See `Measured`: records; to add up their bytes would hold up the event loop."""
        return TierHeld(sum(len(shelf.records) for shelf in self._shelves.values()), None)

    async def close(self) -> None:
        """Forget everything; safe to call twice."""
        self._closed = True
        self._shelves.clear()

    def _touch(self, subject: SubjectRef) -> _Shelf:
        shelf = self._shelves.setdefault(subject.pseudonym, _Shelf())
        shelf.touched = self._clock.monotonic()
        self._shelves.move_to_end(subject.pseudonym)
        if self._most_subjects is not None and len(self._shelves) > self._most_subjects:
            self._shelves.popitem(last=False)
        return shelf

    def _sweep(self) -> None:
        if self._closed:
            raise ClosedError(f"the {self._name} tier is closed")
        if self._ttl_seconds is None:
            return
        stale_before = self._clock.monotonic() - self._ttl_seconds
        while self._shelves and next(iter(self._shelves.values())).touched <= stale_before:
            self._retire(*self._shelves.popitem(last=False))

    def _retire(self, pseudonym: bytes, shelf: _Shelf) -> None:
        """Drop an idle subject's records; snapshots have a time of their own and may outlive them."""
        shelf.records.clear()
        shelf.trim_snapshots(self._clock.now())
        if shelf.snapshots:
            shelf.touched = self._clock.monotonic()
            self._shelves[pseudonym] = shelf
