"""Why a memory is kept and until when, put together from its row and its curve."""

from __future__ import annotations

from dataclasses import replace

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import from_us
from tiered_memory.core import Core
from tiered_memory.errors import NotFoundError
from tiered_memory.forget_model import Life, StrengthCourse, StrengthPoint
from tiered_memory.forgetting.course import Line, course_of
from tiered_memory.forgetting.decay import StrengthState
from tiered_memory.forgetting.placement import CEILING, FLOOR, deadline
from tiered_memory.held import HeldMemory
from tiered_memory.model import Explanation, Memory, TierName
from tiered_memory.state.base import MemoryRow, MemoryState

SUPERSEDED, QUARANTINED = "superseded", "quarantined"
DELETED_UNDER_HOLD = (
    "this memory was deleted; a legal hold covers it, so that its sealed bytes stay, out of everybody's retrieval, until "
    "the hold is released"
)


def gone(row: MemoryRow | None) -> NotFoundError:
    """Return why there is nothing to explain: it never was, it is gone, or a hold keeps what nobody retrieves."""
    return NotFoundError(DELETED_UNDER_HOLD if row is not None and row.held else None)


def explained(core: Core, memory: Memory, row: MemoryRow, state: StrengthState) -> Explanation:
    """Return why a stored memory is kept, how strong it is, and when it will go."""
    policy = core.policy
    retention = core.kept_of(row)
    due = deadline(state, core.curve, retention, policy.decay.grace_hours, pinned=row.pinned, held=row.held)
    forgotten = row.state == MemoryState.FORGOTTEN
    set_apart = QUARANTINED if memory.quarantined else None
    superseded = SUPERSEDED if memory.superseded_by else None
    state_word = row.state if forgotten else set_apart or superseded or row.state
    forget_at = core.curve.forget_at_us(state)
    at_us = row.deadline_us if forgotten else due.at_us
    word = row.deadline_rule if forgotten else due.rule
    setter = {CEILING: retention.ceiling, FLOOR: retention.floor}.get(word)
    return Explanation(
        memory=memory,
        strength=core.curve.strength(state, core.now_us()),
        forget_at=None if forget_at is None else from_us(forget_at),
        deadline=None if at_us is None else from_us(at_us),
        deadline_rule=word,
        half_life_days=core.curve.half_life_days(state),
        spaced_uses=state.n_spaced,
        last_used_at=from_us(state.t_last_us),
        state=state_word,
        tiers=(TierName.COLD,),
        policy=core.policy_version,
        retention_rule=None if setter is None else setter.rule,
        retention_basis=None if setter is None else setter.basis or None,
    )


def explained_volatile(core: Core, active: ActiveSubject, held: HeldMemory) -> Explanation:
    """Return the same of a memory that lives in hot and warm only."""
    memory = held.memory()
    ends = None if held.expires_us is None else from_us(held.expires_us)
    return Explanation(
        memory=memory,
        strength=1.0,
        forget_at=ends,
        deadline=ends,
        deadline_rule="hot tier's time to live",
        half_life_days=0.0,
        spaced_uses=0.0,
        last_used_at=memory.ingested_at,
        state="volatile",
        tiers=(active.tier_of(held.id),),
        policy=core.policy_version,
    )


def life_of(
    core: Core, found: Explanation, row: MemoryRow | None, state: StrengthState | None, points: int
) -> Life:
    """Return a memory with the course of its strength; without a row it lives in hot and warm only."""
    now_us, threshold = core.now_us(), core.policy.decay.threshold
    flat = StrengthCourse(taken_at=from_us(now_us), threshold=threshold)
    if row is None or state is None:
        return Life(explanation=found, course=flat)
    drawn = course_of(core.curve, state, now_us, points)
    course = replace(flat, points=_points(drawn.points), unused=_points(drawn.unused))
    return Life(explanation=found, course=course, pinned=row.pinned, on_hold=row.held)


def _points(line: Line) -> tuple[StrengthPoint, ...]:
    return tuple(StrengthPoint(from_us(at_us), strength) for at_us, strength in line)
