"""The inspector as an application to mount: its routes, what holds for all of them, and its errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiered_memory import errors
from tiered_memory.inspector import (
    audit_page,
    entrance,
    forgetting_page,
    memory_page,
    overview_page,
    people_page,
    person_page,
    recall_page,
    rights_page,
)
from tiered_memory.inspector.desk import Desk, MemoryOf, Options
from tiered_memory.inspector.render import HEADERS, goto, page, remember
from tiered_memory.inspector.visit import ForgedError, SignInNeededError, Visit, visit_of
from tiered_memory.principals import Grant

Handler = Callable[[Visit], Awaitable[Response]]
STATIC = Path(__file__).parent / "static"
STATUS: tuple[tuple[type[errors.TieredMemoryError], int, str], ...] = (
    (errors.RestrictedError, 409, "The processing of this person's data is restricted"),
    (errors.AccessDeniedError, 403, "This is not open to you"),
    (errors.AgentNotAllowedError, 403, "This is not open to you"),
    (errors.ConsentRequiredError, 403, "There is no consent for this"),
    (errors.SubjectErasedError, 410, "This person was erased"),
    (errors.NotFoundError, 404, "There is nothing here"),
    (errors.TenantUnknownError, 404, "There is no such tenant"),
    (errors.ConflictError, 409, "Something else came first"),
    (errors.ConfirmationRequiredError, 409, "This has to be confirmed"),
    (errors.InvalidInputError, 400, "That cannot be taken"),
    (errors.StorageError, 503, "A store did not answer"),
    (errors.CorruptionError, 500, "What is stored does not verify"),
    (errors.ClosedError, 503, "The memory is closed"),
)
"""The status and the heading of an error's page, the nearest kind first."""

GET: dict[str, Handler] = {
    "/": overview_page.show,
    "/live": overview_page.live,
    "/data/overview.json": overview_page.series,
    "/data/forecast.json": forgetting_page.forecast_of_all,
    "/people": people_page.show,
    "/forgetting": forgetting_page.show_all,
    "/audit": audit_page.show,
    "/login": entrance.show,
    "/p/{person}": person_page.show,
    "/p/{person}/search": recall_page.show_search,
    "/p/{person}/context": recall_page.show_context,
    "/p/{person}/forgetting": forgetting_page.show,
    "/p/{person}/forecast.json": forgetting_page.forecast,
    "/p/{person}/rights": rights_page.show,
    "/p/{person}/m/{memory}": memory_page.show,
    "/p/{person}/m/{memory}/course.json": memory_page.course,
    "/certificates/{certificate}.json": rights_page.certificate,
}
POST: dict[str, Handler] = {
    "/login": entrance.sign_in,
    "/logout": entrance.sign_out,
    "/role": entrance.choose_role,
    "/jobs": overview_page.job,
    "/people": people_page.open_person,
    "/forgetting": forgetting_page.try_all,
    "/audit": audit_page.verify,
    "/p/{person}/search": recall_page.search,
    "/p/{person}/context": recall_page.context,
    "/p/{person}/forgetting": forgetting_page.try_one,
    "/p/{person}/export": rights_page.export,
    "/p/{person}/erase": rights_page.erase,
    "/p/{person}/m/{memory}/pin": memory_page.pin,
    "/p/{person}/m/{memory}/edit": memory_page.edit,
    "/p/{person}/m/{memory}/restore": memory_page.restore,
}


def inspector_app(memory_of: MemoryOf, *, options: Options | None = None) -> Starlette:
    """Return the inspector over the memory that `memory_of` gives, to be mounted somewhere, e.g. at `/ui`.

    Who asks is who signed in here with an API key, else whom the daemon put into `request.state.principal`.
    `app.state.desk.history` takes looks at the metrics besides those that the overview takes while it is open.
    """
    desk = Desk(memory_of, options or Options())
    routes: list[BaseRoute] = [
        Route(path, _endpoint(desk, handler), methods=[method], name=f"{method} {path}")
        for method, table in (("GET", GET), ("POST", POST))
        for path, handler in table.items()
    ]
    made = Starlette(
        routes=[*routes, Mount("/static", StaticFiles(directory=STATIC), name="static")],
        middleware=[Middleware(SecureHeaders)],
        exception_handlers={HTTPException: _nothing_here(desk)},
    )
    made.state.desk = desk
    return made


class SecureHeaders:
    """Gives every answer the headers that hold a page in: what it may load, that nothing keeps it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                still = "/static/" in scope["path"] and message["status"] in {200, 304}
                headers["cache-control"] = "no-cache" if still else "no-store"
            await send(message)

        await self._app(scope, receive, guarded)


def _endpoint(desk: Desk, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            visit = await visit_of(request, desk)
        except ForgedError as error:
            return PlainTextResponse(str(error), 403)
        except errors.AccessDeniedError as error:
            return PlainTextResponse(str(error), 421)
        except errors.InvalidInputError as error:
            return PlainTextResponse(str(error), 400)
        return remember(visit, await _answered(visit, handler))

    return endpoint


async def _answered(visit: Visit, handler: Handler) -> Response:
    try:
        return await handler(visit)
    except SignInNeededError:
        return goto(visit, f"{visit.root}/login")
    except errors.TieredMemoryError as error:
        return problem(visit, error)


def problem(visit: Visit, error: errors.TieredMemoryError) -> Response:
    """Return the page that says what was refused or failed."""
    found = (one[1:] for one in STATUS if isinstance(error, one[0]))
    status, heading = next(found, (500, "Something failed"))
    values = {"heading": heading, "message": str(error), "instead": _instead(visit, error)}
    return page(visit, "problem.html", values, status)


def _instead(visit: Visit, error: errors.TieredMemoryError) -> str:
    """Return where the visitor gets on: what a restricted person may still ask for, else ""."""
    if not isinstance(error, errors.RestrictedError) or not visit.may(Grant.RIGHTS, visit.subject):
        return ""
    return f"{visit.address(visit.subject)}/rights"


def _nothing_here(desk: Desk) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500

        async def show(visit: Visit) -> Response:
            values = {"heading": "There is no such page", "message": "Choose one above.", "instead": ""}
            return page(visit, "problem.html", values, status)

        return await _endpoint(desk, show)(request)

    return answer
