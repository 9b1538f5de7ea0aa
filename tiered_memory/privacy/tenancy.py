"""What a tenant may do and where its data lies, as values. Pure: whoever awaits is elsewhere."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from tiered_memory.errors import AgentNotAllowedError, InvalidInputError

DAY_US = 86_400_000_000
MIB = 1 << 20
MOST_AGENTS = 1000
QUOTA_MIB = (0.001, 1e9)
RETENTION_DAYS = (0, 36_500)


class Isolation(StrEnum):
    """How far a tenant's data is kept apart, least first; `SHARED` says what each level shares."""

    MINIMAL = "minimal"
    MODERATE = "moderate"
    STRICT = "strict"


SHARED: Mapping[Isolation, Mapping[str, bool]] = MappingProxyType(
    {
        Isolation.MINIMAL: MappingProxyType(
            {
                "process": True,
                "embedding model": True,
                "Redis server": True,
                "root key": True,
                "data directory": True,
                "state store": True,
                "audit ledger and its signing key": True,
                "tenant key": False,
                "data keys": False,
                "cold tables": False,
            }
        ),
        Isolation.MODERATE: MappingProxyType(
            {
                "process": True,
                "embedding model": True,
                "Redis server": True,
                "root key": True,
                "data directory": False,
                "state store": False,
                "audit ledger and its signing key": False,
                "tenant key": False,
                "data keys": False,
                "cold tables": False,
            }
        ),
        Isolation.STRICT: MappingProxyType(
            {
                "process": True,
                "embedding model": True,
                "Redis server": False,
                "root key": False,
                "data directory": False,
                "state store": False,
                "audit ledger and its signing key": False,
                "tenant key": False,
                "data keys": False,
                "cold tables": False,
            }
        ),
    }
)
"""What tenants of a level share with others. The embedding model is read only."""


class TenantStatus(StrEnum):
    """Where a registered tenant stands."""

    ACTIVE = "active"
    ERASING = "erasing"
    ERASED = "erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRules:
    """What was agreed with a tenant; None means no bound, `allowed_agents` None that any agent may write.

    `quota_mib` bounds the records of its active memories before sealing (0.001..1e9 MiB), `retention_days`
    (0..36500) how long they are kept at most. With `audit` off reads are not logged; rights always are.
    """

    quota_mib: float | None = None
    retention_days: float | None = None
    audit: bool = True
    allowed_agents: frozenset[str] | None = None
    residency: str | None = None
    isolation: Isolation = Isolation.MINIMAL

    def __post_init__(self) -> None:
        """Refuse what is out of range; raise the isolation where a residency asks for a directory."""
        _check_number(self.quota_mib, "quota_mib", QUOTA_MIB)
        _check_number(self.retention_days, "retention_days", RETENTION_DAYS)
        if not isinstance(self.audit, bool):
            raise InvalidInputError("audit must be true or false")
        if self.residency is not None and self.isolation is Isolation.MINIMAL:
            object.__setattr__(self, "isolation", Isolation.MODERATE)

    @property
    def quota_bytes(self) -> int | None:
        """The quota in bytes."""
        return None if self.quota_mib is None else round(self.quota_mib * MIB)

    @property
    def own_directory(self) -> bool:
        """Whether it has a data directory of its own."""
        return self.isolation is not Isolation.MINIMAL

    def check_agent(self, agent: str | None) -> None:
        """Refuse an agent that is not on the tenant's list; what names no agent is nobody's word.

        Raises:
            AgentNotAllowedError: it is not on the list.
        """
        if agent is not None and self.allowed_agents is not None and agent not in self.allowed_agents:
            raise AgentNotAllowedError

    def fields(self) -> dict[str, Any]:
        """Return the rules as the register keeps them."""
        agents = None if self.allowed_agents is None else sorted(self.allowed_agents)
        return {**asdict(self), "isolation": self.isolation.value, "allowed_agents": agents}


def rules_of(fields: Mapping[str, Any]) -> TenantRules:
    """Return the rules that the register kept; what this version does not know is left out."""
    known = {name: fields[name] for name in TenantRules.__slots__ if name in fields}
    return replace(TenantRules(), **_parsed(known))


def _parsed(known: dict[str, Any]) -> dict[str, Any]:
    if "isolation" in known:
        known["isolation"] = isolation_of(known["isolation"])
    agents = known.get("allowed_agents")
    if agents is not None:
        known["allowed_agents"] = frozenset(agents)
    return known


def isolation_of(word: str) -> Isolation:
    """Return the level of that name.

    Raises:
        InvalidInputError: there is none.
    """
    try:
        return Isolation(word)
    except ValueError:
        levels = ", ".join(Isolation)
        raise InvalidInputError(f"isolation must be one of {levels}") from None


def check_residency(residency: str | None, configured: Collection[str]) -> None:
    """Refuse a residency that no directory is configured for.

    Raises:
        InvalidInputError: names those that are.
    """
    if residency is not None and residency not in configured:
        known = ", ".join(sorted(configured)) or "none"
        raise InvalidInputError(f"no directory is configured for this residency (residencies: {known})")


def _check_number(value: object, name: str, bounds: tuple[float, float]) -> None:
    if value is None:
        return
    low, high = bounds
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InvalidInputError(f"{name} must be a number from {low:g} to {high:g}, or none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A registered tenant. `generation` counts how often the id was erased; times are aware."""

    id: str
    rules: TenantRules
    status: TenantStatus
    registered_at: datetime
    generation: int = 0
    available: bool = True
    """Whether its data can be used now: its own directory may have failed to open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantUsage:
    """What a tenant holds and does. `bytes` are those of its active memories' records before sealing.

    `quota_share` is bytes over quota (None: no quota). `written` counts memories of the time asked about that are
    still there; `sessions` those whose tail is still kept.
    """

    tenant: str
    since: datetime | None
    users: int
    memories: int
    bytes: int
    forgotten: int
    sessions: int
    written: int
    last_written_at: datetime | None
    last_used_at: datetime | None
    quota_bytes: int | None
    quota_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantCertificate:
    """Proof that everything of a tenant was erased. It holds no content and no raw id.

    `tenant_commitment` and `subject_commitments` (hex) are HMAC-SHA-256 under `salt`: of the tenant's id, and of
    the store's names for its users. `directory`: "shared", "removed", or "removed unopened" for one that was damaged.
    The ledger's leaf of the erasure holds the SHA-256 of what `signature` covers.
    """

    id: str
    requested_at: str
    finished_at: str
    reason: str
    generation: int
    tenant_commitment: str
    salt: str
    subjects: int
    subject_commitments: tuple[str, ...]
    keys_destroyed: int
    directory: str
    software_version: str
    public_key: str
    signature: str = ""
    format: int = field(default=1)


def certificate_bytes(certificate: TenantCertificate) -> bytes:
    """Return what its signature covers: its fields but the signature, as canonical JSON."""
    fields = asdict(certificate)
    del fields["signature"]
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def certificate_of(fields: Mapping[str, Any]) -> TenantCertificate:
    """Return a certificate from its fields as JSON or the register keep them."""
    commitments = tuple(fields["subject_commitments"])
    return TenantCertificate(**{**fields, "subject_commitments": commitments})
