"""The write path: check, mask, score, embed, place, seal, acknowledge.

What decides here are pure functions of other modules; this one awaits. A write is acknowledged by the state
store's fsync; hot is told at the same time, warm and the recall index after.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tiered_memory.active import ActiveSubject, Tracked, state_of
from tiered_memory.clock import from_us, stopwatch, to_us
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import SealingKey
from tiered_memory.drafts import Draft, DraftWriter
from tiered_memory.embedding.base import Vectors
from tiered_memory.errors import ConsentRequiredError, HotTierError, InvalidInputError, TieredMemoryError
from tiered_memory.failpoints import reach
from tiered_memory.flusher import Flusher
from tiered_memory.forgetting.routing import place
from tiered_memory.formats.record import Features, PassageFeatures, encode_record, offset_minutes
from tiered_memory.inflight import InFlight
from tiered_memory.intake import Accepted, accept
from tiered_memory.metrics import Embedded, Routed
from tiered_memory.model import Durability, Interaction, Memory, Provenance, Receipt, Role, SourceKind
from tiered_memory.privacy.consent import Grounds, decide_grounds, open_consents
from tiered_memory.receipts import Operations, fingerprint_of, receipt_for, remember
from tiered_memory.scoring import text
from tiered_memory.scoring.importance import Importance, score_importance
from tiered_memory.scoring.passages import Passage, split
from tiered_memory.scoring.recall_index import IndexedTurn, RecallIndex
from tiered_memory.scoring.signs import signs_of
from tiered_memory.sessions import Sessions, buffered
from tiered_memory.state import commands as c
from tiered_memory.state.base import JournalEntry, MemoryRow, Repeated, WriteBatch
from tiered_memory.subjects import SubjectDirectory

WITHDRAWN = "the consent was withdrawn while this was being written; nothing was stored"
SOURCE_OF_ROLE = {Role.ASSISTANT: SourceKind.AGENT, Role.SYSTEM: SourceKind.AGENT, Role.TOOL: SourceKind.TOOL}


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What a caller asks of a write besides its interactions.

    `operation_id` makes a repeated call answer with the first one's receipts; `require` refuses to store
    anything less durable.
    """

    purpose: str
    operation_id: str | None = None
    require: Durability | None = None


@dataclass(frozen=True, slots=True)
class _Written:
    """What a commit put down: the journal's entries with their numbers, and the memories' rows."""

    entries: tuple[JournalEntry, ...] = ()
    rows: tuple[MemoryRow, ...] = ()
    key: SealingKey | None = None


