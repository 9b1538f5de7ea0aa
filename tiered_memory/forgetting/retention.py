"""What retention rules come to for one memory: days since it came, with the rules that set them.

An event that has not happened holds a minimum on for ever and lets no maximum run. A clock that an event starts runs
from the event or from the memory's ingestion, whichever is later.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tiered_memory.model import Sensitivity
from tiered_memory.policy.compose import bounds_for
from tiered_memory.policy.retention_rules import INGESTED, Bound, Bounds
from tiered_memory.policy.rules import Policy

DAY_US = 86_400_000_000
UNTIL_EVENT = math.inf
"""The floor, in days, of what waits for an event that has not happened."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What besides the policy bounds a person's memories: when named events happened (us), a tenant's ceiling."""

    events: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    ceiling_days: float | None = None


NO_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Kept:
    """One memory's bounds in days since ingestion: kept at least, at most (None: no bound), and by which rule.

    `floor_days` is infinite while an event that a floor waits for has not happened.
    """

    floor_days: float | None = None
    ceiling_days: float | None = None
    floor: Bound | None = None
    ceiling: Bound | None = None


def kept(
    policy: Policy,
    *,
    sensitivity: Sensitivity,
    kind: str,
    purpose: str,
    ingested_us: int,
    terms: Terms = NO_TERMS,
) -> Kept:
    """Return the bounds of a memory that came at `ingested_us`."""
    found = bounds_for(
        policy,
        sensitivity=sensitivity,
        kind=kind,
        purpose=purpose,
        tenant_ceiling_days=terms.ceiling_days,
    )
    return resolved(found, ingested_us, terms.events)


def resolved(bounds: Bounds, ingested_us: int, events: Mapping[str, int]) -> Kept:
    """Return bounds counted from each trigger as days since ingestion: the latest floor, the earliest ceiling."""
    floors = [(_days(one, ingested_us, events), one) for one in bounds.floors]
    ceilings = [(_days(one, ingested_us, events), one) for one in bounds.ceilings]
    floor = max(floors, key=_by_days, default=(None, None))
    ceiling = min(_running(ceilings), key=_by_days, default=(None, None))
    return Kept(floor[0], ceiling[0], floor[1], ceiling[1])


def _days(bound: Bound, ingested_us: int, events: Mapping[str, int]) -> float:
    if bound.trigger == INGESTED:
        return bound.days
    at_us = events.get(bound.trigger)
    if at_us is None:
        return UNTIL_EVENT
    return bound.days + max(0, at_us - ingested_us) / DAY_US


def _running(ceilings: Iterable[tuple[float, Bound]]) -> list[tuple[float, Bound]]:
    return [one for one in ceilings if one[0] != UNTIL_EVENT]


def _by_days(one: tuple[float, Bound]) -> float:
    return one[0]
