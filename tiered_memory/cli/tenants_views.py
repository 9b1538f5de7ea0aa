"""Pictures of tenants for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from tiered_memory.cli.output import one_line

if TYPE_CHECKING:
    from tiered_memory.privacy.tenancy import Tenant, TenantCertificate, TenantUsage

ANY, NO_BOUND = "any", "none"


def tenants(found: Sequence[Tenant]) -> Table:
    """Return a table of tenants."""
    table = Table(box=box.SIMPLE)
    for heading in ("tenant", "isolation", "residency", "quota MiB", "retention days", "status"):
        table.add_column(heading)
    for one in found:
        rules = one.rules
        quota, days = _bound(rules.quota_mib), _bound(rules.retention_days)
        state = one.status.value if one.available else f"{one.status.value}, unavailable"
        table.add_row(
            one_line(one.id), rules.isolation.value, one_line(rules.residency or ""), quota, days, state
        )
    return table


def tenant(one: Tenant) -> Table:
    """Return what is agreed with one tenant."""
    rules = one.rules
    agents = ANY if rules.allowed_agents is None else ", ".join(sorted(rules.allowed_agents)) or NO_BOUND
    return _pairs(
        {
            "tenant": one.id,
            "status": one.status.value if one.available else f"{one.status.value}, unavailable",
            "isolation": rules.isolation.value,
            "residency": rules.residency or "",
            "quota": _bound(rules.quota_mib, " MiB"),
            "retention": _bound(rules.retention_days, " days"),
            "agents": agents,
            "reads are logged": "yes" if rules.audit else "no",
            "registered": f"{one.registered_at:%Y-%m-%d %H:%M}, generation {one.generation}",
        }
    )


def usage(found: TenantUsage) -> Table:
    """Return what a tenant uses."""
    share = "" if found.quota_share is None else f" ({found.quota_share:.1%} of its quota)"
    written = "ever" if found.since is None else f"since {found.since:%Y-%m-%d %H:%M}"
    pairs = {
        "tenant": found.tenant,
        "users": str(found.users),
        "memories": f"{found.memories}, and {found.forgotten} forgotten",
        "bytes": f"{found.bytes}{share}",
        "sessions kept": str(found.sessions),
        f"written {written}": str(found.written),
    }
    for name, moment in (("last written", found.last_written_at), ("last used", found.last_used_at)):
        pairs[name] = "never" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
    return _pairs(pairs)


def certificate(proof: TenantCertificate) -> Table:
    """Return a tenant's certificate."""
    return _pairs(
        {
            "certificate": proof.id,
            "finished": proof.finished_at,
            "reason": proof.reason,
            "users erased": str(proof.subjects),
            "keys destroyed": str(proof.keys_destroyed),
            "directory": proof.directory,
            "signed by": proof.public_key,
        }
    )


def _pairs(values: dict[str, str]) -> Table:
    table = Table(box=None, show_header=False)
    for name, value in values.items():
        table.add_row(name, one_line(value))
    return table


def _bound(value: float | None, unit: str = "") -> str:
    return NO_BOUND if value is None else f"{value:g}{unit}"
