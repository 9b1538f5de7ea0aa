"""The write path: check, mask, score, embed, place, seal, acknowledge.

What decides here are pure functions of other modules; this one awaits. A write is acknowledged by the state
store's fsync; hot is told at the same time, warm and the recall index after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import from_us, to_us
from tiered_memory.commits import WITHDRAWN, Commission, Committer, Written, shown_of
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import SealingKey
from tiered_memory.drafts import Draft, DraftWriter
from tiered_memory.errors import (
    ConsentRequiredError,
    HotTierError,
    InvalidInputError,
    StateStoreError,
    TieredMemoryError,
)
from tiered_memory.features import features_of
from tiered_memory.flusher import Flusher
from tiered_memory.forgetting.routing import Placement, kept_apart, place
from tiered_memory.formats.record import Features, encode_record, offset_minutes
from tiered_memory.guard import Guard
from tiered_memory.inflight import InFlight
from tiered_memory.intake import Accepted, accept
from tiered_memory.masking import Masker
from tiered_memory.model import Durability, Interaction, Memory, Provenance, Receipt, Role
from tiered_memory.privacy.consent import Grounds, decide_grounds, open_consents
from tiered_memory.privacy.trust import source_of
from tiered_memory.receipts import Operations, fingerprint_of, receipt_for, remember
from tiered_memory.reconciler import Reconciler, Settled
from tiered_memory.scoring import text
from tiered_memory.scoring.importance import Importance, score_importance
from tiered_memory.scoring.passages import Passage
from tiered_memory.scoring.recall_index import IndexedTurn, RecallIndex
from tiered_memory.sessions import Sessions, buffered
from tiered_memory.sight import Sight, index_seen
from tiered_memory.state.base import MemoryRow, Repeated, Stale
from tiered_memory.subjects import SubjectDirectory


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What a caller asks of a write besides its interactions.

    `operation_id` makes a repeated call answer with the first one's receipts; `require` refuses to store
    anything less durable. With `sight` it is compared with what that shows alone, and changes nothing else.
    """

    purpose: str
    operation_id: str | None = None
    require: Durability | None = None
    sight: Sight | None = None