class Router:
    """Writes interactions for active subjects."""

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
        self._writer = DraftWriter(core)
        self._operations = Operations(core)
        self._inflight = inflight

    async def add(
        self, active: ActiveSubject, interactions: Sequence[Interaction], options: WriteOptions
    ) -> list[Receipt]:
        """Write interactions as one atomic group and return their receipts in order."""
        now = self._core.clock.now()
        accepted = [accept(one, now, self._core.limits.max_content_bytes) for one in interactions]
        if not accepted:
            return []
        _check_required(accepted, options.require)
        fingerprint = fingerprint_of([one.interaction for one in accepted], options.purpose)
        earlier = await self._operations.earlier(active, options.operation_id, fingerprint)
        if earlier is not None:
            return earlier
        grounds = await self._grounds(active, accepted, options, to_us(now))
        for session in sorted({one.interaction.session for one in accepted if one.interaction.session}):
            await self._sessions.ready(active, session)
        drafts = await self._drafts(active, accepted, grounds, options)
        self._flusher.check_room(sum(draft.placement.cold for draft in drafts))
        return await self._inflight.finish(self._put_down(active, drafts, options, fingerprint))

    async def _grounds(
        self, active: ActiveSubject, accepted: Sequence[Accepted], options: WriteOptions, now_us: int
    ) -> list[Grounds]:
        if options.purpose not in self._core.policy.purposes:
            known = ", ".join(sorted(self._core.policy.purposes))
            raise InvalidInputError(f"the policy knows no such purpose; it has: {known}")
        consents = open_consents(active.consents, now_us)
        levels = [one.interaction.sensitivity for one in accepted]
        purpose, policy = options.purpose, self._core.policy
        found = [decide_grounds(policy, consents, purpose, level, now_us) for level in levels]
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
        masked = [await self._masked(one) for one in accepted]
        contents = [one.interaction.content for one in masked]
        vectors = await self._embedded(contents)
        passages = await self._passages(contents)
        active.check_alive()
        now_us, embedder = self._core.now_us(), self._core.embedder.name
        seen, drafts = set[str](), list[Draft]()
        for one, ground, vector, parts in zip(masked, grounds, vectors, passages, strict=True):
            terms = text.analyze(one.interaction.content).terms
            importance = _importance(one.interaction, _novelty(active.index, terms, seen))
            seen.update(terms)
            memory = self._memory(active, one, importance, _Frame(options.purpose, ground, now_us))
            stored = {**terms, **signs_of(one.interaction.content)}
            drafts.append(
                self._draft(
                    memory, ground, Features(text.ANALYZER, stored, embedder, vector, parts), options.require
                )
            )
        return drafts

    async def _embedded(self, texts: Sequence[str]) -> Vectors:
        begun = stopwatch()
        vectors = await self._core.embedder.embed(texts, "document")
        self._core.observer.observe(Embedded(len(texts), stopwatch() - begun))
        return vectors

    async def _passages(self, contents: Sequence[str]) -> list[list[PassageFeatures]]:
        """Return the passages of each content; only long ones have some."""
        parted = [split(content) for content in contents]
        parts = [part for one in parted for part in one]
        vectors = iter(await self._embedded(parts) if parts else ())
        return [[(text.analyze(part).terms, next(vectors)) for part in one] for one in parted]

    def _draft(
        self, memory: Memory, ground: Grounds, features: Features, require: Durability | None
    ) -> Draft:
        rules, required = self._core.policy.routing, _needs_cold(memory.session, require)
        placement = place(memory.importance, memory.role, ground, rules, required=required)
        plaintext = encode_record(memory, features, volatile=not placement.cold)
        return Draft(memory, placement, plaintext, _turn(memory, features))

    async def _masked(self, accepted: Accepted) -> Accepted:
        if self._core.pii is None:
            return accepted
        content = await self._core.pii(accepted.interaction.content)
        return replace(accepted, interaction=replace(accepted.interaction, content=content))

    def _memory(
        self, active: ActiveSubject, accepted: Accepted, importance: Importance, frame: _Frame
    ) -> Memory:
        given = accepted.interaction
        source = SOURCE_OF_ROLE.get(given.role, SourceKind.USER)
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
            provenance=given.provenance or Provenance(source),
        )

    async def _put_down(
        self, active: ActiveSubject, drafts: list[Draft], options: WriteOptions, fingerprint: bytes
    ) -> list[Receipt]:
        """The commit section. It runs to its end whatever becomes of the caller."""
        active.users += 1
        try:
            return await self._acknowledge(active, drafts, options, fingerprint)
        finally:
            active.users -= 1

    async def _acknowledge(
        self, active: ActiveSubject, drafts: list[Draft], options: WriteOptions, fingerprint: bytes
    ) -> list[Receipt]:
        operation_id = options.operation_id or self._core.new_id()
        pushed = asyncio.ensure_future(self._push_hot(active, drafts))
        try:
            outcome = await self._commit(active, drafts, options, _Operation(operation_id, fingerprint))
            in_hot = await pushed
            active.check_alive()
            if isinstance(outcome, _Written) and outcome.key is not None:
                _check_key(active, options.purpose, outcome.key)
        except TieredMemoryError:
            await pushed
            await self._take_back(active, drafts)
            raise
        if isinstance(outcome, Repeated):
            await self._take_back(active, drafts)
            return self._operations.repeated(active, outcome.earlier, fingerprint)
        earlier = self._operations.known(active, options.operation_id, fingerprint)
        if outcome.key is None and earlier is not None:
            await self._take_back(active, drafts)
            return earlier
        receipts = [receipt_for(draft, operation_id, in_hot=in_hot) for draft in drafts]
        if options.operation_id is not None:
            remember(active, operation_id, fingerprint, receipts, options.purpose)
        self._flusher.add(active.ref, outcome.entries)
        await self._publish(active, drafts, outcome.rows)
        return receipts

    async def _commit(
        self, active: ActiveSubject, drafts: list[Draft], options: WriteOptions, operation: _Operation
    ) -> _Written | Repeated:
        durable = [draft for draft in drafts if draft.placement.durable]
        if not durable:
            return _Written()
        key = active.keys.get(options.purpose)
        if key is None:
            raise ConsentRequiredError(WITHDRAWN)
        now_us, write = self._core.now_us(), self._writer
        entries = write.entries(active, durable, self._operation_name(active, options, operation), now_us)
        rows = tuple(write.row(active, draft, now_us) for draft in durable if draft.placement.cold)
        remembered = None
        if options.operation_id is not None:
            remembered = self._operations.row(
                active, options.purpose, operation.id, operation.fingerprint, drafts
            )
        batch = WriteBatch(
            subject=active.ref.pseudonym,
            generation=active.ref.generation,
            entries=tuple(entries),
            memories=rows,
            tails=tuple(write.tails(active, durable, now_us)),
            tail_turns=self._core.policy.warm.tail_turns,
            routing=Counter((draft.placement.target, draft.placement.reason) for draft in drafts),
            operation=remembered,
            key_id=key.key_id,
            purpose=options.purpose,
        )
        reach("append.before")
        outcome = await self._core.state.write(c.Append(batch))
        reach("append.after")
        if isinstance(outcome, Repeated):
            return outcome
        numbered = [replace(e, seq=seq) for e, seq in zip(entries, outcome.seqs, strict=True)]
        return _Written(tuple(numbered), rows, key)

    def _operation_name(self, active: ActiveSubject, options: WriteOptions, operation: _Operation) -> bytes:
        """A caller's operation id may mean something and is hidden; one made here is chance already."""
        if options.operation_id is None:
            return bytes.fromhex(operation.id)
        return self._core.names.operation(active.ref.pseudonym, operation.id)

    async def _push_hot(self, active: ActiveSubject, drafts: list[Draft]) -> bool:
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

    async def _publish(self, active: ActiveSubject, drafts: list[Draft], rows: tuple[MemoryRow, ...]) -> None:
        """Make acknowledged interactions findable and part of their session."""
        expires_us = self._expires_us()
        active.tracked.update({row.memory_id: Tracked(row, state_of(row)) for row in rows})
        found = [draft for draft in drafts if draft.placement.searchable]
        held = [draft.held(None if draft.placement.cold else expires_us) for draft in found]
        active.hold(held, [draft.turn for draft in found])
        for draft in drafts:
            routed = Routed(draft.placement.target, draft.placement.reason, draft.memory.importance)
            self._core.observer.observe(routed)
            if draft.memory.session is not None:
                await self._join_session(active, draft, draft.memory.session)

    async def _join_session(self, active: ActiveSubject, draft: Draft, session: str) -> None:
        if not draft.placement.durable:
            active.ephemeral_sessions.add(session)
        turn = buffered(draft.memory, self._core.count_tokens, durable=draft.placement.cold)
        await self._sessions.append(active, session, turn)

    def _expires_us(self) -> int:
        return self._core.now_us() + round(self._core.policy.hot.ttl_seconds * 1_000_000)


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all memories of one write share."""

    purpose: str
    grounds: Grounds
    now_us: int


@dataclass(frozen=True, slots=True)
class _Operation:
    id: str
    fingerprint: bytes


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


def _importance(interaction: Interaction, novelty: float | None) -> Importance:
    if interaction.importance is not None:
        return Importance(interaction.importance, ("given by the caller",))
    return score_importance(interaction.content, interaction.role, novelty)


def _novelty(index: RecallIndex, terms: Mapping[str, int], seen: set[str]) -> float | None:
    """How new the terms are beside what is held and what came before in the same call."""
    fresh = {term: count for term, count in terms.items() if term not in seen}
    return index.novelty(fresh) * len(fresh) / len(terms) if terms else None


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
        zone_minutes=offset_minutes(memory.occurred_at),
        importance=memory.importance,
        passages=[Passage(*one) for one in features.passages],
    )
