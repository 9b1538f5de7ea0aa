"""Rows of SQLite turned into the state store's values, and how each question is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw

from tiered_memory.crypto.keyring import EpochRecord, KeyRecord
from tiered_memory.errors import StateStoreError
from tiered_memory.state import commands as c
from tiered_memory.state import forgetting as f
from tiered_memory.state import paging as p
from tiered_memory.state.base import (
    ConsentRow,
    Held,
    JournalAction,
    JournalEntry,
    JournalSize,
    MemoryRow,
    OperationRow,
    PendingRemoval,
    SubjectRow,
    TailRow,
    Totals,
)
from tiered_memory.state.queries import SQL

Row = Sequence[Any]
PINNED, HELD = 19, 20


def operation_of(row: Row) -> OperationRow:
    """Return the operation a row of `operation_get` describes."""
    return OperationRow(*row)


def held_of(row: Row) -> Held:
    """Return the counts a row of `count_held` describes."""
    return Held(*row)


def _journal_of(row: Row) -> JournalEntry:
    (seq, fmt, operation, group, size, subject, generation, action, memory_id, order, version, sealed, at) = (
        row
    )
    return JournalEntry(
        operation=operation,
        atomic_group=group,
        group_size=size,
        subject=subject,
        generation=generation,
        action=JournalAction(action),
        memory_id=memory_id,
        order=order,
        version=version,
        sealed=sealed,
        created_us=at,
        seq=seq,
        format=fmt,
    )


def memory_of(row: Row) -> MemoryRow:
    """Return what a row of `memories_of` and its like describes."""
    values = list(row)
    values[PINNED], values[HELD] = bool(row[PINNED]), bool(row[HELD])
    return MemoryRow(*values)


def _tail_of(row: Row) -> TailRow:
    subject, session, order, fmt, generation, record_id, purpose, pinned, sealed, expires = row
    return TailRow(
        subject, session, order, generation, record_id, purpose, bool(pinned), sealed, expires, format=fmt
    )


def _consent_of(row: Row) -> ConsentRow:
    subject, generation, fmt, event_id, action, purpose, at, expires, explicit, sealed = row
    return ConsentRow(
        subject, generation, event_id, action, purpose, at, expires, bool(explicit), sealed, format=fmt
    )


def first_row(db: apsw.Connection, name: str, values: tuple[Any, ...] = ()) -> Row | None:
    """Run a statement and return its first row, if any."""
    return db.execute(SQL[name], values).fetchone()


def one_row(db: apsw.Connection, name: str, values: tuple[Any, ...] = ()) -> Row:
    """Run a statement that always answers with a row."""
    row = first_row(db, name, values)
    if row is None:
        raise StateStoreError
    return row


def _get_meta(db: apsw.Connection, query: c.GetMeta) -> bytes | None:
    row = first_row(db, "meta_get", (query.name,))
    return None if row is None else row[0]


def _position(db: apsw.Connection, _query: c.Position) -> tuple[int, int, int]:
    seq, leaf_index, commits = one_row(db, "position")
    return seq, leaf_index, commits


def _epochs(db: apsw.Connection, query: c.Epochs) -> list[EpochRecord]:
    return [EpochRecord(*row) for row in db.execute(SQL["epochs"], (query.tenant,))]


def _get_subject(db: apsw.Connection, query: c.GetSubject) -> SubjectRow | None:
    row = first_row(db, "subject_get", (query.subject,))
    return None if row is None else SubjectRow(*row)


def _subjects_in_state(db: apsw.Connection, query: c.SubjectsInState) -> list[SubjectRow]:
    return [SubjectRow(*row) for row in db.execute(SQL["subjects_in_state"], (query.state.value,))]


def _keys(db: apsw.Connection, query: c.Keys) -> list[KeyRecord]:
    return [KeyRecord(*row) for row in db.execute(SQL["keys_of"], (query.subject,))]


def _consents(db: apsw.Connection, query: c.Consents) -> list[ConsentRow]:
    return [_consent_of(row) for row in db.execute(SQL["consent_of"], (query.subject,))]


def _memories(db: apsw.Connection, query: c.Memories) -> list[MemoryRow]:
    return [memory_of(row) for row in db.execute(SQL["memories_of"], (query.subject,))]


def _memory_rows(db: apsw.Connection, query: p.MemoryRows) -> list[MemoryRow]:
    found = (first_row(db, "memory_of", (query.subject, one)) for one in query.memory_ids)
    return [memory_of(row) for row in found if row is not None]


def _memory_page(db: apsw.Connection, query: p.MemoryPage) -> list[p.Placed]:
    rows = db.execute(SQL["memories_page"], (query.subject, query.before, query.limit))
    return [p.Placed(*row) for row in rows]


def _resident_rows(db: apsw.Connection, query: p.ResidentRows) -> list[MemoryRow]:
    return [memory_of(row) for row in db.execute(SQL["memories_resident"], (query.subject,))]


def _importances(db: apsw.Connection, query: p.Importances) -> list[float]:
    return [importance for (importance,) in db.execute(SQL["importances_of"], (query.subject,))]


def _due(db: apsw.Connection, query: c.Due) -> list[MemoryRow]:
    if query.subject is None:
        rows = db.execute(SQL["memories_due"], (query.now_us, query.limit))
    else:
        rows = db.execute(SQL["memories_due_of"], (query.subject, query.now_us, query.limit))
    return [memory_of(row) for row in rows]


def totals_of(db: apsw.Connection, subject: bytes) -> Totals:
    """Return how many active memories a subject has, and their bytes."""
    row = first_row(db, "totals_of", (subject,))
    return Totals() if row is None else Totals(*row)


def _totals_of(db: apsw.Connection, query: f.TotalsOf) -> Totals:
    return totals_of(db, query.subject)


def _active_totals(db: apsw.Connection, query: c.ActiveTotals) -> dict[bytes, int]:
    return {one: totals_of(db, one).items for one in query.subjects}


def _one_after_the_other(
    db: apsw.Connection, names: tuple[str, str], key: str | bytes, limit: int
) -> list[MemoryRow]:
    """Return the rows of two statements, the second one's only as far as `limit` goes."""
    rows: list[MemoryRow] = []
    for name in names:
        rows += [memory_of(row) for row in db.execute(SQL[name], (key, limit - len(rows)))]
    return rows


