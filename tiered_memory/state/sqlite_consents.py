"""How SQLite carries out and answers `state/consents.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from tiered_memory.state import commands as c
from tiered_memory.state import consents as n
from tiered_memory.state import register as r
from tiered_memory.state import sqlite_register, sqlite_writes
from tiered_memory.state.queries import SQL
from tiered_memory.state.sqlite_rows import first_row
from tiered_memory.state.sqlite_steps import add_leaves, check_generation

DROPPED = ("journal_drop_purpose", "tail_drop_purpose", "operations_drop_purpose")


def _end_purpose(db: apsw.Connection, command: n.EndPurpose) -> bool:
    """Everything that rests under the purpose's key becomes unreadable with this commit."""
    owner = (command.subject, command.purpose)
    check_generation(db, command.subject, command.generation)
    if command.latest is not None and first_row(db, "consent_latest", owner) != (command.latest,):
        return False
    if not _said_why(db, command):
        return False
    for query in DROPPED:
        db.execute(SQL[query], owner)
    db.execute(SQL["memories_end_purpose"], (command.now_us, command.rule, *owner))
    db.execute(SQL["key_destroy"], owner)
    return True


def _said_why(db: apsw.Connection, command: n.EndPurpose) -> bool:
    if command.entry is not None:
        put = r.PutEntries((command.entry,), (command.leaf,))
        return bool(sqlite_register.HANDLERS[r.PutEntries](db, put))
    if command.event is not None:
        sqlite_writes.HANDLERS[c.PutConsent](db, c.PutConsent(command.event, command.leaf))
    else:
        add_leaves(db, (command.leaf,))
    return True


def _lapsed(db: apsw.Connection, query: n.LapsedConsents) -> list[n.Lapsed]:
    rows = db.execute(SQL["consents_lapsed"], (query.now_us, query.subject, query.limit))
    return [n.Lapsed(*row) for row in rows]


def _ended(db: apsw.Connection, _query: n.EndedConsents) -> list[n.Ended]:
    return [n.Ended(*row) for row in db.execute(SQL["consents_ended"])]


def _held_for(db: apsw.Connection, query: n.HeldFor) -> list[str]:
    return [row[0] for row in db.execute(SQL["memories_for"], (query.subject, query.purpose))]


def _leaf_index(db: apsw.Connection, query: n.LeafIndex) -> int:
    row = first_row(db, "audit_index", (query.hash,))
    return -1 if row is None else int(row[0])


HANDLERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {n.EndPurpose: _end_purpose}
READERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    n.LapsedConsents: _lapsed,
    n.EndedConsents: _ended,
    n.HeldFor: _held_for,
    n.LeafIndex: _leaf_index,
}
