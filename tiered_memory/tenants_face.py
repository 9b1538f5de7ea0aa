"""The tenants of a store, as its operator sees them."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict, Unpack

from tiered_memory.auditing import Ledger
from tiered_memory.backup import BackupReport, Progress
from tiered_memory.branches import Branches
from tiered_memory.clock import from_us
from tiered_memory.errors import InvalidInputError
from tiered_memory.events import BUFFERED, EventStream
from tiered_memory.intake import REASON_BYTES, check_id, check_moment, check_text
from tiered_memory.metrics import timed
from tiered_memory.privacy.tenancy import (
    MOST_AGENTS,
    Isolation,
    Tenant,
    TenantCertificate,
    TenantRules,
    TenantUsage,
    isolation_of,
)
from tiered_memory.tenant_book import Registered
from tiered_memory.tenants import usage_of

ALWAYS_SEALED = "what is stored is always sealed: encryption cannot be switched off"


class Agreed(TypedDict, total=False):
    """What may be agreed with a tenant; None is no bound. See `TenantRules`."""

    quota_mib: float | None
    retention_days: float | None
    audit: bool
    allowed_agents: Collection[str] | None
    residency: str | None
    isolation: Isolation | str


class TenantsFace:
    """Registers tenants, bounds and reports what they use, and erases them. An id is opaque text."""

    def __init__(self, branches: Branches) -> None:
        self._branches = branches

    async def register(self, tenant: str, *, encryption: bool = True, **agreed: Unpack[Agreed]) -> Tenant:
        """Register a tenant; see `Agreed`. A residency implies moderate isolation at least.

        What it holds already stays, unless it is to have a directory of its own: that is a ConflictError, as is
        registering twice. InvalidInputError for what is out of range, `retention_days` below what the policy keeps at
        least, an unknown residency, or `encryption=False`.
        """
        check_id(tenant, "tenant")
        if encryption is not True:
            raise InvalidInputError(ALWAYS_SEALED)
        with timed(self._branches.main.core.observer, "tenants"):
            return self._shown(await self._branches.add(tenant, TenantRules(**_checked(agreed))))

    async def change(self, tenant: str, **changes: Unpack[Agreed]) -> Tenant:
        """Change what was agreed with a tenant; what is not given stays. None lifts a bound.

        A quota below what is held refuses further writes. Other retention days date every memory anew. Another
        isolation or residency is a ConflictError: data is not moved between directories.
        """
        old = self._branches.main.tenants.get(check_id(tenant, "tenant"))
        rules = replace(old.rules, **_checked(changes))
        with timed(self._branches.main.core.observer, "tenants"):
            return self._shown(await self._branches.change(tenant, rules))

    async def get(self, tenant: str) -> Tenant:
        """Return a registered tenant; TenantUnknownError when there is none of that id."""
        return self._shown(self._branches.main.tenants.get(check_id(tenant, "tenant")))

    async def list(self) -> builtins.list[Tenant]:
        """Return the registered tenants by id, those being erased as well."""
        return [self._shown(one) for one in self._branches.main.tenants.every()]

    async def usage(self, tenant: str, *, since: datetime | None = None) -> TenantUsage:
        """Return what a tenant holds, and how much it wrote since a moment (default: ever)."""
        main = self._branches.main
        if since is not None:
            check_moment(since, "since", main.core.clock.now())
        entry = main.tenants.get(check_id(tenant, "tenant"))
        with timed(main.core.observer, "tenants"):
            return await usage_of(self._branches.parts_of(tenant).core, entry, since)

    async def erase(self, tenant: str, reason: str) -> TenantCertificate:
        """Erase everything of a tenant and its registration; return the proof.

        All its users' keys and its own are destroyed at once. Called again it finishes what was cut short, and
        gives the certificate of a finished erasure again. Registered anew, the id begins a new generation.

        Raises:
            ErasureIncompleteError: something could not be removed; the keys are gone, call again to finish.
            TenantUnknownError: there is no such tenant.
        """
        check_id(tenant, "tenant")
        check_text(reason, "reason", REASON_BYTES)
        with timed(self._branches.main.core.observer, "erase_tenant"):
            return await self._branches.erase(tenant, reason)

    def ledger(self, tenant: str) -> Ledger:
        """Return the ledger that records what is done to a tenant's users: its own, or the store's."""
        return Ledger(lambda: self._branches.parts_of(tenant))

    def events(self, tenant: str, *, buffered: int = BUFFERED) -> EventStream:
        """Return a stream like `TieredMemory.events`, of the runtime that a tenant's data is in."""
        return self._branches.parts_of(tenant).announcer.events.listen(buffered)

    async def backup(
        self, tenant: str, archive: str | Path, progress: Progress | None = None
    ) -> BackupReport:
        """Write an archive of the data directory a tenant has of its own; see `TieredMemory.backup`.

        InvalidInputError when it has none: the store's own backup contains it.
        """
        self.directory(tenant)
        parts = self._branches.parts_of(tenant)
        with timed(parts.core.observer, "backup"):
            return await parts.backup.take(Path(archive), progress)

    def directory(self, tenant: str) -> Path:
        """Return the data directory a tenant has of its own: where an archive of it is restored to.

        InvalidInputError when it has none.
        """
        found = self._branches.directory_of(self._branches.main.tenants.get(tenant))
        if found is None:
            raise InvalidInputError("this tenant's data lies in the store's own directory")
        return found

    def _shown(self, entry: Registered) -> Tenant:
        return Tenant(
            id=entry.id,
            rules=entry.rules,
            status=entry.status,
            registered_at=from_us(entry.at_us),
            generation=entry.generation,
            available=self._branches.is_available(entry),
        )


def _checked(agreed: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was agreed as `TenantRules` takes it; other names than those of `Agreed` are a TypeError there."""
    found = dict(agreed)
    if found.get("allowed_agents") is not None:
        found["allowed_agents"] = _agents(found["allowed_agents"])
    if found.get("residency") is not None:
        check_id(found["residency"], "residency")
    if "isolation" in found:
        found["isolation"] = isolation_of(found["isolation"])
    return found


def _agents(given: Collection[str]) -> frozenset[str]:
    if isinstance(given, str) or len(given) > MOST_AGENTS:
        raise InvalidInputError(f"allowed_agents must be at most {MOST_AGENTS} ids, not one text")
    return frozenset(check_id(one, "agent") for one in given)
