"""Requests as facts for the metrics: by group of routes and status, never by path. ASGI middleware."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiered_memory.clock import stopwatch
from tiered_memory.metrics import HttpDone, HttpInFlight, HttpRejected, Observer

REASONS = {
    401: "unauthenticated",
    403: "forbidden",
    408: "timeout",
    413: "body_too_large",
    414: "body_too_large",
    431: "body_too_large",
    429: "rate_limited",
    503: "overloaded",
}
HEALTH = "health"
PREFIXES = (
    ("/ui", "ui"),
    ("/mcp", "mcp"),
    ("/livez", HEALTH),
    ("/readyz", HEALTH),
    ("/startupz", HEALTH),
)
GROUPS = {"memories": "memories", "quarantine": "memories", "shared": "memories", "store": "operate"}
RIGHTS = frozenset({"consents", "decisions", "objections", "person", "requests", "restrictions", "retention"})
NOT_SENT = 499
"""The status of a request whose answer was not begun, because its client left."""


def refused_early(observer: Observer) -> Callable[[int], None]:
    """Return what counts requests that were refused before there was one to measure."""

    def refused(status: int) -> None:
        if status in REASONS:
            observer.observe(HttpRejected(REASONS[status]))

    return refused


class Measuring:
    """Tells an observer of every request."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app = app
        self._observer = observer
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and tell of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = stopwatch(), NOT_SENT

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._count(1)
        try:
            await self._app(scope, receive, sent)
        finally:
            self._count(-1)
            self._tell(scope, status, stopwatch() - begun)

    def _count(self, more: int) -> None:
        self._running += more
        self._observer.observe(HttpInFlight(self._running))

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        operation = scope.get("state", {}).get("operation")
        group = group_of(scope["path"], operation)
        self._observer.observe(HttpDone(group, status, seconds))
        # What an operation answered was not turned away before it, and a probe's 503 is its answer.
        if operation is None and status in REASONS and group != HEALTH:
            self._observer.observe(HttpRejected(REASONS[status]))


def group_of(path: str, operation: str | None) -> str:
    """Return the group of routes that a request belongs to: a word of a closed set."""
    if operation is None:
        return next((group for prefix, group in PREFIXES if path.startswith(prefix)), "other")
    family, _, name = operation.partition(".")
    if name in {"search", "context"}:
        return name
    return "rights" if family in RIGHTS else GROUPS.get(family, "operate")
