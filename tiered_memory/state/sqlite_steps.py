"""Steps that several changes of the state store share; each runs inside the transaction of the change."""

from __future__ import annotations

from collections.abc import Iterable

import apsw

from tiered_memory.errors import EpochEndedError, RestrictedError, SubjectErasedError
from tiered_memory.formats.leaf import LEAF_FORMAT, AuditLeaf
from tiered_memory.privacy.merkle import leaf_hash
from tiered_memory.state.base import Room, StateChange, SubjectState, WriteBatch
from tiered_memory.state.queries import SQL
from tiered_memory.state.sqlite_rows import first_row, one_row, totals_of

LIVING = frozenset({SubjectState.ACTIVE.value, SubjectState.RESTRICTED.value})


def check_generation(db: apsw.Connection, subject: bytes, generation: int) -> None:
    """Refuse a write that means a subject as it was before an erasure."""
    _state_of(db, subject, generation)


def check_writable(db: apsw.Connection, subject: bytes, generation: int) -> None:
    """Refuse likewise what would change the memories of a subject whose processing is restricted meanwhile."""
    if _state_of(db, subject, generation) == SubjectState.RESTRICTED:
        raise RestrictedError


def _state_of(db: apsw.Connection, subject: bytes, generation: int) -> str:
    row = first_row(db, "subject_generation", (subject,))
    if row is None or row[0] != generation or row[1] not in LIVING:
        raise SubjectErasedError
    return str(row[1])


def check_epoch(db: apsw.Connection, subject: bytes, epoch: int) -> None:
    """Refuse a key that was wrapped while its epoch was ending: nobody would wrap it again."""
    epochs, this = one_row(db, "epoch_of_key", (subject, epoch))
    if epochs and not this:
        raise EpochEndedError


def add_leaves(db: apsw.Connection, leaves: Iterable[AuditLeaf]) -> int:
    """Append audit leaves; return the index of the last one (-1 when the ledger is empty)."""
    index: int = one_row(db, "audit_last")[0]
    for leaf in leaves:
        index += 1
        encoded = leaf.encode()
        db.execute(SQL["audit_put"], (index, LEAF_FORMAT, encoded, leaf_hash(encoded)))
    return index


def move(db: apsw.Connection, subject: bytes, changes: Iterable[StateChange]) -> None:
    """Move memories to other states, out of their sessions, and out of the journal when they are removed."""
    for change in changes:
        where = (subject, change.memory_id)
        to = (change.state.value, change.deadline_us, change.deadline_rule, change.at_us)
        db.execute(SQL["memory_state"], (*to, *where))
        if change.state == "removing":
            db.execute(SQL["journal_drop_memory"], where)
        db.execute(SQL["tail_drop_record"], where)


def growth(db: apsw.Connection, batch: WriteBatch) -> int:
    """Return by how many bytes a batch makes its subject's memories grow; 0 when nobody bounds them."""
    if batch.room is None:
        return 0
    names = [(batch.subject, revision.entry.memory_id) for revision in batch.revisions]
    before: int = sum(one_row(db, "memory_bytes", name)[0] for name in names)
    after = sum(one.bytes for one in batch.memories) + sum(one.bytes for one in batch.revisions)
    return after - before


def make_room(db: apsw.Connection, subject: bytes, room: Room | None, items: int, size: int) -> bool:
    """Move out what a write has to displace, or tell that the quota has no room for it, and write nothing."""
    if room is None:
        return True
    found = [first_row(db, "memory_evictable", (subject, change.memory_id)) for change in room.evicted]
    freed = [row[0] for row in found if row is not None]
    totals = totals_of(db, subject)
    items, size = items + totals.items - len(freed), size + totals.bytes - sum(freed)
    crowded = room.max_items is not None and items > room.max_items
    crowded = crowded or (room.max_bytes is not None and size > room.max_bytes)
    if crowded or len(freed) < len(found):
        return False
    move(db, subject, room.evicted)
    add_leaves(db, room.leaves)
    return True
