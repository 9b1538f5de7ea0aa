"""Drafts: interactions that are judged and encoded, and the rows and records they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import from_us, to_us
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import Place
from tiered_memory.forgetting.decay import StrengthState
from tiered_memory.forgetting.placement import deadline
from tiered_memory.forgetting.retention import kept
from tiered_memory.forgetting.routing import PROMOTED, Placement
from tiered_memory.formats.record import (
    amended,
    closed,
    decode_fields,
    memory_of,
    repeated,
    settled,
    vectors_of,
)
from tiered_memory.held import HeldMemory, Tracked
from tiered_memory.held_records import held_memory, indexed_turn
from tiered_memory.model import Memory, Repeat, Role, SourceKind
from tiered_memory.privacy.consent import decide_grounds, open_consents
from tiered_memory.scoring.recall_index import IndexedTurn
from tiered_memory.scoring.reconcile import Claim
from tiered_memory.scoring.supersession import Statement
from tiered_memory.state.base import (
    JournalAction,
    JournalEntry,
    MemoryRow,
    MemoryState,
    Revision,
    StrengthUpdate,
    TailRow,
)
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
    mergeable: bool = False
    """Whether it may strengthen a memory that says the same: the caller asked for nothing that would get lost."""
    merged_into: str | None = None
    claim: Claim | None = None
    """As it was compared, if it was: what was read of it need not be read again."""
    read: list[Statement] = field(default_factory=list, repr=False, compare=False)

    @property
    def statement(self) -> Statement:
        """What it says, to be compared: the same object for every later form of this draft, so that it is read once."""
        if not self.read:
            memory, turn = self.memory, self.turn
            said = Statement(memory.content, memory.role, memory.author, turn.occurred_at_us, turn.terms)
            self.read.append(said)
        return self.read[0]

    @property
    def stored_as(self) -> str | None:
        """Return the id of the memory in cold that it became part of, if there is one."""
        return self.merged_into or (self.memory.id if self.placement.cold else None)

    @property
    def is_heard(self) -> bool:
        """Whether it joins its session: what is quarantined does only where the user said it, who is there."""
        return not self.memory.quarantined or self.memory.provenance.source is SourceKind.USER

    def superseding(self, old_id: str) -> Draft:
        """Return the draft of a memory that takes another's place."""
        since = self.memory.valid_from or self.memory.occurred_at
        olds = (*self.memory.supersedes, old_id)
        changes = {"valid_from": to_us(since), "supersedes": list(olds)}
        return self._with(changes, valid_from=since, supersedes=olds)

    def superseded(self, by: str, at_us: int, reason: str) -> Draft:
        """Return the draft of a memory whose place another took in the same breath, or before it arrived."""
        memory = replace(self.memory, valid_to=from_us(at_us), superseded_by=by, superseded_because=reason)
        return replace(self, memory=memory, plaintext=closed(self.plaintext, by, at_us, reason))

    def contesting(self, other_id: str) -> Draft:
        """Return the draft of a memory that says something else than another."""
        others = (*self.memory.conflicts_with, other_id)
        return self._with({"conflicts": list(others)}, conflicts_with=others)

    def said_again(self, repeat: Repeat) -> Draft:
        """Return the draft of a memory that was said twice."""
        provenance = self.memory.provenance
        merged = replace(provenance, merged_from=(*provenance.merged_from, repeat.id))
        memory = replace(self.memory, provenance=merged, repeats=(*self.memory.repeats, repeat))
        return replace(self, memory=memory, plaintext=repeated(self.plaintext, repeat))

    def kept_for(self, placement: Placement) -> Draft:
        """Return the draft on its way to cold."""
        return replace(self, placement=placement, plaintext=settled(self.plaintext))

    def _with(self, changes: Mapping[str, Any], **fields: Any) -> Draft:
        memory = replace(self.memory, **fields)
        return replace(self, memory=memory, plaintext=amended(self.plaintext, changes))

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
            None if memory.valid_from is None else to_us(memory.valid_from),
            None if memory.valid_to is None else to_us(memory.valid_to),
            memory.superseded_by,
            memory.conflicts_with,
            memory.sensitivity.value,
            trust=memory.trust,
            quarantined=memory.quarantined,
        )


