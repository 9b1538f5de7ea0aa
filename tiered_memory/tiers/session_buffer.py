"""What the warm tier holds: turns, their buffers by session, and the shelf of one subject."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgpack

from tiered_memory.errors import CorruptionError
from tiered_memory.model import Role
from tiered_memory.scoring.packing import BufferedTurn, trim, turn_cost
from tiered_memory.tiers.base import SubjectRef, TierRecord

TURN_MAGIC = b"\xc1turn"
"""Begins an encoded turn; 0xC1 begins no msgpack value."""
TURN_FORMAT = 1
MOST_LOOSE_RECORDS = 1000
"""Records per subject that are no turns."""


def encode_turn(turn: BufferedTurn, session: str) -> bytes:
    """Return a record's payload for `turn`: a magic, then a msgpack map with named keys."""
    fields: dict[str, Any] = {
        "f": TURN_FORMAT,
        "session": session,
        "id": turn.id,
        "order": turn.order,
        "role": turn.role.value,
        "content": turn.content,
        "tokens": turn.tokens,
        "importance": turn.importance,
        "occurred": turn.occurred_at.isoformat(),
        "author": turn.author,
        "pinned": turn.pinned,
        "memory": turn.memory_id,
    }
    packed: bytes = msgpack.packb(fields)
    return TURN_MAGIC + packed


def decode_turn(payload: bytes) -> tuple[str, BufferedTurn]:
    """Return the session and the turn; raises `CorruptionError` for bytes that `encode_turn` did not make."""
    try:
        fields = msgpack.unpackb(payload.removeprefix(TURN_MAGIC))
        if not payload.startswith(TURN_MAGIC) or fields["f"] != TURN_FORMAT:
            raise CorruptionError("these bytes are no turn, or one of a format this version does not know")
        return fields["session"], _turn_of(fields)
    except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
        raise CorruptionError("a turn's bytes cannot be read") from error


def _turn_of(fields: dict[str, Any]) -> BufferedTurn:
    return BufferedTurn(
        id=fields["id"],
        order=fields["order"],
        role=Role(fields["role"]),
        content=fields["content"],
        tokens=fields["tokens"],
        importance=fields["importance"],
        occurred_at=datetime.fromisoformat(fields["occurred"]),
        author=fields["author"],
        pinned=fields["pinned"],
        memory_id=fields["memory"],
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """A turn, or the payload of a record that is none."""

    id: str
    order: int
    version: int
    content: BufferedTurn | bytes
    expires_at_us: int | None = None

    @property
    def tokens(self) -> int:
        """What a turn costs a session's budget; a record that is none costs nothing."""
        return turn_cost(self.content) if isinstance(self.content, BufferedTurn) else 0

    def is_named(self, names: frozenset[str]) -> bool:
        """Tell whether it goes by one of `names`, itself or by the memory made of it."""
        memory_id = self.content.memory_id if isinstance(self.content, BufferedTurn) else None
        return self.id in names or memory_id in names

    def record(self, session: str | None) -> TierRecord:
        """Return it as a tier's record."""
        content = self.content
        payload = content if isinstance(content, bytes) else encode_turn(content, session or "")
        return TierRecord(self.id, self.order, self.version, payload, self.expires_at_us)


@dataclass(slots=True)
class Buffer:
    """One session's entries by id; session None holds the records that are no turns."""

    session: str | None
    entries: dict[str, Entry] = field(default_factory=dict)
    last_active_us: int = 0
    tokens: int = 0
    """Tokens of all turns, kept up to date so that a buffer within its budget is never gone through."""

    def put(self, entry: Entry) -> None:
        """Take an entry in, in place of one of the same id."""
        self.pop(entry.id)
        self.entries[entry.id] = entry
        self.tokens += entry.tokens

    def pop(self, entry_id: str) -> None:
        """Let go of an entry, if it is here."""
        gone = self.entries.pop(entry_id, None)
        self.tokens -= 0 if gone is None else gone.tokens

    def turns(self, now_us: int | None = None) -> tuple[BufferedTurn, ...]:
        """Return the turns, oldest first; with `now_us`, without those whose time has passed."""
        return tuple(
            entry.content
            for entry in sorted(self.entries.values(), key=by_place)
            if isinstance(entry.content, BufferedTurn)
            and (now_us is None or entry.expires_at_us is None or entry.expires_at_us > now_us)
        )

    def trim(self, token_budget: int) -> tuple[BufferedTurn, ...]:
        """Let go of what exceeds the budget and return those turns."""
        if self.session is None:
            for entry in sorted(self.entries.values(), key=by_place)[:-MOST_LOOSE_RECORDS]:
                self.pop(entry.id)
            return ()
        if self.tokens <= token_budget:
            return ()
        dropped = trim(self.turns(), token_budget).dropped
        for turn in dropped:
            self.pop(turn.id)
        return dropped


@dataclass(slots=True)
class Shelf:
    """One subject's buffers, least recently touched first."""

    subject: SubjectRef
    buffers: OrderedDict[str | None, Buffer] = field(default_factory=OrderedDict)

    def find(self, entry_id: str) -> Buffer | None:
        """Return the buffer that holds this id."""
        return next((buffer for buffer in self.buffers.values() if entry_id in buffer.entries), None)

    def size(self) -> int:
        """Return how many records are held."""
        return sum(len(buffer.entries) for buffer in self.buffers.values())


def by_place(entry: Entry) -> tuple[int, str]:
    """Return the sort key that puts the oldest first."""
    return entry.order, entry.id


def placed(record: TierRecord) -> tuple[str | None, Entry]:
    """Return where a record belongs and what is kept of it; raises `CorruptionError` for a damaged turn."""
    if not record.payload.startswith(TURN_MAGIC):
        return None, Entry(record.id, record.order, record.version, record.payload, record.expires_at_us)
    session, turn = decode_turn(record.payload)
    turn = replace(turn, id=record.id, order=record.order)
    return session, Entry(record.id, record.order, record.version, turn, record.expires_at_us)
