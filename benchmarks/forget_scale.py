"""What one forgetting cycle costs the real product as rows that are not due grow, beside a sweep over every row.

The rows are written straight into the state store, as many per user whatever the total, so that only their number
grows. The same users have due rows throughout. A cycle runs through the public face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from benchmarks.store import NOTICE, PURPOSE, fresh_folder, settings_for
from benchmarks.suite import Progress, Results
from benchmarks.timing import since_ms
from tiered_memory import TieredMemory
from tiered_memory.clock import stopwatch, to_us
from tiered_memory.core import Core
from tiered_memory.forgetting.decay import DAY_US
from tiered_memory.forgetting.placement import deadline
from tiered_memory.held import state_of
from tiered_memory.model import Sensitivity
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryRow, MemoryState, StrengthUpdate, SubjectState, WriteBatch
from tiered_memory.testing import ManualClock
from tiered_memory.tiers.base import SubjectRef

TOTALS = (10_000, 100_000, 1_000_000)
DUE, DUE_USERS, ROWS_PER_USER, CYCLES = 1_000, 10, 1_000, 3
WEAK, STRONG = 0.25, 0.9
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Extent:
    """How many rows there are, how many of them fall due per cycle, and how they are spread."""

    total: int
    due: int = DUE
    due_users: int = DUE_USERS
    rows_per_user: int = ROWS_PER_USER
    cycles: int = CYCLES


async def scale(progress: Progress, extents: Sequence[Extent] = tuple(map(Extent, TOTALS))) -> list[Results]:
    """Return for each extent the rows touched and the milliseconds of a cycle (medians), and of the naive sweep."""
    found = []
    for extent in extents:
        with fresh_folder() as folder:
            clock = ManualClock(BEGUN)
            settings = settings_for(folder / "store", "default", background=False)
            async with TieredMemory.open(settings, clock=clock) as memory:
                found.append(await _measured(memory, clock, extent, progress))
    return found


async def _measured(memory: TieredMemory, clock: ManualClock, extent: Extent, progress: Progress) -> Results:
    core = memory._parts().core  # noqa: SLF001 - rows are written in bulk, below the public face
    first_due_us = await _fill(memory, core, extent, progress)
    touched, taken = list[int](), list[float]()
    for cycle in range(extent.cycles):
        clock.set(BEGUN + timedelta(microseconds=first_due_us - to_us(BEGUN)) + cycle * DAY)
        begun = stopwatch()
        report = await memory.forget(confirmed=True)
        taken.append(since_ms(begun))
        touched.append(report.evaluated)
        if len(report.forgotten) != extent.due:
            raise ValueError(f"{len(report.forgotten)} memories were forgotten, not {extent.due}")
    return {
        "rows_total": extent.total,
        "rows_due": extent.due,
        "rows_touched": round(median(touched)),
        "cycle_ms": median(taken),
        "naive_ms": await _naive(core),
    }


async def _fill(memory: TieredMemory, core: Core, extent: Extent, progress: Progress) -> int:
    """Write the rows; return when the first lot falls due: its lifetime from now. Each lot is a day younger."""
    users = max(extent.due_users, -(-extent.total // extent.rows_per_user))
    progress.stage(f"{extent.total:,} rows", users)
    now_us, left = core.now_us(), extent.total
    for number in range(users):
        subject = await _subject(memory, f"user {number}")
        due = extent.due // extent.due_users if number < extent.due_users else 0
        count = min(left, -(-extent.total // users))
        faint = [(WEAK, now_us + lot * DAY_US) for lot in range(extent.cycles) for _ in range(due)]
        rest = [(STRONG, now_us)] * (count - len(faint))
        left -= len(faint) + len(rest)
        rows = [_row(core, subject, place, *one) for place, one in enumerate([*faint, *rest])]
        await core.state.write(
            c.Append(WriteBatch(subject.pseudonym, subject.generation, memories=tuple(rows)))
        )
        progress.step()
    due_us = core.curve.forget_at_us(core.curve.start(WEAK, now_us))
    if due_us is None:
        raise ValueError("the default policy forgets nothing")
    return due_us


async def _subject(memory: TieredMemory, name: str) -> SubjectRef:
    user = memory.user(name, tenant="benchmark")
    await user.consent.grant(PURPOSE, notice=NOTICE)
    async with memory._parts().directory.using(user.subject) as active:  # noqa: SLF001
        return active.ref


def _row(core: Core, subject: SubjectRef, place: int, importance: float, at_us: int) -> MemoryRow:
    state = core.curve.start(importance, at_us, core.policy_version)
    rules = core.policy.retention[Sensitivity.INTERNAL]
    due = deadline(state, core.curve, rules, core.policy.decay.grace_hours)
    return MemoryRow(
        subject=subject.pseudonym,
        memory_id=core.new_id(),
        generation=subject.generation,
        order=place + 1,
        version=1,
        kind="turn",
        sensitivity=Sensitivity.INTERNAL.value,
        purpose=PURPOSE,
        basis="consent",
        state=MemoryState.ACTIVE.value,
        importance=importance,
        strength_last=state.strength_last,
        t_last_us=state.t_last_us,
        n_spaced=state.n_spaced,
        policy_version=core.policy_version,
        ingested_us=at_us,
        forget_at_us=core.curve.forget_at_us(state),
        deadline_us=due.at_us,
        deadline_rule=due.rule,
        pinned=False,
        held=False,
        bytes=500,
    )


async def _naive(core: Core) -> float:
    """Compute the strength of every row anew and write it back: what a stored, moving strength asks for."""
    begun = stopwatch()
    for subject in await core.state.read(c.SubjectsInState(SubjectState.ACTIVE)):
        rows = await core.state.read(c.Memories(subject.subject))
        updates = tuple(_weakened(core, row) for row in rows)
        await core.state.write(c.UpdateStrengths(subject.subject, subject.generation, updates))
    return since_ms(begun)


def _weakened(core: Core, row: MemoryRow) -> StrengthUpdate:
    now_us = core.now_us()
    return StrengthUpdate(
        memory_id=row.memory_id,
        strength_last=core.curve.strength(state_of(row), now_us),
        t_last_us=now_us,
        n_spaced=row.n_spaced,
        policy_version=row.policy_version,
        forget_at_us=row.forget_at_us,
        deadline_us=row.deadline_us,
        deadline_rule=row.deadline_rule,
    )
