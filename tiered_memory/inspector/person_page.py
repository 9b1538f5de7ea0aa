"""A person's memories: their lives as lines across the tiers, and each with how strong it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response

from tiered_memory.errors import InvalidInputError, NotFoundError
from tiered_memory.forget_model import Life
from tiered_memory.inspector.lifelines import picture
from tiered_memory.inspector.render import page
from tiered_memory.inspector.visit import VOID, Visit
from tiered_memory.model import Filter, Kind, Memory
from tiered_memory.principals import Grant
from tiered_memory.user import User

SHOWN = 40
SESSIONS_OF = 1_000
TABS = (
    ("memories", "", "Memories", Grant.READ),
    ("search", "/search", "Search", Grant.READ),
    ("context", "/context", "Context", Grant.READ),
    ("forgetting", "/forgetting", "Forgetting", Grant.DELETE),
    ("rights", "/rights", "Rights", Grant.RIGHTS),
)


@dataclass(frozen=True, slots=True)
class SessionShown:
    """A session of a person, as their current memories know it."""

    name: str
    address: str
    memories: int
    first: datetime
    last: datetime


async def show(visit: Visit) -> Response:
    """Show a page of a person's memories."""
    user = visit.user(Grant.READ)
    before = visit.number("before", -1)
    where, chosen = _filter(visit)
    lives = await user.lives(where=where, limit=SHOWN, before=None if before < 0 else before)
    recent = await user.list(limit=SESSIONS_OF)
    values = {
        **about(visit, "memories"),
        "lives": lives,
        "picture": picture(lives, visit.desk.now),
        "next_before": lives[-1].explanation.memory.order if len(lives) == SHOWN else None,
        "later": before >= 0,
        "kinds": [kind.value for kind in Kind],
        "chosen": chosen,
        "sessions": sessions_of(visit, recent),
        "held": len(recent),
        "more_held": len(recent) == SESSIONS_OF,
        "forgotten": await _forgotten(user, visit),
        "quarantined": (await user.quarantine.list())[:SHOWN],
    }
    return page(visit, "person.html", values)


def about(visit: Visit, tab: str) -> dict[str, Any]:
    """Return what every page of a person shows."""
    address = visit.address(visit.subject)
    tabs = [
        (word, address + path, name) for word, path, name, grant in TABS if visit.may(grant, visit.subject)
    ]
    return {"here": "people", "subject": visit.subject, "person": address, "tabs": tabs, "tab": tab}


def _filter(visit: Visit) -> tuple[Filter | None, dict[str, str]]:
    """Return what the address narrows the memories to, and the words for it."""
    asked = visit.request.query_params
    chosen = {name: asked.get(name, "") for name in ("kind", "session")}
    if not any(chosen.values()):
        return None, chosen
    kinds = frozenset(kind for kind in Kind if kind.value == chosen["kind"])
    if chosen["kind"] and not kinds:
        raise InvalidInputError(f"kind must be one of {', '.join(Kind)}")
    sessions = frozenset[str]()
    if chosen["session"]:
        words = visit.desk.names.words(chosen["session"])
        if words is None or words[0] != "session":
            raise NotFoundError(VOID)
        sessions = frozenset({words[1]})
    return Filter(kinds=kinds or None, sessions=sessions or None), chosen


def sessions_of(visit: Visit, memories: Iterable[Memory]) -> list[SessionShown]:
    """Return the sessions that memories came in, the newest first."""
    groups: dict[str, list[datetime]] = {}
    for one in memories:
        if one.session is not None:
            groups.setdefault(one.session, []).append(one.occurred_at)
    shown = [
        SessionShown(name, visit.desk.names.of("session", name), len(times), min(times), max(times))
        for name, times in groups.items()
    ]
    return sorted(shown, key=lambda one: one.last, reverse=True)


async def _forgotten(user: User, visit: Visit) -> Sequence[Life]:
    """Return what faded and can still be restored, on the first page alone."""
    if "before" in visit.request.query_params:
        return ()
    found = (await user.forgotten())[:SHOWN]
    return [await user.life(one.id, points=2) for one in found]
