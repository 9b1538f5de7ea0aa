"""Commits that change what is known of memories held already: next versions, moves between states, and their leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tiered_memory.active import ActiveSubject
from tiered_memory.core import Core
from tiered_memory.drafts import Amendment, DraftWriter
from tiered_memory.errors import ConsentRequiredError
from tiered_memory.failpoints import reach
from tiered_memory.flusher import Flusher
from tiered_memory.formats.leaf import AuditLeaf
from tiered_memory.held import HeldMemory, Tracked
from tiered_memory.holdings import Holdings
from tiered_memory.state.base import JournalEntry, MemoryState, Revision, StateChange, WriteBatch
from tiered_memory.state.revising import Revise
from tiered_memory.sweep import Sweeper
from tiered_memory.tiers.base import TierRecord

NO_KEY = "the consent was withdrawn meanwhile; nothing was changed"


@dataclass(frozen=True, slots=True)
class Change:
    """Next plaintexts by memory id, memories that are removed for good, and the leaves that say so.

    `spoken` are removed as well: turns of the sessions `said_in` that are no memories, or none that outlives the
    process.
    """

    plaintexts: Mapping[str, bytes]
    removed: Sequence[str] = ()
    leaves: tuple[AuditLeaf, ...] = ()
    rule: str = "rollback"
    spoken: Sequence[str] = ()
    said_in: frozenset[str] = frozenset()


class Reviser:
    """Carries changes out. The memories whose plaintexts change must be in RAM and durable."""

    def __init__(self, core: Core, flusher: Flusher, holdings: Holdings, sweeper: Sweeper) -> None:
        self._core = core
        self._flusher = flusher
        self._holdings = holdings
        self._sweeper = sweeper
        self._writer = DraftWriter(core)

    async def carry_out(self, active: ActiveSubject, change: Change) -> None:
        """Commit a change, then let RAM, hot, the sessions and cold follow. What is removed stays so after a crash.

        Raises:
            ConflictError: somebody changed one of the memories meanwhile; nothing was changed.
        """
        # What leaves RAM, for good or for a while, takes no use along that the disk does not know.
        await self._sweeper.write_uses_of(active)
        amendments = [Amendment.of(_of(active, one), plain) for one, plain in change.plaintexts.items()]
        self._flusher.check_room(len(amendments))
        batches = self._batches(active, amendments)
        now_us = self._core.now_us()
        gone = [*change.removed, *change.spoken]
        if gone:
            await self._sweeper.mark_held()
        moves = tuple(StateChange(one, MemoryState.REMOVING, now_us, change.rule) for one in gone)
        ref = active.ref
        command = Revise(ref.pseudonym, ref.generation, batches, moves, change.leaves)
        seqs = await self._core.ballast.spend(lambda: self._core.state.write(command))
        self._hand_over(active, [one.entry for batch in batches for one in batch.revisions], seqs)
        reach("remove.after_mark")
        await self._show(active, amendments)
        if gone:
            await self._sweeper.take_out(active, gone)
            await self._sweeper.take_out_copies(active, change.spoken, change.said_in)
            # What a hold covers is out of retrieval, and its bytes stay.
            await self._sweeper.remove_pending(ref.pseudonym)

    def _batches(self, active: ActiveSubject, amendments: Sequence[Amendment]) -> tuple[WriteBatch, ...]:
        by_purpose = dict[str, list[Amendment]]()
        for one in amendments:
            by_purpose.setdefault(active.tracked[one.held.id].row.purpose, []).append(one)
        return tuple(self._batch(active, purpose, some) for purpose, some in by_purpose.items())

    def _batch(self, active: ActiveSubject, purpose: str, amendments: Sequence[Amendment]) -> WriteBatch:
        key, operation = active.keys.get(purpose), self._core.entropy.token(16)
        if key is None:
            raise ConsentRequiredError(NO_KEY)
        now_us = self._core.now_us()
        revisions: list[Revision] = self._writer.revisions(active, amendments, purpose, operation, now_us)
        return WriteBatch(
            subject=active.ref.pseudonym,
            generation=active.ref.generation,
            revisions=tuple(revisions),
            key_id=key.key_id,
            purpose=purpose,
        )

    def _hand_over(self, active: ActiveSubject, entries: Sequence[JournalEntry], seqs: Sequence[int]) -> None:
        """With nothing awaited since the commit: who removes one of them now finds it on its way."""
        if active.alive:
            numbered = [replace(e, seq=seq) for e, seq in zip(entries, seqs, strict=True)]
            self._flusher.add(active.ref, numbered)

    async def _show(self, active: ActiveSubject, amendments: Sequence[Amendment]) -> None:
        """RAM first, as a whole; then what is quarantined leaves the sessions and hot, which awaits."""
        apart = [
            one.held for one in amendments if one.held.quarantined and one.held.id not in active.quarantined
        ]
        for one in amendments:
            if one.held.quarantined == (one.held.id in active.quarantined):
                _revise(active, one.held)
            elif not one.held.quarantined:
                self._set_free(active, one.held)
        sessions = {session for one in apart for session in active.sessions_of(one.id)}
        kept = {one.id: active.tracked[one.id] for one in apart if one.id in active.tracked}
        active.release([one.id for one in apart])
        for held in apart:
            if held.id in kept:
                active.tracked[held.id] = _at_version(kept[held.id], held)
                active.hold([held], [])
        if apart:
            await self._sweeper.take_out_copies(active, [one.id for one in apart], sessions)

    def _set_free(self, active: ActiveSubject, held: HeldMemory) -> None:
        tracked = active.tracked.get(held.id)
        if tracked is None:
            return
        active.release([held.id])
        active.tracked[held.id] = _at_version(tracked, held)
        record = TierRecord(held.id, held.order, held.version, b"")
        self._holdings.admit(active, [(record, held.plaintext)])


def _of(active: ActiveSubject, memory_id: str) -> HeldMemory:
    known = active.known(memory_id)
    if known is None or memory_id not in active.tracked:
        raise active.missing(memory_id)
    return known


def _revise(active: ActiveSubject, held: HeldMemory) -> None:
    if held.id not in active.quarantined:
        active.revise(held)
        return
    active.quarantined[held.id] = held
    if held.id in active.tracked:
        active.tracked[held.id] = _at_version(active.tracked[held.id], held)


def _at_version(tracked: Tracked, held: HeldMemory) -> Tracked:
    row = replace(tracked.row, version=held.version, bytes=len(held.plaintext))
    return Tracked(row, tracked.state)
