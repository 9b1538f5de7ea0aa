"""Rows of the state store, and the four verbs it is reached through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from tiered_memory.formats.leaf import AuditLeaf

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
JOURNAL_FORMAT = 1
TAIL_FORMAT = 1
CONSENT_FORMAT = 1


class SubjectState(StrEnum):
    """Where a subject stands."""

    ACTIVE = "active"
    RESTRICTED = "restricted"
    ERASING = "erasing"
    ERASED = "erased"


class MemoryState(StrEnum):
    """Where a memory stands: `forgotten` can be restored, `removing` cannot."""

    ACTIVE = "active"
    FORGOTTEN = "forgotten"
    REMOVING = "removing"


class JournalAction(IntEnum):
    """What the flusher must do with an entry. Numbers are stored."""

    UPSERT = 1


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """A subject as stored. `embedder` names the vector space of its rows."""

    subject: bytes
    tenant: bytes
    generation: int
    incarnation: bytes
    state: str
    embedder: str
    identity: bytes | None
    created_us: int


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A sealed record on its way to cold (format 1, `tests/golden/journal_entry_v1.json`).

    Entries of one `atomic_group` reach the cold tier in one commit or not at all.
    """

    operation: bytes
    atomic_group: bytes
    group_size: int
    subject: bytes
    generation: int
    action: JournalAction
    memory_id: str
    order: int
    version: int
    sealed: bytes
    created_us: int
    seq: int = 0
    format: int = JOURNAL_FORMAT


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """What the state store knows of a memory: its strength, never its content."""

    subject: bytes
    memory_id: str
    generation: int
    order: int
    version: int
    kind: str
    sensitivity: str
    purpose: str
    basis: str
    state: str
    importance: float
    strength_last: float
    t_last_us: int
    n_spaced: float
    policy_version: str
    ingested_us: int
    forget_at_us: int | None
    deadline_us: int | None
    deadline_rule: str
    pinned: bool
    held: bool
    bytes: int
    forgotten_us: int | None = None
    """When it was forgotten; None for what is active, and for what was forgotten under schema 1."""


@dataclass(frozen=True, slots=True)
class StrengthUpdate:
    """A memory's strength after uses, and the deadline that follows from it."""

    memory_id: str
    strength_last: float
    t_last_us: int
    n_spaced: float
    policy_version: str
    forget_at_us: int | None
    deadline_us: int | None
    deadline_rule: str


@dataclass(frozen=True, slots=True)
class StateChange:
    """A memory's move to another state; `deadline_us` is when it falls due there, `at_us` when it was forgotten."""

    memory_id: str
    state: MemoryState
    deadline_us: int | None
    deadline_rule: str
    at_us: int | None = None


@dataclass(frozen=True, slots=True)
class DeadlineUpdate:
    """A memory's deadline computed anew, for the row as it was read: one that changed since is left alone."""

    row: MemoryRow
    policy_version: str
    forget_at_us: int | None
    deadline_us: int | None
    deadline_rule: str


@dataclass(frozen=True, slots=True)
class Room:
    """A subject's quota in active memories and their bytes (None: no bound), and what a write moves out for it.

    `evicted` must still be active and neither pinned nor held when it is carried out, each with its audit leaf.
    """

    max_items: int | None
    max_bytes: int | None
    evicted: tuple[StateChange, ...] = ()
    leaves: tuple[AuditLeaf, ...] = ()


@dataclass(frozen=True, slots=True)
class Totals:
    """How many active memories a subject has, and their bytes."""

    items: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class PendingRemoval:
    """A memory whose bytes have to go, and since when."""

    subject: bytes
    memory_id: str
    since_us: int


