"""How SQLite carries out each change. One small function per command; all run inside the writer's savepoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from tiered_memory.errors import ConsentRequiredError, SubjectErasedError
from tiered_memory.state import commands as c
from tiered_memory.state import forgetting as f
from tiered_memory.state.base import (
    Appended,
    ConsentRow,
    Crowded,
    Held,
    JournalEntry,
    MemoryRow,
    Repeated,
    Revision,
    Stale,
    StrengthUpdate,
    TailRow,
    WriteBatch,
)
from tiered_memory.state.queries import SQL
from tiered_memory.state.register import HELD_RECORD
from tiered_memory.state.sqlite_rows import first_row, held_of, one_row, operation_of
from tiered_memory.state.sqlite_steps import (
    add_leaves,
    check_epoch,
    check_generation,
    check_writable,
    growth,
    make_room,
    move,
)


def _changed(db: apsw.Connection, name: str, values: tuple[Any, ...]) -> int:
    """Run a statement and return how many rows it changed."""
    db.execute(SQL[name], values)
    return db.changes()


def _put_meta(db: apsw.Connection, command: c.PutMeta) -> None:
    db.execute(SQL["meta_put"], (command.name, command.value))


def _mark_restored(db: apsw.Connection, command: c.MarkRestored) -> None:
    db.execute(SQL["meta_replace"], ("incarnation", command.incarnation))
    add_leaves(db, [command.leaf])


def _put_epoch(db: apsw.Connection, command: c.PutEpoch) -> None:
    r = command.record
    db.execute(SQL["epoch_put"], (r.tenant, r.epoch, r.wrapped, r.created_us, r.format))


def _put_subject(db: apsw.Connection, command: c.PutSubject) -> None:
    r = command.row
    values = (r.subject, r.tenant, r.generation, r.incarnation, r.state, r.embedder, r.identity, r.created_us)
    if _changed(db, "subject_put", values) != 1:
        raise SubjectErasedError("the subject is held already, or was erased meanwhile; nothing was changed")
    for key in command.keys:
        _put_key(db, c.PutKey(key))
    add_leaves(db, [command.leaf])


def _put_key(db: apsw.Connection, command: c.PutKey) -> None:
    r = command.record
    check_generation(db, r.subject, r.generation)
    check_epoch(db, r.subject, r.epoch)
    values = (r.subject, r.purpose, r.key_id, r.epoch, r.generation, r.wrapped, r.created_us, r.format)
    db.execute(SQL["key_put"], values)


def _consent_values(r: ConsentRow) -> tuple[Any, ...]:
    return (
        r.subject,
        r.generation,
        r.format,
        r.event_id,
        r.action,
        r.purpose,
        r.at_us,
        r.expires_us,
        r.explicit,
        r.sealed,
    )


def _put_consent(db: apsw.Connection, command: c.PutConsent) -> None:
    check_generation(db, command.row.subject, command.row.generation)
    db.execute(SQL["consent_put"], _consent_values(command.row))
    add_leaves(db, [command.leaf])


def _append(db: apsw.Connection, command: c.Append) -> Appended | Repeated | Stale | Crowded:
    batch = command.batch
    check_writable(db, batch.subject, batch.generation)
    _check_key(db, batch)
    operation = batch.operation
    if operation is not None:
        earlier = first_row(db, "operation_get", (operation.subject, operation.operation))
        if earlier is not None:
            return Repeated(operation_of(earlier))
    leaving = {change.memory_id for change in batch.room.evicted} if batch.room else set[str]()
    named = {one.entry.memory_id: one for one in batch.revisions}
    stale = tuple(one for one, rev in named.items() if one in leaving or not _revisable(db, batch, rev))
    if stale:
        return Stale(stale)
    if not make_room(db, batch.subject, batch.room, len(batch.memories), growth(db, batch)):
        return Crowded()
    if operation is not None:
        db.execute(
            SQL["operation_put"],
            (
                operation.subject,
                operation.operation,
                operation.generation,
                operation.fingerprint,
                operation.purpose,
                operation.receipt,
                operation.expires_us,
            ),
        )
    return _append_rows(db, batch)


def _check_key(db: apsw.Connection, batch: WriteBatch) -> None:
    """A write that was under way when its consent was withdrawn must not commit after it."""
    if batch.key_id and first_row(db, "key_held", (batch.subject, batch.purpose, batch.key_id)) is None:
        raise ConsentRequiredError(
            "the consent was withdrawn while this was being written; nothing was stored"
        )


def _revisable(db: apsw.Connection, batch: WriteBatch, revision: Revision) -> bool:
    """Tell whether a memory is still as its new version takes it to be."""
    entry = revision.entry
    values = (batch.subject, entry.memory_id, batch.generation, batch.purpose, entry.version - 1)
    return first_row(db, "memory_revisable", values) is not None


def _revise(db: apsw.Connection, batch: WriteBatch, revision: Revision) -> int:
    entry, strength = revision.entry, revision.strength
    db.execute(SQL["memory_revise"], (entry.version, revision.bytes, batch.subject, entry.memory_id))
    if strength is not None:
        db.execute(SQL["memory_strength"], (*_strength_values(strength), batch.subject, strength.memory_id))
    return _journal_put(db, entry)


def _append_rows(db: apsw.Connection, batch: WriteBatch) -> Appended:
    seqs = tuple(_journal_put(db, entry) for entry in batch.entries)
    seqs += tuple(_revise(db, batch, revision) for revision in batch.revisions)
    db.executemany(SQL["memory_put"], [_memory_values(row) for row in batch.memories])
    for tail in batch.tails:
        _tail_put(db, tail, batch.tail_turns)
    db.executemany(SQL["routing_add"], [(*key, count) for key, count in batch.routing.items()])
    if batch.leaves:
        add_leaves(db, batch.leaves)
    return Appended(seqs)


def _journal_put(db: apsw.Connection, e: JournalEntry) -> int:
    values = (
        e.format,
        e.operation,
        e.atomic_group,
        e.group_size,
        e.subject,
        e.generation,
        int(e.action),
        e.memory_id,
        e.order,
        e.version,
        e.sealed,
        e.created_us,
    )
    db.execute(SQL["journal_put"], values)
    return db.last_insert_rowid()


def _memory_values(r: MemoryRow) -> tuple[Any, ...]:
    return (
        r.subject,
        r.memory_id,
        r.generation,
        r.order,
        r.version,
        r.kind,
        r.sensitivity,
        r.purpose,
        r.basis,
        r.state,
        r.importance,
        r.strength_last,
        r.t_last_us,
        r.n_spaced,
        r.policy_version,
        r.ingested_us,
        r.forget_at_us,
        r.deadline_us,
        r.deadline_rule,
        r.pinned,
        r.held,
        r.bytes,
    )


def _tail_put(db: apsw.Connection, r: TailRow, keep: int) -> None:
    values = (
        r.subject,
        r.session,
        r.order,
        r.format,
        r.generation,
        r.record_id,
        r.purpose,
        r.pinned,
        r.sealed,
        r.expires_us,
    )
    db.execute(SQL["tail_put"], values)
    db.execute(SQL["tail_extend"], (r.expires_us, r.subject, r.session))
    db.execute(SQL["tail_trim"], (r.subject, r.session, keep))


def _trim(db: apsw.Connection, command: c.Trim) -> None:
    db.executemany(SQL["journal_trim"], [(seq,) for seq in command.seqs])


def _strength_values(u: StrengthUpdate) -> tuple[Any, ...]:
    return (
        u.strength_last,
        u.t_last_us,
        u.n_spaced,
        u.policy_version,
        u.forget_at_us,
        u.deadline_us,
        u.deadline_rule,
    )


def _update_strengths(db: apsw.Connection, command: c.UpdateStrengths) -> None:
    check_generation(db, command.subject, command.generation)
    rows = [(*_strength_values(u), command.subject, u.memory_id) for u in command.updates]
    db.executemany(SQL["memory_strength"], rows)


def _reindex(db: apsw.Connection, command: f.Reindex) -> int:
    """Whoever pinned, used, moved or erased a row since it was read has seen to its deadline already."""
    done = 0
    for update in command.updates:
        row = update.row
        where = (row.subject, row.memory_id, row.generation)
        as_read = (row.state, row.policy_version, row.t_last_us, row.deadline_us, row.pinned, row.held)
        entered = (update.policy_version, update.forget_at_us, update.deadline_us, update.deadline_rule)
        done += _changed(db, "memory_reindex", (*entered, *where, *as_read))
    return done


def _change_states(db: apsw.Connection, command: c.ChangeStates) -> None:
    check_writable(db, command.subject, command.generation)
    move(db, command.subject, command.changes)
    add_leaves(db, command.leaves)


def _restore(db: apsw.Connection, command: c.RestoreMemory) -> bool | Crowded:
    check_writable(db, command.subject, command.generation)
    update = command.update
    row = first_row(db, "memory_restorable", (command.subject, update.memory_id))
    if row is None:
        return False
    if not make_room(db, command.subject, command.room, 1, row[0]):
        return Crowded()
    db.execute(SQL["memory_restore"], (*_strength_values(update), command.subject, update.memory_id))
    add_leaves(db, [command.leaf])
    return True


def _pin(db: apsw.Connection, command: c.PinMemory) -> bool:
    check_writable(db, command.subject, command.generation)
    values = (
        command.pinned,
        command.deadline_us,
        command.deadline_rule,
        command.subject,
        command.memory_id,
    )
    return _changed(db, "memory_pin", values) == 1


def _finish_removal(db: apsw.Connection, command: c.FinishRemoval) -> None:
    check_generation(db, command.subject, command.generation)
    for memory_id in command.memory_ids:
        db.execute(SQL["memory_drop"], (command.subject, memory_id))
        db.execute(SQL["tombstone_put"], (command.subject, memory_id, command.now_us))


def _remove_again(db: apsw.Connection, command: c.RemoveAgain) -> int:
    found = 0
    for subject, memory_id in command.memories:
        to = ("removing", command.now_us, "applied again", None)
        found += _changed(db, "memory_state", (*to, subject, memory_id))
        db.execute(SQL["memory_unhold"], (subject, memory_id))
        db.execute(SQL["journal_drop_memory"], (subject, memory_id))
        db.execute(SQL["tail_drop_record"], (subject, memory_id))
        db.execute(SQL["register_drop"], (subject, HELD_RECORD, memory_id))
    return found


def _mark_reembedding(db: apsw.Connection, command: c.MarkReembedding) -> None:
    if command.mark is None:
        db.execute(SQL["meta_drop"], (c.REEMBEDDING,))
    else:
        db.execute(SQL["meta_replace"], (c.REEMBEDDING, command.mark))


def _move_subject(db: apsw.Connection, command: c.MoveSubject) -> None:
    check_generation(db, command.subject, command.generation)
    db.execute(SQL["subject_move"], (command.incarnation, command.embedder, command.subject))
    tails = [(r.sealed, r.subject, r.session, r.order) for r in command.tails]
    db.executemany(SQL["tail_reseal"], tails)
    sizes = [(size, command.subject, memory_id) for memory_id, size in command.sizes]
    db.executemany(SQL["memory_size"], sizes)
    _mark_reembedding(db, c.MarkReembedding(command.mark))


def _end_session(db: apsw.Connection, command: c.EndSession) -> None:
    db.execute(SQL["tail_drop_session"], (command.subject, command.session))


def _expire(db: apsw.Connection, command: c.Expire) -> int:
    tails = _changed(db, "tail_expire", (command.now_us,))
    return tails + _changed(db, "operations_expire", (command.now_us,))


def _begin_erasure(db: apsw.Connection, command: c.BeginErasure) -> int:
    if _changed(db, "erasure_begin", (command.at_least, command.subject, command.generation)) != 1:
        raise SubjectErasedError
    add_leaves(db, [command.leaf])
    return _changed(db, "keys_destroy", (command.subject,))


def _append_leaves(db: apsw.Connection, command: c.AppendLeaves) -> int:
    return add_leaves(db, command.leaves)


def _purge_subject(db: apsw.Connection, command: c.PurgeSubject) -> Held:
    before = held_of(one_row(db, "count_held", (command.subject,)))
    for name in ("journal", "memories", "tail", "consents", "operations", "tombstones", "totals", "register"):
        db.execute(SQL[f"drop_{name}"], (command.subject,))
    return before


def _finish_erasure(db: apsw.Connection, command: c.FinishErasure) -> int:
    if _changed(db, "erasure_finish", (command.subject, command.generation)) != 1:
        raise SubjectErasedError
    db.execute(SQL["erased_put"], (command.subject, command.generation, command.now_us))
    return add_leaves(db, [command.leaf])


HANDLERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    c.PutMeta: _put_meta,
    c.MarkRestored: _mark_restored,
    c.PutEpoch: _put_epoch,
    c.PutSubject: _put_subject,
    c.PutKey: _put_key,
    c.PutConsent: _put_consent,
    c.Append: _append,
    c.Trim: _trim,
    c.UpdateStrengths: _update_strengths,
    f.Reindex: _reindex,
    c.ChangeStates: _change_states,
    c.RestoreMemory: _restore,
    c.PinMemory: _pin,
    c.FinishRemoval: _finish_removal,
    c.RemoveAgain: _remove_again,
    c.MarkReembedding: _mark_reembedding,
    c.MoveSubject: _move_subject,
    c.EndSession: _end_session,
    c.Expire: _expire,
    c.BeginErasure: _begin_erasure,
    c.AppendLeaves: _append_leaves,
    c.PurgeSubject: _purge_subject,
    c.FinishErasure: _finish_erasure,
}
