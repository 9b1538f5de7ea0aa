"""One memory: the curve of its strength, what it came from, what it was before; pinning, correcting, restoring it."""

from __future__ import annotations

from starlette.responses import Response

from tiered_memory.clock import to_us
from tiered_memory.errors import InvalidInputError, NotFoundError
from tiered_memory.forget_model import Life, StrengthPoint
from tiered_memory.inspector.person_page import about
from tiered_memory.inspector.render import document, goto, page
from tiered_memory.inspector.visit import Visit
from tiered_memory.model import HistoryEntry
from tiered_memory.principals import Grant
from tiered_memory.user import User

POINTS = 160
FORGOTTEN = "forgotten"
NEVER_TURNING = ("pinned", "never")


async def show(visit: Visit) -> Response:
    """Show a memory."""
    return await _shown(visit)


async def course(visit: Visit) -> Response:
    """Return the curve as columns: seconds since 1970, strengths (0..1) of both lines."""
    life = await visit.user(Grant.READ).life(_id(visit), points=POINTS)
    drawn, told = life.course, life.explanation
    return document(
        {
            "now": drawn.taken_at.timestamp(),
            "threshold": drawn.threshold,
            "crosses": None if told.forget_at is None else told.forget_at.timestamp(),
            "leaves": None if told.deadline is None else told.deadline.timestamp(),
            "rule": told.deadline_rule,
            "used": _columns(drawn.points),
            "unused": _columns(drawn.unused),
        }
    )


async def pin(visit: Visit) -> Response:
    """Pin a memory, or let it fade again."""
    user = visit.user(Grant.WRITE)
    await (user.pin(_id(visit)) if visit.field("pinned") == "yes" else user.unpin(_id(visit)))
    return _back(visit)


async def edit(visit: Visit) -> Response:
    """Correct what a memory says, unless somebody else did since it was read."""
    user = visit.user(Grant.RIGHTS)
    version = visit.number("version", 0)
    try:
        await user.update(
            _id(visit), visit.field("content"), reason=visit.field("reason"), expected_version=version or None
        )
    except InvalidInputError as error:
        return await _shown(visit, wrong=str(error))
    return _back(visit)


async def restore(visit: Visit) -> Response:
    """Bring a forgotten memory back."""
    await visit.user(Grant.WRITE).restore(_id(visit))
    return _back(visit)


async def _shown(visit: Visit, wrong: str = "") -> Response:
    user = visit.user(Grant.READ)
    life = await user.life(_id(visit), points=2)
    subject = visit.subject
    values = {
        **about(visit, "memories"),
        "life": life,
        "told": life.explanation,
        "memory": life.explanation.memory,
        "verdict": verdict(life),
        "history": await _history(user, life),
        "may_write": visit.may(Grant.WRITE, subject),
        "may_edit": visit.may(Grant.RIGHTS, subject),
        "forgotten": life.explanation.state == FORGOTTEN,
        "volatile": not life.course.points,
        "wrong": wrong,
        "typed": visit.form if wrong else {},
    }
    return page(visit, "memory.html", values, 400 if wrong else 200)


def verdict(life: Life) -> str:
    """Return in one word what is going to happen to a memory.

    "ends" (hot alone has it), "forgotten" (it was), "stays" (nothing takes it), "fades" (decay takes it) or "leaves"
    (another rule does).
    """
    told = life.explanation
    if not life.course.points:
        return "ends"
    if told.state == FORGOTTEN:
        return "forgotten"
    if told.deadline is None:
        return "stays"
    crosses = told.forget_at is not None and to_us(told.deadline) == to_us(told.forget_at)
    return "fades" if crosses else "leaves"


async def _history(user: User, life: Life) -> list[HistoryEntry]:
    """Return the versions and the chain of supersession; what was forgotten has none to show."""
    if life.explanation.state == FORGOTTEN:
        return []
    try:
        return await user.history(life.explanation.memory.id)
    except NotFoundError:
        return []


def _columns(points: tuple[StrengthPoint, ...]) -> tuple[list[float], list[float]]:
    return [one.at.timestamp() for one in points], [round(one.strength, 5) for one in points]


def _id(visit: Visit) -> str:
    return str(visit.request.path_params["memory"])


def _back(visit: Visit) -> Response:
    return goto(visit, f"{visit.address(visit.subject)}/m/{_id(visit)}")
