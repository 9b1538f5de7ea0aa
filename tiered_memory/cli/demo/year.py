"""The acts in which nobody speaks: strengths as months pass, what is forgotten, and why what stays is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tiered_memory.cli.demo.facts import Explained, Faded, Fading, Gone, Month, Statistics, Undone
from tiered_memory.cli.demo.stage import Stage
from tiered_memory.cli.demo.talk import explanations
from tiered_memory.clock import stopwatch
from tiered_memory.errors import NotFoundError
from tiered_memory.forget_model import ForgetReport
from tiered_memory.model import Explanation

MONTH = timedelta(days=365.25 / 12)
STEPS_A_MONTH = 4
FEWEST_MONTHS, MOST_MONTHS = 3, 12
A_YEAR_AND_A_BIT = timedelta(days=370)
USE_BUDGET = 110
QUESTION_CHARACTERS = 160
EACH = 2
WORTH_USING = 0.5
ANNOUNCED_SHOWN = 4
HARDLY = 0.3
ENOUGH_TO_SHOW, PATIENT_MONTHS = 3, 2


@dataclass(slots=True)
class _Seen:
    """What was seen of the first cycle that had something to forget."""

    dry_run_forgotten: int = 0
    cycle_forgotten: int = 0
    announced: tuple[Gone, ...] = ()
    undone: Undone | None = None
    done: bool = False


@dataclass(slots=True)
class _Course:
    """The months as they go by."""

    chosen: Sequence[Explanation]
    used: Sequence[Explanation]
    months: list[Month] = field(default_factory=list)
    strengths: dict[str, list[float | None]] = field(default_factory=dict)
    leaves: dict[str, tuple[datetime | None, str]] = field(default_factory=dict)
    seen: _Seen = field(default_factory=_Seen)
    braked: bool = False


async def fading(stage: Stage) -> Fading:
    """Let months pass. Once a month the agent comes back to two of the memories; the others rest."""
    found = await explanations(stage)
    used, rest = _choose(found)
    course = _Course([*used, *rest], used)
    await _note(stage, course)
    count = _months(stage)
    for number in range(1, count + 1):
        await _pass_month(stage, course)
        stage.watch.progress(number, count, stage.clock.now())
    return Fading(
        months=tuple(course.months),
        memories=tuple(_faded(course, one) for one in course.chosen),
        dry_run_forgotten=course.seen.dry_run_forgotten,
        cycle_forgotten=course.seen.cycle_forgotten,
        announced=course.seen.announced,
        undone=course.seen.undone,
        braked=course.braked,
    )


def _months(stage: Stage) -> int:
    """Return how many months to let pass: until the first memories reach the default ceiling of a year."""
    times = stage.conversation.times
    left = min(times) + A_YEAR_AND_A_BIT - stage.clock.now()
    return min(max(round(left / MONTH), FEWEST_MONTHS), MOST_MONTHS)


def _choose(found: Sequence[Explanation]) -> tuple[list[Explanation], list[Explanation]]:
    """Return two memories to use on, and up to four to leave alone: the most and the least important ones."""
    by_use = sorted(
        found, key=lambda one: (one.memory.importance < WORTH_USING, -one.spaced_uses, one.memory.order)
    )
    used = by_use[:EACH]
    alone = [one for one in found if one not in used and one.spaced_uses < HARDLY]
    alone.sort(key=lambda one: (-one.memory.importance, -one.memory.order))
    places = dict.fromkeys([0, 1, len(alone) * 2 // 3, len(alone) - 1])
    return used, [alone[at] for at in places if 0 <= at < len(alone)]


async def _pass_month(stage: Stage, course: _Course) -> None:
    forgotten = removed = 0
    reasons: Counter[str] = Counter()
    for _ in range(STEPS_A_MONTH):
        stage.clock.advance(MONTH / STEPS_A_MONTH)
        report = await _cycle(stage, course)
        forgotten += len(report.forgotten)
        removed += len(report.removed)
        reasons.update(report.reasons)
    for one in course.used:
        question = one.memory.content[:QUESTION_CHARACTERS]
        await stage.user.context(question, token_budget=USE_BUDGET)
    await _note(stage, course)
    held = len(await stage.held())
    course.months.append(
        Month(ends=stage.clock.now().date(), forgotten=forgotten, removed=removed, reasons=reasons, held=held)
    )


async def _cycle(stage: Stage, course: _Course) -> ForgetReport:
    """Forget what is due. The first time something is, a dry run says so before, and one is restored after."""
    enough = ENOUGH_TO_SHOW if len(course.months) < PATIENT_MONTHS else 1
    dry = None if course.seen.done else await stage.user.forget(dry_run=True)
    if dry is not None and len(dry.forgotten) < enough:
        dry = None
    if dry is not None:
        course.seen.announced = await _announced(stage, dry)
    report = await stage.user.forget()
    if report.stopped:
        course.braked = True
        report = await stage.user.forget(confirmed=True)
    if dry is not None:
        seen = course.seen
        seen.done, seen.dry_run_forgotten, seen.cycle_forgotten = (
            True,
            len(dry.forgotten),
            len(report.forgotten),
        )
        seen.undone = await _restore(stage)
    return report


async def _announced(stage: Stage, dry: ForgetReport) -> tuple[Gone, ...]:
    found = [await stage.user.explain(one) for one in dry.forgotten]
    found.sort(key=lambda one: (-one.memory.importance, one.memory.order))
    now = stage.clock.now()
    return tuple(
        Gone(
            content=one.memory.content,
            importance=one.memory.importance,
            strength=one.strength,
            age_days=(now - one.memory.ingested_at).days,
            rule=one.deadline_rule,
        )
        for one in found[:ANNOUNCED_SHOWN]
    )


async def _restore(stage: Stage) -> Undone | None:
    gone = await stage.user.forgotten()
    if not gone:
        return None
    best = max(gone, key=lambda one: (one.importance, -one.order))
    before = await stage.user.explain(best.id)
    await stage.user.restore(best.id)
    after = await stage.user.explain(best.id)
    return Undone(
        content=best.content,
        strength_before=before.strength,
        strength_after=after.strength,
        undo_until=before.deadline,
        found_again=best.id in {one.id for one in await stage.held()},
    )


async def _note(stage: Stage, course: _Course) -> None:
    for one in course.chosen:
        memory_id = one.memory.id
        strengths = course.strengths.setdefault(memory_id, [])
        try:
            now = await stage.user.explain(memory_id)
        except NotFoundError:
            strengths.append(None)
            continue
        strengths.append(now.strength if now.state == "active" else None)
        if now.state == "active":
            course.leaves[memory_id] = (now.deadline, now.deadline_rule)


def _faded(course: _Course, one: Explanation) -> Faded:
    deadline, rule = course.leaves.get(one.memory.id, (one.deadline, one.deadline_rule))
    return Faded(
        id=one.memory.id,
        content=one.memory.content,
        importance=one.memory.importance,
        used=one in course.used,
        strengths=tuple(course.strengths[one.memory.id]),
        deadline=deadline,
        rule=rule,
    )


# --- why, and how many ---------------------------------------------------------------------------------------


async def explained(stage: Stage) -> Explained | None:
    """Explain the memory that was used most."""
    found = await explanations(stage)
    if not found:
        return None
    best = max(found, key=lambda one: (one.spaced_uses, one.memory.importance, -one.memory.order))
    return Explained(explanation=best)


async def statistics(stage: Stage) -> Statistics:
    """Count everything held."""
    await stage.memory.drain()
    begun = stopwatch()
    stats = await stage.memory.stats()
    return Statistics(stats=stats, milliseconds=(stopwatch() - begun) * 1e3)
