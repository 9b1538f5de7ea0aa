"""The registered tenants of a runtime, in RAM: asked at every call, so nothing here waits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tiered_memory.errors import QuotaExceededError, TenantUnavailableError
from tiered_memory.privacy.tenancy import TenantRules, TenantStatus

BEING_ERASED = "this tenant is being erased; try again when that has finished"
UNREADABLE = "the register's entry of this tenant does not verify: restore the state store from a backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A tenant as the register has it. `folder` is the opaque name of its own directory, if it has one."""

    id: str
    rules: TenantRules
    status: TenantStatus
    at_us: int
    generation: int = 0
    folder: str = ""
    version: int = 0


@dataclass(slots=True)
class Meter:
    """How much of a quota is used. `used` is never too small: what leaves is seen when it is read anew."""

    used: int | None = None
    pending: int = 0
    landed: int = 0
    """Grows only, so that what landed while it was read anew can be told."""

    def over(self, size: int, quota: int) -> int:
        """Return by how many bytes `size` more would exceed `quota`; 0 when it fits."""
        return max(0, (self.used or 0) + self.pending + size - quota)

    def reread(self, stored: int, landed_before: int) -> None:
        """Take up a figure that was read while others wrote."""
        self.used = stored + self.landed - landed_before

    def settle(self, size: int, *, stored: bool) -> None:
        """Note what became of a reservation."""
        self.pending -= size
        if stored:
            self.landed += size
            self.used = (self.used or 0) + size


@dataclass(slots=True)
class TenantBook:
    """Who is registered, by pseudonym. An unregistered tenant is bound by nothing here."""

    entries: dict[bytes, Registered] = field(default_factory=dict)
    unreadable: set[bytes] = field(default_factory=set)
    meters: dict[bytes, Meter] = field(default_factory=dict)

    def put(self, tenant: bytes, entry: Registered) -> None:
        """Take up what the register has of a tenant now."""
        self.unreadable.discard(tenant)
        self.entries[tenant] = entry
        self.meters.setdefault(tenant, Meter())

    def serving(self, tenant: bytes) -> Registered | None:
        """Return the tenant if it is registered, None if not.

        Raises:
            TenantUnavailableError: it is being erased, or what the register has of it does not verify.
        """
        if tenant in self.unreadable:
            raise TenantUnavailableError(UNREADABLE)
        entry = self.entries.get(tenant)
        if entry is not None and entry.status is TenantStatus.ERASING:
            raise TenantUnavailableError(BEING_ERASED)
        return entry if entry is not None and entry.status is TenantStatus.ACTIVE else None

    def check_agent(self, tenant: bytes, agent: str | None) -> None:
        """Refuse an agent that a tenant does not allow; raises AgentNotAllowedError."""
        rules = self.rules(tenant)
        if rules is not None:
            rules.check_agent(agent)

    def check_agents(self, tenant: bytes, agents: Iterable[str | None]) -> None:
        """Like `check_agent`, for several."""
        if self.entries:
            for agent in agents:
                self.check_agent(tenant, agent)

    def rules(self, tenant: bytes) -> TenantRules | None:
        """Return what was agreed with a tenant, None for one that is not registered."""
        entry = self.entries.get(tenant)
        return None if entry is None or entry.status is TenantStatus.ERASED else entry.rules

    def ceiling_days(self, tenant: bytes) -> float | None:
        """Return how many days a tenant's memories may be kept at most; None: no bound of its own."""
        rules = self.rules(tenant)
        return None if rules is None else rules.retention_days

    def audits(self, tenant: bytes) -> bool:
        """Tell whether reads of a tenant are to be logged; rights are in any case."""
        rules = self.rules(tenant)
        return rules is None or rules.audit

    def quota_bytes(self, tenant: bytes) -> int | None:
        """Return a tenant's quota in bytes; None: no bound."""
        rules = self.rules(tenant)
        return None if rules is None else rules.quota_bytes

    def reserve(self, tenant: bytes, size: int, quota: int) -> bool:
        """Set `size` bytes aside for a write if, as far as is known, they fit."""
        meter = self.meters.setdefault(tenant, Meter())
        if meter.used is None or meter.over(size, quota):
            return False
        meter.pending += size
        return True


def beyond_quota(over: int) -> QuotaExceededError:
    """Return the refusal of a write that would exceed a tenant's quota by `over` bytes."""
    return QuotaExceededError(
        f"the tenant's quota would be exceeded by {over} bytes: remove memories or raise the quota; nothing was stored"
    )
