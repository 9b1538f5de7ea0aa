"""How SQLite carries out `state/restriction.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from tiered_memory.state import register as r
from tiered_memory.state import sqlite_register
from tiered_memory.state.base import SubjectState
from tiered_memory.state.queries import SQL
from tiered_memory.state.restriction import SetRestricted
from tiered_memory.state.sqlite_rows import first_row
from tiered_memory.state.sqlite_steps import check_generation

_put_entries = sqlite_register.HANDLERS[r.PutEntries]


def _set_restricted(db: apsw.Connection, command: SetRestricted) -> bool:
    check_generation(db, command.subject, command.generation)
    after = SubjectState.RESTRICTED if command.restricted else SubjectState.ACTIVE
    row = first_row(db, "subject_generation", (command.subject,))
    if (
        row is None
        or row[1] == after
        or not _put_entries(db, r.PutEntries((command.entry,), (command.leaf,)))
    ):
        return False
    db.execute(SQL["subject_state"], (after.value, command.subject, command.generation, row[1]))
    return True


HANDLERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {SetRestricted: _set_restricted}
