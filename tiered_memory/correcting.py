"""Rectification (GDPR Art. 16): a memory's text is replaced by a new version of the same memory, everywhere.

The old text stays in the memory's history only, sealed with it, unless it must not stay at all. The new version is in
force with one commit; the old one's bytes are then removed from cold, which a crash delays and does not prevent.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from tiered_memory.active import ActiveSubject, wording_of
from tiered_memory.commits import WITHDRAWN, Committer
from tiered_memory.core import Core
from tiered_memory.corrections import Asked, Correction, accepted_of, changed, fingerprint_of
from tiered_memory.crypto.envelope import Place
from tiered_memory.drafts import Amendment, DraftWriter, strength_update
from tiered_memory.errors import (
    ConflictError,
    ConsentRequiredError,
    HotTierError,
    InvalidInputError,
    NotFoundError,
)
from tiered_memory.failpoints import reach
from tiered_memory.features import features_of
from tiered_memory.flusher import Flusher
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.formats.record import Features, decode_fields, memory_of, vectors_of
from tiered_memory.formats.versions import Amended, corrected
from tiered_memory.guard import quarantine_leaf, scanned, told_apart
from tiered_memory.held import HeldMemory
from tiered_memory.held_records import indexed_turn
from tiered_memory.inflight import InFlight
from tiered_memory.leaving import Quotas
from tiered_memory.ledger import leaf_for, said
from tiered_memory.masking import Masker
from tiered_memory.model import Memory, Sensitivity
from tiered_memory.next_version import NextVersion, receipt_of, tracked_after
from tiered_memory.overwriting import Overwriting, derived_from, overwritten
from tiered_memory.privacy.consent import decide_grounds, open_consents
from tiered_memory.privacy.holds import OnHoldError
from tiered_memory.quarantine import Quarantine, apart
from tiered_memory.receipts import Operations, remember
from tiered_memory.reconciler import COMPARED
from tiered_memory.sessions import Sessions
from tiered_memory.state.base import Appended, MemoryState, OperationRow, Repeated, Stale, WriteBatch
from tiered_memory.state.correction import Correct
from tiered_memory.state.paging import MemoryRows
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.sweep import Sweeper
from tiered_memory.tiers.base import TierRecord

ATTEMPTS = 8
BUSY = "this memory was changed by others again and again meanwhile; nothing was changed, repeat the call"
VOLATILE = (
    "the new text reads like instructions to the agent, and a memory that is not kept durably cannot be set apart; "
    "nothing was changed"
)
NEWER = (
    "this memory is not of the expected version any more; read it again and decide anew; nothing was changed"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One correction: the checked request and what was computed of the new text."""

    memory_id: str
    reason: str
    asked: Asked
    changes: Mapping[str, Any]
    features: Features
    fingerprint: bytes


class _Done(Enum):
    """What became of a correction: it is stored, or in hot alone as the memory was, or had been done before."""

    STORED = auto()
    SPOKEN = auto()
    REPEATED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectorParts:
    """What a corrector works with besides the core."""

    directory: SubjectDirectory
    overwriting: Overwriting
    flusher: Flusher
    sessions: Sessions
    inflight: InFlight
    committer: Committer
    quotas: Quotas
    sweeper: Sweeper
    quarantine: Quarantine