@dataclass(frozen=True, slots=True)
class Amendment:
    """The next version of a memory that is held: other links, the same content.

    `state` is its strength after a use, `before` the one it was computed from; None: it was not used.
    """

    held: HeldMemory
    before: StrengthState | None = None
    state: StrengthState | None = None

    @classmethod
    def of(cls, known: HeldMemory, plaintext: bytes) -> Amendment:
        """Return what `plaintext` makes of a memory."""
        record = TierRecord(known.id, known.order, known.version + 1, b"", known.expires_us)
        return cls(held_memory(record, plaintext, decode_fields(plaintext)))


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

    def revisions(
        self,
        active: ActiveSubject,
        amendments: Sequence[Amendment],
        purpose: str,
        operation: bytes,
        now_us: int,
    ) -> list[Revision]:
        """Return new versions, sealed for `purpose`, as the state store takes them: an atomic group of their own."""
        group = self._core.entropy.token(16)
        return [
            Revision(
                entry=JournalEntry(
                    operation=operation,
                    atomic_group=group,
                    group_size=len(amendments),
                    subject=active.ref.pseudonym,
                    generation=active.ref.generation,
                    action=JournalAction.UPSERT,
                    memory_id=one.held.id,
                    order=one.held.order,
                    version=one.held.version,
                    sealed=self._seal_version(active, one.held, purpose),
                    created_us=now_us,
                ),
                bytes=len(one.held.plaintext),
                strength=self._strength(active, one),
            )
            for one in amendments
        ]

    def _seal_version(self, active: ActiveSubject, held: HeldMemory, purpose: str) -> bytes:
        sealer = active.sealer(purpose)
        context = sealer.context(Place.MEMORY, held.id, order=held.order, version=held.version)
        return sealer.key.seal(held.plaintext, context, self._core.keyring.nonce())

    def _strength(self, active: ActiveSubject, amendment: Amendment) -> StrengthUpdate | None:
        tracked = active.tracked.get(amendment.held.id)
        if amendment.state is None or tracked is None:
            return None
        return strength_update(self._core, Tracked(tracked.row, amendment.state))

    def row(self, active: ActiveSubject, draft: Draft, now_us: int) -> MemoryRow:
        """Return what the state store keeps of a memory: its strength from now on and its deadline."""
        memory, policy, curve = draft.memory, self._core.policy, self._core.curve
        started = curve.start(memory.importance, now_us, self._core.policy_version)
        state = replace(started, ingested_at_us=to_us(memory.ingested_at))
        retention = kept(
            policy,
            sensitivity=memory.sensitivity,
            kind=memory.kind.value,
            purpose=memory.purpose,
            ingested_us=state.ingested_at_us,
            terms=self._core.terms.of(active.ref.pseudonym),
        )
        held = self._core.holds.covers(active.tenant, active.ref.pseudonym, memory.id, memory.purpose)
        due = deadline(state, curve, retention, policy.decay.grace_hours, held=held)
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
            ingested_us=state.ingested_at_us,
            forget_at_us=curve.forget_at_us(state),
            deadline_us=due.at_us,
            deadline_rule=due.rule,
            pinned=False,
            held=held,
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
                record_id=draft.stored_as or draft.memory.id,
                purpose=draft.memory.purpose,
                pinned=draft.memory.role is Role.SYSTEM,
                sealed=None if draft.stored_as else self.seal(active, draft, Place.TAIL),
                expires_us=expires_us,
            )
            for draft in drafts
            if draft.memory.session is not None and draft.is_heard
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


def promoted(core: Core, active: ActiveSubject, held: HeldMemory, now_us: int) -> Draft | None:
    """Return the draft that keeps a volatile memory after all; None when it may not be kept, or is kept already.

    It must have been said on lawful grounds and have them now. It is as important as the gate asks at least: what is
    used deserves the least that is kept.
    """
    if not held.volatile:
        return None
    fields = decode_fields(held.plaintext)
    memory = memory_of(fields, record_id=held.id, order=held.order, version=held.version)
    policy, consents = core.policy, open_consents(active.consents, now_us)
    purpose, barred = memory.purpose, active.objections
    grounds = decide_grounds(policy, consents, purpose, memory.sensitivity, now_us, objections=barred)
    if memory.lawful_basis is None or not grounds.durable or memory.purpose not in active.keys:
        return None
    importance = max(memory.importance, policy.routing.cold_threshold)
    reasons = (*memory.reasons, PROMOTED.reason)
    changes = {"importance": importance, "reasons": list(reasons)}
    vector = vectors_of([fields], core.embedder.dimensions)[0]
    turn = indexed_turn(TierRecord(held.id, held.order, held.version, b""), fields, vector)
    kept = replace(memory, importance=importance, reasons=reasons)
    return Draft(kept, PROMOTED, amended(settled(held.plaintext), changes), turn)


def strength_update(core: Core, tracked: Tracked) -> StrengthUpdate:
    """Return a tracked memory's strength and deadline as the state store keeps them."""
    row, state, decay = tracked.row, tracked.state, core.policy.decay
    retention = core.kept_of(row)
    due = deadline(state, core.curve, retention, decay.grace_hours, pinned=row.pinned, held=row.held)
    return StrengthUpdate(
        memory_id=row.memory_id,
        strength_last=state.strength_last,
        t_last_us=state.t_last_us,
        n_spaced=state.n_spaced,
        policy_version=core.policy_version,
        forget_at_us=core.curve.forget_at_us(state),
        deadline_us=due.at_us,
        deadline_rule=due.rule,
    )
