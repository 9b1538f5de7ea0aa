"""Forgetting, carried out: what is due is planned purely, then done, audited, and physically removed.

Work follows what is due, not what exists.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import anyio

from tiered_memory.active import ActiveSubject
from tiered_memory.announcing import Announcer
from tiered_memory.clock import stopwatch
from tiered_memory.core import Core, chunks
from tiered_memory.drafts import strength_update
from tiered_memory.errors import HotTierError, RestrictedError, StorageError, SubjectErasedError
from tiered_memory.failpoints import reach
from tiered_memory.flusher import Flusher
from tiered_memory.forget_model import ForgetBatch, ForgetReport
from tiered_memory.forgetting.placement import Due, Forget, Keep, Plan, Purge, plan_forgetting
from tiered_memory.forgetting.veto import VETO, disputable, unheard, veto_until_us, with_veto
from tiered_memory.held import Tracked, state_of
from tiered_memory.highwater import ErasedEntry
from tiered_memory.inflight import InFlight
from tiered_memory.leaving import deadline_anew, due_of, moves
from tiered_memory.metrics import ForgetCycle, StrengthsSeen
from tiered_memory.overdue import report_held_up, report_overdue
from tiered_memory.purge_log import PurgeLog, counted
from tiered_memory.reindex import Reindexer, by_subject
from tiered_memory.reports import Tally, planned_of
from tiered_memory.sessions import Sessions
from tiered_memory.state import commands as c
from tiered_memory.state.base import DeadlineUpdate, MemoryRow, MemoryState, StrengthUpdate
from tiered_memory.state.forgetting import HasExpired
from tiered_memory.state.holds import HoldScope, MarkHeld
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.tiers.base import SubjectRef

logger = logging.getLogger("tiered_memory")

DUE_LIMIT = 50_000
REMOVE_BATCH = 500


class EndConsents(Protocol):
    """Ends expired consents of one subject or all, and returns the ids of the memories that go with them."""

    def __call__(self, pseudonym: bytes | None, now_us: int, *, dry_run: bool) -> Awaitable[Sequence[str]]:
        """See `expiring.py`."""
        ...


class Sweeper:
    """Writes uses behind, forgets what is due, removes what has to go."""

    def __init__(
        self,
        core: Core,
        directory: SubjectDirectory,
        flusher: Flusher,
        sessions: Sessions,
        inflight: InFlight,
        announcer: Announcer,
    ) -> None:
        self._core = core
        self._announcer = announcer
        self._reindexer = Reindexer(core)
        self._purges = PurgeLog(core)
        self._directory = directory
        self._flusher = flusher
        self._sessions = sessions
        self._inflight = inflight
        self.end_consents: EndConsents | None = None
        """What a cycle begins with: those who expire consents act through this sweeper, and are made after it."""
        self._owed: set[bytes] = set()
        """Subjects of which hot could not be reached when something had to leave it."""

    async def write_uses(self) -> int:
        """Write the strengths that uses changed since the last call; return how many."""
        written = 0
        for active in self._directory.residents():
            written += await self.write_uses_of(active)
        return written

    async def cycle(
        self,
        pseudonym: bytes | None = None,
        *,
        dry_run: bool = False,
        confirmed: bool = False,
        removing: bool = True,
    ) -> ForgetReport:
        """Forget what is due now, of one subject or all; a dry run plans the same and does nothing.

        The application is asked before anything decays away (`before_forget`), but not by a dry run. Without `removing`
        the bytes of what has to go for good stay until `remove_pending`; nobody finds it any more.
        """
        begun, run = stopwatch(), _Run(self._core.now_us(), confirmed)
        await self.write_uses()
        if not dry_run:
            await self.mark_held()
        lapsed = await self._end_consents(run, pseudonym, dry_run=dry_run)
        rows = await self._due_rows(run, pseudonym, dry_run=dry_run)
        for subject, due in by_subject([row for row in rows if row.memory_id not in lapsed]).items():
            plan = await self._plan(due, run)
            if dry_run:
                run.tally.list_planned(self._core, self._items(due), plan, run.now_us)
            else:
                self._observe_strengths(due, run.now_us)
                due, plan = await self._heard(subject, due, plan, run)  # noqa: PLW2901 - what is left of them
                run.taken.update(await self._carry_out(subject, due, plan, run.now_us))
            run.tally.count(plan)
        if not dry_run:
            await self._purges.note(run.taken)
            if removing:
                await self._remove_what_is_due()
            if await self._core.state.read(HasExpired(run.now_us)):
                await self._core.state.write(c.Expire(run.now_us))
            self._observe(run.tally, stopwatch() - begun)
        return run.tally.report(dry_run=dry_run)

    async def mark_held(self) -> None:
        """Mark what holds cover: a write that was drawn up before its hold may have come after it."""
        scopes = tuple(
            HoldScope(one.tenant or b"", one.subject or b"", memory_id, one.purpose or "")
            for one in self._core.holds.scopes()
            for memory_id in (one.memory_ids or ("",))
        )
        if scopes:
            await self._core.ballast.spend(lambda: self._core.state.write(MarkHeld(scopes)))

    async def settle_deadlines(self) -> None:
        """Compute every deadline anew that is marked for it."""
        await self.write_uses()
        self._reindexer.reopen()
        while await self._reindexer.step():
            pass

    async def _end_consents(self, run: _Run, pseudonym: bytes | None, *, dry_run: bool) -> frozenset[str]:
        """Neither the brake nor the application is asked: these may not be kept."""
        if self.end_consents is None:
            return frozenset()
        ended = await self.end_consents(pseudonym, run.now_us, dry_run=dry_run)
        run.tally.count_ended(ended, run.now_us, listed=dry_run)
        return frozenset(ended)

    async def _due_rows(self, run: _Run, pseudonym: bytes | None, *, dry_run: bool) -> list[MemoryRow]:
        """The index first follows the present policy, as far as one step goes."""
        if not dry_run:
            await self._reindexer.step()
        rows = await self._core.state.read(c.Due(run.now_us, DUE_LIMIT, pseudonym))
        await self._core.learn_tenants({row.subject for row in rows})
        return rows if not dry_run else rows + await self._reindexer.overlooked(run.now_us, pseudonym)

    async def _heard(
        self, subject: bytes, rows: list[MemoryRow], plan: Plan, run: _Run
    ) -> tuple[list[MemoryRow], Plan]:
        """Ask the application about what decay would take.

        Once it could not answer it is not asked again in this run. While it thinks memories may be used, pinned or
        deleted: what it was asked about is planned anew.
        """
        disputed = disputable(plan) if self._announcer.asks else []
        if not disputed:
            return rows, plan
        kept = None if run.tally.unheard else await self._ask(subject, rows, disputed, run)
        if kept is None:
            run.tally.unheard = True
            return rows, unheard(plan)
        rows = await self._core.state.read(c.Due(run.now_us, DUE_LIMIT, subject))
        policy, now_us = self._core.policy, run.now_us
        until = {one.id: veto_until_us(one, now_us, policy) for one in self._items(rows) if one.id in kept}
        return rows, with_veto(await self._plan(rows, run), {one.id for one in disputed}, until)

    async def _ask(
        self, subject: bytes, rows: list[MemoryRow], disputed: Sequence[Forget | Purge], run: _Run
    ) -> frozenset[str] | None:
        stored = await self._core.state.read(c.GetSubject(subject))
        if stored is None:
            return frozenset()
        try:
            active = await self._directory.peek(stored)
        except SubjectErasedError:
            return frozenset()
        items = {item.id: item for item in self._items(rows)}
        planned = [planned_of(self._core, items[one.id], one, run.now_us) for one in disputed]
        whose = self._announcer.subject_of(active, stored)
        return await self._announcer.ask(ForgetBatch(subject=whose, memories=tuple(planned)))

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
        await report_overdue(self._core)
        if failure is not None:
            raise failure
        return sum(map(len, by_subject.values()))

    async def report_overdue(self) -> None:
        """Report how long the oldest deletion is overdue, of what a cycle would take as well."""
        await report_held_up(self._core, partial(self._plan, run=_Run(self._core.now_us(), confirmed=False)))

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
        if (row := await self._core.state.read(c.GetSubject(pseudonym))) is not None:
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
        active.release(memory_ids)
        self._directory.take_out(active.ref.pseudonym, memory_ids)
        await self.take_out_copies(active, memory_ids, sessions)

    async def take_out_copies(
        self, active: ActiveSubject, memory_ids: Sequence[str], said_in: Iterable[str] = ()
    ) -> None:
        """Take memories out of sessions and hot; `said_in` names sessions that may have left warm."""
        sessions = {*said_in, *self._sessions.holding(active, memory_ids)}
        active.session_changes += 1
        await self._core.warm.remove(active.ref, memory_ids)
        for session in sessions:
            await self._sessions.strike(active, session, memory_ids)
        # A session that was read before it was struck is not shown; one that was shown meanwhile is cleared.
        active.session_changes += 1
        await self._core.warm.remove(active.ref, memory_ids)
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
        except (StorageError, anyio.get_cancelled_exc_class()):
            active.used |= used
            raise
        reach("uses.after_write")
        return len(updates)

    async def _plan(self, rows: Sequence[MemoryRow], run: _Run) -> Plan:
        items = self._items(rows)
        users = await self._core.state.read(c.ActiveTotals(tuple({row.subject for row in rows})))
        totals = {subject.hex(): count for subject, count in users.items()}
        return plan_forgetting(items, run.now_us, self._core.policy, totals, confirmed=run.confirmed)

    def _items(self, rows: Iterable[MemoryRow]) -> list[Due]:
        return [self._due(row) for row in rows if row.state != MemoryState.REMOVING]

    def _due(self, row: MemoryRow) -> Due:
        resident = self._directory.resident(row.subject)
        tracked = None if resident is None else resident.tracked.get(row.memory_id)
        state = state_of(row) if tracked is None else tracked.state
        return due_of(row, state, self._core.policy, self._core.terms.of(row.subject))

    async def _carry_out(
        self, subject: bytes, rows: Sequence[MemoryRow], plan: Plan, now_us: int
    ) -> Counter[str]:
        """Return what went, by class."""
        stored = await self._core.state.read(c.GetSubject(subject))
        if stored is None:
            return Counter()
        try:
            active = await self._directory.peek(stored)
            await self._recheck(rows, plan)
            changes, leaves = moves(active, plan.decisions, now_us)
            if changes:
                command = c.ChangeStates(subject, stored.generation, changes, leaves)
                await self._inflight.complete(self._move(active, command))
                self._announcer.moved(self._announcer.subject_of(active, stored), changes, now_us)
        except (SubjectErasedError, RestrictedError):
            return Counter()
        return counted(rows, plan.decisions)

    async def _recheck(self, rows: Sequence[MemoryRow], plan: Plan) -> None:
        """A kept memory's entry in the index fired early: enter its deadline anew."""
        kept = {d.id: d for d in plan.decisions if isinstance(d, Keep)}
        updates = [
            update
            for row in rows
            if row.memory_id in kept
            and (update := self._kept(row, kept[row.memory_id])).deadline_us != row.deadline_us
        ]
        await self._reindexer.enter(updates)

    def _kept(self, row: MemoryRow, decision: Keep) -> DeadlineUpdate:
        update = deadline_anew(self._core, row)
        if decision.reason != VETO:
            return update
        return replace(update, deadline_us=decision.recheck_at_us, deadline_rule=VETO)

    async def _move(self, active: ActiveSubject, command: c.ChangeStates) -> None:
        await self._core.state.write(command)
        reach("remove.after_mark")
        await self.take_out(active, [change.memory_id for change in command.changes])

    def _observe_strengths(self, rows: Sequence[MemoryRow], now_us: int) -> None:
        held, strength = (one.state for one in self._items(rows)), self._core.curve.strength
        self._core.observer.observe(StrengthsSeen(tuple(strength(one, now_us) for one in held if one)))

    def _observe(self, tally: Tally, seconds: float) -> None:
        gone = len(tally.forgotten), len(tally.removed)
        self._core.observer.observe(ForgetCycle(tally.evaluated, *gone, tally.protected, seconds))


@dataclass(frozen=True, slots=True)
class _Run:
    """One cycle: its moment, whether a person confirmed it, what it came to so far."""

    now_us: int
    confirmed: bool
    tally: Tally = field(default_factory=Tally)
    taken: Counter[str] = field(default_factory=Counter)
