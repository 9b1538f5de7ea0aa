"""Ending a tenant's key epoch while everything goes on: what is held moves to the next one, then the old one dies.

The order bears the promise. The next epoch begins, and whatever is made from then on belongs to it. Every data key
that is held is wrapped again, a batch a commit; one that was erased meanwhile is not there to be moved. One commit
removes the old epoch's record if nothing is left under it, and notes that its guard must go; then the guard is
destroyed, and the log truncated. Cut short anywhere, the store itself says what is left to do. A backup from before
holds keys that nothing opens any more: those of whoever was erased since, and everybody else's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import anyio
import anyio.to_thread

from tiered_memory.clock import from_us, stopwatch
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import SealingKey
from tiered_memory.crypto.keyring import GUARDED_FORMAT, EpochRecord, KeyRecord, Keyring, guard_of
from tiered_memory.epochs import EpochKeys
from tiered_memory.errors import CorruptionError, NotFoundError, RootKeyError, TieredMemoryError
from tiered_memory.failpoints import reach
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.hold_keys import STORE, HoldKeys
from tiered_memory.register import Entry, Register
from tiered_memory.state import commands as c
from tiered_memory.state.epochs import EndEpoch, EpochUse, EveryEpoch, KeysUnder, RewrapKeys
from tiered_memory.state.register import EntriesOfKind

logger = logging.getLogger("tiered_memory")

BATCH_KEYS = 200
AGED_AT_ONCE = 100
ENDED_KIND, LOST_KIND = "epoch", "epoch_lost"
ENDING, ENDED, LOST = "ending", "ended", "lost"
LOST_GUARDS = (
    "the guards of key epochs are missing (keys/epochs beside the root key): put that folder back, or run "
    "`tiered-memory keys recover` with an escrow file; nothing was changed"
)
NOTHING_HELD = "this tenant holds nothing: there is no key to rotate"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationReport:
    """What a rotation did: tenants, their subjects and data keys wrapped again, and epochs that ended.

    `left` counts keys that could not be opened: their epochs live on until they are discarded. `unguarded` counts
    ended epochs that an earlier version began without a guard: backups from before still open with the root key.
    """

    tenants: int
    subjects: int
    keys: int
    epochs_ended: int
    left: int
    unguarded: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochStatus:
    """One epoch of a tenant (its pseudonym in hex; empty: the store's own, for keys of holds without a tenant). State: current, leaving, unreadable (no guard) or ended."""

    tenant: str
    epoch: int
    state: str
    since: datetime
    subjects: int = 0
    keys: int = 0


@dataclass(slots=True)
class _Done:
    subjects: set[bytes]
    keys: int = 0
    ended: int = 0
    left: int = 0
    unguarded: int = 0


@dataclass(frozen=True, slots=True)
class _Leaving:
    """An epoch that is to end, with its key if it opens."""

    tenant: bytes
    epoch: int
    key: SealingKey | None


class KeyEpochs:
    """Rotates, finishes what was cut short, and says how things stand."""

    def __init__(self, core: Core, epochs: EpochKeys, holds: HoldKeys) -> None:
        self._core = core
        self._holds = holds
        self._epochs = epochs
        self._register = Register(core)
        self.turning = anyio.Lock()
        self._found: list[EpochRecord] = []

    async def rotate(
        self, tenant: bytes | None = None, progress: Progress | None = None, *, discard: bool = False
    ) -> RotationReport:
        """End every epoch of a tenant, or of all, that was begun before this call.

        With `discard`, keys that do not open are removed, and what they sealed with them.

        Raises:
            NotFoundError: the tenant holds nothing.
            StorageError: an engine failed; the same call goes on from there.
        """
        async with self.turning:
            return await self._turn(await self._rotated(tenant), progress, discard)

    async def rotate_aged(self, before_us: int, most: int = AGED_AT_ONCE) -> RotationReport:
        """End the newest epochs that began at or before a moment, those of up to `most` tenants, the oldest first."""
        async with self.turning:
            records = sorted(await self._core.state.read(EveryEpoch()), key=lambda one: one.epoch)
            newest = {one.tenant: one.created_us for one in records}
            aged = sorted((at_us, one) for one, at_us in newest.items() if at_us <= before_us)
            chosen = {one for _, one in aged[:most]}
            along = {STORE} & {*newest, *await self._holds.tenants()} if chosen else set[bytes]()
            return await self._turn(sorted(chosen | along), None, discard=False)

    async def _turn(
        self, tenants: Sequence[bytes], progress: Progress | None, discard: bool
    ) -> RotationReport:
        begun, done = stopwatch(), _Done(set())
        for one in tenants:
            before = done.left
            await self._finish(one, done, progress, discard=discard)
            await self._epochs.begin(one)
            done.left = before
            await self._finish(one, done, progress, discard=discard)
            async with self._core.holding:
                await self._holds.rewrap(one)
        return RotationReport(
            tenants=sum(one != STORE for one in tenants),
            subjects=len(done.subjects),
            keys=done.keys,
            epochs_ended=done.ended,
            left=done.left,
            unguarded=done.unguarded,
            seconds=stopwatch() - begun,
        )

    async def resume(self) -> None:
        """Destroy guards of ended epochs: of a process that was cut short, or that an old escrow file brought back.

        The erased list has been applied before.
        """
        for tenant in await self._tenants():
            for entry in await self._register.common(tenant, ENDED_KIND):
                guard = bytes.fromhex(entry.fields["guard"])
                if entry.status == ENDING:
                    await self._bury(tenant, entry)
                elif guard and self._core.guards.get(guard) is not None:
                    await anyio.to_thread.run_sync(self._core.guards.destroy, guard)
        for one in self._found:
            await self._register.drop(one.tenant, LOST_KIND, [_name(one)])

    async def finish_begun(self) -> None:
        """Bring rotations to their end that an earlier process began; what fails waits for the next call."""
        try:
            async with self.turning:
                for tenant in await self._tenants():
                    await self._finish(tenant, _Done(set()), None)
        except TieredMemoryError as error:
            logger.warning("a rotation that was cut short could not be finished: %s", error)

    async def check_guards(self) -> int:
        """Return how many epochs of a restored store have ended.

        Raises:
            RootKeyError: guards are missing, and this store was not restored from a backup.
        """
        records = await self._core.state.read(EveryEpoch())
        lost = await anyio.to_thread.run_sync(self._without_guard, records)
        known = {one.entry_id for one in await self._core.state.read(EntriesOfKind(LOST_KIND, LOST))}
        fresh = [one for one in lost if _name(one) not in known]
        if fresh and not self._core.marks.must_apply:
            raise RootKeyError(LOST_GUARDS)
        for one in fresh:
            entry = Entry(id=_name(one), kind=LOST_KIND, status=LOST, at_us=self._core.now_us(), fields={})
            await self._register.put_common(one.tenant, entry)
        self._found = [one for one in records if one not in lost and _name(one) in known]
        if self._found:
            # What the erased list says of users who could not be read is applied now that they can be.
            self._core.marks.must_apply = True
        if lost:
            logger.warning("%s", told_of_lost(len(lost)))
        return len(lost)

    async def status(self) -> list[EpochStatus]:
        """Return every epoch there is, and those that ended, by tenant, oldest first."""
        records = await self._core.state.read(EveryEpoch())
        dead = {_key(one) for one in await anyio.to_thread.run_sync(self._without_guard, records)}
        newest = {one.tenant: one.epoch for one in records if _key(one) not in dead}
        found = [await self._status(one, newest.get(one.tenant), dead) for one in records]
        for state in (ENDING, ENDED):
            rows = await self._core.state.read(EntriesOfKind(ENDED_KIND, state))
            found += [
                EpochStatus(
                    tenant=row.owner.hex(), epoch=int(row.entry_id), state=state, since=from_us(row.at_us)
                )
                for row in rows
            ]
        return sorted(found, key=lambda one: (one.tenant, one.epoch))

    async def _status(
        self, record: EpochRecord, newest: int | None, dead: set[tuple[bytes, int]]
    ) -> EpochStatus:
        subjects, keys = await self._core.state.read(EpochUse(record.tenant, record.epoch))
        state = "current" if record.epoch == newest else "leaving"
        return EpochStatus(
            tenant=record.tenant.hex(),
            epoch=record.epoch,
            state="unreadable" if _key(record) in dead else state,
            since=from_us(record.created_us),
            subjects=subjects,
            keys=keys,
        )

    async def _tenants(self) -> list[bytes]:
        return list(dict.fromkeys(one.tenant for one in await self._core.state.read(EveryEpoch())))

    async def _rotated(self, tenant: bytes | None) -> list[bytes]:
        """The store's own epoch goes along: keys of holds under it may keep something of any tenant."""
        holds = await self._holds.tenants()
        every = {*await self._tenants(), *holds}
        if tenant is not None and tenant not in every:
            raise NotFoundError(NOTHING_HELD)
        return sorted(every if tenant is None else every & {tenant, STORE})

    async def _finish(
        self, tenant: bytes, done: _Done, progress: Progress | None, *, discard: bool = False
    ) -> None:
        known = await self._epochs.reload(tenant)
        records = {one.epoch: one for one in await self._core.state.read(c.Epochs(tenant))}
        for epoch in sorted((known.live.keys() | known.dead) - {max(known.live, default=0)}):
            if await self._empty(_Leaving(tenant, epoch, known.live.get(epoch)), done, progress, discard):
                done.ended += 1
                done.unguarded += records[epoch].format != GUARDED_FORMAT

    async def _empty(self, leaving: _Leaving, done: _Done, progress: Progress | None, discard: bool) -> bool:
        """Move what an epoch wraps to the newest, and end it; False when something in it does not open."""
        while True:
            left = await self._move(leaving, done, progress)
            if left and not discard:
                done.left += len(left)
                return False
            async with self._core.holding:  # no hold gets its key meanwhile: it would be under what ends here
                held = (await self._holds.rewrap(leaving.tenant))[leaving.epoch]
                if held and not discard:
                    done.left += held
                    return False
                if await self._end(leaving, left):
                    return True

    async def _move(self, leaving: _Leaving, done: _Done, progress: Progress | None) -> list[KeyRecord]:
        """Wrap again what opens, and return the rest."""
        tenant, epoch = leaving.tenant, leaving.epoch
        _, total = await self._core.state.read(EpochUse(tenant, epoch))
        after, seen, left = (b"", ""), 0, list[KeyRecord]()
        while batch := await self._core.state.read(KeysUnder(tenant, epoch, after, BATCH_KEYS)):
            moved, unopened = await self._rewrapped(leaving, batch)
            if moved:
                done.keys += await self._core.state.write(RewrapKeys(epoch, tuple(moved)))
            done.subjects.update(one.subject for one in moved)
            left += unopened
            reach("keys.after_batch")
            after, seen = (batch[-1].subject, batch[-1].purpose), seen + len(batch)
            if progress is not None:
                progress(seen, max(seen, total))
        return left

    async def _rewrapped(
        self, leaving: _Leaving, batch: list[KeyRecord]
    ) -> tuple[list[KeyRecord], list[KeyRecord]]:
        if leaving.key is None:
            return [], batch
        newest = await self._epochs.newest(leaving.tenant)
        return await anyio.to_thread.run_sync(
            _wrap_again, self._core.keyring, leaving.key, newest, leaving.tenant, batch
        )

    async def _end(self, leaving: _Leaving, discard: Sequence[KeyRecord]) -> bool:
        tenant, epoch = leaving.tenant, leaving.epoch
        record = next(
            (one for one in await self._core.state.read(c.Epochs(tenant)) if one.epoch == epoch), None
        )
        if record is None:
            return True
        now_us, guard = self._core.now_us(), guard_of(record)
        entry = Entry(
            id=str(epoch),
            kind=ENDED_KIND,
            status=ENDING,
            at_us=now_us,
            fields={"guard": "" if guard is None else guard.hex()},
        )
        leaf = AuditLeaf(AuditEvent.EPOCH_ENDED, now_us, tenant.hex(), "", 0, detail={"epoch": epoch})
        row = self._register.common_row(tenant, entry)
        reach("keys.before_end")
        if not await self._core.state.write(EndEpoch(tenant, epoch, row, leaf, tuple(discard))):
            return False
        self._epochs.end(tenant, epoch)
        reach("keys.after_end")
        await self._bury(tenant, replace(entry, version=row.version))
        return True

    async def _bury(self, tenant: bytes, entry: Entry) -> None:
        """The record is gone from the live store: now what backups of it would need, then the log's old frames."""
        guard = bytes.fromhex(entry.fields["guard"])
        if guard:
            await anyio.to_thread.run_sync(self._core.guards.destroy, guard)
        reach("keys.after_destroy")
        await self._core.state.checkpoint()
        reach("keys.after_checkpoint")
        await self._register.put_common(tenant, replace(entry, status=ENDED))

    def _without_guard(self, records: Sequence[EpochRecord]) -> list[EpochRecord]:
        return [one for one in records if self._lacks_guard(one)]

    def _lacks_guard(self, record: EpochRecord) -> bool:
        try:
            guard = guard_of(record)
        except CorruptionError:
            return False  # a damaged record is reported where it is used
        return guard is not None and self._core.guards.get(guard) is None


def _wrap_again(
    keyring: Keyring, old: SealingKey, new: SealingKey, tenant: bytes, batch: Sequence[KeyRecord]
) -> tuple[list[KeyRecord], list[KeyRecord]]:
    moved, left = list[KeyRecord](), list[KeyRecord]()
    for record in batch:
        try:
            moved.append(keyring.rewrap(old, new, tenant, record))
        except CorruptionError:
            left.append(record)
    return moved, left


def told_of_lost(epochs: int) -> str:
    """Return what is said of epochs that nothing here opens."""
    if epochs == 1:
        return "1 key epoch has ended, or its guard is not here: its users are unreadable"
    return f"{epochs:,} key epochs have ended, or their guards are not here: their users are unreadable"


def _name(record: EpochRecord) -> str:
    """A record that is no envelope has no guard to be lost."""
    try:
        guard_id = guard_of(record)
    except CorruptionError:
        guard_id = None
    return str(record.epoch) if guard_id is None else guard_id.hex()


def _key(record: EpochRecord) -> tuple[bytes, int]:
    return record.tenant, record.epoch
