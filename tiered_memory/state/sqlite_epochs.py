"""How SQLite carries out and answers `state/epochs.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from tiered_memory.crypto.keyring import EpochRecord, KeyRecord
from tiered_memory.state import epochs as e
from tiered_memory.state.queries import SQL
from tiered_memory.state.register import PutEntries
from tiered_memory.state.sqlite_register import HANDLERS as REGISTER
from tiered_memory.state.sqlite_rows import first_row, one_row
from tiered_memory.state.sqlite_steps import add_leaves


def _begin(db: apsw.Connection, command: e.BeginEpoch) -> bool:
    r = command.record
    if first_row(db, "epoch_held", (r.tenant, r.epoch)) is not None:
        return False
    db.execute(SQL["epoch_put"], (r.tenant, r.epoch, r.wrapped, r.created_us, r.format))
    add_leaves(db, [command.leaf])
    return True


def _rewrap(db: apsw.Connection, command: e.RewrapKeys) -> int:
    changed = 0
    for r in command.records:
        where = (r.subject, r.purpose, r.key_id, command.was)
        db.execute(SQL["key_rewrap"], (r.epoch, r.wrapped, r.format, *where))
        changed += db.changes()
    return changed


def _end(db: apsw.Connection, command: e.EndEpoch) -> bool:
    which = (command.tenant, command.epoch)
    for r in command.discard:
        db.execute(SQL["key_discard"], (r.subject, r.purpose, r.key_id, command.epoch))
    if one_row(db, "epoch_use", which)[1]:
        return False
    db.execute(SQL["epoch_drop"], which)
    REGISTER[PutEntries](db, PutEntries((command.entry,), (command.leaf,)))
    return True


def _rewrap_root(db: apsw.Connection, command: e.RewrapRoot) -> None:
    db.execute(SQL["meta_replace"], ("master", command.master))
    for r in command.records:
        db.execute(SQL["epoch_rewrap"], (r.wrapped, r.format, r.tenant, r.epoch))
    add_leaves(db, [command.leaf])


def _every(db: apsw.Connection, query: e.EveryEpoch) -> list[EpochRecord]:
    del query
    return [EpochRecord(*row) for row in db.execute(SQL["epochs_of_all"])]


def _under(db: apsw.Connection, query: e.KeysUnder) -> list[KeyRecord]:
    values = (query.tenant, query.epoch, *query.after, query.limit)
    return [KeyRecord(*row) for row in db.execute(SQL["keys_under"], values)]


def _use(db: apsw.Connection, query: e.EpochUse) -> tuple[int, int]:
    subjects, keys = one_row(db, "epoch_use", (query.tenant, query.epoch))
    return subjects, keys


HANDLERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    e.BeginEpoch: _begin,
    e.RewrapKeys: _rewrap,
    e.EndEpoch: _end,
    e.RewrapRoot: _rewrap_root,
}
READERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    e.EveryEpoch: _every,
    e.KeysUnder: _under,
    e.EpochUse: _use,
}
