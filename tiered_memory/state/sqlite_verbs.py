"""Every change and every question that SQLite carries out, from the modules that know how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from tiered_memory.state import sqlite_consents, sqlite_register, sqlite_revising, sqlite_rows, sqlite_writes

HANDLERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    **sqlite_writes.HANDLERS,
    **sqlite_register.HANDLERS,
    **sqlite_consents.HANDLERS,
    **sqlite_revising.HANDLERS,
}
READERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    **sqlite_rows.READERS,
    **sqlite_register.READERS,
    **sqlite_consents.READERS,
}
