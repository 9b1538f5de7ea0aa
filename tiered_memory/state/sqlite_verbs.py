"""Every change and every question that SQLite carries out, from the modules that know how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from tiered_memory.state import (
    sqlite_accounts,
    sqlite_archive,
    sqlite_consents,
    sqlite_correction,
    sqlite_epochs,
    sqlite_holds,
    sqlite_register,
    sqlite_restriction,
    sqlite_revising,
    sqlite_rows,
    sqlite_standings,
    sqlite_tenants,
    sqlite_writes,
)

HANDLERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    **sqlite_consents.HANDLERS,
    **sqlite_correction.HANDLERS,
    **sqlite_epochs.HANDLERS,
    **sqlite_holds.HANDLERS,
    **sqlite_register.HANDLERS,
    **sqlite_restriction.HANDLERS,
    **sqlite_revising.HANDLERS,
    **sqlite_tenants.HANDLERS,
    **sqlite_writes.HANDLERS,
}
READERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    **sqlite_accounts.READERS,
    **sqlite_archive.READERS,
    **sqlite_consents.READERS,
    **sqlite_epochs.READERS,
    **sqlite_register.READERS,
    **sqlite_rows.READERS,
    **sqlite_standings.READERS,
    **sqlite_tenants.READERS,
}
