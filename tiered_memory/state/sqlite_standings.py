"""How SQLite answers `state/standings.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import apsw

from tiered_memory.state import standings as s
from tiered_memory.state.queries import SQL
from tiered_memory.state.sqlite_rows import one_row

OPEN, EXPIRED = "open", "expired"
OPENING = frozenset({"given", "renewed"})


def _totals(db: apsw.Connection, query: s.TotalsPage) -> s.Totals:
    return s.Totals(*one_row(db, "standing_totals", (query.after, query.limit)))


def _consents(db: apsw.Connection, query: s.ConsentsPage) -> s.ConsentCounts:
    states, last = Counter[str](), None
    for row in db.execute(SQL["standing_consents"], (query.after, query.limit, query.now_us)):
        action, lapsed, count, latest = row
        states[_state_of(action, lapsed=bool(lapsed))] += count
        last = latest if last is None else max(last, latest)
    return s.ConsentCounts(states, last)


def _state_of(action: str, *, lapsed: bool) -> str:
    """An open consent whose time has passed has expired, whether the ledger says so yet or not."""
    if action in OPENING:
        return EXPIRED if lapsed else OPEN
    return action


def _overdue(db: apsw.Connection, query: s.OverdueCount) -> int:
    return int(one_row(db, "standing_overdue", (query.now_us, query.limit))[0])


def _due(db: apsw.Connection, query: s.DueOfKind) -> s.DueCounts:
    return s.DueCounts(*one_row(db, "standing_due", (query.kind, query.now_us)))


def _epoch(db: apsw.Connection, _query: s.OldestEpoch) -> int | None:
    oldest: int | None = one_row(db, "standing_epoch")[0]
    return oldest


READERS: dict[type, Callable[[apsw.Connection, Any], Any]] = {
    s.TotalsPage: _totals,
    s.ConsentsPage: _consents,
    s.OverdueCount: _overdue,
    s.DueOfKind: _due,
    s.OldestEpoch: _epoch,
}
