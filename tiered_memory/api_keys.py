"""Keeps API keys: sealed in the store's register, and in RAM, where a key is verified without waiting.

One process owns a store, so its table is all there is to ask. A key bound to a person or a tenant goes with their
erasure; what a crash left of such a key is dropped when the store opens. What was revoked or dropped is in the erased
list as well, so that no backup from before makes it good again.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import anyio

from tiered_memory.core import Core
from tiered_memory.errors import ConflictError, NotFoundError, UnauthenticatedError
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.highwater import ErasedEntry
from tiered_memory.ledger import said
from tiered_memory.metrics import ApiKeyEvent
from tiered_memory.model import Subject
from tiered_memory.principals import Principal
from tiered_memory.privacy.api_keys import (
    ID_BYTES,
    KIND,
    SECRET_BYTES,
    KeyTerms,
    StoredKey,
    day_of,
    digested,
    id_in,
    key_text,
    stored_key,
)
from tiered_memory.privacy.tenancy import TenantStatus
from tiered_memory.register import CHANGED, Entry, Register
from tiered_memory.state.base import SubjectState
from tiered_memory.state.commands import GetMeta, GetSubject, PutMeta, SubjectsInState
from tiered_memory.state.register import PutEntries

STORE = b""
EVER = "api_keys"
"""The store's own note that keys were made once: what it lost with them must not open a daemon to everybody."""
MOST_KEYS = 10_000
"""Keys a store keeps, those that ended lately as well: about 1 KiB of RAM each."""
FULL = f"the store keeps {MOST_KEYS} API keys, which is the limit: revoked ones leave after 90 days"
NONE_SUCH = "there is no API key of this id"
ENDED = (
    "this API key was revoked, has expired or was rotated already: create another, or rotate its successor"
)
ERASED, AGAIN = "erased", "applied again"
_NOBODY = bytes(32)


