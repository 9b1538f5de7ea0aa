"""Opening a person. There is no list of everybody: the runtime answers about one person at a time."""

from __future__ import annotations

from starlette.responses import Response

from tiered_memory.inspector.render import goto, page
from tiered_memory.inspector.visit import Visit
from tiered_memory.intake import check_subject
from tiered_memory.model import Subject
from tiered_memory.principals import Grant
from tiered_memory.requesting import DueRequest

DUE_DAYS = 31
DEFAULT_TENANT = "default"


async def show(visit: Visit) -> Response:
    """Show the form, the requests that wait for an answer, and the registered tenants."""
    who = visit.who
    due = await visit.memory.requests.due(within_days=DUE_DAYS) if visit.may(Grant.AUDIT) else None
    tenants = await visit.memory.tenants.list() if visit.may(Grant.ADMIN) else None
    offered = [one for one in visit.desk.options.people() if visit.may(Grant.READ, one)]
    values = {
        "here": "people",
        "bound": who,
        "tenant": who.tenant or DEFAULT_TENANT,
        "due": None if due is None else [_due(visit, one) for one in due],
        "tenants": tenants,
        "offered": [(one, visit.address(one)) for one in offered],
    }
    return page(visit, "people.html", values)


async def open_person(visit: Visit) -> Response:
    """Go to a person's page."""
    subject = check_subject(visit.form.get("tenant") or DEFAULT_TENANT, visit.field("user"))
    visit.check(Grant.READ, subject)
    return goto(visit, visit.address(subject))


def _due(visit: Visit, one: DueRequest) -> tuple[DueRequest, Subject | None, str]:
    address = "" if one.subject is None else f"{visit.address(one.subject)}/rights"
    return one, one.subject, address
