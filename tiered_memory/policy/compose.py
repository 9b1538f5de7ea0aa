"""What a policy comes to for a class of memories: its base rules, its named rules and its tenant's ceiling together."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from tiered_memory.errors import PolicyError
from tiered_memory.model import Kind, Sensitivity
from tiered_memory.policy.retention_rules import (
    Bound,
    Bounds,
    applying,
    check_names,
    check_purposes,
    refusal,
)

if TYPE_CHECKING:
    from tiered_memory.policy.rules import Policy

TENANT_RULE = "tenant ceiling"
LEVELS = tuple(Sensitivity)


def base_name(sensitivity: Sensitivity) -> str:
    """Return the name of the base rule of a sensitivity, as a policy file's table has it."""
    return f"retention.{sensitivity.value}"


def bounds_for(
    policy: Policy,
    *,
    sensitivity: Sensitivity,
    kind: str = "",
    purpose: str = "",
    tenant_ceiling_days: float | None = None,
) -> Bounds:
    """Return the floors and ceilings of memories of this sensitivity, kind and purpose, each with its rule.

    `tenant_ceiling_days` (>= 0) is a further ceiling that their tenant asks for; it lengthens nothing.
    """
    found = _base(policy, sensitivity)
    if policy.retention_rules:
        found = found.also(
            applying(policy.retention_rules, sensitivity.value, kind, purpose, policy.jurisdiction)
        )
    if tenant_ceiling_days is not None:
        found = found.also(Bounds((), (Bound(tenant_ceiling_days, TENANT_RULE),)))
    return found


def _base(policy: Policy, sensitivity: Sensitivity) -> Bounds:
    rule, name = policy.retention[sensitivity], base_name(sensitivity)
    floors = () if rule.floor_days is None else (Bound(rule.floor_days, name),)
    ceilings = () if rule.ceiling_days is None else (Bound(rule.ceiling_days, name),)
    return Bounds(floors, ceilings)


def check_retention(policy: Policy) -> None:
    """Refuse rules that contradict each other for any class of memories that can exist; names both.

    Raises:
        PolicyError: so they do, two rules have one name, or one is for a purpose that is none.
    """
    rules = policy.retention_rules
    if not rules:
        return
    check_names(rules, [TENANT_RULE, *map(base_name, Sensitivity)])
    check_purposes(rules, policy.purposes)
    clash = contradiction(policy)
    if clash is not None:
        raise PolicyError(clash)


def contradiction(policy: Policy, tenant_ceiling_days: float | None = None) -> str | None:
    """Return why a floor and a ceiling, a tenant's among them, cannot both hold for some class of memories, or None."""
    for (purpose, rule), level, kind in product(policy.purposes.items(), LEVELS, Kind):
        if LEVELS.index(level) > LEVELS.index(rule.max_sensitivity):
            continue
        bounds = bounds_for(
            policy,
            sensitivity=level,
            kind=kind.value,
            purpose=purpose,
            tenant_ceiling_days=tenant_ceiling_days,
        )
        clash = bounds.conflict()
        if clash is not None:
            return refusal(*clash, f"{level.value} {kind.value} memories for '{purpose}'")
    return None
