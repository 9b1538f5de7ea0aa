"""The daemon's ASGI application: routes from the table, and what every request passes on its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from tiered_memory.daemon.admission import Admission, Verify
from tiered_memory.daemon.answers import JSON, SAFE_HEADERS, refused, request_id
from tiered_memory.daemon.bounds import Bounds, RawPath
from tiered_memory.daemon.endpoints import Endpoint, Shared
from tiered_memory.daemon.health import routes as health_routes
from tiered_memory.daemon.idempotency import Answers
from tiered_memory.daemon.limits import Buckets
from tiered_memory.daemon.serving import Serving
from tiered_memory.daemon.streams import HANDLERS
from tiered_memory.wire.openapi import description
from tiered_memory.wire.problems import problem
from tiered_memory.wire.table import OPERATIONS

IDEMPOTENCY_HOURS = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an application is made of besides the memory; `local` makes it the owner's own socket."""

    limits: Buckets
    local: bool = False
    tokens: Verify | None = None
    exposition: Callable[[], bytes] | None = None
    alone: tuple[tuple[str, ASGIApp], ...] = ()
    mounts: tuple[tuple[str, ASGIApp], ...] = ()
    outermost: tuple[Middleware, ...] = ()
    """Middleware around everything: request ids, access log, traces."""


def create_app(serving: Serving, parts: Parts) -> Starlette:
    """Return the application."""
    shared = Shared(serving, Answers(serving.clock, IDEMPOTENCY_HOURS), parts.local)
    admission = Middleware(
        Admission, serving=serving, local=parts.local, limits=parts.limits, tokens=parts.tokens
    )
    app = Starlette(
        routes=[*_api(shared), *health_routes(serving, parts.exposition), _openapi(), *_mounted(parts)],
        middleware=[
            *parts.outermost,
            Middleware(RawPath),
            Middleware(Bounds, serving=serving),
            admission,
        ],
        exception_handlers={HTTPException: _http_error, Exception: _unforeseen},
    )
    # A redirect would name whatever host the request named.
    app.router.redirect_slashes = False
    return app


def _api(shared: Shared) -> list[BaseRoute]:
    """Paths without parameters come first, so that no parameter takes their names."""
    ordered = sorted(OPERATIONS, key=lambda one: [part.startswith("{") for part in one.template.split("/")])
    by_path: dict[str, dict[str, Endpoint]] = {}
    for one in ordered:
        endpoint = Endpoint(one, shared, HANDLERS.get(one.name))
        by_path.setdefault(one.template, {})[one.verb] = endpoint
    return [Route(path, _by_verb(verbs), methods=[*verbs]) for path, verbs in by_path.items()]


def _by_verb(verbs: dict[str, Endpoint]) -> Callable[[Request], object]:
    async def answer(request: Request) -> Response:
        return await verbs["GET" if request.method == "HEAD" else request.method](request)

    return answer


def _openapi() -> Route:
    described = cache(description)

    async def openapi(_request: Request) -> Response:
        # It takes a while to make, and most who are served never ask for it.
        return Response(await to_thread.run_sync(described), 200, SAFE_HEADERS, JSON)

    return Route("/openapi.json", openapi, methods=["GET"])


def _mounted(parts: Parts) -> list[BaseRoute]:
    """What has no paths of its own stands at its path alone: a redirect to the same with a slash would lose the body."""
    return [
        *(Route(path, app) for path, app in parts.alone),
        *(Mount(path, app=app) for path, app in parts.mounts),
    ]


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = tuple((error.headers or {}).items())
    told = problem(error.status_code, _detail(error), request_id=request_id(request), headers=headers)
    return refused(told)


def _detail(error: HTTPException) -> str:
    return {
        404: "there is nothing at this path; see /openapi.json",
        405: "this path does not take that method; see /openapi.json",
    }.get(error.status_code, "the request is not acceptable")


async def _unforeseen(request: Request, _error: Exception) -> Response:
    return refused(problem(500, "an unforeseen error; the log has it", request_id=request_id(request)))