@dataclass(frozen=True, slots=True)
class TailRow:
    """One turn of a session's tail (format 1, `tests/golden/session_tail_v1.json`).

    `sealed` is None when the turn is a memory itself: the tail then points at it, so that removing the memory
    takes it out of the session too.
    """

    subject: bytes
    session: bytes
    order: int
    generation: int
    record_id: str
    purpose: str
    pinned: bool
    sealed: bytes | None
    expires_us: int
    format: int = TAIL_FORMAT


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """A consent event; `sealed` holds its details under the subject's own key."""

    subject: bytes
    generation: int
    event_id: str
    action: str
    purpose: str
    at_us: int
    expires_us: int | None
    explicit: bool
    sealed: bytes
    format: int = CONSENT_FORMAT


@dataclass(frozen=True, slots=True)
class OperationRow:
    """A caller's operation id with its outcome, so that a repeated call is answered and not done again."""

    subject: bytes
    operation: bytes
    generation: int
    fingerprint: bytes
    purpose: str
    receipt: bytes
    expires_us: int


@dataclass(frozen=True, slots=True)
class Revision:
    """A new version of a memory that is held, and its strength where that changes too.

    It is written only while the version before it is active, under the batch's generation and purpose; `bytes` is
    the size of its plaintext.
    """

    entry: JournalEntry
    bytes: int
    strength: StrengthUpdate | None = None


@dataclass(frozen=True, slots=True)
class WriteBatch:
    """Everything one acknowledged write puts down, in one transaction."""

    subject: bytes
    generation: int
    entries: tuple[JournalEntry, ...] = ()
    memories: tuple[MemoryRow, ...] = ()
    revisions: tuple[Revision, ...] = ()
    tails: tuple[TailRow, ...] = ()
    tail_turns: int = 64
    routing: Mapping[tuple[str, str], int] = field(default_factory=dict)
    operation: OperationRow | None = None
    purpose: str = ""
    key_id: bytes = b""
    """The purpose's key it is sealed under: when that is gone nothing is written. Empty: not asked."""
    room: Room | None = None
    leaves: tuple[AuditLeaf, ...] = ()


@dataclass(frozen=True, slots=True)
class Appended:
    """The batch is durable; `seqs` are its journal entries' numbers in order, its revisions' after the others."""

    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Repeated:
    """The operation had been done before; nothing was written."""

    earlier: OperationRow


@dataclass(frozen=True, slots=True)
class Crowded:
    """The quota has no room for the write, or what was to make room is protected by now; nothing was written."""


@dataclass(frozen=True, slots=True)
class Stale:
    """These memories are not as the batch's revisions take them to be, or make room for it; nothing was written."""

    memory_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JournalSize:
    """How much waits in the journal."""

    records: int
    bytes: int
    oldest_us: int | None


@dataclass(frozen=True, slots=True)
class Held:
    """How many rows of each sort the state store holds of a subject."""

    journal: int
    memories: int
    tail: int
    keys: int
    consents: int
    operations: int
    register: int = 0

    @property
    def total(self) -> int:
        """All of them together."""
        stored = self.journal + self.memories + self.tail + self.keys
        return stored + self.consents + self.operations + self.register


class Write(Generic[T_co]):
    """A change to the state store, as a value; `T` is what it answers. See `state/commands.py`."""

    __slots__ = ()


class Read(Generic[T_co]):
    """A question to the state store, as a value; `T` is the answer."""

    __slots__ = ()


class StateStore(Protocol):
    """The transactional truth.

    Raises `StateStoreError` when the engine fails; a write that names a generation which has passed raises
    `SubjectErasedError`. Whoever writes another backend handles each command of `state/commands.py`.
    """

    async def write(self, command: Write[T]) -> T:
        """Carry out one change in one transaction; return after its fsync."""
        ...

    async def read(self, query: Read[T]) -> T:
        """Answer from what is committed."""
        ...

    async def snapshot(self, path: Path) -> None:
        """Write a copy of the store as of this moment, under the same page key, to a new file."""
        ...

    async def checkpoint(self) -> None:
        """Make sure that removed bytes are gone from every file of the store."""
        ...

    async def close(self) -> None:
        """Commit what is queued and release the files; safe to call twice."""
        ...
