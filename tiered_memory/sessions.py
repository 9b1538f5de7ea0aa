"""Sessions across their lives: resumed from hot or from their sealed tail, snapshotted when they leave warm."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgpack

from tiered_memory.active import ActiveSubject
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import Place
from tiered_memory.crypto.keyring import SUBJECT_PURPOSE
from tiered_memory.errors import CorruptionError, HotTierError, KeyUnavailableError
from tiered_memory.formats.record import decode_fields, memory_of
from tiered_memory.metrics import CorruptionDetected
from tiered_memory.model import Memory, Role
from tiered_memory.paging import Pager
from tiered_memory.scoring.packing import BufferedTurn
from tiered_memory.scoring.tokens import TokenCounter
from tiered_memory.state import commands as c
from tiered_memory.state.base import TailRow
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.tiers.base import TierRecord
from tiered_memory.tiers.session_tier import EndedSession, decode_turn, encode_turn


def buffered(memory: Memory, count: TokenCounter, *, durable: bool) -> BufferedTurn:
    """Return a memory as a turn of its session's buffer; a system prompt is pinned."""
    return BufferedTurn(
        id=memory.id,
        order=memory.order,
        role=memory.role,
        content=memory.content,
        tokens=count(memory.content),
        importance=memory.importance,
        occurred_at=memory.occurred_at,
        author=memory.author,
        pinned=memory.role is Role.SYSTEM,
        memory_id=memory.id if durable else None,
    )


def _said(memory: Memory, order: int, count: TokenCounter) -> BufferedTurn | None:
    """Return the turn of that order in which a memory was said, first or again; None when that is not known any more."""
    turn = buffered(memory, count, durable=True)
    if order == memory.order:
        return turn
    again = next((one for one in memory.repeats if one.order == order), None)
    if again is None:
        return None
    return replace(turn, id=again.id, order=order, occurred_at=again.occurred_at)


def _is_of(turn: BufferedTurn, ids: Collection[str]) -> bool:
    """Tell whether a turn is one of the records, or says one of them again."""
    return turn.id in ids or turn.memory_id in ids


async def spoken_turns(core: Core, active: ActiveSubject) -> dict[str, Mapping[str, Any]]:
    """Return, decoded and by id, the turns that a subject's sessions resume with and that are no memories.

    What does not open is shown by nobody and left out.
    """
    rows = await core.state.read(c.SealedTails(active.ref.pseudonym)) if active.durable else []
    active.check_alive()
    found = dict[str, Mapping[str, Any]]()
    for row in rows:
        sealed = row.sealed or b""
        with suppress(CorruptionError):
            record = TierRecord(row.record_id, row.order, 1, sealed)
            found[row.record_id] = decode_fields(active.sealer_for(sealed).open(Place.TAIL, record))
    return found


def sessions_in(turns: Mapping[str, Mapping[str, Any]], ids: Collection[str]) -> set[str]:
    """Return the sessions in which some of the turns were said."""
    return {fields["session"] for one, fields in turns.items() if one in ids and fields.get("session")}


def _edition(active: ActiveSubject) -> int:
    """A snapshot mixes purposes: one taken before a consent or an objection changed does not open after it."""
    return len(active.consents) + active.objection_changes


def _standing(active: ActiveSubject) -> tuple[int, int]:
    """Return what changes whenever sessions stored somewhere do, but for being written on."""
    return _edition(active), active.session_changes


