"""Rolling back a source, as callers see it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict

from tiered_memory.clock import to_us
from tiered_memory.errors import InvalidInputError
from tiered_memory.intake import REASON_BYTES, check_id, check_moment, check_text
from tiered_memory.model import Sensitivity, SourceKind
from tiered_memory.privacy.provenance_graph import Origin
from tiered_memory.rollback import RollbackReport
from tiered_memory.scope import Scope

NAMES = ("channel", "session", "agent", "model")


class CameFrom(TypedDict, total=False):
    """Where memories came from; every given one must match.

    `since` (inclusive) and `until` (exclusive) say when they were stored.
    """

    source: SourceKind | str | None
    channel: str | None
    session: str | None
    agent: str | None
    model: str | None
    since: datetime | None
    until: datetime | None


async def roll_back(
    scope: Scope, given: CameFrom, reason: str, *, dry_run: bool, quarantine: bool
) -> RollbackReport:
    """See `User.roll_back`."""
    check_text(reason, "reason", REASON_BYTES)
    origin = origin_of(given, scope.parts().core.clock.now())
    await scope.permit("delete", list(Sensitivity))  # what derives from what is followed through every level
    async with scope.using("delete", called="roll_back") as (parts, active):
        if dry_run:
            return (await parts.rollback.plan(active, origin))[0]
        return await parts.rollback.roll_back(active, origin, reason, quarantine=quarantine)


def origin_of(given: CameFrom, now: datetime) -> Origin:
    """Return it as the graph takes it; raises InvalidInputError for what it cannot be."""
    named = {one: given.get(one) for one in NAMES}
    fields: dict[str, Any] = {
        one: None if name is None else check_id(name, one) for one, name in named.items()
    }
    for name in ("since", "until"):
        at = given.get(name)
        fields[f"{name}_us"] = None if at is None else to_us(check_moment(at, name, now, future=True))
    origin = Origin(source=_source(given.get("source")), **fields)
    if origin.is_open:
        raise InvalidInputError("say what to roll back: a source, channel, session, agent, model, or time")
    return origin


def _source(value: SourceKind | str | None) -> SourceKind | None:
    try:
        return None if value is None else SourceKind(value)
    except ValueError:
        known = ", ".join(one.value for one in SourceKind)
        raise InvalidInputError(f"source must be one of {known}") from None
