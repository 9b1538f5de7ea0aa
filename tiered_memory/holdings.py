"""What is stored of a subject's memories, read and verified, and brought into RAM."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence

from tiered_memory.active import ActiveSubject
from tiered_memory.bulk import in_bulk
from tiered_memory.clock import stopwatch
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import Place
from tiered_memory.errors import CorruptionError, HotTierError, KeyUnavailableError
from tiered_memory.formats.record import decode_fields, vectors_of
from tiered_memory.held import Tracked, state_of
from tiered_memory.held_records import held_memory, indexed_turn, is_current, lasting
from tiered_memory.metrics import CorruptionDetected, TierLookup
from tiered_memory.plurals import counted
from tiered_memory.state.base import MemoryRow
from tiered_memory.tiers.base import TierRecord

logger = logging.getLogger("tiered_memory")

PendingRecords = Callable[[bytes], Sequence[TierRecord]]
Opened = tuple[TierRecord, bytes]


class Holdings:
    """Reads records of subjects. `pending` returns a subject's records on their way to cold."""

    def __init__(self, core: Core, pending: PendingRecords) -> None:
        self._core = core
        self._pending = pending

    async def records(self, active: ActiveSubject) -> list[TierRecord]:
        """Return the subject's sealed records, those on their way to cold as well.

        The way is looked at first: what leaves it meanwhile is in cold by then.
        """
        waiting = list(self._pending(active.ref.pseudonym))
        stored = [lasting(record) for record in await self._core.cold.scan(active.ref)]
        # A newer version may have overtaken the one that was seen waiting.
        return list({r.id: r for r in sorted([*stored, *waiting], key=lambda r: r.version)}.values())

    def on_their_way(self, active: ActiveSubject) -> dict[str, TierRecord]:
        """Return the subject's records that cold may not have yet, the newest version of each."""
        return {r.id: r for r in sorted(self._pending(active.ref.pseudonym), key=lambda r: r.version)}

    async def load(self, active: ActiveSubject, rows: Sequence[MemoryRow]) -> None:
        """Bring the memories of these rows into RAM; everything stored of the subject is read for it."""
        if not rows:
            return
        begun = stopwatch()
        stored = {r.id: r for r in await self.records(active)}
        found = [stored[row.memory_id] for row in rows if is_current(row, stored)]
        self._core.observer.observe(TierLookup("cold", bool(found), stopwatch() - begun))
        opened = await in_bulk(len(found), self.open_all, active, found)
        states = {row.memory_id: Tracked(row, state_of(row)) for row in rows}
        active.tracked.update({r.id: states[r.id] for r, _ in opened})
        await in_bulk(len(found), self.admit, active, opened)
        active.damaged.update(states.keys() - active.held.keys() - active.quarantined.keys())

    def report_damage(self, memories: int) -> None:
        """Count memories that the state store knows and cold has not, or not whole."""
        for _ in range(memories):
            self._core.observer.observe(CorruptionDetected("cold"))
        if memories:
            many = counted(memories, "memory of one user is", "memories of one user are")
            logger.error("%s damaged or missing in the cold tier", many)

    def open_all(self, active: ActiveSubject, records: Sequence[TierRecord]) -> list[Opened]:
        """Return the records that verify, with their plaintexts."""
        opened = []
        for record in records:
            try:
                opened.append((record, active.sealer_for(record.payload).open(Place.MEMORY, record)))
            except CorruptionError:
                continue
        return opened

    def admit(self, active: ActiveSubject, opened: Sequence[Opened]) -> None:
        """Make opened records searchable; each carries its `expires_at_us` when it is volatile."""
        fields = [decode_fields(plaintext) for _, plaintext in opened]
        embedder = self._core.embedder
        vectors = vectors_of(fields, embedder.dimensions, embedder.name) if fields else ()
        entries = [held_memory(r, plain, f) for (r, plain), f in zip(opened, fields, strict=True)]
        turns = [indexed_turn(r, f, v) for (r, _), f, v in zip(opened, fields, vectors, strict=True)]
        active.hold(entries, turns)

    async def load_hot(self, active: ActiveSubject) -> None:
        """Take up what an earlier process left in hot; without hot there is simply less."""
        if not active.keys:
            return
        begun = stopwatch()
        try:
            records = await self._core.hot.scan(active.ref)
        except HotTierError:
            return
        seconds = stopwatch() - begun
        now_us, opened, left = self._core.now_us(), list[Opened](), list[str]()
        for record in records:
            live = record.expires_at_us is not None and record.expires_at_us > now_us
            if live and record.id not in active.held:
                found = self._opened_hot(active, record)
                opened += found
                left += [] if found or record.id in active.damaged else [record.id]
        # Only what verifies may say how far the subject's order has come.
        active.last_order = max([active.last_order, *(record.order for record, _ in opened)])
        self._core.observer.observe(TierLookup("hot", bool(opened), seconds))
        self.admit(active, opened)
        # Hot was out of reach when these were removed, or they are of no use to anybody.
        with contextlib.suppress(HotTierError):
            await self._core.hot.remove(active.ref, left)

    def _opened_hot(self, active: ActiveSubject, record: TierRecord) -> list[Opened]:
        """Only what never went to cold: a durable memory that is not held was forgotten or removed."""
        try:
            plaintext = active.sealer_for(record.payload).open(Place.HOT, record)
        except KeyUnavailableError:
            return []
        except CorruptionError:
            self._core.observer.observe(CorruptionDetected("hot"))
            return []
        return [(record, plaintext)] if decode_fields(plaintext).get("volatile") else []