class Sessions:
    """Fills warm buffers on first touch and empties them without loss."""

    def __init__(self, core: Core, directory: SubjectDirectory, pager: Pager) -> None:
        self._core = core
        self._directory = directory
        self._pager = pager

    async def ready(self, active: ActiveSubject, session: str) -> None:
        """Make sure the session's buffer holds what an earlier process, or an eviction, left elsewhere."""
        while not await self._filled(active, session):
            continue

    async def _filled(self, active: ActiveSubject, session: str) -> bool:
        """Fill the buffer; False when what was read for it may be what somebody took out meanwhile."""
        if session in active.sessions:
            return True
        before = _standing(active)
        turns: dict[str, BufferedTurn] = {}
        if active.durable:
            turns.update({turn.id: turn for turn in await self._tail(active, session)})
        for turn in await self._snapshot(active, session):
            turns.setdefault(turn.id, turn)
        present = self._core.warm.turns(active.ref, session)
        turns.update({turn.id: turn for turn in present})
        active.check_alive()
        if session in active.sessions:
            return True
        if _standing(active) != before:
            return False
        active.sessions.add(session)
        if len(turns) > len(present):
            ordered = sorted(turns.values(), key=lambda turn: turn.order)
            active.last_order = max(active.last_order, ordered[-1].order)
            await self.leave(self._core.warm.replace(active.ref, session, ordered).ended)
        return True

    async def append(self, active: ActiveSubject, session: str, turn: BufferedTurn) -> None:
        """Append a turn to its session's buffer."""
        appended = self._core.warm.append(active.ref, session, turn)
        if appended.ended:
            await self.leave(appended.ended)

    def holding(self, active: ActiveSubject, record_ids: Collection[str]) -> set[str]:
        """Return the sessions in warm that have one of the records among their turns."""
        wanted, warm = set(record_ids), self._core.warm
        return {
            session
            for session in warm.sessions(active.ref)
            if any(_is_of(turn, wanted) for turn in warm.turns(active.ref, session))
        }

    async def end_idle(self) -> int:
        """End the sessions nobody has touched for the policy's idle time; return how many."""
        ended = tuple(self._core.warm.end_idle(self._core.now_us()))
        await self.leave(ended)
        return len(ended)

    async def snapshot_all(self) -> None:
        """Leave every session of every active subject where it can be resumed from."""
        for active in self._directory.residents():
            for session in self._core.warm.sessions(active.ref):
                await self._save(active, session, self._core.warm.turns(active.ref, session))

    async def leave(self, ended: tuple[EndedSession, ...]) -> None:
        """Snapshot sessions that left warm; a session of an erased subject leaves nothing."""
        for one in ended:
            active = self._directory.resident(one.subject.pseudonym)
            if active is not None and active.ref.generation == one.subject.generation:
                active.sessions.discard(one.session)
                await self._save(active, one.session, one.turns)

    async def _save(self, active: ActiveSubject, session: str, turns: tuple[BufferedTurn, ...]) -> None:
        name = self._core.names.session(active.ref.pseudonym, session).hex()
        purpose = "" if session in active.ephemeral_sessions else SUBJECT_PURPOSE
        sealer = active.sealer(purpose)
        blob = msgpack.packb([encode_turn(turn, session) for turn in turns])
        context = sealer.context(Place.SNAPSHOT, name, version=_edition(active))
        sealed = sealer.key.seal(blob, context, self._core.keyring.nonce())
        try:
            await self._core.hot.save_snapshot(active.ref, name, sealed, self._core.policy.hot.ttl_seconds)
            if not active.alive:
                # An erasure has passed by while this was on its way, and has looked into hot already.
                await self._core.hot.drop(active.ref)
        except HotTierError:
            return

    async def strike(self, active: ActiveSubject, session: str, ids: Collection[str]) -> None:
        """Take turns out of the session's snapshot, if there is one: it must not keep what was removed."""
        turns = await self.saved(active, session)
        if turns is not None:
            await self._save(active, session, tuple(turn for turn in turns if not _is_of(turn, ids)))

    async def reword(self, active: ActiveSubject, memory: Memory) -> None:
        """Have a corrected memory's text in place of the one before, in every session that shows it."""
        ids = {memory.id}
        active.session_changes += 1
        for session in active.sessions_of(memory.id) | self.holding(active, ids):
            turns = self._core.warm.turns(active.ref, session)
            if any(_is_of(turn, ids) for turn in turns):
                placed = self._core.warm.replace(active.ref, session, self._reworded(turns, memory))
                await self.leave(placed.ended)
            saved = await self.saved(active, session) or []
            if any(_is_of(turn, ids) for turn in saved):
                await self._save(active, session, tuple(self._reworded(saved, memory)))
        active.session_changes += 1

    def _reworded(self, turns: Iterable[BufferedTurn], memory: Memory) -> list[BufferedTurn]:
        tokens = self._core.count_tokens(memory.content)
        return [
            replace(turn, content=memory.content, tokens=tokens) if _is_of(turn, {memory.id}) else turn
            for turn in turns
        ]

    async def _snapshot(self, active: ActiveSubject, session: str) -> list[BufferedTurn]:
        turns = await self.saved(active, session) or []
        await self._pager.bring(active, [turn.memory_id for turn in turns if turn.memory_id is not None])
        return [turn for turn in turns if turn.memory_id is None or turn.memory_id in active.held]

    async def saved(self, active: ActiveSubject, session: str) -> list[BufferedTurn] | None:
        """Return the turns of the session's snapshot; None where there is none that opens."""
        name = self._core.names.session(active.ref.pseudonym, session).hex()
        try:
            sealed = await self._core.hot.load_snapshot(active.ref, name)
            if sealed is None:
                return None
            record = TierRecord(name, 0, _edition(active), sealed)
            blob = active.sealer_for(sealed).open(Place.SNAPSHOT, record)
        except (HotTierError, CorruptionError):
            return None
        return [decode_turn(payload)[1] for payload in msgpack.unpackb(blob)]

    async def _tail(self, active: ActiveSubject, session: str) -> list[BufferedTurn]:
        pseudonym = self._core.names.session(active.ref.pseudonym, session)
        rows = await self._core.state.read(c.Tail(active.ref.pseudonym, pseudonym))
        await self._pager.bring(active, [row.record_id for row in rows if row.sealed is None])
        active.check_alive()
        now_us = self._core.now_us()
        turns = [self._tail_turn(active, row) for row in rows if row.expires_us > now_us]
        return [turn for turn in turns if turn is not None]

    def _tail_turn(self, active: ActiveSubject, row: TailRow) -> BufferedTurn | None:
        """A pointer to a memory that is not held any more points at nothing: it left the session too."""
        if row.sealed is None:
            held = active.held.get(row.record_id)
            return None if held is None else _said(held.memory(), row.order, self._core.count_tokens)
        record = TierRecord(row.record_id, row.order, 1, row.sealed)
        try:
            fields = decode_fields(active.sealer_for(row.sealed).open(Place.TAIL, record))
        except KeyUnavailableError:
            return None  # the consent it rests on was withdrawn meanwhile
        except CorruptionError:
            self._core.observer.observe(CorruptionDetected("state"))
            return None
        memory = memory_of(fields, record_id=row.record_id, order=row.order, version=1)
        if active.bars(memory.purpose):
            return None
        return buffered(memory, self._core.count_tokens, durable=False)
