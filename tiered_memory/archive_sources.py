"""What is held of one person as it was at one moment, read in batches: for taking it out whole."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import from_us
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import Place, SealingKey
from tiered_memory.errors import ConsentRequiredError, CorruptionError
from tiered_memory.explaining import explained, explained_volatile
from tiered_memory.forgetting.decay import StrengthState
from tiered_memory.formats import archive as f
from tiered_memory.formats.record import decode_fields, memory_of
from tiered_memory.held import HeldMemory, state_of
from tiered_memory.held_records import is_current
from tiered_memory.ledger import subject_commitment
from tiered_memory.masking import KIND as PLACEHOLDERS
from tiered_memory.model import Explanation, Memory, Sensitivity
from tiered_memory.overwriting import OVERWRITTEN
from tiered_memory.register import Register
from tiered_memory.scoring.packing import BufferedTurn
from tiered_memory.sessions import Sessions, buffered
from tiered_memory.sight import Sight
from tiered_memory.state import commands as c
from tiered_memory.state.archive import MemoriesFrom
from tiered_memory.state.base import MemoryRow, MemoryState, TailRow
from tiered_memory.state.paging import MemoryRows
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.tiers.base import TierRecord

INTERNAL = frozenset({PLACEHOLDERS, OVERWRITTEN})
"""Entries that tell nothing of a person: keyed digests of masked values, and what cold has still to rewrite."""
ROWS = 2_000
AT_ONCE = 200
LATE_US = 60_000_000
CHANGED = "a consent was withdrawn while this was being exported; nothing was exported, repeat the call"


@dataclass(frozen=True, slots=True)
class Item:
    """A memory that is held: its verified plaintext, and its row and strength where it has them."""

    held: HeldMemory | None
    record: TierRecord
    plaintext: bytes
    row: MemoryRow | None = None
    strength: StrengthState | None = None
    newer: frozenset[str] = frozenset()
    """Of the memories it names, those that came after the moment."""


@dataclass(slots=True)
class Moment:
    """When an export looks, and what RAM held then: references only, what they name does not change."""

    at_us: int
    top: int
    held: dict[str, HeldMemory]
    strengths: dict[str, StrengthState]
    known_damaged: frozenset[str]
    keys: dict[str, SealingKey]
    partial: bool
    """Whether RAM held some of the memories only."""
    bars: Callable[[str], bool]
    """Whether what is held for a purpose is never in RAM."""
    damaged: list[str] = field(default_factory=list)
    stored: dict[str, TierRecord] | None = None
    sight: Sight | None = None
    """What of it whoever asks may see; None: everything."""
    beyond: int = 0
    """How many memories may not be seen."""
    sessions: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, active: ActiveSubject, now_us: int, sight: Sight | None = None) -> Moment:
        """Look now. Nothing is awaited: what a write shows in RAM, it shows at once."""
        return cls(
            now_us,
            active.last_order,
            active.held | active.quarantined,
            {memory_id: one.state for memory_id, one in active.tracked.items()},
            frozenset(active.damaged),
            dict(active.keys),
            active.paged,
            active.bars,
            sight=sight,
        )

    def may_see(self, level: str) -> bool:
        """Tell whether memories of a level may be seen, and count one that may not."""
        seen = self.shows(level)
        self.beyond += not seen
        return seen

    def shows(self, level: str) -> bool:
        """Tell whether texts of a level may be seen."""
        return self.sight is None or Sensitivity(level) in self.sight.levels

    def check(self, active: ActiveSubject) -> None:
        """Refuse to go on with what has been erased, or rests on a consent that was withdrawn, since.

        Raises:
            SubjectErasedError: the person was erased meanwhile.
            ConsentRequiredError: a consent was withdrawn meanwhile.
        """
        active.check_alive()
        if any(active.keys.get(purpose) is not key for purpose, key in self.keys.items()):
            raise ConsentRequiredError(CHANGED)


class Sources:
    """Reads what is held of a subject in RAM, in cold, in its sessions, in the register and in the ledger."""

    def __init__(self, core: Core, directory: SubjectDirectory, sessions: Sessions) -> None:
        self._core = core
        self._directory = directory
        self._sessions = sessions
        self._register = Register(core)

    async def items(self, active: ActiveSubject, moment: Moment) -> AsyncIterator[list[Item]]:
        """Yield what is held of memories, oldest first, what is in hot alone at the end."""
        after, read = 0, self._core.state.read
        while rows := await read(MemoriesFrom(active.ref.pseudonym, after, moment.top, ROWS)):
            after = rows[-1].order
            for start in range(0, len(rows), AT_ONCE):
                moment.check(active)
                yield await self._items(active, moment, rows[start : start + AT_ONCE])
        alone = (one for one in moment.held.values() if one.volatile and moment.may_see(one.sensitivity))
        volatile = sorted(alone, key=lambda one: one.order)
        yield [_of_held(one, None, None) for one in volatile]

    async def _items(self, active: ActiveSubject, moment: Moment, rows: Sequence[MemoryRow]) -> list[Item]:
        there = [row for row in rows if row.state != MemoryState.REMOVING and not _is_late(moment, row)]
        wanted = [row for row in there if moment.may_see(row.sensitivity)]
        absent = [row for row in wanted if row.memory_id not in moment.held]
        read = {one.record.id: one for one in await self._read(active, moment, absent)}
        found = []
        for row in wanted:
            held = moment.held.get(row.memory_id)
            if held is not None:
                strength = moment.strengths.get(row.memory_id, state_of(row))
                found.append(_of_held(held, row, strength))
            elif row.memory_id in read:
                found.append(read[row.memory_id])
        return await self._dated(active, moment, found)

    async def _read(self, active: ActiveSubject, moment: Moment, rows: Sequence[MemoryRow]) -> list[Item]:
        """Return what is not in RAM: forgotten, or of a user of whom RAM holds a part."""
        if not rows:
            return []
        stored = await self._stored(active, moment, rows)
        there = [stored[row.memory_id] for row in rows if is_current(row, stored)]
        opened = self._directory.holdings.open_all(active, there)
        by_id = {row.memory_id: row for row in rows}
        lost = by_id.keys() - {record.id for record, _ in opened}
        if lost:
            still = await self._core.state.read(MemoryRows(active.ref.pseudonym, tuple(sorted(lost))))
            moment.damaged += [one.memory_id for one in still if one.state != MemoryState.REMOVING]
        return [
            Item(None, record, plaintext, by_id[record.id], state_of(by_id[record.id]))
            for record, plaintext in opened
        ]

    async def _stored(
        self, active: ActiveSubject, moment: Moment, rows: Sequence[MemoryRow]
    ) -> dict[str, TierRecord]:
        holdings = self._directory.holdings
        if active.paged and self._core.indexed is not None:
            known = holdings.on_their_way(active)
            absent = [row.memory_id for row in rows if not is_current(row, known)]
            return known | {one.id: one for one in await self._core.indexed.fetch(active.ref, absent)}
        if moment.stored is None:
            every = await holdings.records(active)
            moment.stored = {one.id: one for one in every if one.id not in moment.held}
        return moment.stored

    async def _dated(self, active: ActiveSubject, moment: Moment, found: list[Item]) -> list[Item]:
        """Say of each which of the memories it names came after the moment; RAM's own are of that moment."""
        if not active.paged:
            return found
        linked = {one.record.id: _linked(decode_fields(one.plaintext)) for one in found}
        named = tuple(sorted(set[str]().union(*linked.values()))) if linked else ()
        rows = await self._core.state.read(MemoryRows(active.ref.pseudonym, named)) if named else []
        newer = {row.memory_id for row in rows if row.order > moment.top}
        return [
            Item(o.held, o.record, o.plaintext, o.row, o.strength, frozenset(linked[o.record.id] & newer))
            for o in found
        ]

    def told(
        self, active: ActiveSubject, moment: Moment, item: Item
    ) -> tuple[Memory, Explanation, dict[str, Any]]:
        """Return a memory as it was at the moment, why it is kept, and its decoded record."""
        fields, record = decode_fields(item.plaintext), item.record
        memory = memory_of(fields, record_id=record.id, order=record.order, version=record.version)
        memory = f.as_of(memory, item.newer, moment.top)
        if moment.sight is not None:
            memory = moment.sight.bare(active, memory)
        if item.row is None or item.strength is None:
            assert item.held is not None
            return memory, explained_volatile(self._core, active, item.held), fields
        return memory, explained(self._core, memory, item.row, item.strength), fields

    async def turns(self, active: ActiveSubject, moment: Moment) -> list[dict[str, Any]]:
        """Return the turns of sessions that are open or can be resumed."""
        warm, found = self._core.warm, dict[tuple[str, str], dict[str, Any]]()
        open_sessions = warm.sessions(active.ref)
        for session in open_sessions:
            for turn in warm.turns(active.ref, session):
                found[session, turn.id] = _turn("warm", session, turn)
        for session, turn in await self._tail(active, moment):
            found.setdefault((session, turn.id), _turn("tail", session, turn))
        for session in sorted(moment.sessions - set(open_sessions)):
            for turn in await self._sessions.saved(active, session) or ():
                found.setdefault((session, turn.id), _turn("hot", session, turn))
        told = sorted(found, key=lambda key: (key[0], found[key]["order"]))
        return [found[key] for key in told if _is_seen(moment, found[key])]

    async def _tail(self, active: ActiveSubject, moment: Moment) -> list[tuple[str, BufferedTurn]]:
        rows = await self._core.state.read(c.SealedTails(active.ref.pseudonym)) if active.durable else []
        live = [row for row in rows if row.expires_us > moment.at_us]
        return [one for row in live if (one := self._tail_turn(active, row)) is not None]

    def _tail_turn(self, active: ActiveSubject, row: TailRow) -> tuple[str, BufferedTurn] | None:
        sealed = row.sealed or b""
        try:
            record = TierRecord(row.record_id, row.order, 1, sealed)
            fields = decode_fields(active.sealer_for(sealed).open(Place.TAIL, record))
        except CorruptionError:
            return None
        memory = memory_of(fields, record_id=row.record_id, order=row.order, version=1)
        return memory.session or "", buffered(memory, self._core.count_tokens, durable=False)

    async def accesses(self, active: ActiveSubject) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield what the ledger recorded about the subject, in its order."""
        if not active.durable:
            return
        name = subject_commitment(active.ledger_key, active.ref.pseudonym)
        async for rows in self._core.notary.rows():
            about = [(index, json.loads(leaf)) for index, leaf, _ in rows if name.encode() in leaf]
            yield [_recorded(index, leaf) for index, leaf in about if leaf["subject"] == name]

    async def entries(self, active: ActiveSubject) -> list[dict[str, Any]]:
        """Return the subject's entries in the register, those for the store's own use left out."""
        return [
            {
                "kind": one.kind,
                "id": one.id,
                "status": one.status,
                "at": from_us(one.at_us),
                "due": None if one.due_us is None else from_us(one.due_us),
                "version": one.version,
                "fields": one.fields,
            }
            for one in await self._register.every(active)
            if one.kind not in INTERNAL
        ]


def consents_of(active: ActiveSubject) -> list[dict[str, Any]]:
    """Return the subject's consent events as lines."""
    return [
        {
            "event_id": one.event_id,
            "action": one.action,
            "purpose": one.purpose,
            "at": from_us(one.at_us),
            "expires_at": None if one.expires_us is None else from_us(one.expires_us),
            "explicit": one.explicit,
            "details": one.details,
        }
        for one in active.consents
    ]