class Router:
    """Writes interactions for active subjects."""

    def __init__(
        self,
        core: Core,
        directory: SubjectDirectory,
        flusher: Flusher,
        sessions: Sessions,
        inflight: InFlight,
        *,
        committer: Committer,
        reconciler: Reconciler,
    ) -> None:
        self._core = core
        self._directory = directory
        self._flusher = flusher
        self._sessions = sessions
        self._writer = DraftWriter(core)
        self._masker = Masker(core)
        self._committer = committer
        self._reconciler = reconciler
        self._operations = Operations(core)
        self._inflight = inflight
        self._guard = Guard(core, reconciler.pager)

    async def add(
        self, active: ActiveSubject, interactions: Sequence[Interaction], options: WriteOptions
    ) -> list[Receipt]:
        """Write interactions as one atomic group and return their receipts in order."""
        now = self._core.clock.now()
        accepted = [accept(one, now, self._core.limits.max_content_bytes) for one in interactions]
        if not accepted:
            return []
        _check_required(accepted, options.require)
        self._core.tenancy.check_agents(active.tenant, (one.interaction.agent for one in accepted))
        fingerprint = fingerprint_of([one.interaction for one in accepted], options.purpose)
        earlier = await self._operations.earlier(active, options.operation_id, fingerprint)
        if earlier is not None:
            return earlier
        grounds = await self._grounds(active, accepted, options, to_us(now))
        for session in sorted({one.interaction.session for one in accepted if one.interaction.session}):
            await self._sessions.ready(active, session)
        drafts = await self._drafts(active, accepted, grounds, options)
        settled = await self._reconciler.settle(active, drafts, sight=options.sight)
        self._flusher.check_room(settled.entries)
        work = _Work(options, fingerprint, options.operation_id or self._core.new_id(), drafts)
        return await self._inflight.finish(self._put_down(active, work, settled))

    async def _grounds(
        self, active: ActiveSubject, accepted: Sequence[Accepted], options: WriteOptions, now_us: int
    ) -> list[Grounds]:
        if options.purpose not in self._core.policy.purposes:
            known = ", ".join(sorted(self._core.policy.purposes))
            raise InvalidInputError(f"the policy knows no such purpose; it has: {known}")
        consents = open_consents(active.consents, now_us)
        levels = [one.interaction.sensitivity for one in accepted]
        purpose, policy = options.purpose, self._core.policy
        barred = active.objections
        found = [decide_grounds(policy, consents, purpose, one, now_us, objections=barred) for one in levels]
        refused = next((ground for ground in found if not ground.durable), None)
        if refused is not None and options.require not in {None, Durability.EPHEMERAL}:
            raise ConsentRequiredError(
                f"{refused.reason}; the required durability cannot be met, nothing was stored"
            )
        if any(ground.durable for ground in found):
            if not active.durable:
                await self._directory.establish(active)
            await self._directory.key_for(active, purpose)
        return found

    async def _drafts(
        self,
        active: ActiveSubject,
        accepted: Sequence[Accepted],
        grounds: Sequence[Grounds],
        options: WriteOptions,
    ) -> list[Draft]:
        prepared = await self._masker.prepared(active, accepted)
        await self._guard.bring_parents(active, prepared.accepted)
        found = await features_of(self._core, prepared.indexable)
        active.check_alive()
        now_us = self._core.now_us()
        seen, asking, drafts = set[str](), dict[str, bool](), list[Draft]()
        index = index_seen(active, options.sight, self._core.embedder)
        for one, ground, features in zip(prepared.accepted, grounds, found, strict=True):
            terms = features.terms
            answers = _answers(index, one.interaction, asking)
            importance = _importance(one.interaction, _novelty(index, terms, seen), answers=answers)
            seen.update(terms)
            memory = self._memory(active, one, importance, _Frame(options.purpose, ground, now_us))
            memory = self._guard.judged(active, memory)
            placement = self._place(active, memory, ground, options.require)
            plaintext = encode_record(memory, features, volatile=not placement.cold)
            draft = Draft(memory, placement, plaintext, _turn(memory, features))
            drafts.append(replace(draft, mergeable=self._is_mergeable(one.interaction)))
        return drafts

    def _is_mergeable(self, given: Interaction) -> bool:
        """What the caller says of its weight or origin must not get lost in another memory."""
        asked = given.importance is not None or given.provenance is not None
        return self._core.policy.routing.merge_duplicates and not asked

    def _place(
        self, active: ActiveSubject, memory: Memory, ground: Grounds, require: Durability | None
    ) -> Placement:
        if memory.quarantined:
            return kept_apart(ground, memory.reasons[-1])
        rules, required = self._core.policy.routing, _needs_cold(memory.session, require)
        spread = active.spread
        placed = place(memory.importance, memory.role, ground, rules, required=required, spread=spread)
        if memory.role is not Role.SYSTEM:
            spread.add(memory.importance)
        return placed

    def _memory(
        self, active: ActiveSubject, accepted: Accepted, importance: Importance, frame: _Frame
    ) -> Memory:
        given = accepted.interaction
        return Memory(
            id=self._core.new_id(),
            order=active.next_order(),
            version=1,
            content=given.content,
            role=given.role,
            kind=given.kind,
            importance=importance.value,
            reasons=importance.reasons,
            sensitivity=given.sensitivity,
            purpose=frame.purpose,
            lawful_basis=frame.grounds.basis,
            occurred_at=accepted.occurred_at,
            ingested_at=from_us(frame.now_us),
            author=given.author,
            session=given.session,
            agent=given.agent,
            metadata=given.metadata,
            provenance=given.provenance or Provenance(source_of(given.role)),
        )

    async def _put_down(self, active: ActiveSubject, work: _Work, settled: Settled) -> list[Receipt]:
        """The commit section. It runs to its end whatever becomes of the caller."""
        active.users += 1
        try:
            async with (
                self._reconciler.turn(active, work.drafts, settled) as latest,
                self._committer.turn(active),
            ):
                return await self._written(active, work, self._commission(active, work, latest))
        finally:
            active.users -= 1

    async def _written(self, active: ActiveSubject, work: _Work, given: Commission) -> list[Receipt]:
        if not given.promoted:
            return await self._acknowledge(active, work, given)
        async with active.moving:
            held = [active.held.get(draft.memory.id) for draft in given.promoted]
            if not all(one is not None and one.volatile for one in held):
                settled = await self._reconciler.settle(active, work.drafts, sight=work.options.sight)
                given = self._commission(active, work, settled)
            return await self._acknowledge(active, work, given)

    async def _acknowledge(self, active: ActiveSubject, work: _Work, given: Commission) -> list[Receipt]:
        pushed = asyncio.ensure_future(self._push_hot(active, given.drafts))
        try:
            outcome = await self._committer.attempt(active, given)
            if outcome is None or isinstance(outcome, Stale):
                await pushed
                given, outcome = await self._once_more(active, work, outcome)
                pushed = asyncio.ensure_future(self._push_hot(active, given.drafts))
            in_hot = await pushed
            active.check_alive()
            if isinstance(outcome, Written) and outcome.key is not None:
                _check_key(active, given.purpose, outcome.key)
        except TieredMemoryError:
            await pushed
            await self._take_back(active, work.drafts)
            raise
        if isinstance(outcome, Repeated):
            await self._take_back(active, work.drafts)
            return self._operations.repeated(active, outcome.earlier, work.fingerprint)
        earlier = self._operations.known(active, work.options.operation_id, work.fingerprint)
        if outcome.key is None and earlier is not None:
            await self._take_back(active, work.drafts)
            return earlier
        receipts = [receipt_for(draft, work.operation_id, in_hot=in_hot) for draft in given.drafts]
        if work.options.operation_id is not None:
            remember(active, work.operation_id, work.fingerprint, receipts, given.purpose)
        await self._publish(active, given, outcome.rows)
        return receipts

    async def _once_more(
        self, active: ActiveSubject, work: _Work, stale: Stale | None
    ) -> tuple[Commission, Written | Repeated]:
        """Somebody was faster: judge again without the memories that changed, and at last without any."""
        if stale is not None:
            besides = (*stale.memory_ids, *(one.id for one in active.held.values() if one.volatile))
            settled = await self._reconciler.settle(active, work.drafts, besides, work.options.sight)
            given = self._commission(active, work, settled)
            outcome = await self._committer.attempt(active, given)
            if isinstance(outcome, (Written, Repeated)):
                return given, outcome
        given = self._commission(active, work, Settled(list(work.drafts)))
        outcome = await self._committer.commit(active, given)
        if isinstance(outcome, Stale):
            raise StateStoreError("a write without revisions was refused for one")
        return given, outcome

    def _commission(self, active: ActiveSubject, work: _Work, settled: Settled) -> Commission:
        options, remembered = work.options, None
        if options.operation_id is not None and any(d.placement.durable for d in settled.drafts):
            remembered = self._operations.row(
                active, options.purpose, work.operation_id, work.fingerprint, settled.drafts
            )
        name = self._operation_name(active, options, work.operation_id)
        return Commission(
            purpose=options.purpose,
            operation=name,
            drafts=settled.drafts,
            amendments=tuple(settled.amendments.values()),
            promoted=tuple(settled.promoted.values()),
            remembered=remembered,
        )

    def _operation_name(self, active: ActiveSubject, options: WriteOptions, operation_id: str) -> bytes:
        """A caller's operation id may mean something and is hidden; one made here is chance already."""
        if options.operation_id is None:
            return bytes.fromhex(operation_id)
        return self._core.names.operation(active.ref.pseudonym, operation_id)

    async def _push_hot(self, active: ActiveSubject, drafts: Sequence[Draft]) -> bool:
        """Hot is a cache: when it fails the write goes on without it."""
        try:
            await self._core.hot.put(active.ref, self._writer.hot_records(active, drafts, self._expires_us()))
        except HotTierError:
            return False
        return True

    async def _take_back(self, active: ActiveSubject, drafts: list[Draft]) -> None:
        """What was not acknowledged must not be found in hot later."""
        try:
            await self._core.hot.remove(active.ref, [draft.memory.id for draft in drafts])
        except HotTierError:
            return

    async def _publish(self, active: ActiveSubject, given: Commission, rows: Sequence[MemoryRow]) -> None:
        """Make acknowledged interactions findable and part of their session."""
        shown = shown_of(active, given)
        if shown is not given:
            await self._take_back(active, [draft for draft in given.drafts if draft.placement.durable])
        self._committer.publish(active, shown, rows, self._expires_us())
        for draft in shown.drafts:
            if draft.memory.session is not None and draft.is_heard:
                await self._join_session(active, draft, draft.memory.session)

    async def _join_session(self, active: ActiveSubject, draft: Draft, session: str) -> None:
        if not draft.placement.durable:
            active.ephemeral_sessions.add(session)
        turn = buffered(draft.memory, self._core.count_tokens, durable=draft.placement.cold)
        await self._sessions.append(active, session, replace(turn, memory_id=draft.stored_as))

    def _expires_us(self) -> int:
        return self._core.now_us() + round(self._core.policy.hot.ttl_seconds * 1_000_000)


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all memories of one write share."""

    purpose: str
    grounds: Grounds
    now_us: int


@dataclass(frozen=True, slots=True)
class _Work:
    """One call to `add`: what was asked, and its drafts before they are settled with what is held."""

    options: WriteOptions
    fingerprint: bytes
    operation_id: str
    drafts: list[Draft]


def _check_required(accepted: Sequence[Accepted], require: Durability | None) -> None:
    given = (one.interaction for one in accepted)
    if any(one.role is Role.SYSTEM and _needs_cold(one.session, require) for one in given):
        raise InvalidInputError("a system prompt stays with its session: it cannot be kept beyond that")


def _needs_cold(session: str | None, require: Durability | None) -> bool:
    """Without a session there is no tail to be kept in."""
    return require is Durability.JOURNALED or (require is Durability.SESSION and session is None)


def _check_key(active: ActiveSubject, purpose: str, key: SealingKey) -> None:
    """Refuse to go on under a purpose's key that a withdrawal has destroyed meanwhile."""
    if active.keys.get(purpose) is not key:
        raise ConsentRequiredError(WITHDRAWN)


