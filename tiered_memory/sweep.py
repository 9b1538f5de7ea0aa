"""Forgetting, carried out: what is due is planned purely, then done, audited, and physically removed.

Work follows what is due, not what exists.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from tiered_memory.active import ActiveSubject, Tracked, state_of
from tiered_memory.clock import stopwatch
from tiered_memory.core import Core, chunks
from tiered_memory.drafts import strength_update
from tiered_memory.errors import HotTierError, StorageError, SubjectErasedError
from tiered_memory.failpoints import reach
from tiered_memory.flusher import Flusher
from tiered_memory.forgetting.decay import DAY_US
from tiered_memory.forgetting.placement import (
    Decision,
    Due,
    Forget,
    Keep,
    Plan,
    Purge,
    plan_forgetting,
)
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.highwater import ErasedEntry
from tiered_memory.inflight import InFlight
from tiered_memory.ledger import leaf_for
from tiered_memory.metrics import ForgetCycle, OldestOverdueDeletion
from tiered_memory.model import ForgetReport, Sensitivity
from tiered_memory.sessions import Sessions
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryRow, MemoryState, StateChange, StrengthUpdate
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.tiers.base import SubjectRef

logger = logging.getLogger("tiered_memory")

DUE_LIMIT = 50_000
REMOVE_BATCH = 500


@dataclass(slots=True)
class _Tally:
    """What a cycle came to."""

    evaluated: int = 0
    kept: int = 0
    forgotten: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    stopped: bool = False

    def count(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            self.evaluated += 1
            self.reasons[decision.reason] += 1
            match decision:
                case Keep():
                    self.kept += 1
                case Forget(id=memory_id):
                    self.forgotten.append(memory_id)
                case Purge(id=memory_id):
                    self.removed.append(memory_id)
                case _:
                    assert_never(decision)

    def report(self, *, dry_run: bool) -> ForgetReport:
        return ForgetReport(
            dry_run=dry_run,
            evaluated=self.evaluated,
            forgotten=tuple(self.forgotten),
            removed=tuple(self.removed),
            kept=self.kept,
            reasons=dict(self.reasons),
            stopped=self.stopped,
        )


class Sweeper:
    """Writes uses behind, forgets what is due, removes what has to go."""

    def __init__(
        self,
        core: Core,
        directory: SubjectDirectory,
        flusher: Flusher,
        sessions: Sessions,
        inflight: InFlight,
    ) -> None:
        self._core = core
        self._directory = directory
        self._flusher = flusher
        self._sessions = sessions
        self._inflight = inflight
        self._owed: set[bytes] = set()
        """Subjects of which hot could not be reached when something had to leave it."""

    async def write_uses(self) -> int:
        """Write the strengths that uses changed since the last call; return how many."""
        written = 0
        for active in self._directory.residents():
            written += await self.write_uses_of(active)
        return written

    async def cycle(
        self, pseudonym: bytes | None = None, *, dry_run: bool = False, confirmed: bool = False
    ) -> ForgetReport:
        """Forget what is due now, of one subject or all; a dry run plans the same and does nothing."""
        begun, now_us, tally = stopwatch(), self._core.now_us(), _Tally()
        await self.write_uses()
        rows = await self._core.state.read(c.Due(now_us, DUE_LIMIT, pseudonym))
        for subject, due in _by_subject(rows).items():
            plan = await self._plan(subject, due, now_us, confirmed=confirmed)
            tally.count(plan.decisions)
            tally.stopped = tally.stopped or bool(plan.stopped)
            if not dry_run:
                await self._carry_out(subject, due, plan, now_us)
        if not dry_run:
            await self._remove_what_is_due()
            await self._core.state.write(c.Expire(now_us))
        self._observe(tally, stopwatch() - begun)
        return tally.report(dry_run=dry_run)

    async def _remove_what_is_due(self) -> None:
        """Hot is a cache: what it could not be told this time it is told the next."""
        try:
            await self.remove_pending()
        except HotTierError as error:
            logger.warning("forgetting: %s", error)

    async def remove_pending(self, pseudonym: bytes | None = None) -> int:
        """Remove the bytes of memories marked for removal, one subject's or all; return how many.

        Safe to repeat at any time. One subject's trouble does not keep the others waiting; it is raised at the end.
        """
        by_subject: dict[bytes, list[str]] = {}
        for one in await self._core.state.read(c.Removing()):
            if pseudonym is None or one.subject == pseudonym:
                by_subject.setdefault(one.subject, []).append(one.memory_id)
        failure: StorageError | None = None
        for subject, ids in by_subject.items():
            try:
                await self._inflight.complete(self.remove(subject, ids))
            except StorageError as error:
                failure = error
        for subject in [one for one in self._owed if pseudonym in {None, one}]:
            try:
                await self._pay(subject)
            except HotTierError as error:
                failure = failure or error
        await self._report_overdue()
        if failure is not None:
            raise failure
        return sum(map(len, by_subject.values()))

    async def _report_overdue(self) -> None:
        """How long the oldest removal is overdue: the figure that an operator is called out for."""
        left, now_us = await self._core.state.read(c.Removing()), self._core.now_us()
        oldest_us = min((one.since_us for one in left), default=now_us)
        self._core.observer.observe(OldestOverdueDeletion(max(0, now_us - oldest_us) / 1e6))

    async def remove(self, pseudonym: bytes, memory_ids: Sequence[str]) -> None:
        """Remove memories from cold, bytes and all, then their rows; raises HotTierError when hot keeps a copy."""
        row = await self._core.state.read(c.GetSubject(pseudonym))
        if row is None:
            return
        try:
            active = await self._directory.peek(row)
            for batch in chunks(memory_ids, REMOVE_BATCH):
                await self._remove_batch(active.ref, batch)
            # The journal had the same bytes, and the log keeps what the pages no longer have.
            await self._core.state.checkpoint()
            await self._pay(pseudonym)
        except SubjectErasedError:
            return

    async def drop_hot(self, active: ActiveSubject) -> None:
        """Empty hot of a subject, now or when it is back."""
        self._owed.add(active.ref.pseudonym)
        with contextlib.suppress(HotTierError):
            await self._pay(active.ref.pseudonym)

    async def _pay(self, pseudonym: bytes) -> None:
        """Empty hot of a subject if something had to leave it that could not be reached: records and snapshots."""
        if pseudonym not in self._owed:
            return
        row = await self._core.state.read(c.GetSubject(pseudonym))
        if row is not None:
            try:
                await self._core.hot.drop(SubjectRef(pseudonym, row.generation, row.incarnation))
            except HotTierError as error:
                raise HotTierError(
                    "it is in force and cannot be read any more, but the hot tier, which has a sealed copy, could "
                    "not be reached; the copy is removed when it is back"
                ) from error
        self._owed.discard(pseudonym)

    async def _remove_batch(self, ref: SubjectRef, batch: Sequence[str]) -> None:
        """The list outside comes before the rows go: a restored store must know of every removal."""
        core, now_us = self._core, self._core.now_us()
        async with core.ballast.retaken():
            async with self._flusher.paused(ref.pseudonym):
                self._flusher.discard(ref.pseudonym, frozenset(batch))
                await core.ballast.spend(lambda: core.cold.remove(ref, batch))
            reach("remove.after_cold")
            entries = [ErasedEntry(ref.pseudonym.hex(), ref.generation, now_us, one) for one in batch]
            await core.ballast.spend(lambda: core.marks.add(entries))
            done = c.FinishRemoval(ref.pseudonym, ref.generation, tuple(batch), now_us)
            await core.ballast.spend(lambda: core.state.write(done))
            reach("remove.after_rows")

    async def take_out(self, active: ActiveSubject, memory_ids: Sequence[str]) -> None:
        """Make memories unfindable everywhere but in cold: RAM, sessions, hot."""
        sessions = {session for one in memory_ids for session in active.sessions_of(one)}
        sessions |= self._sessions.holding(active, memory_ids)
        active.release(memory_ids)
        self._directory.take_out(active.ref.pseudonym, memory_ids)
        await self._core.warm.remove(active.ref, memory_ids)
        for session in sessions:
            await self._sessions.strike(active, session, memory_ids)
        try:
            await self._core.hot.remove(active.ref, memory_ids)
        except HotTierError:
            if active.durable:
                self._owed.add(active.ref.pseudonym)

    def strength_update(self, tracked: Tracked) -> StrengthUpdate:
        """Return a tracked memory's strength and deadline as the state store keeps them."""
        return strength_update(self._core, tracked)

    async def write_uses_of(self, active: ActiveSubject) -> int:
        """Write one subject's strengths; return how many."""
        used, active.used = active.used, set()
        updates = [self.strength_update(active.tracked[one]) for one in used if one in active.tracked]
        if not updates:
            return 0
        command = c.UpdateStrengths(active.ref.pseudonym, active.ref.generation, tuple(updates))
        try:
            await self._core.state.write(command)
        except SubjectErasedError:
            return 0
        except StorageError:
            active.used |= used
            raise
        reach("uses.after_write")
        return len(updates)

    async def _plan(self, subject: bytes, rows: Sequence[MemoryRow], now_us: int, *, confirmed: bool) -> Plan:
        totals = await self._core.state.read(c.ActiveTotals((subject,)))
        items = [self._due(row) for row in rows if row.state != MemoryState.REMOVING]
        users = {subject.hex(): count for subject, count in totals.items()}
        return plan_forgetting(items, now_us, self._core.policy, users, confirmed=confirmed)

    def _due(self, row: MemoryRow) -> Due:
        resident = self._directory.resident(row.subject)
        tracked = None if resident is None else resident.tracked.get(row.memory_id)
        undo_us = round(self._core.policy.forgetting.undo_days * DAY_US)
        forgotten = row.state == MemoryState.FORGOTTEN and row.deadline_us is not None
        return Due(
            id=row.memory_id,
            user=row.subject.hex(),
            state=state_of(row) if tracked is None else tracked.state,
            sensitivity=Sensitivity(row.sensitivity),
            pinned=row.pinned,
            held=row.held,
            forgotten_at_us=(row.deadline_us or 0) - undo_us if forgotten else None,
        )

    async def _carry_out(self, subject: bytes, rows: Sequence[MemoryRow], plan: Plan, now_us: int) -> None:
        stored = await self._core.state.read(c.GetSubject(subject))
        if stored is None:
            return
        try:
            active = await self._directory.peek(stored)
            await self._recheck(active, rows, plan)
            await self._inflight.complete(self._move(active, plan, now_us))
        except SubjectErasedError:
            return

    async def _recheck(self, active: ActiveSubject, rows: Sequence[MemoryRow], plan: Plan) -> None:
        """A kept memory's entry in the index fired early: enter its deadline anew."""
        kept = {d.id: d.recheck_at_us for d in plan.decisions if isinstance(d, Keep)}
        updates = tuple(
            self.strength_update(Tracked(row, state_of(row)))
            for row in rows
            if row.memory_id in kept and kept[row.memory_id] != row.deadline_us
        )
        if updates:
            command = c.UpdateStrengths(active.ref.pseudonym, active.ref.generation, updates)
            await self._core.state.write(command)

    async def _move(self, active: ActiveSubject, plan: Plan, now_us: int) -> None:
        changes, leaves = [], []
        for decision in plan.decisions:
            match decision:
                case Keep():
                    continue
                case Forget(id=memory_id, purge_at_us=purge_at_us, reason=reason):
                    changes.append(StateChange(memory_id, MemoryState.FORGOTTEN, purge_at_us, reason))
                    leaves.append(_leaf(active, AuditEvent.MEMORY_FORGOTTEN, now_us, memory_id, reason))
                case Purge(id=memory_id, reason=reason):
                    changes.append(StateChange(memory_id, MemoryState.REMOVING, now_us, reason))
                    leaves.append(_leaf(active, AuditEvent.MEMORY_PURGED, now_us, memory_id, reason))
                case _:
                    assert_never(decision)
        if changes:
            command = c.ChangeStates(
                active.ref.pseudonym, active.ref.generation, tuple(changes), tuple(leaves)
            )
            await self._core.state.write(command)
            reach("remove.after_mark")
            await self.take_out(active, [change.memory_id for change in changes])

    def _observe(self, tally: _Tally, seconds: float) -> None:
        self._core.observer.observe(
            ForgetCycle(tally.evaluated, len(tally.forgotten), len(tally.removed), tally.kept, seconds)
        )


def _leaf(active: ActiveSubject, event: AuditEvent, now_us: int, about: str, reason: str) -> AuditLeaf:
    return leaf_for(active, active.ledger_key, event, now_us, about=about, reason=reason)


def _by_subject(rows: Iterable[MemoryRow]) -> dict[bytes, list[MemoryRow]]:
    grouped: dict[bytes, list[MemoryRow]] = {}
    for row in rows:
        grouped.setdefault(row.subject, []).append(row)
    return grouped
