"""How SQLite carries out and answers `state/register.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw

from tiered_memory.state import register as r
from tiered_memory.state.queries import SQL
from tiered_memory.state.sqlite_rows import first_row
from tiered_memory.state.sqlite_steps import add_leaves, check_generation


def entry_of(row: Sequence[Any]) -> r.EntryRow:
    """Return the entry a row describes."""
    owner, kind, entry_id, version, generation, fmt, status, at_us, due_us, sealed = row
    return r.EntryRow(
        owner=owner,
        kind=kind,
        entry_id=entry_id,
        version=version,
        generation=generation,
        status=status,
        at_us=at_us,
        due_us=due_us,
        sealed=sealed,
        format=fmt,
    )


def _put_entries(db: apsw.Connection, command: r.PutEntries) -> bool:
    for one in command.rows:
        if one.generation != r.UNFENCED:
            check_generation(db, one.owner, one.generation)
    if not all(_is_next(db, one) for one in command.rows):
        return False
    for one in command.rows:
        values = (one.owner, one.kind, one.entry_id, one.version, one.generation, one.format)
        db.execute(SQL["register_put"], (*values, one.status, one.at_us, one.due_us, one.sealed))
    add_leaves(db, command.leaves)
    return True


def _is_next(db: apsw.Connection, one: r.EntryRow) -> bool:
    row = first_row(db, "register_version", (one.owner, one.kind, one.entry_id))
    return one.version == (0 if row is None else row[0]) + 1


def _drop_entries(db: apsw.Connection, command: r.DropEntries) -> int:
    found = 0
    for one in command.entry_ids:
        db.execute(SQL["register_drop"], (command.owner, command.kind, one))
        found += db.changes()
    add_leaves(db, command.leaves)
    return found


def _entries(db: apsw.Connection, query: r.Entries) -> list[r.EntryRow]:
    return [entry_of(row) for row in db.execute(SQL["register_of"], (query.owner, query.kind))]


def _entries_of_kind(db: apsw.Connection, query: r.EntriesOfKind) -> list[r.EntryRow]:
    return [entry_of(row) for row in db.execute(SQL["register_of_kind"], (query.kind, query.status))]


def _entries_due(db: apsw.Connection, query: r.EntriesDue) -> list[r.EntryRow]:
    values = (query.kind, query.now_us, query.limit)
    return [entry_of(row) for row in db.execute(SQL["register_due"], values)]


HANDLERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    r.PutEntries: _put_entries,
    r.DropEntries: _drop_entries,
}
READERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    r.Entries: _entries,
    r.EntriesOfKind: _entries_of_kind,
    r.EntriesDue: _entries_due,
}
