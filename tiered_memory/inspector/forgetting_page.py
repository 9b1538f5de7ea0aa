"""What would be forgotten now, and why; and what will be in the weeks to come. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.responses import Response

from tiered_memory.errors import NotFoundError
from tiered_memory.forecast_model import ForgettingForecast
from tiered_memory.forget_model import ForgetReport, PlannedForget
from tiered_memory.inspector.person_page import about
from tiered_memory.inspector.render import document, page
from tiered_memory.inspector.visit import Visit
from tiered_memory.model import Memory
from tiered_memory.principals import Grant
from tiered_memory.user import User

DAYS = 90
LISTED = 100
UNDO = "undo window"


async def show_all(visit: Visit) -> Response:
    """Show the form for everybody."""
    visit.check(Grant.ADMIN)
    return page(visit, "forgetting.html", _of_all())


async def try_all(visit: Visit) -> Response:
    """Show what the next cycle would take from everybody."""
    visit.check(Grant.ADMIN)
    report = await visit.memory.forget(dry_run=True)
    return page(visit, "forgetting.html", {**_of_all(), **_report(report, {})})


async def show(visit: Visit) -> Response:
    """Show the form for one person."""
    visit.check(Grant.DELETE, visit.subject)
    return page(visit, "forgetting.html", _of_one(visit))


async def try_one(visit: Visit) -> Response:
    """Show what the next cycle would take from one person, with the words."""
    user = visit.user(Grant.DELETE)
    report = await user.forget(dry_run=True)
    contents = {}
    if visit.may(Grant.READ, visit.subject):
        contents = await _contents(user, report.planned[:LISTED])
    return page(visit, "forgetting.html", {**_of_one(visit), **_report(report, contents)})


async def forecast_of_all(visit: Visit) -> Response:
    """Return what will leave of everybody, as columns."""
    visit.check(Grant.AUDIT)
    return document(_columns(await visit.memory.forecast(DAYS)))


async def forecast(visit: Visit) -> Response:
    """Return what will leave of one person, as columns."""
    return document(_columns(await visit.user(Grant.READ).forecast(DAYS)))


def _of_all() -> dict[str, Any]:
    return {"here": "forgetting", "subject": None, "person": "", "report": None, "days": DAYS}


def _of_one(visit: Visit) -> dict[str, Any]:
    return {**about(visit, "forgetting"), "report": None, "days": DAYS}


def _report(report: ForgetReport, contents: dict[str, Memory]) -> dict[str, Any]:
    return {
        "report": report,
        "planned": [(one, contents.get(one.memory_id)) for one in report.planned[:LISTED]],
        "unlisted": len(report.planned) + report.planned_left_out - len(report.planned[:LISTED]),
        "reasons": sorted(report.reasons.items(), key=lambda one: -one[1]),
    }


async def _contents(user: User, planned: Iterable[PlannedForget]) -> dict[str, Memory]:
    found = {}
    for one in planned:
        try:
            found[one.memory_id] = (await user.explain(one.memory_id)).memory
        except NotFoundError:
            continue
    return found


def _columns(found: ForgettingForecast) -> dict[str, Any]:
    """Return when what leaves, by the rule: a column for each, over the beginnings of the buckets."""
    buckets = found.present.buckets
    leaving = [
        {**one.forgotten, **{rule: n for rule, n in one.purged.items() if rule != UNDO}} for one in buckets
    ]
    rules = sorted({rule for one in leaving for rule in one})
    return {
        "at": [one.start.timestamp() for one in buckets],
        "rules": {rule: [one.get(rule, 0) for one in leaving] for rule in rules},
        "bucket_days": found.present.bucket_days,
        "memories": found.memories,
        "at_once": found.present.at_once,
        "later": found.present.later,
        "never": found.present.never,
        "days": found.days,
    }