def _of_held(held: HeldMemory, row: MemoryRow | None, strength: StrengthState | None) -> Item:
    record = TierRecord(held.id, held.order, held.version, b"", held.expires_us)
    return Item(held, record, held.plaintext, row, strength)


def _is_late(moment: Moment, row: MemoryRow) -> bool:
    """Tell whether a write has committed this memory, and had not shown it, when the export looked: half of it."""
    fresh = row.state == MemoryState.ACTIVE and row.ingested_us >= moment.at_us - LATE_US
    unseen = row.memory_id not in moment.held and row.memory_id not in moment.known_damaged
    return fresh and unseen and not moment.partial and not moment.bars(row.purpose)


def _is_seen(moment: Moment, turn: Mapping[str, Any]) -> bool:
    """A turn whose level is not known is shown to nobody who does not reach every level."""
    if moment.sight is None:
        return True
    held = moment.held.get(turn["memory_id"] or turn["id"])
    return held is not None and Sensitivity(held.sensitivity) in moment.sight.levels


def _linked(fields: dict[str, Any]) -> set[str]:
    return {*fields.get("conflicts", ()), fields.get("superseded_by") or ""} - {""}


def _turn(where: str, session: str, turn: BufferedTurn) -> dict[str, Any]:
    return {
        "where": where,
        "session": session,
        "id": turn.id,
        "order": turn.order,
        "role": turn.role,
        "content": turn.content,
        "occurred_at": turn.occurred_at,
        "author": turn.author,
        "pinned": turn.pinned,
        "importance": turn.importance,
        "memory_id": turn.memory_id,
    }


def _recorded(index: int, leaf: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": index,
        "at": from_us(leaf["at_us"]),
        "event": leaf["event"],
        "actor": leaf["actor"],
        "reason": leaf["reason"],
        "object": leaf["object"],
        "detail": leaf["detail"],
    }
