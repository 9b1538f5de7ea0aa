"""How a memory leaves: the rows and audit leaves of decisions, deadlines computed anew, and room under a quota."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import assert_never

from tiered_memory.active import ActiveSubject
from tiered_memory.announcing import Announcer
from tiered_memory.core import Core
from tiered_memory.errors import QuotaExceededError
from tiered_memory.forgetting.decay import DAY_US, StrengthState
from tiered_memory.forgetting.placement import (
    Decision,
    Due,
    Forget,
    Keep,
    Purge,
    deadline,
    kept_of,
    purge_deadline_us,
)
from tiered_memory.forgetting.quota import Displaceable, plan_displacement
from tiered_memory.forgetting.retention import NO_TERMS, Terms
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.held import state_of
from tiered_memory.inflight import KeyedLocks
from tiered_memory.ledger import leaf_for
from tiered_memory.model import Sensitivity
from tiered_memory.policy.rules import Policy, QuotaRules
from tiered_memory.state import commands as c
from tiered_memory.state.base import (
    Appended,
    Crowded,
    DeadlineUpdate,
    MemoryRow,
    MemoryState,
    Repeated,
    Room,
    Stale,
    StateChange,
    Totals,
    Write,
    WriteBatch,
)
from tiered_memory.state.forgetting import Leaving, TotalsOf
from tiered_memory.tenant_quota import TenantQuotas

Written = Appended | Repeated | Stale | Crowded
LOOKED_AT = 16
ATTEMPTS = 8
TOO_LARGE = (
    "this write alone is larger than the user's quota; nothing was stored. Write less at once, or raise it"
)
PROTECTED = (
    "the user's quota is full, and what could make room is pinned, held, or under its floor; nothing was stored. "
    "Unpin or delete some, or raise the quota in the policy"
)
CONTENDED = "the user's quota stayed full while others wrote; nothing was stored. Repeat the call"


def due_of(row: MemoryRow, state: StrengthState, policy: Policy, terms: Terms = NO_TERMS) -> Due:
    """Return a row as the plan takes it, with the strength known best."""
    undo_us = round(policy.forgetting.undo_days * DAY_US)
    forgotten_us = row.forgotten_us
    if forgotten_us is None and row.state == MemoryState.FORGOTTEN and row.deadline_us is not None:
        # Forgotten under schema 1, which kept the end of the undo window alone.
        forgotten_us = row.deadline_us - undo_us
    return Due(
        id=row.memory_id,
        user=row.subject.hex(),
        state=state,
        sensitivity=Sensitivity(row.sensitivity),
        pinned=row.pinned,
        held=row.held,
        forgotten_at_us=forgotten_us if row.state == MemoryState.FORGOTTEN else None,
        kind=row.kind,
        purpose=row.purpose,
        terms=terms,
    )


def deadline_anew(core: Core, row: MemoryRow) -> DeadlineUpdate:
    """Return a row's deadline under the present policy, from what the row itself says of its strength."""
    version, state = core.policy_version, state_of(row)
    forget_at_us = core.curve.forget_at_us(state)
    item = due_of(row, state, core.policy, core.terms.of(row.subject))
    if item.forgotten_at_us is not None:
        purge_us = purge_deadline_us(item, item.forgotten_at_us, core.policy)
        return DeadlineUpdate(row, version, forget_at_us, purge_us, row.deadline_rule)
    retention, grace_hours = kept_of(item, core.policy), core.policy.decay.grace_hours
    due = deadline(state, core.curve, retention, grace_hours, pinned=row.pinned, held=row.held)
    return DeadlineUpdate(row, version, forget_at_us, due.at_us, due.rule)


def moves(
    active: ActiveSubject, decisions: Iterable[Decision], now_us: int
) -> tuple[tuple[StateChange, ...], tuple[AuditLeaf, ...]]:
    """Return what decisions change in the state store, and the audit leaf of each."""
    changes, leaves = [], []
    for decision in decisions:
        match decision:
            case Keep():
                continue
            case Forget(id=memory_id, purge_at_us=purge_at_us, reason=reason):
                changes.append(StateChange(memory_id, MemoryState.FORGOTTEN, purge_at_us, reason, now_us))
                leaves.append(_leaf(active, AuditEvent.MEMORY_FORGOTTEN, now_us, memory_id, reason))
            case Purge(id=memory_id, reason=reason):
                changes.append(StateChange(memory_id, MemoryState.REMOVING, now_us, reason))
                leaves.append(_leaf(active, AuditEvent.MEMORY_PURGED, now_us, memory_id, reason))
            case _:
                assert_never(decision)
    return tuple(changes), tuple(leaves)