def _leaving(db: apsw.Connection, query: f.Leaving) -> list[MemoryRow]:
    return _one_after_the_other(db, ("memories_leaving", "memories_staying"), query.subject, query.limit)


def _of_other_policies(db: apsw.Connection, query: f.OfOtherPolicies) -> list[MemoryRow]:
    names = ("memories_of_lower_policies", "memories_of_higher_policies")
    return _one_after_the_other(db, names, query.version, query.limit)


def _count_of_other_policies(db: apsw.Connection, query: f.CountOfOtherPolicies) -> int:
    count: int = one_row(db, "count_of_other_policies", (query.version,))[0]
    return count


def _memories_after(db: apsw.Connection, query: f.MemoriesAfter) -> list[MemoryRow]:
    rows = db.execute(SQL["memories_after"], (query.subject, query.memory_id, query.limit))
    return [memory_of(row) for row in rows]


def _has_expired(db: apsw.Connection, query: f.HasExpired) -> bool:
    return bool(one_row(db, "has_expired", (query.now_us,))[0])


def _removing(db: apsw.Connection, _query: c.Removing) -> list[PendingRemoval]:
    return [PendingRemoval(*row) for row in db.execute(SQL["memories_removing"])]


def _journal(db: apsw.Connection, _query: c.Journal) -> list[JournalEntry]:
    return [_journal_of(row) for row in db.execute(SQL["journal_all"])]


def _journal_size(db: apsw.Connection, _query: c.GetJournalSize) -> JournalSize:
    return JournalSize(*one_row(db, "journal_size"))


def _tail(db: apsw.Connection, query: c.Tail) -> list[TailRow]:
    return [_tail_of(row) for row in db.execute(SQL["tail_of"], (query.subject, query.session))]


def _sealed_tails(db: apsw.Connection, query: c.SealedTails) -> list[TailRow]:
    return [_tail_of(row) for row in db.execute(SQL["tails_sealed"], (query.subject,))]


def _in_tail(db: apsw.Connection, query: c.InTail) -> bool:
    return bool(one_row(db, "tail_has", (query.subject, query.record_id))[0])


def _last_order(db: apsw.Connection, query: c.LastOrder) -> int:
    order: int = one_row(db, "last_order", (query.subject,))[0]
    return order


def _operation(db: apsw.Connection, query: c.GetOperation) -> OperationRow | None:
    row = first_row(db, "operation_get", (query.subject, query.operation))
    return None if row is None else operation_of(row)


def _leaves(db: apsw.Connection, query: c.Leaves) -> list[tuple[int, bytes, bytes]]:
    return list(db.execute(SQL["audit_from"], (query.start, query.limit)))


def _held(db: apsw.Connection, query: c.HeldOf) -> Held:
    return held_of(one_row(db, "count_held", (query.subject,)))


def _removed(db: apsw.Connection, _query: c.Removed) -> list[tuple[bytes, int, int, str]]:
    return list(db.execute(SQL["removed_all"]))


def _routing(db: apsw.Connection, _query: c.RoutingCounts) -> list[tuple[str, str, int]]:
    return list(db.execute(SQL["routing_all"]))


def _analytics(db: apsw.Connection, _query: c.AnalyticsRows) -> list[tuple[Any, ...]]:
    return list(db.execute(SQL["analytics_memories"]))


READERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    c.GetMeta: _get_meta,
    c.Position: _position,
    c.Epochs: _epochs,
    c.GetSubject: _get_subject,
    c.SubjectsInState: _subjects_in_state,
    c.Keys: _keys,
    c.Consents: _consents,
    c.Memories: _memories,
    p.MemoryRows: _memory_rows,
    p.MemoryPage: _memory_page,
    p.ResidentRows: _resident_rows,
    p.Importances: _importances,
    c.Due: _due,
    f.Leaving: _leaving,
    f.OfOtherPolicies: _of_other_policies,
    f.CountOfOtherPolicies: _count_of_other_policies,
    f.MemoriesAfter: _memories_after,
    f.TotalsOf: _totals_of,
    f.HasExpired: _has_expired,
    c.ActiveTotals: _active_totals,
    c.Removing: _removing,
    c.Journal: _journal,
    c.GetJournalSize: _journal_size,
    c.Tail: _tail,
    c.SealedTails: _sealed_tails,
    c.InTail: _in_tail,
    c.LastOrder: _last_order,
    c.GetOperation: _operation,
    c.Leaves: _leaves,
    c.HeldOf: _held,
    c.Removed: _removed,
    c.RoutingCounts: _routing,
    c.AnalyticsRows: _analytics,
}
