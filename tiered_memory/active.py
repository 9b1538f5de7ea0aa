"""Everything of one user that is in RAM while that user is active. Synchronous: nothing here awaits."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio

from tiered_memory.core import Sealer
from tiered_memory.crypto.envelope import SealingKey, key_id_of
from tiered_memory.crypto.keyring import EPOCH_ENDED, SUBJECT_PURPOSE
from tiered_memory.errors import (
    ConsentRequiredError,
    CorruptionError,
    KeyUnavailableError,
    NotFoundError,
    RestrictedError,
    SubjectErasedError,
    TieredMemoryError,
)
from tiered_memory.forgetting.gate import ImportanceSpread
from tiered_memory.formats.record import decode_fields
from tiered_memory.held import HeldMemory, KnownValues, Tracked
from tiered_memory.inflight import Turns
from tiered_memory.model import Kind, Role, Sensitivity, Subject, TierName
from tiered_memory.privacy.consent import ConsentEvent
from tiered_memory.privacy.holds import HoldBook
from tiered_memory.privacy.objections import ObjectionStatus
from tiered_memory.privacy.restriction import is_frozen
from tiered_memory.scoring.recall_index import IndexedTurn, RecallIndex
from tiered_memory.scoring.reconcile import Claim
from tiered_memory.scoring.supersession import Statement
from tiered_memory.tiers.base import SubjectRef

HELD_BYTES = 520
CLAIMS_KEPT = 500
OBJECTED = "the person objected to this purpose while this was being written; nothing was stored"


@dataclass(slots=True)
class ActiveSubject:
    """One subject while active. Owned by one event loop; `alive` ends with an erasure."""

    subject: Subject
    tenant: bytes
    ref: SubjectRef
    durable: bool
    ram_key: SealingKey
    index: RecallIndex
    kept_for: frozenset[str]
    """The purposes for which the policy lets something be kept; see `bars`."""
    keys: dict[str, SealingKey] = field(default_factory=dict)
    consents: list[ConsentEvent] = field(default_factory=list)
    objections: dict[str, ObjectionStatus] = field(default_factory=dict)
    """The purposes the person objected to: nothing that is held for one is in RAM."""
    objection_changes: int = 0
    session_changes: int = 0
    """How often something was taken out of sessions, or reworded in them."""
    spread: ImportanceSpread = field(default_factory=ImportanceSpread)
    held: dict[str, HeldMemory] = field(default_factory=dict)
    quarantined: dict[str, HeldMemory] = field(default_factory=dict)
    """Kept apart from `held` and from every index of it: nothing that reads or judges meets them."""
    tracked: dict[str, Tracked] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    superseded: set[str] = field(default_factory=set)
    contested: dict[str, set[str]] = field(default_factory=dict)
    worded: dict[int, dict[str, None]] = field(default_factory=dict)
    profiles: dict[str, dict[str, None]] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)
    claims: OrderedDict[str, Claim] = field(default_factory=OrderedDict)
    damaged: set[str] = field(default_factory=set)
    damaged_keys: set[str] = field(default_factory=set)
    ended: bool = False
    """Whether some of its keys are of an epoch that has ended: a restored backup, or a lost guard."""
    sessions: set[str] = field(default_factory=set)
    session_names: dict[str, bytes] = field(default_factory=dict)
    ephemeral_sessions: set[str] = field(default_factory=set)
    operations: OrderedDict[str, tuple[bytes, Any, str]] = field(default_factory=OrderedDict)
    expiring: list[tuple[int, str]] = field(default_factory=list)
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    moving: anyio.Lock = field(default_factory=anyio.Lock)
    """Held while a volatile memory becomes a durable one, or is removed: the state store knows of none."""
    placeholders: KnownValues = field(default_factory=KnownValues)
    held_bytes: int = 0
    changes: int = 0
    """Counts what was held, revised or released: what was worked out before is known to hold by it."""
    heirs: tuple[int, dict[str, str | None]] = (-1, {})
    views: dict[frozenset[str], tuple[dict[str, int], RecallIndex]] = field(default_factory=dict)
    """What callers search who do not reach every level, and the versions in it; see `sight.py`."""
    paged: bool = False
    """Whether RAM holds some of its memories only; see `paging.py`."""
    pages: OrderedDict[str, None] = field(default_factory=OrderedDict)
    settled: bool = False
    bringing: int = 0
    left: set[str] = field(default_factory=set)
    """What left while memories were being brought in: it must not come with them."""
    users: int = 0
    last_order: int = 0
    alive: bool = True
    restricted: bool = False

    def mark_held(self, holds: HoldBook) -> None:
        """Have every memory say whether a hold covers it: a strength that RAM writes sets its deadline by that."""
        for memory_id, one in self.tracked.items():
            held = bool(holds) and holds.covers(self.tenant, self.ref.pseudonym, memory_id, one.row.purpose)
            if held != one.row.held:
                one.row = replace(one.row, held=held)

    def check_readable(self) -> None:
        """Refuse what cannot be answered truly: part of what is held cannot be read any more."""
        if self.ended:
            raise KeyUnavailableError(EPOCH_ENDED)

    def check_alive(self) -> None:
        """Refuse to go on for a subject that was erased meanwhile."""
        if not self.alive:
            raise SubjectErasedError

    def check_usable(self, op: str, *, done: bool = False) -> None:
        """Refuse to begin a call, or to hand over what it read, on a subject that is erased or restricted by now."""
        self.check_alive()
        if self.restricted and is_frozen(op, done=done):
            raise RestrictedError

    def next_order(self) -> int:
        """Return the next record's order."""
        self.last_order += 1
        return self.last_order

    @property
    def ledger_key(self) -> SealingKey:
        """The subject's own key; when its record is damaged one of chance: rights are fulfilled all the same."""
        return self.keys.get(SUBJECT_PURPOSE, self.ram_key)

    def own_key(self) -> SealingKey:
        """Return the subject's own key; raises KeyUnavailableError when its record is damaged."""
        self.check_alive()
        key = self.keys.get(SUBJECT_PURPOSE)
        if key is None:
            raise KeyUnavailableError(
                "this user's own key cannot be opened: its record is damaged; restore a backup, or erase the user"
            )
        return key

    def bars(self, purpose: str) -> bool:
        """Tell whether what is stored for a purpose may not be read: the person objected, or the policy keeps nothing for it.

        A purpose that a policy drops has no basis left (GDPR Art. 5(1)(b)); it is kept for the person's rights only.
        """
        return purpose in self.objections or purpose not in self.kept_for

    def check_unobjected(self, purpose: str) -> None:
        """Refuse to commit for a purpose that the person objected to meanwhile; to be asked last of all."""
        if purpose in self.objections:
            raise ConsentRequiredError(OBJECTED)

    def check_key(self, purpose: str) -> None:
        """Refuse to make a new key beside one whose record is damaged."""
        if purpose in self.damaged_keys:
            raise KeyUnavailableError(
                "the key of this purpose cannot be opened: its record is damaged; restore a backup, or withdraw the "
                "consent, which removes what was sealed under it"
            )

    def missing(self, memory_id: str) -> TieredMemoryError:
        """Return why a memory is not there: nobody may take a damaged one for one that never was."""
        if memory_id in self.quarantined:
            return NotFoundError("this memory is quarantined: see `quarantine.list`, `quarantine.release`")
        if memory_id in self.damaged:
            return CorruptionError(
                "this memory is held, but what is stored of it does not verify: restore a backup, or delete it"
            )
        return NotFoundError()

    def sealer(self, purpose: str) -> Sealer:
        """Return the sealer for a purpose: under its durable key, else under the key that is in RAM only."""
        return Sealer(self.tenant, self.ref, purpose, self.keys.get(purpose, self.ram_key))

    def sealer_for(self, envelope: bytes, purpose: str | None = None) -> Sealer:
        """Return the sealer that made `envelope`; raises KeyUnavailableError through `open` when it is gone."""
        key_id = key_id_of(envelope)
        for held_purpose, key in self.keys.items():
            if key.key_id == key_id:
                return Sealer(self.tenant, self.ref, held_purpose, key)
        return Sealer(self.tenant, self.ref, purpose or "", self.ram_key)

    def hold(self, entries: Sequence[HeldMemory], turns: Sequence[IndexedTurn]) -> None:
        """Make memories searchable; quarantined ones are kept apart, and need no turn."""
        apart = {entry.id: entry for entry in entries if entry.quarantined}
        if apart:
            self.quarantined.update(apart)
            self.held_bytes += sum(len(entry.plaintext) + HELD_BYTES for entry in apart.values())
            entries = [entry for entry in entries if entry.id not in apart]
            turns = [turn for turn in turns if turn.id not in apart]
        self.index.add(turns)
        self.changes += 1
        wordings = {turn.id: wording_of(turn.terms) for turn in turns}
        for entry in entries:
            entry.wording = wordings[entry.id]
            self.worded.setdefault(entry.wording, {})[entry.id] = None
            entry.profile_key = _claim_of(entry).profile_key if entry.kind == Kind.PROFILE.value else None
            if entry.profile_key is not None:
                self.profiles.setdefault(entry.profile_key, {})[entry.id] = None
            self.held[entry.id] = entry
            self.held_bytes += len(entry.plaintext) + HELD_BYTES
            self._relate(entry)
            if entry.expires_us is not None:
                heapq.heappush(self.expiring, (entry.expires_us, entry.id))

    def _relate(self, entry: HeldMemory) -> None:
        """Note what took a memory's place, and what it stands against."""
        if entry.superseded_by is not None:
            self.superseded.add(entry.id)
        else:
            self.superseded.discard(entry.id)
        for other in entry.conflicts:
            if other not in self.held or self.held[other].settled_order < entry.order:
                self.contested.setdefault(entry.id, set()).add(other)
                self.contested.setdefault(other, set()).add(entry.id)
        for other in tuple(self.contested.get(entry.id, ())) if entry.settled_order else ():
            if other not in self.held or self.held[other].order <= entry.settled_order:
                self._reconcile(entry.id, other)

    def revise(self, entry: HeldMemory) -> None:
        """Put a memory's next version in the place of the one before it; its content is the same."""
        before = self.held.get(entry.id)
        if before is None or before.version != entry.version - 1:
            return  # it was removed, or quarantined, meanwhile
        self.changes += 1
        entry.wording, entry.profile_key = before.wording, before.profile_key
        self.held[entry.id] = entry
        self.held_bytes += len(entry.plaintext) - len(before.plaintext)
        self._relate(entry)
        tracked = self.tracked.get(entry.id)
        if tracked is not None:
            tracked.row = replace(tracked.row, version=entry.version, bytes=len(entry.plaintext))

    def reword(self, entry: HeldMemory, turn: IndexedTurn, tracked: Tracked | None) -> None:
        """Put a corrected memory in the place of the version before it: it is found by its new words alone."""
        used, paged = entry.id in self.used, entry.id in self.pages
        self.release([entry.id])
        self.left.discard(entry.id)
        if tracked is not None:
            self.tracked[entry.id] = tracked
        if used:
            self.used.add(entry.id)
        if paged:
            self.pages[entry.id] = None
        self.hold([entry], [turn])

    def claim(self, memory_id: str) -> Claim:
        """Return a held memory as it is compared; what was read of the latest compared is kept with them."""
        known = self.claims.get(memory_id)
        if known is None:
            known = self.claims[memory_id] = _claim_of(self.held[memory_id])
        self.claims.move_to_end(memory_id)
        while len(self.claims) > CLAIMS_KEPT:
            self.claims.popitem(last=False)
        return known

    def rivals(self, memory_id: str) -> tuple[str, ...]:
        """Return the current memories that say otherwise, in order of their ids."""
        others = self.contested.get(memory_id, ())
        return tuple(sorted(one for one in others if one in self.held and one not in self.superseded))

    def release(self, ids: Sequence[str]) -> list[str]:
        """Make memories unfindable; return those that were held."""
        if self.bringing:
            self.left.update(ids)
        gone = [self.held.pop(one) for one in ids if one in self.held]
        apart = [self.quarantined.pop(one) for one in ids if one in self.quarantined]
        self.changes += 1
        self.damaged.difference_update(ids)
        self.index.remove(one.id for one in gone)
        for entry in (*gone, *apart):
            self.tracked.pop(entry.id, None)
            self.pages.pop(entry.id, None)
            self.used.discard(entry.id)
            self.superseded.discard(entry.id)
            self._unrelate(entry)
            self.held_bytes -= len(entry.plaintext) + HELD_BYTES
        return [entry.id for entry in gone]

    def known(self, memory_id: str) -> HeldMemory | None:
        """Return a memory in RAM, quarantined or not."""
        return self.held.get(memory_id) or self.quarantined.get(memory_id)

    def _unrelate(self, entry: HeldMemory) -> None:
        """Take back what the memory itself says of others; what others say of it may come true again."""
        self.claims.pop(entry.id, None)
        groups: list[tuple[dict[Any, dict[str, None]], Any]]
        groups = [(self.worded, entry.wording), (self.profiles, entry.profile_key)]
        for members, name in groups:
            members.get(name, {}).pop(entry.id, None)
            if name in members and not members[name]:
                del members[name]
        for other in entry.conflicts:
            self._reconcile(entry.id, other)

    def _reconcile(self, memory_id: str, other: str) -> None:
        for one, against in ((memory_id, other), (other, memory_id)):
            self.contested.get(one, set()).discard(against)
            if not self.contested.get(one):
                self.contested.pop(one, None)

    def expire(self, now_us: int) -> None:
        """Drop volatile memories whose time in hot has passed."""
        while self.expiring and self.expiring[0][0] <= now_us:
            expires_us, memory_id = heapq.heappop(self.expiring)
            entry = self.held.get(memory_id)
            if entry is not None and entry.expires_us == expires_us:
                self.release([memory_id])

    @property
    def irreplaceable(self) -> bool:
        """Whether something of it, not expired at the last `expire`, could not be read again once it leaves RAM."""
        return any(one in self.held and self.held[one].ram_only for _, one in self.expiring)

    def sessions_of(self, memory_id: str) -> set[str]:
        """Return the sessions in which a held memory was said, first or again."""
        entry = self.held.get(memory_id)
        if entry is None:
            return set()
        said = {again.session for again in entry.repeats} | {entry.session}
        return {session for session in said if session is not None}

    def tier_of(self, memory_id: str) -> TierName:
        """Return the tier a held memory rests in."""
        held = self.held.get(memory_id)
        return TierName.HOT if held is not None and held.volatile else TierName.COLD

    @property
    def bytes_used(self) -> int:
        """Estimate of the RAM this subject takes, in bytes."""
        views = sum(index.bytes_used for _, index in self.views.values())
        return self.index.bytes_used + views + self.held_bytes


def _claim_of(held: HeldMemory) -> Claim:
    fields = decode_fields(held.plaintext)
    role, author = Role(fields["role"]), fields.get("author")
    return Claim(
        id=held.id,
        order=held.order,
        statement=Statement(fields["content"], role, author, held.occurred_us, fields["terms"]),
        kind=Kind(held.kind),
        sensitivity=Sensitivity(fields["sensitivity"]),
        agent=held.agent,
        metadata=fields.get("metadata", {}),
        trust=held.trust,
    )


def wording_of(terms: Mapping[str, int]) -> int:
    """Return a number that is the same for the same index terms, within this process."""
    return hash(frozenset(terms.items()))
