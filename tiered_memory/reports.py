"""What a forgetting cycle tells: each memory that goes with its reason, and what the cycle came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from tiered_memory.clock import from_us
from tiered_memory.core import Core
from tiered_memory.forget_model import ForgetReport, PlannedForget
from tiered_memory.forgetting.placement import (
    CEILING,
    DECAY,
    GRACE,
    Due,
    Forget,
    Keep,
    Plan,
    Purge,
    deadline,
    kept_of,
)
from tiered_memory.forgetting.veto import VETO

PLANNED_LIMIT = 1000
EXPIRED_CONSENT = "expired"
NOT_DUE = "not_due"
DUE_LATER = frozenset({CEILING, DECAY, GRACE})
"""Rules that keep a memory until their time comes: its deadline had moved, and the index had not heard."""


def planned_of(core: Core, item: Due, decision: Forget | Purge, now_us: int) -> PlannedForget:
    """Return one memory that goes, with the reasons."""
    strength, at_us = None, None
    if item.state is not None:
        rules, grace_hours = kept_of(item, core.policy), core.policy.decay.grace_hours
        due = deadline(item.state, core.curve, rules, grace_hours, pinned=item.pinned, held=item.held)
        strength, at_us = core.curve.strength(item.state, now_us), due.at_us
    purge_us = decision.purge_at_us if isinstance(decision, Forget) else now_us
    return PlannedForget(
        memory_id=item.id,
        rule=decision.reason,
        strength=strength,
        deadline=None if at_us is None else from_us(at_us),
        purge_at=from_us(purge_us),
    )


def leaving(plan: Plan) -> list[Forget | Purge]:
    """Return the decisions by which something goes."""
    return [one for one in plan.decisions if not isinstance(one, Keep)]


@dataclass(slots=True)
class Tally:
    """What a cycle came to, counted as it goes."""

    evaluated: int = 0
    kept: int = 0
    forgotten: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    protected: Counter[str] = field(default_factory=Counter)
    """Those kept, by why."""
    planned: list[PlannedForget] = field(default_factory=list)
    left_out: int = 0
    stopped: bool = False
    unheard: bool = False

    def count(self, plan: Plan) -> None:
        """Count one subject's plan."""
        self.stopped = self.stopped or bool(plan.stopped)
        for decision in plan.decisions:
            self.evaluated += 1
            self.reasons[decision.reason] += 1
            match decision:
                case Keep():
                    self.kept += 1
                    self.protected[NOT_DUE if decision.reason in DUE_LATER else decision.reason] += 1
                case Forget(id=memory_id):
                    self.forgotten.append(memory_id)
                case Purge(id=memory_id):
                    self.removed.append(memory_id)
                case _:
                    assert_never(decision)

    def count_ended(self, memory_ids: Sequence[str], now_us: int, *, listed: bool) -> None:
        """Count the memories that go with expired consents, and list them as planned if `listed`."""
        self.evaluated += len(memory_ids)
        self.removed += memory_ids
        if memory_ids:
            self.reasons[EXPIRED_CONSENT] += len(memory_ids)
        room = max(0, PLANNED_LIMIT - len(self.planned)) if listed else 0
        at = from_us(now_us)
        self.planned += [
            PlannedForget(memory_id=one, rule=EXPIRED_CONSENT, strength=None, deadline=None, purge_at=at)
            for one in memory_ids[:room]
        ]
        self.left_out += len(memory_ids) - room if listed and len(memory_ids) > room else 0

    def list_planned(self, core: Core, items: Iterable[Due], plan: Plan, now_us: int) -> None:
        """List what one subject's plan takes, as far as there is room for it."""
        by_id: Mapping[str, Due] = {item.id: item for item in items}
        for decision in leaving(plan):
            if len(self.planned) < PLANNED_LIMIT:
                self.planned.append(planned_of(core, by_id[decision.id], decision, now_us))
            else:
                self.left_out += 1

    def report(self, *, dry_run: bool) -> ForgetReport:
        """Return the whole."""
        return ForgetReport(
            dry_run=dry_run,
            evaluated=self.evaluated,
            forgotten=tuple(self.forgotten),
            removed=tuple(self.removed),
            kept=self.kept,
            reasons=dict(self.reasons),
            stopped=self.stopped,
            planned=tuple(self.planned),
            planned_left_out=self.left_out,
            vetoed=self.reasons[VETO],
            unheard=self.unheard,
        )
