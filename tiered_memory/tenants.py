"""The tenants of a store: entered in its register, changed, and what they use. Erasing is in `tenant_erasure.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from tiered_memory.clock import from_us, to_us
from tiered_memory.core import Core
from tiered_memory.errors import ConflictError, InvalidInputError, TenantUnknownError
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.policy.compose import contradiction
from tiered_memory.privacy.tenancy import TenantRules, TenantStatus, TenantUsage, rules_of
from tiered_memory.register import Entry, Register
from tiered_memory.reindex import Reindexer
from tiered_memory.state.tenants import FiguresOf, StaleDeadlines, TenantFigures
from tiered_memory.tenant_book import Registered

KIND, ENTRY = "tenant", "tenant"
FOLDER_BYTES = 16
REGISTERED = "this tenant is registered already; use `change`"
MOVING = "a tenant that holds data cannot be moved to another directory: erase it, or move its users by export and import"


class Tenants:
    """Keeps the register of tenants, and the book in RAM that follows it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._register = Register(core)

    async def load(self) -> None:
        """Read the register; what does not open is remembered as unreadable, so that it is not taken for unregistered."""
        for status in TenantStatus:
            for owner, entry in await self._register.everywhere(KIND, status):
                if entry is None:
                    self._core.tenancy.unreadable.add(owner)
                else:
                    self._core.tenancy.put(owner, _registered(entry))

    def get(self, tenant: str) -> Registered:
        """Return a registered tenant, also one that is being erased.

        Raises:
            TenantUnknownError: it is not registered, or not any more.
        """
        entry = self._core.tenancy.entries.get(self._core.names.tenant(tenant))
        if entry is None or entry.status is TenantStatus.ERASED:
            raise TenantUnknownError
        return entry

    def every(self) -> list[Registered]:
        """Return the registered tenants by id, those being erased as well."""
        entries = self._core.tenancy.entries.values()
        return sorted(
            (one for one in entries if one.status is not TenantStatus.ERASED), key=lambda one: one.id
        )

    async def add(self, tenant: str, rules: TenantRules) -> Registered:
        """Enter a tenant; one that was erased begins a new generation.

        Raises:
            ConflictError: it is registered already, or holds data here and is to have a directory of its own.
            InvalidInputError: its ceiling lies below a floor of the policy.
        """
        self._check_ceiling(rules)
        pseudonym = self._core.names.tenant(tenant)
        before = self._core.tenancy.serving(pseudonym)
        if before is not None:
            raise ConflictError(REGISTERED)
        if rules.own_directory:
            await self._check_empty(pseudonym)
        old = self._core.tenancy.entries.get(pseudonym)
        fresh = Registered(
            id=tenant,
            rules=rules,
            status=TenantStatus.ACTIVE,
            at_us=self._core.now_us(),
            generation=0 if old is None else old.generation,
            folder=self._core.entropy.token(FOLDER_BYTES).hex() if rules.own_directory else "",
            version=0 if old is None else old.version,
        )
        return await self.enter(fresh, AuditEvent.TENANT_REGISTERED)

    async def change(self, tenant: str, rules: TenantRules) -> Registered:
        """Enter other rules for a tenant; `deadlines_anew` is for the caller where the retention is another.

        Raises:
            ConflictError: it would lie elsewhere.
            InvalidInputError: its new ceiling lies below a floor of the policy.
        """
        old = self.get(tenant)
        if rules.retention_days != old.rules.retention_days:
            self._check_ceiling(rules)
        self._core.tenancy.serving(self._core.names.tenant(tenant))
        moved = (rules.isolation, rules.residency) != (old.rules.isolation, old.rules.residency)
        if moved:
            raise ConflictError(MOVING)
        return await self.enter(replace(old, rules=rules), AuditEvent.TENANT_CHANGED)

    def _check_ceiling(self, rules: TenantRules) -> None:
        """What has to be kept so long would go before."""
        clash = None
        if rules.retention_days is not None:
            clash = contradiction(self._core.policy, rules.retention_days)
        if clash is not None:
            raise InvalidInputError(clash)

    async def enter(
        self, entry: Registered, event: AuditEvent, extra: Mapping[str, Any] | None = None
    ) -> Registered:
        """Put a tenant's next version into the register, with its leaf in the same commit."""
        pseudonym, now_us = self._core.names.tenant(entry.id), self._core.now_us()
        detail = {"isolation": entry.rules.isolation.value, "status": entry.status.value}
        leaf = AuditLeaf(event, now_us, pseudonym.hex(), "", entry.generation, detail=detail)
        return await self.put(pseudonym, entry, leaf, extra)

    async def put(
        self, tenant: bytes, entry: Registered, leaf: AuditLeaf, extra: Mapping[str, Any] | None = None
    ) -> Registered:
        """Enter a tenant's next version with `leaf`, and have the book follow."""
        kept = Entry(
            id=ENTRY,
            kind=KIND,
            status=entry.status.value,
            at_us=entry.at_us,
            fields={**_fields(entry), **(extra or {})},
            version=entry.version,
        )
        written = await self._register.put_common(tenant, kept, leaf)
        fresh = replace(entry, version=written.version)
        self._core.tenancy.put(tenant, fresh)
        return fresh

    async def stored(self, tenant: str) -> Entry | None:
        """Return a tenant's entry as it is stored, if there is one."""
        found = await self._register.common(self._core.names.tenant(tenant), KIND)
        return found[0] if found else None

    async def figures(self, tenant: bytes, since_us: int = 0) -> TenantFigures:
        """Return what a tenant holds."""
        return await self._core.state.read(FiguresOf(tenant, since_us))

    async def _check_empty(self, tenant: bytes) -> None:
        if (await self.figures(tenant)).users:
            raise ConflictError(MOVING)


async def usage_of(core: Core, entry: Registered, since: datetime | None) -> TenantUsage:
    """Return what a tenant holds in the runtime of `core`, and did since a moment (None: ever)."""
    since_us = 0 if since is None else to_us(since)
    found = await core.state.read(FiguresOf(core.names.tenant(entry.id), since_us))
    quota = entry.rules.quota_bytes
    return TenantUsage(
        tenant=entry.id,
        since=since,
        users=found.users,
        memories=found.memories,
        bytes=found.bytes,
        forgotten=found.forgotten,
        sessions=found.sessions,
        written=found.written,
        last_written_at=None if found.last_written_us is None else from_us(found.last_written_us),
        last_used_at=None if found.last_used_us is None else from_us(found.last_used_us),
        quota_bytes=quota,
        quota_share=None if quota is None else found.bytes / quota,
    )


async def deadlines_anew(core: Core, tenant: bytes) -> int:
    """Compute the deadlines of a tenant's memories anew; cut short, the next opening goes on."""
    count = await core.state.write(StaleDeadlines(tenant))
    reindexer = Reindexer(core)
    while await reindexer.step():
        continue
    return count


def _fields(entry: Registered) -> dict[str, Any]:
    kept = {"id": entry.id, "rules": entry.rules.fields(), "folder": entry.folder}
    return {**(kept if entry.status is not TenantStatus.ERASED else {}), "generation": entry.generation}


def _registered(entry: Entry) -> Registered:
    fields = entry.fields
    return Registered(
        id=fields.get("id", ""),
        rules=rules_of(fields.get("rules", {})),
        status=TenantStatus(entry.status),
        at_us=entry.at_us,
        generation=fields.get("generation", 0),
        folder=fields.get("folder", ""),
        version=entry.version,
    )
