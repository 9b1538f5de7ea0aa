"""Everything that can be asked of the state store: each change and each question is one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tiered_memory.crypto.keyring import EpochRecord, KeyRecord
from tiered_memory.formats.leaf import AuditLeaf
from tiered_memory.state.base import (
    Appended,
    ConsentRow,
    Crowded,
    Held,
    JournalEntry,
    JournalSize,
    MemoryRow,
    OperationRow,
    PendingRemoval,
    Read,
    Repeated,
    Room,
    Stale,
    StateChange,
    StrengthUpdate,
    SubjectRow,
    SubjectState,
    TailRow,
    Write,
    WriteBatch,
)

REEMBEDDING = "reembedding"
"""Name of the value that says how far a move to another embedder has come."""

# --- changes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PutMeta(Write[None]):
    """Store a value of the store itself, once; a second write of the same name is refused."""

    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class MarkRestored(Write[None]):
    """Give a restored store an incarnation of its own and say so in the ledger, in one commit."""

    incarnation: bytes
    leaf: AuditLeaf


@dataclass(frozen=True, slots=True)
class PutEpoch(Write[None]):
    """Store a tenant's wrapping key."""

    record: EpochRecord


@dataclass(frozen=True, slots=True)
class PutSubject(Write[None]):
    """Begin holding a subject, or hold an erased one again at its present generation, with its first keys."""

    row: SubjectRow
    keys: tuple[KeyRecord, ...]
    leaf: AuditLeaf


@dataclass(frozen=True, slots=True)
class PutKey(Write[None]):
    """Store a wrapped data key of a living generation."""

    record: KeyRecord


@dataclass(frozen=True, slots=True)
class PutConsent(Write[None]):
    """Append a consent event."""

    row: ConsentRow
    leaf: AuditLeaf


@dataclass(frozen=True, slots=True)
class Append(Write[Appended | Repeated | Stale | Crowded]):
    """Acknowledge a write: journal, strengths, revisions, session tail, idempotency, in one commit or not at all."""

    batch: WriteBatch


@dataclass(frozen=True, slots=True)
class Trim(Write[None]):
    """Take entries out of the journal after the cold tier has them on disk."""

    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UpdateStrengths(Write[None]):
    """Write what uses, or a re-check, made of the strength of active memories."""

    subject: bytes
    generation: int
    updates: tuple[StrengthUpdate, ...]


@dataclass(frozen=True, slots=True)
class ChangeStates(Write[None]):
    """Move memories to other states, each with its audit leaf."""

    subject: bytes
    generation: int
    changes: tuple[StateChange, ...]
    leaves: tuple[AuditLeaf, ...]


@dataclass(frozen=True, slots=True)
class RestoreMemory(Write[bool | Crowded]):
    """Make a forgotten memory active again; answer False when it was not forgotten."""

    subject: bytes
    generation: int
    update: StrengthUpdate
    leaf: AuditLeaf
    room: Room | None = None


@dataclass(frozen=True, slots=True)
class PinMemory(Write[bool]):
    """Pin or unpin a memory; answer False when it is not held."""

    subject: bytes
    generation: int
    memory_id: str
    pinned: bool
    deadline_us: int | None
    deadline_rule: str


@dataclass(frozen=True, slots=True)
class FinishRemoval(Write[None]):
    """Forget the rows of memories whose bytes are gone from cold; leave a tombstone for each."""

    subject: bytes
    generation: int
    memory_ids: tuple[str, ...]
    now_us: int


@dataclass(frozen=True, slots=True)
class RemoveAgain(Write[int]):
    """Mark memories (subject, id) for removal that an older state brought back; answer how many there were."""

    memories: tuple[tuple[bytes, str], ...]
    now_us: int


@dataclass(frozen=True, slots=True)
class EndSession(Write[None]):
    """Remove a session's tail."""

    subject: bytes
    session: bytes


@dataclass(frozen=True, slots=True)
class Expire(Write[int]):
    """Remove session tails and operation ids whose time has passed; answer how many."""

    now_us: int


@dataclass(frozen=True, slots=True)
class BeginErasure(Write[int]):
    """Raise the generation and destroy every key of the subject, in one commit; answer how many keys went.

    The generation becomes at least `at_least`: an erasure that is applied again must not reuse an old number.
    """

    subject: bytes
    generation: int
    leaf: AuditLeaf
    at_least: int = 0


@dataclass(frozen=True, slots=True)
class AppendLeaves(Write[int]):
    """Append audit leaves that go with no other change; answer the index of the last."""

    leaves: tuple[AuditLeaf, ...]


@dataclass(frozen=True, slots=True)
class PurgeSubject(Write[Held]):
    """Remove every row of a subject that is being erased; answer what there was."""

    subject: bytes


