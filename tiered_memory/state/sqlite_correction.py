"""How SQLite carries out `state/correction.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from tiered_memory.state import commands as c
from tiered_memory.state import register as r
from tiered_memory.state import sqlite_register, sqlite_writes
from tiered_memory.state.base import Appended, Crowded, Repeated, Stale
from tiered_memory.state.correction import Correct
from tiered_memory.state.queries import SQL
from tiered_memory.state.sqlite_rows import first_row
from tiered_memory.state.sqlite_steps import add_leaves

_append = sqlite_writes.HANDLERS[c.Append]
_put_entries = sqlite_register.HANDLERS[r.PutEntries]


def _correct(db: apsw.Connection, command: Correct) -> Appended | Repeated | Stale | Crowded:
    named = (command.batch.subject, command.memory_id)
    if first_row(db, "memory_on_hold", named) is not None:
        return Stale((command.memory_id,))
    outcome: Appended | Repeated | Stale | Crowded = _append(db, c.Append(command.batch))
    if not isinstance(outcome, Appended):
        return outcome
    for one in [one for one in command.batch.revisions if one.entry.memory_id == command.memory_id]:
        db.execute(SQL["journal_drop_older"], (*named, one.entry.version))
        db.execute(SQL["memory_correct"], (command.sensitivity, command.importance, *named))
    db.execute(SQL["tail_reword"], (command.tail, *named))
    if command.mark is not None:
        _put_entries(db, r.PutEntries((command.mark,)))
    add_leaves(db, [command.leaf])
    return outcome


HANDLERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {Correct: _correct}
