"""The overview: what is held, how the tiers stand, what waits, what falls due, and the last minutes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.responses import Response

from tiered_memory.errors import AccessDeniedError, InvalidInputError
from tiered_memory.health import OK, Health
from tiered_memory.inspector.render import document, goto, page
from tiered_memory.inspector.series import TierState, Totals, tier_states, totals
from tiered_memory.inspector.visit import Visit
from tiered_memory.principals import Grant

WEEK = 7
ABOUT = {
    "hot": ("Redis", "Recent turns and session snapshots, with a time to live."),
    "warm": ("This process", "Session buffers and the recall indexes of whoever is active."),
    "cold": ("LanceDB", "A sealed table for each person: the lasting truth."),
}
HORIZONS = {1: "a day", 7: "a week", 30: "30 days", 90: "90 days", 365: "a year"}


async def show(visit: Visit) -> Response:
    """Show the overview; who may not see it is sent to the people."""
    try:
        visit.check(Grant.AUDIT)
    except AccessDeniedError:
        return goto(visit, visit.root + "/people")
    stats = await visit.memory.stats()
    newest = _look(visit)
    routing = [
        (target, reason, count)
        for target, reasons in stats.routing.items()
        for reason, count in reasons.items()
    ]
    values = {
        "here": "overview",
        "stats": stats,
        "due_soon": stats.forecast.within_days.get(WEEK, 0),
        "horizons": [
            (HORIZONS.get(days, f"{days} days"), n) for days, n in stats.forecast.within_days.items()
        ],
        "routing": sorted(routing, key=lambda one: -one[2]),
        "sums": None if newest is None else newest.sums,
        "jobs": await visit.memory.jobs.list(),
        "may_run": visit.may(Grant.ADMIN),
        **await _standing(visit, newest),
    }
    return page(visit, "overview.html", values)


async def live(visit: Visit) -> Response:
    """Show how the tiers stand now: a part of the overview that is looked up again and again."""
    visit.check(Grant.AUDIT)
    return page(visit, "_tiers.html", await _standing(visit, _look(visit)))


async def job(visit: Visit) -> Response:
    """Run a job now, or pause or resume it."""
    visit.check(Grant.ADMIN)
    jobs, name = visit.memory.jobs, visit.field("name")
    match visit.field("act"):
        case "run":
            await jobs.run(name)
        case "pause":
            await jobs.pause(name)
        case "resume":
            await jobs.resume(name)
        case _:
            raise InvalidInputError("a job is run, paused or resumed")
    return goto(visit, visit.root + "/#jobs")


async def series(visit: Visit) -> Response:
    """Return the last minutes as columns."""
    visit.check(Grant.AUDIT)
    _look(visit)
    return document({"measured": visit.desk.options.samples is not None, **visit.desk.history.drawn()})


async def _standing(visit: Visit, newest: Totals | None) -> dict[str, Any]:
    health = await visit.memory.health()
    return {"tiers": [_told(one, health) for one in tier_states(newest)], "health": health, "about": ABOUT}


def _told(tier: TierState, health: Health) -> TierState:
    """Return how a tier stands: as the runtime says where it says so, and warm is this process."""
    if tier.tier in health.checks:
        return replace(tier, up=health.checks[tier.tier] == OK)
    return replace(tier, up=True) if tier.tier == "warm" else tier


def _look(visit: Visit) -> Totals | None:
    """Look at the metrics, if there are any."""
    samples = visit.desk.options.samples
    if samples is None:
        return None
    found = totals(samples(), visit.desk.now)
    visit.desk.history.note(found)
    return found
