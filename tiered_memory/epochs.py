"""The tenants' key epochs in RAM: which wrapping keys open, which one is the newest, and what they wrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import anyio
import anyio.to_thread

from tiered_memory.core import Core
from tiered_memory.crypto.envelope import SealingKey
from tiered_memory.crypto.keyring import EpochRecord, KeyRecord
from tiered_memory.errors import CorruptionError, KeyUnavailableError
from tiered_memory.failpoints import reach
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.inflight import KeyedLocks
from tiered_memory.state import commands as c
from tiered_memory.state.epochs import BeginEpoch

MOST_READINGS = 4
"""How often keys are read again that a rotation moved on between two readings."""


@dataclass(slots=True)
class TenantEpochs:
    """One tenant's epochs: the keys of those that open, and the numbers of those whose guard is gone."""

    live: dict[int, SealingKey] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)

    @property
    def newest(self) -> SealingKey:
        """The wrapping key of what is made from now on."""
        return self.live[max(self.live)]

    @property
    def next_number(self) -> int:
        """The number of the epoch to come."""
        return max((*self.live, *self.dead), default=0) + 1


@dataclass(frozen=True, slots=True)
class OpenedKeys:
    """A subject's data keys by purpose, the purposes whose record is damaged, and those of an epoch that ended."""

    keys: Mapping[str, SealingKey]
    damaged: frozenset[str]
    ended: frozenset[str]


class EpochKeys:
    """Opens epochs once and keeps them. Of each tenant at least one is live when a key is to be made."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._known: dict[bytes, TenantEpochs] = {}
        self._locks = KeyedLocks[bytes]()
        self.beginning = anyio.Lock()
        """Held while an epoch is begun: its record is wrapped and entered, or not yet wrapped."""

    async def newest(self, tenant: bytes) -> SealingKey:
        """Return the key that new data keys are wrapped under, beginning a first epoch where none opens."""
        return (await self._usable(tenant)).newest

    async def open_keys(self, tenant: bytes, subject: bytes) -> OpenedKeys:
        """Return a subject's data keys; one whose record does not open does not stand in the others' way."""
        for _ in range(MOST_READINGS):
            records = await self._core.state.read(c.Keys(subject))
            try:
                known = await self.of(tenant)
            except CorruptionError:
                return OpenedKeys({}, frozenset(one.purpose for one in records), frozenset())
            if all(one.epoch in known.live for one in records):
                break
            # They were wrapped again between the two readings, or their epoch is dead: a look at the store tells.
            await self.reload(tenant)
        return self._opened(tenant, records, self._known[tenant])

    def forget(self, tenant: bytes) -> None:
        """Keep no key of a tenant any more."""
        self._known.pop(tenant, None)

    async def reload(self, tenant: bytes) -> TenantEpochs:
        """Look again at which epochs there are."""
        async with self._locks.held(tenant):
            self._known[tenant] = await self._load(tenant)
            return self._known[tenant]

    async def begin(self, tenant: bytes) -> SealingKey:
        """Begin a tenant's next epoch: its guard first, so that a commit never stands without one."""
        async with self._locks.held(tenant):
            known = self._known[tenant] = await self._load(tenant)
            return await self._begin(tenant, known)

    def end(self, tenant: bytes, epoch: int) -> None:
        """Let go of an epoch that has ended."""
        if tenant in self._known:
            self._known[tenant].live.pop(epoch, None)
            self._known[tenant].dead.discard(epoch)

    async def of(self, tenant: bytes) -> TenantEpochs:
        """Return a tenant's epochs, as far as they are known in RAM."""
        return self._known.get(tenant) or await self.reload(tenant)

    async def _usable(self, tenant: bytes) -> TenantEpochs:
        known = await self.of(tenant)
        if not known.live:
            async with self._locks.held(tenant):
                known = self._known[tenant]
                if not known.live:
                    await self._begin(tenant, known)
        return known

    async def _load(self, tenant: bytes) -> TenantEpochs:
        records = await self._core.state.read(c.Epochs(tenant))
        return await anyio.to_thread.run_sync(self._open_all, records)

    def _open_all(self, records: Sequence[EpochRecord]) -> TenantEpochs:
        found = TenantEpochs()
        for record in records:
            try:
                found.live[record.epoch] = self._core.keyring.open_epoch(record)
            except KeyUnavailableError:
                found.dead.add(record.epoch)
        return found

    async def _begin(self, tenant: bytes, known: TenantEpochs) -> SealingKey:
        async with self.beginning:
            return await self._begin_now(tenant, known)

    async def _begin_now(self, tenant: bytes, known: TenantEpochs) -> SealingKey:
        number, now_us = known.next_number, self._core.now_us()
        key, record = await anyio.to_thread.run_sync(self._core.keyring.new_epoch, tenant, number, now_us)
        if known.live or known.dead:
            reach("keys.after_guard")
            leaf = AuditLeaf(AuditEvent.EPOCH_BEGUN, now_us, tenant.hex(), "", 0, detail={"epoch": number})
            await self._core.state.write(BeginEpoch(record, leaf))
            reach("keys.after_begin")
        else:
            await self._core.state.write(c.PutEpoch(record))
        known.live[number] = key
        return key

    def _opened(self, tenant: bytes, records: Sequence[KeyRecord], known: TenantEpochs) -> OpenedKeys:
        keys, damaged, ended = dict[str, SealingKey](), set[str](), set[str]()
        for record in records:
            epoch = known.live.get(record.epoch)
            if epoch is None:
                (ended if record.epoch in known.dead else damaged).add(record.purpose)
                continue
            try:
                keys[record.purpose] = self._core.keyring.open_data_key(epoch, tenant, record)
            except CorruptionError:
                damaged.add(record.purpose)
        return OpenedKeys(keys, frozenset(damaged), frozenset(ended))
