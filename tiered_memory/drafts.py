"""Drafts: interactions that are judged and encoded, and the rows and records they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiered_memory.active import ActiveSubject, HeldMemory
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import Place
from tiered_memory.forgetting.placement import deadline
from tiered_memory.forgetting.routing import Placement
from tiered_memory.model import Memory, Role
from tiered_memory.scoring.recall_index import IndexedTurn
from tiered_memory.state.base import JournalAction, JournalEntry, MemoryRow, MemoryState, TailRow
from tiered_memory.tiers.base import TierRecord

MINUTE_US = 60_000_000
SESSION_NAMES = 1000


@dataclass(frozen=True, slots=True)
class Draft:
    """An interaction ready to be put down."""

    memory: Memory
    placement: Placement
    plaintext: bytes
    turn: IndexedTurn

    def held(self, expires_us: int | None) -> HeldMemory:
        """Return the draft as it is held in RAM."""
        memory = self.memory
        return HeldMemory(
            memory.id,
            memory.order,
            memory.version,
            self.plaintext,
            memory.kind.value,
            memory.role.value,
            memory.session,
            memory.agent,
            self.turn.occurred_at_us,
            memory.importance,
            expires_us,
            not self.placement.durable,
        )


class DraftWriter:
    """Turns drafts into what the engines store. Synchronous; `now_us` is the operation's moment."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def seal(self, active: ActiveSubject, draft: Draft, where: Place) -> bytes:
        """Return the draft's envelope for one kind of store; without grounds under the key in RAM."""
        memory = draft.memory
        sealer = active.sealer(memory.purpose if draft.placement.durable else "")
        context = sealer.context(where, memory.id, order=memory.order, version=memory.version)
        return sealer.key.seal(draft.plaintext, context, self._core.keyring.nonce())

    def entries(
        self, active: ActiveSubject, drafts: Sequence[Draft], operation: bytes, now_us: int
    ) -> list[JournalEntry]:
        """Return the journal entries of what goes to cold: one atomic group of one operation (16 bytes)."""
        cold = [draft for draft in drafts if draft.placement.cold]
        group = self._core.entropy.token(16)
        return [
            JournalEntry(
                operation=operation,
                atomic_group=group,
                group_size=len(cold),
                subject=active.ref.pseudonym,
                generation=active.ref.generation,
                action=JournalAction.UPSERT,
                memory_id=draft.memory.id,
                order=draft.memory.order,
                version=draft.memory.version,
                sealed=self.seal(active, draft, Place.MEMORY),
                created_us=now_us,
            )
            for draft in cold
        ]

    def row(self, active: ActiveSubject, draft: Draft, now_us: int) -> MemoryRow:
        """Return what the state store keeps of a memory: its strength from now on and its deadline."""
        memory, policy, curve = draft.memory, self._core.policy, self._core.curve
        state = curve.start(memory.importance, now_us, self._core.policy_version)
        retention = policy.retention[memory.sensitivity]
        due = deadline(state, curve, retention, policy.decay.grace_hours)
        return MemoryRow(
            subject=active.ref.pseudonym,
            memory_id=memory.id,
            generation=active.ref.generation,
            order=memory.order,
            version=memory.version,
            kind=memory.kind.value,
            sensitivity=memory.sensitivity.value,
            purpose=memory.purpose,
            basis=memory.lawful_basis.value if memory.lawful_basis else "",
            state=MemoryState.ACTIVE.value,
            importance=memory.importance,
            strength_last=state.strength_last,
            t_last_us=state.t_last_us,
            n_spaced=state.n_spaced,
            policy_version=self._core.policy_version,
            ingested_us=now_us,
            forget_at_us=curve.forget_at_us(state),
            deadline_us=due.at_us,
            deadline_rule=due.rule,
            pinned=False,
            held=False,
            bytes=len(draft.plaintext),
        )

    def tails(self, active: ActiveSubject, drafts: Sequence[Draft], now_us: int) -> list[TailRow]:
        """Return the session tail's rows; a turn that is a memory itself is only pointed at."""
        expires_us = now_us + round(self._core.policy.warm.session_idle_minutes * MINUTE_US)
        return [
            TailRow(
                subject=active.ref.pseudonym,
                session=self._session(active, draft.memory.session),
                order=draft.memory.order,
                generation=active.ref.generation,
                record_id=draft.memory.id,
                purpose=draft.memory.purpose,
                pinned=draft.memory.role is Role.SYSTEM,
                sealed=None if draft.placement.cold else self.seal(active, draft, Place.TAIL),
                expires_us=expires_us,
            )
            for draft in drafts
            if draft.memory.session is not None
        ]

    def _session(self, active: ActiveSubject, session: str) -> bytes:
        pseudonym = active.session_names.get(session)
        if pseudonym is None:
            pseudonym = self._core.names.session(active.ref.pseudonym, session)
            if len(active.session_names) >= SESSION_NAMES:
                active.session_names.clear()
            active.session_names[session] = pseudonym
        return pseudonym

    def hot_records(
        self, active: ActiveSubject, drafts: Sequence[Draft], expires_us: int
    ) -> list[TierRecord]:
        """Return what hot gets: everything that may be searched, until `expires_us`."""
        return [
            TierRecord(
                draft.memory.id,
                draft.memory.order,
                draft.memory.version,
                self.seal(active, draft, Place.HOT),
                expires_us,
            )
            for draft in drafts
            if draft.placement.searchable
        ]
