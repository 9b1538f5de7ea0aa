"""What corrections overwrote: its old bytes are removed from cold, at once or when cold is back; and who derived from it."""

from __future__ import annotations

import logging

from tiered_memory.active import ActiveSubject
from tiered_memory.core import Core
from tiered_memory.errors import StorageError
from tiered_memory.failpoints import reach
from tiered_memory.flusher import Flusher
from tiered_memory.formats.record import decode_fields
from tiered_memory.inflight import InFlight
from tiered_memory.register import Entry, Register
from tiered_memory.state import commands as c
from tiered_memory.state.register import DropEntries, EntriesOfKind, EntryRow
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.tiers.base import SubjectRef

logger = logging.getLogger("tiered_memory")

OVERWRITTEN = "overwritten"
"""The register's kind of what still has old bytes to be removed from cold."""
PENDING = "pending"
DERIVED_KEY = b"\xacderived_from"
"""The key of a record's parents as msgpack writes it."""


def overwritten(core: Core, active: ActiveSubject, now_us: int) -> EntryRow:
    """Return the mark that goes with a correction's commit: cold has older bytes of a memory."""
    entry = Entry(id=core.new_id(), kind=OVERWRITTEN, status=PENDING, at_us=now_us, fields={})
    return Register(core).row(active, entry)


class Overwriting:
    """Rewrites tables in which corrections left older versions."""

    def __init__(self, core: Core, flusher: Flusher, inflight: InFlight) -> None:
        self._core = core
        self._flusher = flusher
        self._inflight = inflight

    async def finish(self, ref: SubjectRef) -> None:
        """Remove one user's old bytes now. The correction is in force whatever cold says: what fails is done later."""
        try:
            await self._inflight.complete(self._scrub(ref))
        except StorageError as error:
            logger.warning("a corrected memory's old bytes could not be removed from cold yet: %s", error)

    async def resume(self) -> int:
        """Remove what could not be removed before; return of how many users.

        One user's trouble does not keep the others waiting; it is raised at the end.
        """
        rows = await self._core.state.read(EntriesOfKind(OVERWRITTEN, PENDING))
        owners, failure = dict.fromkeys(row.owner for row in rows), None
        for owner in owners:
            try:
                await self._inflight.complete(self._scrub_stored(owner))
            except StorageError as error:
                failure = error
        if failure is not None:
            raise failure
        return len(owners)

    async def _scrub_stored(self, owner: bytes) -> None:
        row = await self._core.state.read(c.GetSubject(owner))
        if row is not None:
            await self._scrub(SubjectRef(owner, row.generation, row.incarnation))

    async def _scrub(self, ref: SubjectRef) -> None:
        """What is newest is brought to cold first: the rewriting keeps what it finds there."""
        rows = await self._core.state.read(EntriesOfKind(OVERWRITTEN, PENDING))
        ids = tuple(row.entry_id for row in rows if row.owner == ref.pseudonym)
        if not ids:
            return
        await self._flusher.flush(ref.pseudonym)
        reach("correct.after_flush")
        async with self._flusher.paused(ref.pseudonym):
            await self._core.cold.scrub(ref)
        reach("correct.after_scrub")
        await self._core.state.checkpoint()
        reach("correct.after_checkpoint")
        await self._core.state.write(DropEntries(ref.pseudonym, OVERWRITTEN, ids))


async def derived_from(directory: SubjectDirectory, active: ActiveSubject, memory_id: str) -> tuple[str, ...]:
    """Return the memories that name this one among their parents, or one that does, in order of their ids."""
    plaintexts = {one.id: one.plaintext for one in active.held.values()}
    if active.paged:
        holdings = directory.holdings
        opened = holdings.open_all(active, await holdings.records(active))
        plaintexts = {record.id: plaintext for record, plaintext in opened} | plaintexts
    children = dict[str, set[str]]()
    for one, plaintext in plaintexts.items():
        if DERIVED_KEY in plaintext:
            for parent in decode_fields(plaintext).get("provenance", {}).get("derived_from", ()):
                children.setdefault(parent, set()).add(one)
    found, ahead = set[str](), [memory_id]
    while ahead:
        fresh = children.get(ahead.pop(), set()) - found - {memory_id}
        found |= fresh
        ahead += fresh
    return tuple(sorted(found))
