"""How subjects become active, what is loaded for them, and who leaves when RAM is short."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import msgpack

from tiered_memory.active import ActiveSubject
from tiered_memory.bulk import collector_paused
from tiered_memory.core import Core, Sealer
from tiered_memory.crypto.envelope import Place, SealingKey
from tiered_memory.crypto.keyring import SUBJECT_PURPOSE, KeyOwner, KeyRecord
from tiered_memory.embedding.base import check_embedder
from tiered_memory.epochs import EpochKeys
from tiered_memory.errors import (
    CorruptionError,
    EpochEndedError,
    SubjectErasedError,
)
from tiered_memory.forgetting.gate import ImportanceSpread
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.held import consent_event
from tiered_memory.holdings import Holdings, PendingRecords
from tiered_memory.inflight import InFlight, KeyedLocks
from tiered_memory.ledger import leaf_for
from tiered_memory.metrics import CorruptionDetected, RecallIndexState
from tiered_memory.model import Subject
from tiered_memory.privacy.objections import OBJECTION, open_objections
from tiered_memory.scoring.recall_index import RecallIndex
from tiered_memory.state import commands as c
from tiered_memory.state.base import ConsentRow, MemoryRow, MemoryState, SubjectRow, SubjectState
from tiered_memory.state.forgetting import TotalsOf
from tiered_memory.state.paging import Importances
from tiered_memory.state.register import Entries
from tiered_memory.tiers.base import SubjectRef, TierRecord

logger = logging.getLogger("tiered_memory")

LOADS_PER_TRIM = 64
OF_ANOTHER = "the state store says that this subject is another tenant's: restore it from a backup"


class SubjectDirectory:
    """Finds, loads and evicts active subjects. One directory owns a data directory's subjects."""

    def __init__(self, core: Core, pending: PendingRecords, inflight: InFlight) -> None:
        self._core = core
        self._inflight = inflight
        self.holdings = Holdings(core, pending)
        self._active: OrderedDict[Subject, ActiveSubject] = OrderedDict()
        self._by_pseudonym: dict[bytes, Subject] = {}
        self.epochs = EpochKeys(core)
        self._loading = KeyedLocks[Subject]()
        self._taken_out: dict[bytes, set[str]] = {}
        self._loads = 0

    @asynccontextmanager
    async def using(self, subject: Subject) -> AsyncIterator[ActiveSubject]:
        """Give the subject to work with, and keep it in RAM meanwhile."""
        active = await self.touch(subject)
        active.users += 1
        try:
            yield active
        finally:
            active.users -= 1

    async def touch(self, subject: Subject) -> ActiveSubject:
        """Return the subject ready to use, loading it on first touch."""
        active = self._active.get(subject)
        if active is None:
            active = await self._load_once(subject)
        else:
            self._active.move_to_end(subject)
        active.expire(self._core.now_us())
        return active

    def resident(self, pseudonym: bytes) -> ActiveSubject | None:
        """Return the subject if it is in RAM."""
        subject = self._by_pseudonym.get(pseudonym)
        return None if subject is None else self._active.get(subject)

    def residents(self) -> list[ActiveSubject]:
        """Return every subject in RAM."""
        return list(self._active.values())

    def alone(self, subject: Subject) -> AbstractAsyncContextManager[None]:
        """Let nobody load the subject meanwhile: what is read while its keys go would outlive them in RAM."""
        return self._loading.held(subject)

    async def unread(self, subject: Subject, row: SubjectRow | None) -> ActiveSubject:
        """Return the subject, without its memories unless they are in RAM already."""
        active = self._active.get(subject)
        if active is not None:
            return active
        if row is None or row.state == SubjectState.ERASED:
            generation = 0 if row is None else row.generation
            return self._fresh(subject, self._core.names.subject(subject), generation)
        return await self.peek(row)

    def take_out(self, pseudonym: bytes, memory_ids: Sequence[str]) -> None:
        """Make memories unfindable in RAM, in what is being loaded as well."""
        resident = self.resident(pseudonym)
        if resident is not None:
            resident.release(memory_ids)
        if pseudonym in self._taken_out:
            self._taken_out[pseudonym].update(memory_ids)

    def forget(self, active: ActiveSubject) -> None:
        """Put a subject out of RAM for good: what still holds it finds it dead."""
        active.alive = False
        if self._active.get(active.subject) is active:
            del self._active[active.subject]
            self._by_pseudonym.pop(active.ref.pseudonym, None)

    async def expel(self, tenant: str) -> list[Subject]:
        """Put a tenant's users out of RAM for good, and its key; return whose memories were in RAM only.

        What is being loaded is waited for: it would have keys in RAM that are not held any more.
        """
        volatile = []
        for subject in {one for one in (*self._active, *self._loading.keys()) if one.tenant == tenant}:
            async with self._loading.held(subject):
                active = self._active.get(subject)
                if active is not None:
                    self.forget(active)
                    volatile += [] if active.durable else [subject]
        self.epochs.forget(self._core.names.tenant(tenant))
        return volatile

    def trim(self) -> None:
        """Evict the least recently used subjects beyond the RAM budget.

        What is sealed under a subject's key in RAM could not be read again: it goes only beyond twice the budget.
        """
        budget, now_us = self._core.limits.active_users_mib << 20, self._core.now_us()
        for active in self._active.values():
            active.expire(now_us)
        used = sum(active.bytes_used for active in self._active.values())
        self._core.observer.observe(RecallIndexState(len(self._active), used))
        for active in list(self._active.values())[:-1]:
            if used <= budget:
                return
            if active.users or active.used or (used <= 2 * budget and active.irreplaceable):
                continue
            used -= active.bytes_used
            del self._active[active.subject]
            self._by_pseudonym.pop(active.ref.pseudonym, None)

    async def _load_once(self, subject: Subject) -> ActiveSubject:
        async with self._loading.held(subject):
            active = self._active.get(subject)
            if active is None:
                active = await self._load(subject)
                self._active[subject] = active
                self._by_pseudonym[active.ref.pseudonym] = subject
                self._loads += 1
                if self._loads % LOADS_PER_TRIM == 0:
                    self.trim()
        return active

    async def _load(self, subject: Subject) -> ActiveSubject:
        pseudonym = self._core.names.subject(subject)
        taken_out = self._taken_out.setdefault(pseudonym, set())
        try:
            active = await self._loaded(subject, pseudonym)
        finally:
            del self._taken_out[pseudonym]
        self._core.terms.belongs(pseudonym, active.tenant)
        active.mark_held(self._core.holds)
        active.release(list(taken_out))
        self.holdings.report_damage(len(active.damaged))
        return active

    async def _loaded(self, subject: Subject, pseudonym: bytes) -> ActiveSubject:
        row = await self._core.state.read(c.GetSubject(pseudonym))
        if row is None or row.state == SubjectState.ERASED:
            active = await self.unread(subject, row)
        elif row.state == SubjectState.ERASING:
            raise SubjectErasedError("this subject is being erased; try again when the erasure has finished")
        else:
            active = await self._held(subject, row)
        await self.holdings.load_hot(active)
        return active

    def _fresh(self, subject: Subject, pseudonym: bytes, generation: int) -> ActiveSubject:
        core = self._core
        ref = SubjectRef(pseudonym, generation, core.entropy.token(16))
        tenant = core.names.tenant(subject.tenant)
        index = RecallIndex(core.embedder.dimensions)
        kept_for = frozenset(name for name, rule in core.policy.purposes.items() if rule.keeps)
        return ActiveSubject(
            subject, tenant, ref, False, core.keyring.ram_key(), index=index, kept_for=kept_for
        )

    async def _held(self, subject: Subject, row: SubjectRow) -> ActiveSubject:
        check_embedder(row.embedder, self._core.embedder.name)
        active = self._fresh(subject, row.subject, row.generation)
        if row.tenant != active.tenant:
            raise CorruptionError(OF_ANOTHER)
        active.durable, active.restricted = True, row.state == SubjectState.RESTRICTED
        active.ref = replace(active.ref, incarnation=row.incarnation)
        await self.load_keys(active)
        await self.load_consents(active)
        await self._load_objections(active)
        active.last_order = await self._core.state.read(c.LastOrder(row.subject))
        if self._core.limits.indexed_above is not None:
            totals = await self._core.state.read(TotalsOf(row.subject))
            active.paged = totals.items > self._core.limits.indexed_above
        with collector_paused():
            await self._load_memories(active)
        return active

    async def _load_memories(self, active: ActiveSubject) -> None:
        subject, read = active.ref.pseudonym, self._core.state.read
        if active.paged:
            active.spread = ImportanceSpread.of(await read(Importances(subject)), active.last_order)
            return
        rows = await read(c.Memories(subject))
        active.spread = ImportanceSpread.of((one.importance for one in rows), active.last_order)
        await self.holdings.load(active, [r for r in rows if _may_be_held(active, r)])

    async def bring_back(self, active: ActiveSubject, purpose: str) -> None:
        """Have the memories of a purpose in RAM again to which the person objects no longer."""
        if active.paged:
            return
        rows = await self._core.state.read(c.Memories(active.ref.pseudonym))
        active.bringing += 1
        try:
            wanted = [row for row in rows if row.purpose == purpose and _may_be_held(active, row)]
            await self.holdings.load(active, wanted)
            active.release(list(active.left))
        finally:
            active.bringing -= 1
            if not active.bringing:
                active.left.clear()

    async def _load_objections(self, active: ActiveSubject) -> None:
        """Their status stands beside what is sealed: a damaged entry still bars its purpose."""
        rows = await self._core.state.read(Entries(active.ref.pseudonym, OBJECTION))
        active.objections = open_objections((row.entry_id, row.status) for row in rows)
        active.objection_changes = sum(row.version for row in rows)

    async def peek(self, row: SubjectRow) -> ActiveSubject:
        """Return a subject's pseudonyms and keys without its memories: for acting on rows of one not in RAM.

        Raises:
            SubjectErasedError: it is being erased, or was.
        """
        resident = self.resident(row.subject)
        if resident is not None and resident.ref.generation == row.generation:
            return resident
        if row.state not in {SubjectState.ACTIVE, SubjectState.RESTRICTED}:
            raise SubjectErasedError
        active = self._fresh(Subject("", ""), row.subject, row.generation)
        active.tenant, active.durable = row.tenant, True
        active.ref = replace(active.ref, incarnation=row.incarnation)
        await self.load_keys(active)
        return active

    async def load_keys(self, active: ActiveSubject) -> None:
        """Unwrap the subject's keys; a damaged key record is counted and left out, the others serve."""
        opened = await self.epochs.open_keys(active.tenant, active.ref.pseudonym)
        active.keys.clear()
        active.keys.update(opened.keys)
        active.damaged_keys = {*opened.damaged, *opened.ended}
        active.ended = bool(opened.ended)
        for _ in opened.damaged:
            self._core.observer.observe(CorruptionDetected("keyring"))

    async def load_consents(self, active: ActiveSubject) -> None:
        """Read the subject's consent events; details that do not open are counted and left out."""
        rows = await self._core.state.read(c.Consents(active.ref.pseudonym))
        active.consents = [consent_event(row, self._consent_details(active, row)) for row in rows]

    def _consent_details(self, active: ActiveSubject, row: ConsentRow) -> dict[str, Any]:
        record = TierRecord(row.event_id, 0, 0, row.sealed)
        try:
            details: dict[str, Any] = msgpack.unpackb(
                active.sealer(SUBJECT_PURPOSE).open(Place.CONSENT, record)
            )
        except CorruptionError:
            self._core.observer.observe(CorruptionDetected("state"))
            return {}
        return details

    async def key_for(self, active: ActiveSubject, purpose: str) -> SealingKey:
        """Return the durable key of a purpose, making it on first use."""
        key = active.keys.get(purpose)
        if key is not None:
            return key
        return await self._inflight.complete(self._make_key(active, purpose))

    async def _make_key(self, active: ActiveSubject, purpose: str) -> SealingKey:
        async with active.lock:
            if purpose not in active.keys:
                active.check_alive()
                active.check_key(purpose)
                active.keys[purpose] = await self._new_key_stored(active, purpose)
        return active.keys[purpose]

    async def _new_key_stored(self, active: ActiveSubject, purpose: str) -> SealingKey:
        """An epoch may end between a key's making and its commit: then it is made under the next."""
        while True:
            key, record = await self.new_key(active, purpose)
            try:
                await self._core.state.write(c.PutKey(record))
            except EpochEndedError:
                await self.epochs.reload(active.tenant)
            else:
                return key

    async def establish(self, active: ActiveSubject) -> None:
        """Begin holding the subject durably: its row, its own key, and its identity sealed under that key."""
        if not active.durable:
            await self._inflight.complete(self._establish(active))

    async def _establish(self, active: ActiveSubject) -> None:
        async with active.lock:
            if active.durable:
                return
            active.check_alive()
            while not active.durable:
                key, record = await self.new_key(active, SUBJECT_PURPOSE)
                try:
                    await self._core.state.write(self._first_row(active, key, record))
                except EpochEndedError:
                    await self.epochs.reload(active.tenant)
                else:
                    active.keys[SUBJECT_PURPOSE] = key
                    active.durable = True

    def _first_row(self, active: ActiveSubject, key: SealingKey, record: KeyRecord) -> c.PutSubject:
        core, now_us = self._core, self._core.now_us()
        sealer = Sealer(active.tenant, active.ref, SUBJECT_PURPOSE, key)
        identity = msgpack.packb([active.subject.tenant, active.subject.user])
        row = SubjectRow(
            subject=active.ref.pseudonym,
            tenant=active.tenant,
            generation=active.ref.generation,
            incarnation=active.ref.incarnation,
            state=SubjectState.ACTIVE.value,
            embedder=core.embedder.name,
            identity=key.seal(identity, sealer.context(Place.SUBJECT, "identity"), core.keyring.nonce()),
            created_us=now_us,
        )
        return c.PutSubject(row, (record,), leaf_for(active, key, AuditEvent.KEY_CREATED, now_us))

    async def new_key(self, active: ActiveSubject, purpose: str) -> tuple[SealingKey, KeyRecord]:
        """Return a new data key and its record, not yet stored."""
        newest = await self.epochs.newest(active.tenant)
        owner = KeyOwner(active.ref.pseudonym, purpose, active.ref.generation)
        return self._core.keyring.new_data_key(newest, active.tenant, owner, self._core.now_us())


def _may_be_held(active: ActiveSubject, row: MemoryRow) -> bool:
    return row.state == MemoryState.ACTIVE and not active.bars(row.purpose)
