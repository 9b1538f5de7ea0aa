"""Takes an archive's memories in: checked whole before anything is stored, embedded anew, and never kept for longer.

An archive of this store is believed on its signature; one of another store only when its key is given, which must
have come by another way. Ids are new and follow from the store and the id a memory had: repeating an import adds
nothing. The day since when a memory is held stays the one it had, so that a ceiling is not moved.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio.to_thread

from tiered_memory.active import ActiveSubject
from tiered_memory.admission import Admission
from tiered_memory.archive import identity_of
from tiered_memory.archive_files import ArchiveReader
from tiered_memory.archive_lines import Incoming, read_line
from tiered_memory.archive_plan import ImportOptions, ImportReport, Plan, archived_ceilings
from tiered_memory.archive_treating import Treating
from tiered_memory.commits import WITHDRAWN, Commission, Committer, Written
from tiered_memory.core import Core, chunks
from tiered_memory.drafts import Draft
from tiered_memory.errors import (
    ArchiveError,
    BacklogFullError,
    ConsentRequiredError,
    InvalidInputError,
    QuotaExceededError,
    StateStoreError,
)
from tiered_memory.features import features_of
from tiered_memory.flusher import Flusher
from tiered_memory.forgetting.routing import QUARANTINED, REQUIRED, Placement
from tiered_memory.formats import archive as f
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.formats.record import amended, decode_fields, encode_record, vectors_of
from tiered_memory.held_records import indexed_turn
from tiered_memory.inflight import InFlight
from tiered_memory.ledger import leaf_for
from tiered_memory.model import Interaction, Memory, Sensitivity, SourceKind
from tiered_memory.privacy.consent import decide_grounds, open_consents
from tiered_memory.scoring.importance import score_importance
from tiered_memory.state import commands as c
from tiered_memory.state.archive import Tombstoned
from tiered_memory.state.paging import MemoryRows
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.tiers.base import TierRecord

GROUP = 100
ASKED = 500
MOST_LINES = 1_000_000
IMPORTED = Placement(True, True, True, REQUIRED, "it was imported")
APART = Placement(True, True, False, QUARANTINED, "it was imported; kept apart, not retrievable")
NO_ROOM = "there is no more room under the quota: raise it, and repeat the import"
DELETED_HERE = "it was deleted here: an import does not bring it back"
PAST_CEILING = "its retention has ended"
FOREIGN = (
    "the archive is another store's: give the public key of that store, which it must have told you by another way; "
    "nothing was stored"
)
OTHER_PERSON = (
    "the archive is of somebody else than this user: if they are known by another id here, accept another subject; "
    "nothing was stored"
)


class Importer:
    """Takes archives in."""

    def __init__(
        self,
        core: Core,
        directory: SubjectDirectory,
        committer: Committer,
        flusher: Flusher,
        inflight: InFlight,
    ) -> None:
        self._core = core
        self._directory = directory
        self._committer = committer
        self._flusher = flusher
        self._inflight = inflight
        self._treating = Treating(core)

    async def take_in(self, active: ActiveSubject, path: Path, options: ImportOptions) -> ImportReport:
        """Store an archive's memories, in groups that are stored whole; a repeated call goes on where one ended.

        Raises:
            ArchiveError: it is no archive, was altered, or a line of it is wrong; nothing was stored.
            InvalidInputError: it is of another store or person, or its purpose is unknown; nothing was stored.
            ConsentRequiredError: there is no lawful basis for a purpose; nothing was stored.
            QuotaExceededError: there is no room for the first group; nothing was stored. What there is no room for
                later is reported as refused.
        """
        reader = await anyio.to_thread.run_sync(ArchiveReader, path)
        with reader:
            own = self._core.notary.public_key
            await anyio.to_thread.run_sync(self._check_key, reader, options.public_key or own)
            self._check_subject(active, reader.manifest, options)
            plan = await anyio.to_thread.run_sync(self._plan, active, reader, options)
            purposes = self._check_grounds(active, plan)
            if plan.wanted:
                await self._prepare(active, purposes)
            await self._compare(active, reader.manifest, plan)
            await self._refuse_personal(active, reader, plan)
            if plan.wanted:
                await self._note(active, reader.manifest, plan)
            added = await self._store(active, reader, plan, options)
        return ImportReport(
            archive=reader.manifest.id,
            added=added,
            skipped=plan.skipped,
            refused=dict(plan.refused),
            listed=tuple(plan.listed),
            quarantined=len(plan.quarantined & plan.wanted),
        )

    def _check_key(self, reader: ArchiveReader, trusted: bytes) -> None:
        if bytes.fromhex(reader.manifest.public_key) != trusted:
            raise InvalidInputError(FOREIGN)
        reader.check(trusted)

    def _check_subject(
        self, active: ActiveSubject, manifest: f.ArchiveManifest, options: ImportOptions
    ) -> None:
        if not (options.accept_other_subject or _is_of(active, manifest)):
            raise InvalidInputError(OTHER_PERSON)

    def _plan(self, active: ActiveSubject, reader: ArchiveReader, options: ImportOptions) -> Plan:
        """Read every line once; what is wrong with any of them keeps all from being stored."""
        plan, ceilings = Plan(), self._ceilings(reader)
        admission = Admission(self._core, active, plan, options, own=self._is_own(reader.manifest))
        for incoming in self._incoming(reader):
            memory = incoming.memory
            if memory.id in plan.levels:
                raise ArchiveError("the archive has a memory twice; nothing was stored")
            if len(plan.levels) >= MOST_LINES:
                raise ArchiveError(f"the archive has more than {MOST_LINES} memories; nothing was stored")
            plan.levels[memory.id] = (options.purpose or memory.purpose, memory.sensitivity)
            plan.wanted.add(memory.id)
            past = self._is_past(memory, ceilings)
            if incoming.unfit is not None or past:
                plan.refuse(memory.id, incoming.unfit or PAST_CEILING)
            else:
                admission.judge(incoming)
                plan.trust[memory.id] = admission.trust(memory)
        return plan

    def _is_own(self, manifest: f.ArchiveManifest) -> bool:
        return bytes.fromhex(manifest.public_key) == self._core.notary.public_key

    async def _refuse_personal(self, active: ActiveSubject, reader: ArchiveReader, plan: Plan) -> None:
        """Look for what the policy refuses before anything is stored; most policies refuse nothing."""
        if not self._treating.refuses:
            return
        groups = self._groups(reader, plan)
        while group := await anyio.to_thread.run_sync(next, groups, None):
            for one in group[1]:
                active.check_alive()
                because = await self._treating.refusal(active, one.memory)
                if because is not None:
                    plan.refuse(one.memory.id, because)

    def _incoming(self, reader: ArchiveReader) -> Iterator[Incoming]:
        now, most = self._core.clock.now(), self._core.limits.max_content_bytes
        for number, line in enumerate(reader.lines(f.MEMORIES), 1):
            yield read_line(line, number, now, most)

    def _ceilings(self, reader: ArchiveReader) -> dict[Sensitivity, float]:
        """Return the ceiling of each sensitivity in days: the lower of this store's and the archive's own."""
        found = {level: rule.ceiling_days for level, rule in self._core.policy.retention.items()}
        there = archived_ceilings(reader)
        both = {
            level: [one for one in (days, there.get(level)) if one is not None]
            for level, days in found.items()
        }
        return {level: min(days) for level, days in both.items() if days}

    def _is_past(self, memory: Memory, ceilings: Mapping[Sensitivity, float]) -> bool:
        days = ceilings.get(memory.sensitivity)
        return days is not None and memory.ingested_at + timedelta(days=days) <= self._core.clock.now()

    def _check_grounds(self, active: ActiveSubject, plan: Plan) -> list[str]:
        """Refuse what no lawful basis covers: a whole purpose loudly, what is too sensitive for one by itself."""
        policy, now_us = self._core.policy, self._core.now_us()
        consents = open_consents(active.consents, now_us)
        purposes = sorted({plan.levels[one][0] for one in plan.wanted})
        for purpose in purposes:
            if purpose not in policy.purposes:
                known = ", ".join(sorted(policy.purposes))
                raise InvalidInputError(f"the policy knows no such purpose, give another; it has: {known}")
            ground = decide_grounds(
                policy, consents, purpose, Sensitivity.PUBLIC, now_us, objections=active.objections
            )
            if not ground.durable:
                raise ConsentRequiredError(f"{ground.reason}; grant consent first, nothing was stored")
        for memory_id in sorted(plan.wanted):
            chosen = plan.levels[memory_id]
            ground = decide_grounds(policy, consents, *chosen, now_us, objections=active.objections)
            if not ground.durable:
                plan.refuse(memory_id, ground.reason)
        return purposes

    async def _prepare(self, active: ActiveSubject, purposes: Sequence[str]) -> None:
        await self._directory.establish(active)
        for purpose in purposes:
            await self._directory.key_for(active, purpose)

    async def _compare(self, active: ActiveSubject, manifest: f.ArchiveManifest, plan: Plan) -> None:
        """Find out what is here already, or was, under the id it would have or, in its own store, under its own."""
        if not plan.wanted:
            return
        own = manifest.public_key == self._core.notary.public_key.hex() and _is_of(active, manifest)
        key, prefix = active.own_key(), b"import/" + bytes.fromhex(manifest.public_key) + b"/"
        for batch in chunks(sorted(plan.wanted), ASKED):
            new = {one: key.fingerprint(prefix + one.encode())[:16].hex() for one in batch}
            asked = (*new.values(), *(batch if own else ()))
            rows = await self._core.state.read(MemoryRows(active.ref.pseudonym, asked))
            gone = set(await self._core.state.read(Tombstoned(active.ref.pseudonym, asked)))
            here = {row.memory_id for row in rows}
            for one, fresh in new.items():
                plan.ids[one] = one if own and one in here else fresh
                if plan.ids[one] in here:
                    plan.skipped += 1
                    plan.wanted.discard(one)
                elif fresh in gone or (own and one in gone):
                    plan.refuse(one, DELETED_HERE)

    async def _note(self, active: ActiveSubject, manifest: f.ArchiveManifest, plan: Plan) -> None:
        """What comes in is in the ledger first: a kill between the two leaves a leaf too many, not one too few."""
        leaf = leaf_for(
            active,
            active.own_key(),
            AuditEvent.IMPORTED,
            self._core.now_us(),
            about=manifest.id,
            reason=manifest.kind.value,
            detail={"memories": len(plan.wanted)},
        )
        await self._core.state.write(c.AppendLeaves((leaf,)))

    async def _store(
        self, active: ActiveSubject, reader: ArchiveReader, plan: Plan, options: ImportOptions
    ) -> int:
        added, groups = 0, self._groups(reader, plan)
        while group := await anyio.to_thread.run_sync(next, groups, None):
            active.check_alive()
            purpose, every = group
            drafts = await self._drafts(active, plan, purpose, every)
            await self._room(len(drafts))
            given = Commission(purpose, self._core.entropy.token(16), (), promoted=drafts)
            try:
                await self._inflight.finish(self._put_down(active, given))
            except QuotaExceededError:
                if not added:
                    raise
                _refuse_rest(plan, every, groups)
                break
            added += len(drafts)
            if options.progress is not None:
                options.progress(added, len(plan.wanted))
        return added

    def _groups(self, reader: ArchiveReader, plan: Plan) -> Iterator[tuple[str, list[Incoming]]]:
        """Yield what is wanted in groups of one purpose each."""
        waiting: dict[str, list[Incoming]] = {}
        for incoming in self._incoming(reader):
            if incoming.memory.id not in plan.wanted:
                continue
            purpose = plan.levels[incoming.memory.id][0]
            group = waiting.setdefault(purpose, [])
            group.append(incoming)
            if len(group) == GROUP:
                yield purpose, waiting.pop(purpose)
        yield from waiting.items()

    async def _drafts(
        self,
        active: ActiveSubject,
        plan: Plan,
        purpose: str,
        every: Sequence[Incoming],
    ) -> list[Draft]:
        treated = await self._treating.treated(active, [one.memory for one in every])
        memories = [
            self._memory(active, one, plan, purpose, said.interaction)
            for one, said in zip(every, treated, strict=True)
        ]
        contents = [one.content for one in memories]
        features = await features_of(self._core, await self._treating.indexable(active, contents))
        drafts = []
        for incoming, memory, found in zip(every, memories, features, strict=True):
            former = await self._treating.former(active, incoming)
            plaintext = amended(encode_record(memory, found), former)
            fields = decode_fields(plaintext)
            vector = vectors_of([fields], self._core.embedder.dimensions)[0]
            turn = indexed_turn(TierRecord(memory.id, memory.order, memory.version, b""), fields, vector)
            drafts.append(Draft(memory, APART if memory.quarantined else IMPORTED, plaintext, turn))
        return drafts

    def _memory(
        self, active: ActiveSubject, incoming: Incoming, plan: Plan, purpose: str, said: Interaction
    ) -> Memory:
        """Return the memory as it will be held here: with ids, order and grounds of its own."""
        there, core, content = incoming.memory, self._core, said.content
        now_us, named = core.now_us(), plan.ids
        consents = open_consents(active.consents, now_us)
        ground = decide_grounds(
            core.policy, consents, purpose, there.sensitivity, now_us, objections=active.objections
        )
        importance, reasons = there.importance, there.reasons
        if not incoming.scored:
            scored = score_importance(content, there.role, None)
            importance, reasons = scored.value, scored.reasons
        if there.id in plan.apart:
            reasons = (*reasons, plan.apart[there.id])
        there = _apart(there, plan)
        return replace(
            there,
            trust=plan.trust[there.id],
            id=named[there.id],
            order=active.next_order(),
            content=content,
            metadata=said.metadata,
            importance=importance,
            reasons=reasons,
            purpose=purpose,
            lawful_basis=ground.basis,
            superseded_by=there.superseded_by and named.get(there.superseded_by, there.superseded_by),
            supersedes=tuple(named.get(one, one) for one in there.supersedes),
            conflicts_with=tuple(
                named.get(one, one)
                for one in there.conflicts_with
                if plan.settled.get(one, -1) < incoming.order
            ),
            repeats=tuple(replace(one, order=active.next_order()) for one in there.repeats),
            provenance=replace(
                there.provenance,
                source=SourceKind.IMPORT,
                derived_from=tuple(named.get(one, one) for one in there.provenance.derived_from),
                origin_id=there.id,
                origin_source=incoming.source,
            ),
        )

    async def _room(self, records: int) -> None:
        """An import can wait: it makes room in the journal where another write would be refused."""
        try:
            self._flusher.check_room(records)
        except BacklogFullError:
            await self._flusher.drain()
            self._flusher.check_room(records)

    async def _put_down(self, active: ActiveSubject, given: Commission) -> None:
        """The commit section. It runs to its end whatever becomes of the caller."""
        active.users += 1
        try:
            async with self._committer.turn(active):
                outcome = await self._committer.commit(active, given)
                active.check_alive()
                if not isinstance(outcome, Written):
                    raise StateStoreError("a write without revisions was refused for one")
                if active.keys.get(given.purpose) is not outcome.key:
                    raise ConsentRequiredError(WITHDRAWN)
                for draft in given.promoted:
                    active.spread.add(draft.memory.importance)
                self._committer.publish(active, given, outcome.rows, self._core.now_us())
        finally:
            active.users -= 1


def _apart(memory: Memory, plan: Plan) -> Memory:
    """Return a memory quarantined where that was found out, and current where only such a one took its place."""
    if memory.id in plan.apart:
        memory = replace(memory, quarantined=True, supersedes=())
    if memory.superseded_by not in plan.apart:
        return memory
    return replace(memory, superseded_by=None, superseded_because=None, valid_to=None)


def _refuse_rest(plan: Plan, every: Sequence[Incoming], groups: Iterator[tuple[str, list[Incoming]]]) -> None:
    for one in [*every, *(late for _, group in groups for late in group)]:
        plan.refuse(one.memory.id, NO_ROOM)


def _is_of(active: ActiveSubject, manifest: f.ArchiveManifest) -> bool:
    said = hmac.digest(bytes.fromhex(manifest.salt), identity_of(active.subject), "sha256").hex()
    return hmac.compare_digest(said, manifest.subject_commitment)