class Corrector:
    """Carries out corrections, and removes from cold what they overwrote."""

    def __init__(self, core: Core, parts: CorrectorParts) -> None:
        self._core = core
        self._parts = parts
        self._writer = DraftWriter(core)
        self._operations = Operations(core)
        self._masker = Masker(core)

    async def correct(
        self, active: ActiveSubject, memory_id: str, content: str, reason: str, asked: Asked
    ) -> Correction:
        """Put `content` in the place of what a memory says; its id, links and strength of use stay.

        Raises:
            NotFoundError: this user has no such memory, or it was forgotten (restore it first).
            ConflictError: it is not of the expected version, or the operation id stands for another call.
            ConsentRequiredError: it has become too sensitive for its purpose, or its consent was withdrawn.
            OnHoldError: a legal hold covers it.
            InvalidInputError: the new text would be quarantined, and the memory is not kept durably.
        """
        fingerprint = fingerprint_of(memory_id, content, reason, asked)
        earlier = await self._operations.earlier(active, asked.operation_id, fingerprint)
        if earlier is not None:
            return await self._correction(active, memory_id, repeated=True)
        work = await self._work(active, memory_id, content, reason, asked)
        done = await self._parts.inflight.finish(self._put_down(active, work))
        if done is _Done.STORED:
            await self._parts.overwriting.finish(active.ref)
        active.check_alive()
        return await self._correction(active, memory_id, repeated=done is _Done.REPEATED)

    async def _work(
        self, active: ActiveSubject, memory_id: str, content: str, reason: str, asked: Asked
    ) -> _Work:
        held, limits = active.known(memory_id), self._core.limits
        if held is None:
            raise active.missing(memory_id)
        level = Sensitivity(decode_fields(held.plaintext)["sensitivity"])
        given = accepted_of(content, asked, level, self._core.clock.now(), limits.max_content_bytes)
        prepared = await self._masker.prepared(active, [given])
        features = (await features_of(self._core, prepared.indexable))[0]
        active.check_alive()
        return _Work(
            memory_id=memory_id,
            reason=reason,
            asked=asked,
            changes=changed(prepared.accepted[0], asked),
            features=features,
            fingerprint=fingerprint_of(memory_id, content, reason, asked),
        )

    async def _put_down(self, active: ActiveSubject, work: _Work) -> _Done:
        """The commit section. One change of a memory at a time."""
        active.users += 1
        try:
            async with (
                active.turns.held(_names(active, work)),
                self._parts.committer.turn(active),
                active.moving,
            ):
                return await self._written(active, work)
        finally:
            active.users -= 1

    async def _written(self, active: ActiveSubject, work: _Work) -> _Done:
        for _ in range(ATTEMPTS):
            if self._operations.known(active, work.asked.operation_id, work.fingerprint):
                return _Done.REPEATED
            held = active.known(work.memory_id)
            if held is None:
                raise active.missing(work.memory_id)
            self._check_free(active, held)
            if work.asked.expected_version not in {None, held.version}:
                raise ConflictError(NEWER)
            after = await self._freeing(active, held, self._after(active, held, work))
            outcome = await self._committed(active, work, after) if active.durable else Appended(())
            if isinstance(outcome, Repeated):
                self._operations.repeated(active, outcome.earlier, work.fingerprint)
                return _Done.REPEATED
            if isinstance(outcome, Appended):
                if after.apart is not None:
                    self._core.observer.observe(told_apart(after.held.memory()))
                return await self._shown(active, work, after)
            await self._check_there(active, work.memory_id)
        raise ConflictError(BUSY)

    async def _shown(self, active: ActiveSubject, work: _Work, after: NextVersion) -> _Done:
        active.check_alive()
        name = work.asked.operation_id
        if name is not None:
            remember(active, name, work.fingerprint, [receipt_of(after, name)], after.purpose)
        await self._show(active, after)
        return _Done.SPOKEN if after.tracked is None else _Done.STORED

    async def _check_there(self, active: ActiveSubject, memory_id: str) -> None:
        """What forgetting has taken is still in RAM for a moment."""
        rows = await self._core.state.read(MemoryRows(active.ref.pseudonym, (memory_id,)))
        if not any(row.state == MemoryState.ACTIVE for row in rows):
            raise NotFoundError

    def _after(self, active: ActiveSubject, held: HeldMemory, work: _Work) -> NextVersion:
        """Return the memory as it will be; raises ConsentRequiredError when it may not be kept so."""
        fields, asked, now_us = decode_fields(held.plaintext), work.asked, self._core.now_us()
        level = Sensitivity(work.changes.get("sensitivity", fields["sensitivity"]))
        if work.changes.get("sensitivity") not in {None, fields["sensitivity"]} and not held.ram_only:
            self._check_grounds(active, fields["purpose"], level, now_us)
        amended = Amended(
            changes=work.changes,
            order=active.last_order,
            at_us=now_us,
            reason=work.reason,
            by=asked.by,
            keep_texts=asked.keep_previous,
        )
        plaintext = corrected(fields, held.version, work.features, amended)
        record = TierRecord(held.id, held.order, held.version + 1, b"")
        now = decode_fields(plaintext)
        memory = memory_of(now, record_id=record.id, order=record.order, version=record.version)
        plaintext, because = self._judged(memory, plaintext, durable=not held.volatile)
        new = Amendment.of(held, plaintext).held
        new.ram_only = held.ram_only
        vector = vectors_of([now], self._core.embedder.dimensions)[0]
        tracked = tracked_after(active.tracked.get(new.id), new, level)
        return NextVersion(new, indexed_turn(record, now, vector), tracked, fields["purpose"], because)

    def _check_free(self, active: ActiveSubject, held: HeldMemory) -> None:
        """A hold keeps what was said as it was said; the commit looks once more, at the row."""
        purpose = decode_fields(held.plaintext)["purpose"]
        if self._core.holds.covers(active.tenant, active.ref.pseudonym, held.id, purpose):
            raise OnHoldError

    def _judged(self, memory: Memory, plaintext: bytes, *, durable: bool) -> tuple[bytes, str | None]:
        """Return the plaintext and, of what the new text has quarantined from now on, why. Its trust stays."""
        judged = scanned(self._core.policy.guard, memory)
        if judged is memory:
            return plaintext, None
        if not durable:
            raise InvalidInputError(VOLATILE)
        return apart(plaintext, judged.reasons[-1]), judged.reasons[-1]

    async def _freeing(self, active: ActiveSubject, held: HeldMemory, after: NextVersion) -> NextVersion:
        if after.apart is None:
            return after
        plaintexts = await self._parts.quarantine.without(active, {held.id: held.memory().supersedes})
        freed = [Amendment.of(active.held[one], plaintext) for one, plaintext in plaintexts.items()]
        return replace(after, freed=tuple(freed))

    def _check_grounds(self, active: ActiveSubject, purpose: str, level: Sensitivity, now_us: int) -> None:
        consents = open_consents(active.consents, now_us)
        barred = active.objections
        grounds = decide_grounds(self._core.policy, consents, purpose, level, now_us, objections=barred)
        if not grounds.durable:
            raise ConsentRequiredError(f"{grounds.reason}; the memory stays as it is")

    async def _committed(
        self, active: ActiveSubject, work: _Work, after: NextVersion
    ) -> Appended | Repeated | Stale:
        batch, command = self._batch(active, work, after), self._command(active, work, after)
        entries = [one.entry for one in batch.revisions]

        def landed(done: Appended) -> None:
            if active.alive:
                numbered = [replace(e, seq=seq) for e, seq in zip(entries, done.seqs, strict=True)]
                self._parts.flusher.add(active.ref, numbered)

        def correct(batch: WriteBatch) -> Correct:
            active.check_unobjected(batch.purpose)
            return replace(command, batch=batch)

        reach("correct.before")
        quotas = self._parts.quotas
        outcome = await self._core.ballast.spend(lambda: quotas.append(active, batch, landed, correct))
        reach("correct.after")
        return outcome

    def _batch(self, active: ActiveSubject, work: _Work, after: NextVersion) -> WriteBatch:
        now_us, new = self._core.now_us(), after.held
        if after.ram_only:
            return WriteBatch(subject=active.ref.pseudonym, generation=active.ref.generation)
        key = active.keys.get(after.purpose)
        if key is None:
            raise ConsentRequiredError(WITHDRAWN)
        revisions = []
        if after.tracked is not None:
            name = self._core.entropy.token(16)
            every = [Amendment(new), *after.freed]
            made, *freed = self._writer.revisions(active, every, after.purpose, name, now_us)
            revisions = [replace(made, strength=strength_update(self._core, after.tracked)), *freed]
        return WriteBatch(
            subject=active.ref.pseudonym,
            generation=active.ref.generation,
            revisions=tuple(revisions),
            operation=self._operation(active, work, after),
            key_id=key.key_id,
            purpose=after.purpose,
            leaves=() if after.apart is None else (quarantine_leaf(active, new.memory(), now_us),),
        )

    def _operation(self, active: ActiveSubject, work: _Work, after: NextVersion) -> OperationRow | None:
        name = work.asked.operation_id
        if name is None:
            return None
        receipts = [receipt_of(after, name)]
        return self._operations.row_of(active, after.purpose, name, work.fingerprint, receipts)

    def _command(self, active: ActiveSubject, work: _Work, after: NextVersion) -> Correct:
        key, now_us, new = active.ledger_key, self._core.now_us(), after.held
        detail: dict[str, int | str] = {**said(key, work.reason), "version": new.version}
        return Correct(
            batch=WriteBatch(subject=active.ref.pseudonym, generation=active.ref.generation),
            memory_id=new.id,
            sensitivity=decode_fields(new.plaintext)["sensitivity"],
            importance=new.importance,
            tail=self._sealed(active, after, Place.TAIL),
            leaf=leaf_for(
                active, key, AuditEvent.MEMORY_CORRECTED, now_us, about=work.memory_id, detail=detail
            ),
            mark=None if after.tracked is None else overwritten(self._core, active, now_us),
        )

    def _sealed(self, active: ActiveSubject, after: NextVersion, where: Place) -> bytes:
        """A tail's copy is always of version 1: it is what its session shows."""
        new = after.held
        sealer = active.sealer("" if after.ram_only else after.purpose)
        version = 1 if where is Place.TAIL else new.version
        context = sealer.context(where, new.id, order=new.order, version=version)
        return sealer.key.seal(new.plaintext, context, self._core.keyring.nonce())

    async def _show(self, active: ActiveSubject, after: NextVersion) -> None:
        """Take it up in RAM, sessions and hot. A copy in hot that cannot be reached goes when it is back."""
        if after.purpose in active.objections and not after.ram_only:
            return
        new, sessions = after.held, active.sessions_of(after.held.id)
        active.reword(new, after.turn, after.tracked)
        for one in after.freed:
            active.revise(one.held)
        if after.apart is not None:
            await self._parts.sweeper.take_out_copies(active, [new.id], sessions)
            return
        await self._parts.sessions.reword(active, new.memory())
        try:
            if after.tracked is not None:
                await self._core.hot.remove(active.ref, [new.id])
            else:
                sealed = self._sealed(active, after, Place.HOT)
                record = TierRecord(new.id, new.order, new.version, sealed, new.expires_us)
                await self._core.hot.put(active.ref, [record])
        except HotTierError:
            if active.durable:
                await self._parts.sweeper.drop_hot(active)

    async def _correction(
        self, active: ActiveSubject, memory_id: str, *, repeated: bool = False
    ) -> Correction:
        held = active.known(memory_id)
        if held is None:
            raise active.missing(memory_id)
        affected = await derived_from(self._parts.directory, active, memory_id)
        return Correction(memory=held.memory(), affected=affected, repeated=repeated)


def _names(active: ActiveSubject, work: _Work) -> set[Hashable]:
    """Return the turns of everyone who could change the memory meanwhile, or compare itself with either version."""
    held, names = active.known(work.memory_id), set[Hashable]()
    names |= {COMPARED, wording_of(work.features.terms)}
    if held is not None:
        names |= {held.wording} | ({held.profile_key} - {None})
    key = work.changes.get("metadata", {}).get("key")
    return names | ({key} if isinstance(key, str) else set())
