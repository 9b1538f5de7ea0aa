"""How SQLite carries out and answers `state/tenants.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import apsw

from tiered_memory.state import tenants as t
from tiered_memory.state.base import SubjectRow
from tiered_memory.state.queries import SQL
from tiered_memory.state.sqlite_rows import one_row
from tiered_memory.state.sqlite_steps import add_leaves


def _tenant_bytes(db: apsw.Connection, query: t.TenantBytes) -> int:
    found: int = one_row(db, "tenant_bytes", (query.tenant,))[0]
    return found


def _tenant_keys(db: apsw.Connection, query: t.TenantKeys) -> int:
    found: int = one_row(db, "tenant_keys", (query.tenant, query.tenant))[0]
    return found


def _held_memories(db: apsw.Connection, query: t.HeldMemories) -> int:
    found: int = one_row(db, "tenant_held", (query.tenant,))[0]
    return found


def _figures_of(db: apsw.Connection, query: t.FiguresOf) -> t.TenantFigures:
    users, memories, size = one_row(db, "tenant_totals", (query.tenant,))
    activity = one_row(db, "tenant_activity", (query.since_us, query.tenant))
    forgotten, written, last_written_us, last_used_us = activity
    return t.TenantFigures(
        users=users,
        memories=memories,
        bytes=size,
        forgotten=forgotten,
        sessions=one_row(db, "tenant_sessions", (query.tenant,))[0],
        written=written,
        last_written_us=last_written_us,
        last_used_us=last_used_us,
    )


def _subjects_of(db: apsw.Connection, query: t.SubjectsOfTenant) -> list[SubjectRow]:
    return [SubjectRow(*row) for row in db.execute(SQL["tenant_subjects"], (query.tenant, query.state))]


def _erased_since(db: apsw.Connection, query: t.ErasedSince) -> list[bytes]:
    return [row[0] for row in db.execute(SQL["tenant_erased"], (query.tenant, query.since_us))]


def _stale_deadlines(db: apsw.Connection, command: t.StaleDeadlines) -> int:
    db.execute(SQL["tenant_stale"], (command.tenant,))
    return db.changes()


def _fence_tenant(db: apsw.Connection, command: t.FenceTenant) -> t.Fenced:
    keys = 0
    for name in ("tenant_keys_destroy", "tenant_epochs_destroy"):
        db.execute(SQL[name], (command.tenant,))
        keys += db.changes()
    db.execute(SQL["tenant_fence"], (command.tenant,))
    done = t.Fenced(db.changes(), keys)
    detail = {**command.leaf.detail, "keys": done.keys, "subjects": done.subjects}
    add_leaves(db, [replace(command.leaf, detail=detail)])
    return done


HANDLERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    t.StaleDeadlines: _stale_deadlines,
    t.FenceTenant: _fence_tenant,
}
READERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    t.TenantBytes: _tenant_bytes,
    t.TenantKeys: _tenant_keys,
    t.HeldMemories: _held_memories,
    t.FiguresOf: _figures_of,
    t.SubjectsOfTenant: _subjects_of,
    t.ErasedSince: _erased_since,
}