class ApiKeys:
    """Makes, ends and verifies API keys.

    `core_of` finds the core of the runtime that a tenant's data is in; `keeper` has the keys of this runtime's persons:
    the main runtime's, which keeps all there are.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._register = Register(core)
        self._name = core.names.register_key.fingerprint
        self._table: dict[str, StoredKey] = {}
        self._principals: dict[str, Principal] = {}
        self._used: dict[str, int] = {}
        self._ever = False
        self._turn = anyio.Lock()
        self.core_of: Callable[[str], Core] = lambda _: core
        self.keeper = self

    async def load(self) -> None:
        """Read the keys; drop those that ended long ago, or when a restored backup did not know of it yet.

        Before erasures that were cut short go on: afterwards nothing tells whose they were.
        """
        self._hold(await self._stored())
        self._ever = await self._core.state.read(GetMeta(EVER)) is not None
        if self._core.marks.must_apply and self._table:
            ended = {one.subject for one in await self._core.marks.erased()}
            await self._drop_if(lambda one: one.revoked_us is None and self._listed(one) in ended, AGAIN)
        await self.keeper.drop_erasing(self._core)
        async with self._turn:
            await self._forget_old()

    async def drop_erasing(self, core: Core) -> None:
        """Drop the keys of those whose erasure in the runtime of `core` was cut short."""
        rows = await core.state.read(SubjectsInState(SubjectState.ERASING))
        lives = {row.subject: row.generation for row in rows}

        def is_over(one: StoredKey) -> bool:
            tenant, user = one.terms.tenant, one.terms.user
            if not lives or tenant is None or user is None:
                return False
            return lives.get(core.names.subject(Subject(tenant, user)), 0) > one.user_generation

        await self._drop_if(is_over, ERASED)

    async def drop_ended_tenants(self) -> None:
        """Drop the keys of tenants whose erasure was cut short; the book of tenants has been read."""
        await self._drop_if(self._outlived_tenant, ERASED)

    def all(self) -> list[StoredKey]:
        """Return every key that is kept, oldest first."""
        kept = (replace(one, used_day=self._used.get(one.id, one.used_day)) for one in self._table.values())
        return sorted(kept, key=lambda one: (one.at_us, one.id))

    def any_made(self) -> bool:
        """Tell whether keys were ever made, those that are gone among them."""
        return self._ever or bool(self._table)

    def any_in_force(self) -> bool:
        """Tell whether there is a key that is good now."""
        now_us = self._core.now_us()
        return any(one.good_at(now_us) for one in self._table.values())

    def verify(self, presented: object) -> Principal:
        """Return who stands behind a key's text, at once and without touching the disk.

        Whatever is wrong, the work is the same, and so is the answer.

        Raises:
            UnauthenticatedError: it is unknown, malformed, expired or revoked.
        """
        key_id = id_in(presented)
        held = self._table.get(key_id or "")
        same = hmac.compare_digest(
            self._name(digested(presented if isinstance(presented, str) and key_id else "")),
            _NOBODY if held is None else held.digest,
        )
        now_us = self._core.now_us()
        if held is None or not same or not held.good_at(now_us):
            self._core.observer.observe(ApiKeyEvent("ended" if held is not None and same else "unknown"))
            raise UnauthenticatedError
        today = day_of(now_us)
        if held.used_day != today:
            self._used[held.id] = today
        return self._principals[held.id]

    def good(self, principal: Principal) -> bool:
        """Tell whether the key that a principal once presented is good now; False for who presented none."""
        held = self._table.get(principal.name)
        same = held is not None and self._principals[held.id] == principal
        return held is not None and same and held.good_at(self._core.now_us())

    async def create(self, terms: KeyTerms) -> tuple[StoredKey, str]:
        """Keep a new key; return it and its text, which is nowhere else.

        Raises:
            ConflictError: the store keeps as many as it may.
            TenantUnknownError: the policy asks for registered tenants, and its tenant is none.
            TenantUnavailableError: its tenant is being erased, or its directory is not open.
        """
        async with self._turn:
            await self._forget_old()
            made, text = await self._made(terms)
            await self._note()
            await self._put([made], self._leaf(AuditEvent.API_KEY_CREATED, made))
            self._core.observer.observe(ApiKeyEvent("created"))
            return self._table[made.id], text

    async def revoke(self, key_id: str, reason: str) -> StoredKey:
        """End a key now; one that was revoked stays as it is.

        Raises:
            NotFoundError: there is none of this id.
        """
        async with self._turn:
            held = self._known(key_id)
            if held.revoked_us is None:
                ended = replace(held, revoked_us=self._core.now_us(), revoked_because=reason)
                await self._list([held])
                await self._put([ended], self._leaf(AuditEvent.API_KEY_REVOKED, held, reason))
                self._core.observer.observe(ApiKeyEvent("revoked"))
            return self._table[key_id]

    async def rotate(self, key_id: str, overlap_us: int) -> tuple[StoredKey, str]:
        """Keep a successor of a key and let the old one end after an overlap; return the successor and its text.

        One that was to expire is followed by one for as long a time.

        Raises:
            NotFoundError: there is none of this id.
            ConflictError: it is good no more, or has a successor, or there are too many keys.
        """
        async with self._turn:
            held, now_us = self._known(key_id), self._core.now_us()
            if held.replaced_by is not None or not held.good_at(now_us):
                raise ConflictError(ENDED)
            ends = held.terms.expires_us
            fresh = replace(held.terms, expires_us=None if ends is None else now_us + ends - held.at_us)
            made, text = await self._made(fresh)
            until = now_us + overlap_us if ends is None else min(ends, now_us + overlap_us)
            old = replace(held, replaced_by=made.id, terms=replace(held.terms, expires_us=until))
            leaf = self._leaf(AuditEvent.API_KEY_ROTATED, held)
            created = self._leaf(AuditEvent.API_KEY_CREATED, made)
            await self._put([old, made], leaf, created)
            self._core.observer.observe(ApiKeyEvent("rotated"))
            return self._table[made.id], text

    async def drop_user(self, subject: Subject) -> None:
        """Drop the keys that are bound to a person: no byte of them stays."""
        bound = (subject.tenant, subject.user)
        await self._drop_if(lambda one: (one.terms.tenant, one.terms.user) == bound, ERASED)

    async def drop_tenant(self, tenant: str) -> None:
        """Drop the keys that are bound to a tenant, or to a person of it."""
        await self._drop_if(lambda one: one.terms.tenant == tenant, ERASED)

    async def flush(self) -> None:
        """Write on which days keys were used last."""
        if not self._used:
            return
        async with self._turn:
            days = dict(self._used)
            used = [
                replace(self._table[one], used_day=day) for one, day in days.items() if one in self._table
            ]
            await self._put(used)
            for key_id, day in days.items():
                if self._used.get(key_id) == day:
                    del self._used[key_id]

    async def _note(self) -> None:
        """Before the first key is kept, and before the last one goes."""
        if not self._ever:
            await self._core.state.write(PutMeta(EVER, b"made"))
            self._ever = True

    async def _stored(self) -> list[StoredKey]:
        entries = await self._register.common(STORE, KIND)
        return [stored_key(one.id, one.at_us, one.version, one.fields) for one in entries]

    def _listed(self, one: StoredKey) -> str:
        """Return a key's name in the erased list: that of a subject who never was."""
        return self._name(b"api_key/ended/" + one.id.encode()).hex()

    async def _list(self, keys: Sequence[StoredKey]) -> None:
        now_us = self._core.now_us()
        await self._core.marks.add([ErasedEntry(self._listed(one), 1, now_us) for one in keys])

    def _known(self, key_id: str) -> StoredKey:
        held = self._table.get(key_id)
        if held is None:
            raise NotFoundError(NONE_SUCH)
        return held

    async def _made(self, terms: KeyTerms) -> tuple[StoredKey, str]:
        if len(self._table) >= MOST_KEYS:
            raise ConflictError(FULL)
        tenant, user = await self._generations(terms)
        key_id = self._core.entropy.token(ID_BYTES).hex()
        while key_id in self._table:
            key_id = self._core.entropy.token(ID_BYTES).hex()
        text = key_text(key_id, self._core.entropy.token(SECRET_BYTES))
        made = StoredKey(
            id=key_id,
            terms=terms,
            digest=self._name(digested(text)),
            at_us=self._core.now_us(),
            tenant_generation=tenant,
            user_generation=user,
        )
        return made, text

    async def _generations(self, terms: KeyTerms) -> tuple[int, int]:
        """Return the lives that a tenant and a person are in now; see `StoredKey`."""
        if terms.tenant is None:
            return 0, 0
        core = self.core_of(terms.tenant)
        entry = self._core.tenancy.entries.get(self._core.names.tenant(terms.tenant))
        tenant = 0 if entry is None else entry.generation
        if terms.user is None:
            return tenant, 0
        row = await core.state.read(GetSubject(core.names.subject(Subject(terms.tenant, terms.user))))
        return tenant, 0 if row is None else row.generation

    def _outlived_tenant(self, held: StoredKey) -> bool:
        if held.terms.tenant is None:
            return False
        entry = self._core.tenancy.entries.get(self._core.names.tenant(held.terms.tenant))
        if entry is None:
            return False
        return entry.status is TenantStatus.ERASING or entry.generation > held.tenant_generation

    async def _forget_old(self) -> None:
        now_us = self._core.now_us()
        old = [one.id for one in self._table.values() if one.forgotten_at(now_us)]
        if old:
            await self._note()
            await self._register.drop(STORE, KIND, old)
            self._let_go(old)

    async def _put(self, keys: Sequence[StoredKey], *leaves: AuditLeaf) -> None:
        """Whoever gives up waiting must not leave the table behind what was committed."""
        rows = tuple(self._register.common_row(STORE, entry_of(one)) for one in keys)
        with anyio.CancelScope(shield=True):
            if not await self._core.state.write(PutEntries(rows, leaves)):
                raise ConflictError(CHANGED)
            self._hold(replace(one, version=one.version + 1) for one in keys)

    async def _drop_if(self, unwanted: Callable[[StoredKey], bool], because: str) -> None:
        async with self._turn:
            gone = [one for one in self._table.values() if unwanted(one)]
            if gone:
                await self._core.ballast.spend(lambda: self._drop(gone, because))

    async def _drop(self, keys: Sequence[StoredKey], because: str) -> None:
        ids = [one.id for one in keys]
        leaves = [self._leaf(AuditEvent.API_KEY_REVOKED, one, because=because) for one in keys]
        with anyio.CancelScope(shield=True):
            await self._note()
            await self._list(keys)
            await self._register.drop(STORE, KIND, ids, *leaves)
            self._let_go(ids)
            await self._core.state.checkpoint()

    def _hold(self, keys: Iterable[StoredKey]) -> None:
        for one in keys:
            self._table[one.id], self._principals[one.id] = one, one.principal()

    def _let_go(self, ids: Iterable[str]) -> None:
        for one in ids:
            self._table.pop(one, None)
            self._principals.pop(one, None)
            self._used.pop(one, None)

    def _leaf(self, event: AuditEvent, about: StoredKey, words: str = "", *, because: str = "") -> AuditLeaf:
        """The key's id is committed to; of its terms the ledger has what names nobody."""
        tenant = about.terms.tenant
        bound = "user" if about.terms.user else "tenant" if tenant else "store"
        key = self._core.names.register_key
        return AuditLeaf(
            event,
            self._core.now_us(),
            "" if tenant is None else self._core.names.tenant(tenant).hex(),
            "",
            0,
            object=self._name(b"ledger/api_key/" + about.id.encode()).hex(),
            reason=because,
            detail={
                "bound": bound,
                "grants": " ".join(sorted(about.terms.grants)),
                **(said(key, words) if words else {}),
            },
        )


def entry_of(one: StoredKey) -> Entry:
    """Return what the register keeps of a key."""
    return Entry(
        id=one.id, kind=KIND, status=one.status, at_us=one.at_us, fields=one.fields(), version=one.version
    )
