"""Where an interaction goes: the cold gate and the lawful grounds, put together. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.forgetting.gate import ImportanceSpread, judge_gate
from tiered_memory.model import Durability, Role
from tiered_memory.policy.rules import RoutingRules
from tiered_memory.privacy.consent import Grounds

NO_GROUNDS, SYSTEM_PROMPT, ABOVE, BELOW = "no_basis", "system_prompt", "above_threshold", "below_threshold"
TOP_SHARE = "above_quantile"
REQUIRED, UPDATE, DUPLICATE, USED_AGAIN = "explicit", "update", "duplicate", "promoted"
QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Placement:
    """An interaction's place.

    `durable`: it may be kept beyond RAM. `cold`: it becomes a memory in cold. `searchable`: search may find it
    (in hot and RAM until its TTL when it is not in cold). `reason` is one of a closed set of words,
    `explanation` says the same to a person.
    """

    durable: bool
    cold: bool
    searchable: bool
    reason: str
    explanation: str

    @property
    def target(self) -> str:
        """The tier it was routed to, for counts."""
        return "cold" if self.kept else ("hot" if self.searchable else "warm")

    @property
    def kept(self) -> bool:
        """Whether it is in cold now, as a memory of its own or as one that was there."""
        return self.cold or self.reason == DUPLICATE

    @property
    def durability(self) -> Durability:
        """What a receipt may promise."""
        if self.kept:
            return Durability.JOURNALED
        return Durability.SESSION if self.durable else Durability.EPHEMERAL


def place(
    importance: float,
    role: Role,
    grounds: Grounds,
    rules: RoutingRules,
    *,
    required: bool = False,
    spread: ImportanceSpread | None = None,
) -> Placement:
    """Return where an interaction of `importance` (0..1) goes.

    A system prompt is an instruction and no memory: it stays with its session. Without lawful grounds nothing
    durable is written, whatever the importance. What the caller `required` to be kept passes the gate. `spread` is
    that of the user's interactions before.
    """
    if role is Role.SYSTEM:
        text = "a system prompt stays with its session"
        return Placement(grounds.durable, False, False, SYSTEM_PROMPT, text)
    if not grounds.durable:
        return Placement(False, False, True, NO_GROUNDS, f"{grounds.reason}: kept for the session only")
    if required:
        return Placement(True, True, True, REQUIRED, "the caller requires it to be kept")
    verdict = judge_gate(importance, rules, spread or ImportanceSpread())
    passed = TOP_SHARE if verdict.by_quantile else ABOVE
    reason = passed if verdict.to_cold else BELOW
    return Placement(True, verdict.to_cold, True, reason, verdict.reason)


UPDATING = Placement(True, True, True, UPDATE, "it brings a memory up to date that is held")
"""Where an interaction goes that changes what is known, whatever its importance."""

PROMOTED = Placement(True, True, True, USED_AGAIN, "it was used or said again after it stayed below the gate")
"""Where one goes later that was not kept at first."""

MERGED = Placement(True, False, False, DUPLICATE, "duplicate of a memory that is held, which it strengthened")
"""Where one goes that says what is known: it becomes no second memory."""


def kept_apart(grounds: Grounds, because: str) -> Placement:
    """Return where a quarantined interaction goes: to cold where there are grounds, and never where it is found."""
    durable = grounds.durable
    where = "kept apart, not retrievable" if durable else f"not kept, {grounds.reason}"
    return Placement(durable, durable, False, QUARANTINED, f"{because}; {where}")
