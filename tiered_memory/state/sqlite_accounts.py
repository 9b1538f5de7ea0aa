"""How SQLite answers `state/accounts.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from tiered_memory.state import accounts as a
from tiered_memory.state.queries import SQL


def _held_by_purpose(db: apsw.Connection, _query: a.HeldByPurpose) -> list[a.PurposeTotals]:
    return [a.PurposeTotals(*row) for row in db.execute(SQL["held_by_purpose"])]


READERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {a.HeldByPurpose: _held_by_purpose}