@dataclass(frozen=True, slots=True)
class FinishErasure(Write[int]):
    """Enter the subject in the erased list; answer the index of the closing audit leaf."""

    subject: bytes
    generation: int
    now_us: int
    leaf: AuditLeaf


@dataclass(frozen=True, slots=True)
class MarkReembedding(Write[None]):
    """Note how far a move to another embedder has come; None: there is none under way."""

    mark: bytes | None


@dataclass(frozen=True, slots=True)
class MoveSubject(Write[None]):
    """Let a subject's rows be those of another table, embedded by another embedder, in one commit.

    `tails` are turns sealed anew, `sizes` the bytes of each memory's plaintext, `mark` names the table left behind.
    """

    subject: bytes
    generation: int
    incarnation: bytes
    embedder: str
    tails: tuple[TailRow, ...]
    sizes: tuple[tuple[str, int], ...]
    mark: bytes


# --- questions -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GetMeta(Read[bytes | None]):
    """A value of the store itself."""

    name: str


@dataclass(frozen=True, slots=True)
class Position(Read[tuple[int, int, int]]):
    """How far the store has come: the last journal number given out, the last audit leaf (-1: none), all commits."""


@dataclass(frozen=True, slots=True)
class Epochs(Read[list[EpochRecord]]):
    """A tenant's wrapping keys, oldest first."""

    tenant: bytes


@dataclass(frozen=True, slots=True)
class GetSubject(Read[SubjectRow | None]):
    """A subject's row."""

    subject: bytes


@dataclass(frozen=True, slots=True)
class SubjectsInState(Read[list[SubjectRow]]):
    """Every subject in one state, for recovery."""

    state: SubjectState


@dataclass(frozen=True, slots=True)
class Keys(Read[list[KeyRecord]]):
    """A subject's wrapped data keys."""

    subject: bytes


@dataclass(frozen=True, slots=True)
class Consents(Read[list[ConsentRow]]):
    """A subject's consent events in order."""

    subject: bytes


@dataclass(frozen=True, slots=True)
class Memories(Read[list[MemoryRow]]):
    """A subject's memories in any state."""

    subject: bytes


@dataclass(frozen=True, slots=True)
class Due(Read[list[MemoryRow]]):
    """Memories whose deadline is at or before `now_us`, earliest first, at most `limit`; one subject's or all."""

    now_us: int
    limit: int
    subject: bytes | None = None


@dataclass(frozen=True, slots=True)
class ActiveTotals(Read[dict[bytes, int]]):
    """How many active memories each of the given subjects has."""

    subjects: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Removing(Read[list[PendingRemoval]]):
    """Memories whose bytes still have to go."""


@dataclass(frozen=True, slots=True)
class Journal(Read[list[JournalEntry]]):
    """Everything not yet trimmed, in order, for replay."""


@dataclass(frozen=True, slots=True)
class GetJournalSize(Read[JournalSize]):
    """How much waits in the journal."""


@dataclass(frozen=True, slots=True)
class Tail(Read[list[TailRow]]):
    """A session's tail in order."""

    subject: bytes
    session: bytes


@dataclass(frozen=True, slots=True)
class SealedTails(Read[list[TailRow]]):
    """The turns of all sessions of a subject that are no memories."""

    subject: bytes


@dataclass(frozen=True, slots=True)
class InTail(Read[bool]):
    """Whether a session's tail holds a turn of its own that is no memory."""

    subject: bytes
    record_id: str


@dataclass(frozen=True, slots=True)
class LastOrder(Read[int]):
    """The highest record order held of a subject, 0 when none."""

    subject: bytes


@dataclass(frozen=True, slots=True)
class GetOperation(Read[OperationRow | None]):
    """What became of a caller's operation id."""

    subject: bytes
    operation: bytes


@dataclass(frozen=True, slots=True)
class Leaves(Read[list[tuple[int, bytes, bytes]]]):
    """The audit ledger from index `start`: index, leaf, hash; at most `limit` rows, -1 for all."""

    start: int = 0
    limit: int = -1


@dataclass(frozen=True, slots=True)
class HeldOf(Read[Held]):
    """How many rows of each sort are held of a subject."""

    subject: bytes


@dataclass(frozen=True, slots=True)
class Removed(Read[list[tuple[bytes, int, int, str]]]):
    """Everything erased: subject, generation, when (microseconds), and the memory's id; "" for a whole subject."""


@dataclass(frozen=True, slots=True)
class RoutingCounts(Read[list[tuple[str, str, int]]]):
    """How many interactions went where, and why."""


@dataclass(frozen=True, slots=True)
class AnalyticsRows(Read[list[tuple[Any, ...]]]):
    """The columns of the analytics projection, one tuple per memory."""
