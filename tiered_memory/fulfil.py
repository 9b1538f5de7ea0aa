"""A person's rights and a caller's wishes, carried out: deletion, restoring, pinning, erasure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tiered_memory.active import ActiveSubject
from tiered_memory.core import Core
from tiered_memory.erasure import Eraser
from tiered_memory.errors import NotFoundError
from tiered_memory.failpoints import reach
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.held import Tracked
from tiered_memory.holdings import Opened
from tiered_memory.inflight import InFlight
from tiered_memory.leaving import Leavers
from tiered_memory.ledger import leaf_for, said
from tiered_memory.model import Certificate, Memory, Subject
from tiered_memory.recall import Recall
from tiered_memory.sessions import sessions_in, spoken_turns
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryState, StateChange
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.sweep import Sweeper


class Fulfil:
    """Carries out what people and callers ask for."""

    def __init__(
        self,
        core: Core,
        directory: SubjectDirectory,
        sweeper: Sweeper,
        recall: Recall,
        eraser: Eraser,
        inflight: InFlight,
        *,
        leavers: Leavers,
    ) -> None:
        self._core = core
        self._quotas, self._announcer = leavers.quotas, leavers.announcer
        self._inflight = inflight
        self._directory = directory
        self._sweeper = sweeper
        self._recall = recall
        self._eraser = eraser

    async def delete(self, active: ActiveSubject, memory_id: str, reason: str) -> None:
        """Remove a memory for good: unreadable when this returns, its bytes gone from cold as well.

        What a hold covers is out of retrieval as well; its sealed bytes go when the hold is released.

        Raises:
            HotTierError: hot could not be reached. A memory that is only there is left as it was; any other is
                removed, but for a sealed copy in hot, which goes when it is back.
        """
        await self._inflight.complete(self._delete_alone(active, memory_id, reason))

    async def _delete_alone(self, active: ActiveSubject, memory_id: str, reason: str) -> None:
        """Nobody keeps a volatile memory while it is being removed."""
        async with active.moving:
            await self._delete(active, memory_id, reason)

    async def _delete(self, active: ActiveSubject, memory_id: str, reason: str) -> None:
        held = active.held.get(memory_id)
        volatile = held.volatile if held is not None else await self._only_spoken(active, memory_id)
        if volatile:
            await self._core.hot.remove(active.ref, [memory_id])
        if volatile and not active.durable:
            await self._sweeper.take_out(active, [memory_id])
            return
        if not volatile:
            await self._stored_row(active, memory_id)
        said_in = sessions_in(await spoken_turns(self._core, active), {memory_id}) if volatile else set[str]()
        await self._sweeper.mark_held()
        key, now_us = active.ledger_key, self._core.now_us()
        detail = said(key, reason)
        leaf = leaf_for(active, key, AuditEvent.MEMORY_DELETED, now_us, about=memory_id, detail=detail)
        change = StateChange(memory_id, MemoryState.REMOVING, now_us, "deleted")
        command = c.ChangeStates(active.ref.pseudonym, active.ref.generation, (change,), (leaf,))
        await self._core.ballast.spend(lambda: self._core.state.write(command))
        reach("remove.after_mark")
        await self._sweeper.take_out(active, [memory_id])
        if said_in:
            await self._sweeper.take_out_copies(active, [memory_id], said_in)
        await self._sweeper.remove_pending(active.ref.pseudonym)

    async def restore(self, active: ActiveSubject, memory_id: str) -> Memory:
        """Bring a forgotten memory back; the restoring counts as a use."""
        row = await self._stored_row(active, memory_id)
        if row.state == MemoryState.ACTIVE:
            return self._recall.get(active, memory_id)
        now_us = self._core.now_us()
        fresh = self._core.curve.start(row.importance, now_us, self._core.policy_version)
        state = replace(fresh, ingested_at_us=row.ingested_us, n_spaced=row.n_spaced)
        tracked = Tracked(replace(row, state=MemoryState.ACTIVE.value, forgotten_us=None), state)
        leaf = leaf_for(active, active.ledger_key, AuditEvent.MEMORY_RESTORED, now_us, about=memory_id)
        command = c.RestoreMemory(
            active.ref.pseudonym, active.ref.generation, self._sweeper.strength_update(tracked), leaf
        )
        if row.state != MemoryState.FORGOTTEN or active.bars(row.purpose):
            raise NotFoundError
        # Read before it is committed: a tier that fails afterwards would leave it restored and nowhere to be found.
        opened = await self._recall.read(active, [memory_id])
        if not opened:
            raise active.missing(memory_id)
        return await self._inflight.complete(self._restore(active, tracked, command, opened))

    async def _restore(
        self, active: ActiveSubject, tracked: Tracked, command: c.RestoreMemory, opened: Sequence[Opened]
    ) -> Memory:
        async with self._quotas.turn(active):
            if not await self._quotas.restore(active, command, tracked.row.bytes):
                raise NotFoundError
            active.check_alive()
            if active.bars(tracked.row.purpose):
                raise NotFoundError
            active.tracked[tracked.row.memory_id] = tracked
            self._directory.holdings.admit(active, opened)
        self._announcer.restored(active.subject, tracked.row.memory_id, command.leaf.at_us)
        return self._recall.get(active, tracked.row.memory_id)

    async def pin(self, active: ActiveSubject, memory_id: str, *, pinned: bool) -> None:
        """Protect a memory from decay (not from ceilings, nor from rights), or stop protecting it."""
        tracked = active.tracked.get(memory_id)
        if tracked is None:
            raise active.missing(memory_id)
        # A deadline that follows from uses the disk does not know would outlive them in a crash.
        await self._sweeper.write_uses_of(active)
        row = replace(tracked.row, pinned=pinned)
        update = self._sweeper.strength_update(Tracked(row, tracked.state))
        command = c.PinMemory(
            active.ref.pseudonym,
            active.ref.generation,
            memory_id,
            pinned,
            update.deadline_us,
            update.deadline_rule,
        )
        await self._inflight.complete(self._pin(tracked, command))

    async def _pin(self, tracked: Tracked, command: c.PinMemory) -> None:
        if not await self._core.state.write(command):
            raise NotFoundError
        tracked.row = replace(tracked.row, pinned=command.pinned)

    async def erase(self, subject: Subject, reason: str) -> Certificate:
        """Erase the subject everywhere and prove it.

        Raises:
            ErasureIncompleteError: a tier failed; the keys are gone, the rest is retried when the store opens
                or `erase` is called again.
        """
        certificate = await self._inflight.complete(self._eraser.erase(subject, reason))
        self._announcer.events.drop(subject)
        return certificate

    async def _only_spoken(self, active: ActiveSubject, memory_id: str) -> bool:
        """Tell whether it is a turn that a session alone still has: it outlived its time in hot."""
        if any(record.id == memory_id for record in await self._core.warm.scan(active.ref)):
            return True
        return await self._core.state.read(c.InTail(active.ref.pseudonym, memory_id))

    async def _stored_row(self, active: ActiveSubject, memory_id: str) -> Any:
        rows = await self._core.state.read(c.Memories(active.ref.pseudonym))
        row = next((row for row in rows if row.memory_id == memory_id), None)
        if row is None or row.state == MemoryState.REMOVING:
            raise NotFoundError
        return row