def _importance(interaction: Interaction, novelty: float | None, *, answers: bool) -> Importance:
    if interaction.importance is not None:
        return Importance(interaction.importance, ("given by the caller",))
    return score_importance(interaction.content, interaction.role, novelty, answers=answers)


def _novelty(index: RecallIndex, terms: Mapping[str, int], seen: set[str]) -> float | None:
    """How new the terms are beside what is held and what came before in the same call."""
    fresh = {term: count for term, count in terms.items() if term not in seen}
    return index.novelty(fresh) * len(fresh) / len(terms) if terms else None


def _answers(index: RecallIndex, given: Interaction, asking: dict[str, bool]) -> bool:
    """Tell whether what came before in the session asks; `asking` notes it for what came in the same call."""
    if given.session is None:
        return False
    before = asking.get(given.session)
    asking[given.session] = text.is_question(given.content)
    return index.ends_asking(given.session) if before is None else before


def _turn(memory: Memory, features: Features) -> IndexedTurn:
    return IndexedTurn(
        id=memory.id,
        order=memory.order,
        session=memory.session,
        author=memory.author,
        occurred_at_us=to_us(memory.occurred_at),
        characters=len(memory.content),
        terms=features.terms,
        vector=features.vector,
        question=text.is_question(memory.content),
        signs=features.signs,
        zone_minutes=offset_minutes(memory.occurred_at),
        importance=memory.importance,
        passages=[Passage(*one) for one in features.passages],
    )
