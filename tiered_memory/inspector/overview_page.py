"""The overview: what is held, how the tiers stand, what waits, what falls due, and the last minutes."""

from __future__ import annotations

from starlette.responses import Response

from tiered_memory.errors import AccessDeniedError
from tiered_memory.inspector.render import document, goto, page
from tiered_memory.inspector.series import Totals, tier_states, totals
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
    jobs = visit.desk.options.jobs
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
        "tiers": tier_states(newest),
        "about": ABOUT,
        "jobs": None if jobs is None else list(jobs()),
        "measured": visit.desk.options.samples is not None,
    }
    return page(visit, "overview.html", values)


async def series(visit: Visit) -> Response:
    """Return the last minutes as columns."""
    visit.check(Grant.AUDIT)
    _look(visit)
    return document({"measured": visit.desk.options.samples is not None, **visit.desk.history.drawn()})


def _look(visit: Visit) -> Totals | None:
    """Look at the metrics, if there are any."""
    samples = visit.desk.options.samples
    if samples is None:
        return None
    found = totals(samples(), visit.desk.now)
    visit.desk.history.note(found)
    return found
