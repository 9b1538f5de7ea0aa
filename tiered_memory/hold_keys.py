"""The keys of holds: each random, and wrapped under a tenant's key epoch, so that it dies with the epoch as data keys do.

A hold on a tenant, or on a user of it, has its key under that tenant's epoch; one without a tenant under the store's
own, which is the epoch of no tenant. A backup taken while a hold was in force therefore keeps nothing readable once the
hold is released and the epoch has ended. Keys that earlier versions laid down bare are wrapped at the next rotation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tiered_memory.core import Core
from tiered_memory.crypto.envelope import KEY_BYTES, Place, SealContext, SealingKey
from tiered_memory.crypto.keyring import KEY_ID_BYTES
from tiered_memory.epochs import EpochKeys
from tiered_memory.errors import CorruptionError
from tiered_memory.register import Entry, Register
from tiered_memory.state.register import EntryRow

HOLD, HOLD_KEY = "hold", "hold_key"
ACTIVE = "active"
STORE = b""
WRAPPED = 2
DEFAULT_TENANT = "default"
UNREADABLE = "a hold's key cannot be opened: restore a backup, or release the hold; nothing was changed"


class HoldKeys:
    """Makes, opens and wraps again the keys of holds. Whoever calls holds `Core.holding` where something is changed."""

    def __init__(self, core: Core, epochs: EpochKeys) -> None:
        self._core = core
        self._epochs = epochs
        self._register = Register(core)

    def owner(self, name: str) -> bytes:
        """Return the owner (32 bytes) of what a hold keeps."""
        return self._core.names.register_key.fingerprint(b"hold/" + name.encode())

    def tenant_of(self, hold: Mapping[str, Any]) -> bytes:
        """Return the tenant (pseudonym) under whose epoch the key of a hold with these fields belongs."""
        if hold["tenant"] is None and hold["user"] is None:
            return STORE
        return self._core.names.tenant(hold["tenant"] or DEFAULT_TENANT)

    async def row(self, name: str, tenant: bytes, now_us: int) -> EntryRow:
        """Return the entry of a hold's first key (random, 256 bits, never derived from anything)."""
        entry, _ = await self._made(name, tenant, now_us, HOLD_KEY)
        return self._register.common_row(self.owner(name), entry)

    async def of(self, name: str) -> dict[bytes, SealingKey]:
        """Return a hold's keys that open, by id, newest last; none when their epochs have ended.

        Raises:
            CorruptionError: a key was damaged, or there is none.
        """
        owner = self.owner(name)
        entries = await self._register.common(owner, HOLD_KEY)
        if not entries:
            raise CorruptionError(UNREADABLE)
        opened = [await self._opened(owner, one) for one in entries]
        return {key.key_id: key for key in opened if key is not None}

    async def sealing(self, name: str) -> SealingKey:
        """Return the key that a hold's copies are sealed with from now on.

        Where the epoch of all its keys has ended, in a store restored from before, it gets another one.

        Raises:
            CorruptionError: a key was damaged; nothing was changed.
        """
        keys = await self.of(name)
        if keys:
            return list(keys.values())[-1]
        hold = next(one for one in await self._register.common(STORE, HOLD) if one.id == name)
        fresh = f"{HOLD_KEY}/{self._core.new_id()}"
        entry, key = await self._made(name, self.tenant_of(hold.fields), self._core.now_us(), fresh)
        owner = self.owner(name)
        await self._core.ballast.spend(lambda: self._register.put_common(owner, entry))
        return key

    async def tenants(self) -> set[bytes]:
        """Return the tenants under whose epochs there are keys of holds, or ought to be."""
        return {tenant for tenant, _, _ in await self._every()}

    async def rewrap(self, tenant: bytes) -> Counter[int]:
        """Wrap the keys of holds of a tenant under its newest epoch; return how many do not open, by epoch."""
        left = Counter[int]()
        for belongs, owner, entry in await self._every():
            if belongs == tenant:
                await self._rewrap(tenant, owner, entry, left)
        return left

    async def _rewrap(self, tenant: bytes, owner: bytes, entry: Entry, left: Counter[int]) -> None:
        newest = await self._epochs.newest(tenant)
        under = entry.fields.get("epoch")
        if under == newest.epoch:
            return
        try:
            key = await self._opened(owner, entry)
        except CorruptionError:
            key = None
        if key is None:
            left[under or 0] += 1
            return
        fields = self._wrapped(owner, tenant, key, newest)
        await self._register.put_common(owner, replace(entry, fields=fields))

    async def _every(self) -> list[tuple[bytes, bytes, Entry]]:
        """Return every key's tenant, owner and entry; what was damaged belongs to nobody."""
        holds = {
            self.owner(one.id): self.tenant_of(one.fields) for one in await self._register.common(STORE, HOLD)
        }
        found = []
        for owner, entry in await self._register.everywhere(HOLD_KEY, ACTIVE):
            tenant = None if entry is None else entry.fields.get("tenant", holds.get(owner))
            if entry is not None and tenant is not None:
                found.append((tenant, owner, entry))
        return found

    async def _made(self, name: str, tenant: bytes, now_us: int, entry_id: str) -> tuple[Entry, SealingKey]:
        chance = self._core.entropy
        key = SealingKey(chance.token(KEY_ID_BYTES), 0, chance.token(KEY_BYTES))
        fields = self._wrapped(self.owner(name), tenant, key, await self._epochs.newest(tenant))
        return Entry(id=entry_id, kind=HOLD_KEY, status=ACTIVE, at_us=now_us, fields=fields), key

    def _wrapped(self, owner: bytes, tenant: bytes, key: SealingKey, epoch: SealingKey) -> dict[str, Any]:
        wrapped = epoch.seal(key.secret, _context(tenant, owner, key.key_id), self._core.keyring.nonce())
        return {"id": key.key_id, "tenant": tenant, "epoch": epoch.epoch, "wrapped": wrapped}

    async def _opened(self, owner: bytes, entry: Entry) -> SealingKey | None:
        """Return a key, None when its epoch has ended; CorruptionError when it was damaged."""
        fields = entry.fields
        if "wrapped" not in fields:
            return SealingKey(fields["id"], 0, fields["secret"])
        tenant, number = fields["tenant"], fields["epoch"]
        known = await self._epochs.of(tenant)
        epoch = known.live.get(number) or (await self._epochs.reload(tenant)).live.get(number)
        if epoch is None:
            return None
        secret = epoch.open(fields["wrapped"], _context(tenant, owner, fields["id"]))
        return SealingKey(fields["id"], 0, secret)


def _context(tenant: bytes, owner: bytes, key_id: bytes) -> SealContext:
    return SealContext(tenant, owner, Place.KEY, key_id.hex(), "", field="hold-key", schema=WRAPPED)
