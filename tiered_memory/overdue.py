"""How long the oldest deletion is overdue: the figure that an operator is called out for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from tiered_memory.core import Core
from tiered_memory.forgetting.placement import Keep, Plan
from tiered_memory.metrics import OldestOverdueDeletion
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryRow

LOOKED_AT = 1_000
"""Due memories that are looked at for the one that is due longest and would not be kept."""


def oldest_due_us(rows: Sequence[MemoryRow], plan: Plan) -> int | None:
    """Return the earliest deadline among rows that `plan` does not keep."""
    kept = {one.id for one in plan.decisions if isinstance(one, Keep)}
    return min(
        (row.deadline_us for row in rows if row.deadline_us and row.memory_id not in kept), default=None
    )


async def report_held_up(core: Core, plan: Callable[[Sequence[MemoryRow]], Awaitable[Plan]]) -> None:
    """Report as `report_overdue` does, and count what a cycle would take by its `plan` and does not."""
    rows = await core.state.read(c.Due(core.now_us(), LOOKED_AT))
    await core.learn_tenants({row.subject for row in rows})
    await report_overdue(core, oldest_due_us(rows, await plan(rows)))


async def report_overdue(core: Core, due_us: int | None = None) -> None:
    """Report the oldest of what is marked for removal and still there, or of what was due at `due_us` and is held up."""
    now_us = core.now_us()
    moments = [one.since_us for one in await core.state.read(c.Removing())]
    if due_us is not None:
        moments.append(due_us)
    core.observer.observe(OldestOverdueDeletion(max(0, now_us - min(moments, default=now_us)) / 1e6))
