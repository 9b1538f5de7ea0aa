"""The warm tier: each session's latest turns in this process's memory, within a token budget.

Every buffer, the number of sessions, of a user's sessions and of remembered generations is bounded. A session
that leaves is handed back as an `EndedSession`, so that it can be sealed and resumed later with `replace`.
Nothing here awaits: a call is atomic among the tasks of one event loop.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tiered_memory.clock import Clock, to_us
from tiered_memory.errors import ClosedError, ConfigurationError, SubjectErasedError
from tiered_memory.metrics import TierHeld
from tiered_memory.policy.rules import WarmRules
from tiered_memory.scoring.packing import BufferedTurn
from tiered_memory.tiers.base import SubjectRef, TierRecord
from tiered_memory.tiers.session_buffer import (
    Buffer,
    Entry,
    Shelf,
    by_place,
    decode_turn,
    encode_turn,
    placed,
)

__all__ = ["Appended", "EndReason", "EndedSession", "SessionTier", "decode_turn", "encode_turn"]

MOST_FENCES = 100_000
"""Generations remembered of subjects that have no session now; the longest unchanged goes first."""
MINUTE_US = 60_000_000

EndReason: TypeAlias = Literal["idle", "evicted"]


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that left: its turns, oldest first, as they were."""

    subject: SubjectRef
    session: str
    turns: tuple[BufferedTurn, ...]
    last_active_us: int
    reason: EndReason


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append pushed out: turns of its session, and other sessions."""

    dropped: tuple[BufferedTurn, ...] = ()
    ended: tuple[EndedSession, ...] = ()


def _ignore(_ended: EndedSession) -> None:
    """Let a session go unreported."""


class SessionTier:
    """Session buffers that satisfy `Tier`.

    A record's payload is a turn (`encode_turn`); other payloads are held as they came, seen by `scan` alone. A
    call made under a lower generation than one seen before is a stale one: it reads nothing, and a write raises
    `SubjectErasedError`. A higher generation removes what an earlier one left. `max_sessions` (>= 1) bounds all
    sessions of all subjects. `append`, `replace` and `end_idle` return the sessions that leave; `put` cannot and
    gives each to `on_evicted`. Raises `ConfigurationError` for a bound below 1.
    """

    def __init__(
        self,
        rules: WarmRules,
        clock: Clock,
        *,
        max_sessions: int = 10_000,
        name: str = "warm",
        on_evicted: Callable[[EndedSession], None] = _ignore,
    ) -> None:
        if max_sessions < 1:
            raise ConfigurationError("max_sessions must be at least 1")
        self._rules = rules
        self._clock = clock
        self._max_sessions = max_sessions
        self._name = name
        self._shelves: dict[bytes, Shelf] = {}
        self._recent: OrderedDict[tuple[bytes, str | None], None] = OrderedDict()
        self._fences: OrderedDict[bytes, int] = OrderedDict()
        self._on_evicted = on_evicted
        self._closed = False

    @property
    def name(self) -> str:
        """Short name for metrics and receipts."""
        return self._name

    def measure(self) -> TierHeld:
        """Return how many turns and other records are held, of all subjects; their bytes nobody counts."""
        buffers = (buffer for shelf in self._shelves.values() for buffer in shelf.buffers.values())
        return TierHeld(sum(len(buffer.entries) for buffer in buffers), None)

    @property
    def session_count(self) -> int:
        """How many sessions are held, of all subjects."""
        return len(self._recent)

    def append(
        self,
        subject: SubjectRef,
        session: str,
        turn: BufferedTurn,
        *,
        version: int = 1,
        expires_at_us: int | None = None,
    ) -> Appended:
        """Add a turn and trim its session to the token budget; return what that pushed out.

        The same id replaces an older or equal `version` and never a newer one. Raises `SubjectErasedError` when
        the subject was erased since `subject` was read.
        """
        shelf = self._shelf_to_write(subject)
        dropped = self._store(shelf, session, Entry(turn.id, turn.order, version, turn, expires_at_us))
        return Appended(dropped, self._bound(shelf))

    def replace(self, subject: SubjectRef, session: str, turns: Sequence[BufferedTurn]) -> Appended:
        """Make `turns` the session's content, as when it is resumed; return what that pushed out.

        Raises `SubjectErasedError` as `append` does.
        """
        shelf = self._shelf_to_write(subject)
        self._discard(shelf, session)
        if not turns:
            return Appended()
        shelf = self._shelf_to_write(subject)
        dropped = [
            gone
            for turn in turns
            for gone in self._store(shelf, session, Entry(turn.id, turn.order, 1, turn))
        ]
        return Appended(tuple(dropped), self._bound(shelf))

    def turns(self, subject: SubjectRef, session: str) -> tuple[BufferedTurn, ...]:
        """Return the session's turns, oldest first, without those whose time has passed."""
        shelf = self._shelf_to_read(subject)
        if shelf is None or session not in shelf.buffers:
            return ()
        self._touch(shelf, session)
        return shelf.buffers[session].turns(to_us(self._clock.now()))

    def sessions(self, subject: SubjectRef) -> tuple[str, ...]:
        """Return the subject's sessions, the least recently touched first."""
        shelf = self._shelf_to_read(subject)
        return tuple(session for session in shelf.buffers if session is not None) if shelf else ()

    def forget_session(self, subject: SubjectRef, session: str) -> int:
        """Remove a session without reporting it; return how many turns it had."""
        shelf = self._shelf_to_read(subject)
        return self._discard(shelf, session) if shelf else 0

    def end_idle(self, now_us: int) -> list[EndedSession]:
        """End and return the sessions that nothing was written to for `session_idle_minutes`."""
        self._refuse_closed()
        idle_since = now_us - round(self._rules.session_idle_minutes * MINUTE_US)
        ended: list[EndedSession] = []
        for pseudonym, session in list(self._recent):
            shelf = self._shelves[pseudonym]
            if shelf.buffers[session].last_active_us <= idle_since:
                ended.extend(self._end(shelf, session, "idle"))
        return ended

    async def put(self, subject: SubjectRef, records: Sequence[TierRecord]) -> None:
        """Store records; the same id replaces an older or equal `version` and never a newer one.

        Raises `CorruptionError` for a damaged turn, before anything is stored, and `SubjectErasedError` as
        `append` does.
        """
        entries = [placed(record) for record in records]
        self._refuse_closed()
        if not entries:
            return
        shelf = self._shelf_to_write(subject)
        for session, entry in entries:
            self._store(shelf, session, entry)
        for ended in self._bound(shelf):
            self._on_evicted(ended)

    async def scan(self, subject: SubjectRef, *, limit: int | None = None) -> list[TierRecord]:
        """Return what is held, highest `order` first, at most `limit` (>= 0) records."""
        shelf = self._shelf_to_read(subject)
        if shelf is None:
            return []
        held = [
            (entry, buffer.session) for buffer in shelf.buffers.values() for entry in buffer.entries.values()
        ]
        held.sort(key=lambda pair: by_place(pair[0]), reverse=True)
        return [entry.record(session) for entry, session in held[:limit]]

    async def remove(self, subject: SubjectRef, ids: Sequence[str]) -> int:
        """Remove turns by their own or their memory's id from every session; return how many were there."""
        shelf = self._shelf_to_read(subject)
        if shelf is None:
            return 0
        names = frozenset(ids)
        return sum(self._remove(shelf, buffer, names) for buffer in list(shelf.buffers.values()))

    async def drop(self, subject: SubjectRef) -> int:
        """Remove everything held for the subject and refuse earlier generations; return how many records went.

        A drop of an earlier generation than one seen is a stale one and removes nothing.
        """
        self._refuse_closed()
        shelf = self._shelves.get(subject.pseudonym)
        if subject.generation < self._generation(subject.pseudonym):
            return 0
        count = shelf.size() if shelf else 0
        self._clear(subject.pseudonym)
        self._fence(subject.pseudonym, subject.generation)
        return count

    async def close(self) -> None:
        """Forget everything; safe to call twice."""
        self._closed = True
        for held in (self._shelves, self._recent, self._fences):
            held.clear()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ClosedError(f"the {self._name} tier is closed")

    def _generation(self, pseudonym: bytes) -> int:
        shelf = self._shelves.get(pseudonym)
        return shelf.subject.generation if shelf else self._fences.get(pseudonym, 0)

    def _shelf_to_read(self, subject: SubjectRef) -> Shelf | None:
        """Return the subject's shelf unless it belongs to another generation; a newer one clears it."""
        self._refuse_closed()
        known = self._generation(subject.pseudonym)
        if subject.generation > known:
            self._clear(subject.pseudonym)
            self._fence(subject.pseudonym, subject.generation)
        return self._shelves.get(subject.pseudonym) if subject.generation >= known else None

    def _shelf_to_write(self, subject: SubjectRef) -> Shelf:
        shelf = self._shelf_to_read(subject)
        if subject.generation < self._generation(subject.pseudonym):
            raise SubjectErasedError
        if shelf is None:
            shelf = self._shelves[subject.pseudonym] = Shelf(subject)
            self._fences.pop(subject.pseudonym, None)
        return shelf

    def _fence(self, pseudonym: bytes, generation: int) -> None:
        if generation > 0:
            self._fences[pseudonym] = generation
            self._fences.move_to_end(pseudonym)
        while len(self._fences) > MOST_FENCES:
            self._fences.popitem(last=False)

    def _store(self, shelf: Shelf, session: str | None, entry: Entry) -> tuple[BufferedTurn, ...]:
        held = shelf.find(entry.id)
        if held is not None:
            if held.entries[entry.id].version > entry.version:
                return ()
            held.pop(entry.id)
        buffer = shelf.buffers.setdefault(session, Buffer(session))
        buffer.put(entry)
        buffer.last_active_us = max(buffer.last_active_us, to_us(self._clock.now()))
        self._touch(shelf, session)
        if held is not None and not held.entries:
            self._discard(shelf, held.session)
        return buffer.trim(self._rules.token_budget)

    def _touch(self, shelf: Shelf, session: str | None) -> None:
        shelf.buffers.move_to_end(session)
        self._recent[shelf.subject.pseudonym, session] = None
        self._recent.move_to_end((shelf.subject.pseudonym, session))

    def _bound(self, shelf: Shelf) -> tuple[EndedSession, ...]:
        """End the least recently touched sessions beyond the bounds."""
        ended: list[EndedSession] = []
        while len(shelf.buffers) > self._rules.max_sessions_per_user:
            ended.extend(self._end(shelf, next(iter(shelf.buffers)), "evicted"))
        while len(self._recent) > self._max_sessions:
            pseudonym, session = next(iter(self._recent))
            ended.extend(self._end(self._shelves[pseudonym], session, "evicted"))
        return tuple(ended)

    def _end(self, shelf: Shelf, session: str | None, reason: EndReason) -> Iterable[EndedSession]:
        buffer = shelf.buffers[session]
        self._discard(shelf, session)
        if session is None:
            return ()
        return (EndedSession(shelf.subject, session, buffer.turns(), buffer.last_active_us, reason),)

    def _remove(self, shelf: Shelf, buffer: Buffer, names: frozenset[str]) -> int:
        named = [entry.id for entry in buffer.entries.values() if entry.is_named(names)]
        for entry_id in named:
            buffer.pop(entry_id)
        if not buffer.entries:
            self._discard(shelf, buffer.session)
        return len(named)

    def _discard(self, shelf: Shelf, session: str | None) -> int:
        """Let go of a buffer, and of the shelf if it was the last one, keeping the subject's generation."""
        buffer = shelf.buffers.pop(session, None)
        self._recent.pop((shelf.subject.pseudonym, session), None)
        if not shelf.buffers:
            self._shelves.pop(shelf.subject.pseudonym)
            self._fence(shelf.subject.pseudonym, shelf.subject.generation)
        return len(buffer.entries) if buffer else 0

    def _clear(self, pseudonym: bytes) -> None:
        shelf = self._shelves.get(pseudonym)
        if shelf is not None:
            for session in list(shelf.buffers):
                self._discard(shelf, session)