def _leaf(active: ActiveSubject, event: AuditEvent, now_us: int, about: str, reason: str) -> AuditLeaf:
    return leaf_for(active, active.ledger_key, event, now_us, about=about, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What making room does with an active subject besides: its uses are written, memories leave RAM and hot."""

    write_uses_of: Callable[[ActiveSubject], Awaitable[int]]
    take_out: Callable[[ActiveSubject, Sequence[str]], Awaitable[None]]


class Quotas:
    """Carries out writes that a subject's quota bounds: what has to make room leaves in the write's own commit."""

    def __init__(self, core: Core, announcer: Announcer, hands: Hands) -> None:
        self._core = core
        self._announcer = announcer
        self._hands = hands
        self._turns = KeyedLocks[bytes]()
        self._tenants = TenantQuotas(core)

    def turn(self, active: ActiveSubject) -> AbstractAsyncContextManager[None]:
        """Let one write of a subject at a time go from its commit to where it is found.

        Else one could make room with another that is committed and not in RAM yet, where it would then stay.
        Without a quota nobody waits.
        """
        return self._turns.held(active.ref.pseudonym) if self._core.policy.quota.bounded else nullcontext()

    async def append(
        self,
        active: ActiveSubject,
        batch: WriteBatch,
        landed: Callable[[Appended], None],
        command: Callable[[WriteBatch], Write[Written]] = c.Append,
    ) -> Appended | Repeated | Stale:
        """Commit a batch; raises QuotaExceededError, and stores nothing, when what is protected fills the quota.

        `landed` is called as soon as it is durable, before anything else is waited for; `command` makes of the batch
        the change that carries it.
        """
        size, revised = _size(active, batch), frozenset(one.entry.memory_id for one in batch.revisions)
        async with self._tenants.reserved(active.tenant, size.bytes) as reservation:
            outcome = await self._append(
                active, lambda room: command(replace(batch, room=room)), landed, size, revised
            )
            reservation.stored = isinstance(outcome, Appended)
            return outcome

    async def _append(
        self,
        active: ActiveSubject,
        command: Callable[[Room | None], Write[Written]],
        landed: Callable[[Appended], None],
        size: Totals,
        revised: frozenset[str],
    ) -> Appended | Repeated | Stale:
        room = await self._first_room(active, size, revised)
        for _ in range(ATTEMPTS):
            outcome = await self._core.state.write(command(room))
            if isinstance(outcome, Appended):
                landed(outcome)
                await self._leave(active, room)
            if not isinstance(outcome, Crowded):
                return outcome
            room = await self._room(active, size, revised)
        raise QuotaExceededError(CONTENDED)

    async def restore(self, active: ActiveSubject, command: c.RestoreMemory, size: int) -> bool:
        """Commit a restoring; raises like `append`."""
        async with self._tenants.reserved(active.tenant, size) as reservation:
            reservation.stored = await self._restore(active, command, Totals(1, size))
            return reservation.stored

    async def _restore(self, active: ActiveSubject, command: c.RestoreMemory, wanted: Totals) -> bool:
        room = await self._first_room(active, wanted)
        for _ in range(ATTEMPTS):
            outcome = await self._core.state.write(replace(command, room=room))
            if not isinstance(outcome, Crowded):
                await self._leave(active, room if outcome else None)
                return outcome
            room = await self._room(active, wanted)
        raise QuotaExceededError(CONTENDED)

    async def _first_room(
        self, active: ActiveSubject, wanted: Totals, staying: frozenset[str] = frozenset()
    ) -> Room | None:
        """As long as RAM knows of little, the commit's own look at the totals is enough."""
        rules = self._core.policy.quota
        if not rules.bounded or (wanted.items <= 0 and wanted.bytes <= 0):
            return None
        if _fits(rules, Totals(len(active.tracked) + wanted.items, active.held_bytes + wanted.bytes)):
            return Room(rules.max_items, rules.max_bytes)
        return await self._room(active, wanted, staying)

    async def _room(
        self, active: ActiveSubject, wanted: Totals, staying: frozenset[str] = frozenset()
    ) -> Room:
        """What the write itself brings up to date (`staying`) cannot make room for it."""
        rules, read = self._core.policy.quota, self._core.state.read
        if not _fits(rules, wanted):
            raise QuotaExceededError(TOO_LARGE)
        await self._hands.write_uses_of(active)
        totals = await read(TotalsOf(active.ref.pseudonym))
        items = 0 if rules.max_items is None else totals.items + wanted.items - rules.max_items
        size = 0 if rules.max_bytes is None else totals.bytes + wanted.bytes - rules.max_bytes
        now_us, limit = self._core.now_us(), max(LOOKED_AT, 2 * items)
        while True:
            rows = await read(Leaving(active.ref.pseudonym, limit))
            candidates = [self._displaceable(active, row) for row in rows if row.memory_id not in staying]
            plan = plan_displacement(candidates, items, size, now_us, self._core.policy, self._core.curve)
            if plan.enough or len(rows) < limit:
                break
            limit *= 4
        if not plan.enough:
            raise QuotaExceededError(PROTECTED)
        return Room(rules.max_items, rules.max_bytes, *moves(active, plan.leaving, now_us))

    def _displaceable(self, active: ActiveSubject, row: MemoryRow) -> Displaceable:
        tracked = active.tracked.get(row.memory_id)
        state = state_of(row) if tracked is None else tracked.state
        return Displaceable(
            due_of(row, state, self._core.policy, self._core.terms.of(row.subject)), row.bytes, row.order
        )

    async def _leave(self, active: ActiveSubject, room: Room | None) -> None:
        """Their rows have moved; now the rest of the runtime lets go of them."""
        if room is None or not room.evicted:
            return
        await self._hands.take_out(active, [change.memory_id for change in room.evicted])
        self._announcer.moved(active.subject, room.evicted, self._core.now_us())


def _size(active: ActiveSubject, batch: WriteBatch) -> Totals:
    """Return what a batch adds: its memories, and by how much those grow that it brings up to date."""
    before = [active.tracked.get(one.entry.memory_id) for one in batch.revisions]
    grown = sum(one.bytes for one in batch.revisions) - sum(
        one.row.bytes for one in before if one is not None
    )
    return Totals(len(batch.memories), sum(row.bytes for row in batch.memories) + grown)


def _fits(rules: QuotaRules, size: Totals) -> bool:
    within_items = rules.max_items is None or size.items <= rules.max_items
    return within_items and (rules.max_bytes is None or size.bytes <= rules.max_bytes)


@dataclass(frozen=True, slots=True)
class Leavers:
    """What makes room for memories, and what tells of those that come back."""

    quotas: Quotas
    announcer: Announcer
