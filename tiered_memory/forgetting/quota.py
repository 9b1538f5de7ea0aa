"""Who makes room when a subject's quota is full: what would leave first anyway, and nothing that is protected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tiered_memory.forgetting.decay import Curve
from tiered_memory.forgetting.placement import Due, Forget, Purge, deadline, displace, kept_of
from tiered_memory.policy.rules import Policy


@dataclass(frozen=True, slots=True)
class Displaceable:
    """An active memory and its size in bytes; `order` counts a subject's memories as they came."""

    item: Due
    bytes: int
    order: int = 0


@dataclass(frozen=True, slots=True)
class Displacement:
    """Who leaves, in order; `enough`: what they leave behind is the room that was asked for."""

    leaving: tuple[Forget | Purge, ...]
    enough: bool


def plan_displacement(
    candidates: Iterable[Displaceable], items: int, size: int, now_us: int, policy: Policy, curve: Curve
) -> Displacement:
    """Return who leaves so that `items` memories and `size` bytes (either may be <= 0: none needed) become free.

    Candidates go by their deadlines, earliest first, undated ones before all, those that never end last and by
    age; held, pinned and floor-protected ones stay. The order of `candidates` does not matter.
    """
    leaving: list[Forget | Purge] = []
    for candidate in sorted(candidates, key=lambda one: _turn(one, policy, curve)):
        if items <= 0 and size <= 0:
            break
        decision = displace(candidate.item, now_us, policy)
        if isinstance(decision, Forget | Purge):
            leaving.append(decision)
            items, size = items - 1, size - candidate.bytes
    return Displacement(tuple(leaving), enough=items <= 0 and size <= 0)


def _turn(one: Displaceable, policy: Policy, curve: Curve) -> tuple[bool, int, int, str]:
    item = one.item
    if item.state is None:
        return False, 0, one.order, item.id
    rules, grace = kept_of(item, policy), policy.decay.grace_hours
    at_us = deadline(item.state, curve, rules, grace, pinned=item.pinned, held=item.held).at_us
    return at_us is None, at_us or 0, one.order, item.id
