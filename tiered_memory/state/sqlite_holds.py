"""How SQLite carries out `state/holds.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import apsw

from tiered_memory.state import holds as h
from tiered_memory.state.base import Stale
from tiered_memory.state.consents import EndPurpose
from tiered_memory.state.queries import SQL
from tiered_memory.state.register import PutEntries
from tiered_memory.state.sqlite_consents import HANDLERS as CONSENTS
from tiered_memory.state.sqlite_register import HANDLERS as REGISTER
from tiered_memory.state.sqlite_rows import first_row
from tiered_memory.state.sqlite_writes import HANDLERS as WRITES

_THEN = {**WRITES, **CONSENTS}


def _mark(db: apsw.Connection, scopes: Iterable[h.HoldScope]) -> int:
    return _over(db, "hold_mark", scopes)


def _over(db: apsw.Connection, verb: str, scopes: Iterable[h.HoldScope]) -> int:
    """Run a statement over scopes, by the index that fits each."""
    found = 0
    for one in scopes:
        if one.memory_id:
            db.execute(SQL[f"{verb}_memory"], (one.subject, one.purpose, one.memory_id))
        elif one.subject:
            db.execute(SQL[f"{verb}_subject"], (one.subject, one.purpose))
        else:
            db.execute(SQL[f"{verb}_tenant"], (one.tenant, one.purpose))
        found += db.changes()
    return found


def _put(db: apsw.Connection, put: PutEntries) -> bool:
    done: bool = REGISTER[PutEntries](db, put)
    return done


def _place_hold(db: apsw.Connection, command: h.PlaceHold) -> int | None:
    if not _put(db, PutEntries(command.entries, (command.leaf,))):
        return None
    return _mark(db, command.scopes)


def _mark_held(db: apsw.Connection, command: h.MarkHeld) -> int:
    return _mark(db, command.scopes)


def _release_hold(db: apsw.Connection, command: h.ReleaseHold) -> int | None:
    if not _put(db, PutEntries((command.entry,), (command.leaf,))):
        return None
    db.execute(SQL["drop_register"], (command.vault,))
    found = _over(db, "hold_lift", command.scopes)
    return found - _mark(db, command.remaining)


def _keep_then(db: apsw.Connection, command: h.KeepThen) -> Any:
    held = {(row[0], row[1]) for row in db.execute(SQL["hold_versions"], (command.subject,))}
    if held != command.seen:
        return Stale(tuple(sorted({one for one, _ in held ^ command.seen})))
    outcome = _THEN[type(command.then)](db, command.then)
    if outcome is False:
        return False
    fresh = [
        one
        for one in command.copies
        if first_row(db, "register_version", (one.owner, one.kind, one.entry_id)) is None
    ]
    _put(db, PutEntries(tuple(fresh)))
    if isinstance(command.then, EndPurpose):
        # What is held of them is the copies now: the rest goes as it would without a hold.
        db.execute(SQL["hold_ends_purpose"], (command.subject, command.then.purpose))
    return outcome


def _enter_event(db: apsw.Connection, command: h.EnterEvent) -> bool:
    if not _put(db, PutEntries((command.entry,), command.leaves)):
        return False
    db.execute(SQL["memories_unsettle"], (command.entry.owner,))
    return True


def _unsettle_tenant(db: apsw.Connection, command: h.UnsettleTenant) -> int:
    db.execute(SQL["memories_unsettle_tenant"], (command.tenant,))
    return db.changes()


HANDLERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    h.PlaceHold: _place_hold,
    h.MarkHeld: _mark_held,
    h.ReleaseHold: _release_hold,
    h.KeepThen: _keep_then,
    h.EnterEvent: _enter_event,
    h.UnsettleTenant: _unsettle_tenant,
}
