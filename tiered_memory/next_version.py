"""A corrected memory's next version: as it is held and found, and what a caller is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tiered_memory.drafts import Amendment
from tiered_memory.held import HeldMemory, Tracked
from tiered_memory.model import Durability, Receipt, Sensitivity, TierName
from tiered_memory.scoring.recall_index import IndexedTurn


@dataclass(frozen=True, slots=True)
class NextVersion:
    """A memory's next version as it will be held and found; `tracked` is None for one that only hot has."""

    held: HeldMemory
    turn: IndexedTurn
    tracked: Tracked | None
    purpose: str
    apart: str | None = None
    """Why the new text has it quarantined; None when it has not."""
    freed: tuple[Amendment, ...] = ()
    """What it had taken the place of, which holds good again once it is quarantined."""

    @property
    def ram_only(self) -> bool:
        """Whether it rests under the key that is in RAM only."""
        return self.held.ram_only


def tracked_after(before: Tracked | None, new: HeldMemory, level: Sensitivity) -> Tracked | None:
    """Return what is tracked of it: its strength of use stays, importance and level set how fast and when it goes."""
    if before is None:
        return None
    row = replace(
        before.row,
        version=new.version,
        bytes=len(new.plaintext),
        sensitivity=level.value,
        importance=new.importance,
    )
    return Tracked(row, replace(before.state, importance=new.importance))


def receipt_of(after: NextVersion, operation_id: str) -> Receipt:
    """Return what a repeated call is answered with."""
    durable = after.tracked is not None
    tiers: Sequence[TierName] = [TierName.COLD if durable else TierName.HOT]
    return Receipt(
        id=after.held.id,
        operation_id=operation_id,
        importance=after.held.importance,
        reasons=(),
        tiers=tuple(tiers),
        durability=Durability.JOURNALED if durable else Durability.EPHEMERAL,
        routing="corrected",
    )
