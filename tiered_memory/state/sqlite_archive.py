"""How SQLite answers `state/archive.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from tiered_memory.state import archive as a
from tiered_memory.state.base import MemoryRow
from tiered_memory.state.queries import SQL
from tiered_memory.state.register import EntryRow
from tiered_memory.state.sqlite_register import entry_of
from tiered_memory.state.sqlite_rows import first_row, memory_of


def _memories_from(db: apsw.Connection, query: a.MemoriesFrom) -> list[MemoryRow]:
    values = (query.subject, query.after, query.top, query.limit)
    return [memory_of(row) for row in db.execute(SQL["memories_from"], values)]


def _tombstoned(db: apsw.Connection, query: a.Tombstoned) -> list[str]:
    return [one for one in query.memory_ids if first_row(db, "tombstone_of", (query.subject, one))]


def _entries_of(db: apsw.Connection, query: a.EntriesOf) -> list[EntryRow]:
    return [entry_of(row) for row in db.execute(SQL["register_of_owner"], (query.owner,))]


READERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    a.MemoriesFrom: _memories_from,
    a.Tombstoned: _tombstoned,
    a.EntriesOf: _entries_of,
}
