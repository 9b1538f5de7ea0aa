"""How SQLite carries out `state/revising.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from tiered_memory.errors import ConflictError
from tiered_memory.state import commands as c
from tiered_memory.state import revising as r
from tiered_memory.state.base import Appended
from tiered_memory.state.sqlite_writes import HANDLERS as WRITES

CHANGED = "a memory was changed by somebody else meanwhile; nothing was changed, repeat the call"


def _revise(db: apsw.Connection, command: r.Revise) -> tuple[int, ...]:
    """What raises undoes the whole of it."""
    seqs: tuple[int, ...] = ()
    for batch in command.batches:
        outcome = WRITES[c.Append](db, c.Append(batch))
        if not isinstance(outcome, Appended):
            raise ConflictError(CHANGED)
        seqs += outcome.seqs
    moved = c.ChangeStates(command.subject, command.generation, command.changes, command.leaves)
    WRITES[c.ChangeStates](db, moved)
    return seqs


HANDLERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {r.Revise: _revise}
