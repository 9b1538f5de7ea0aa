"""Requests as facts for the metrics: by group of routes and status, never by path. ASGI middleware."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiered_memory.clock import stopwatch
from tiered_memory.metrics import HttpDone, HttpInFlight, HttpRejected, Observer

REASONS = {
    401: "unauthenticated",
    403: "forbidden",
    408: "timeout",
    413: "body_too_large",
    429: "rate_limited",
    503: "overloaded",
}
PREFIXES = (
    ("/ui", "ui"),
    ("/mcp", "mcp"),
    ("/livez", "health"),
    ("/readyz", "health"),
    ("/startupz", "health"),
)
GROUPS = {"memories": "memories", "quarantine": "memories", "shared": "memories", "store": "operate"}
RIGHTS = frozenset({"consents", "decisions", "objections", "person", "requests", "restrictions", "retention"})
NOT_SENT = 499
"""The status of a request whose answer was not begun, because its client left."""


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
        self._observer.observe(HttpDone(group_of(scope["path"], operation), status, seconds))
        # What an operation answered was not turned away before it.
        if operation is None and status in REASONS:
            self._observer.observe(HttpRejected(REASONS[status]))


def group_of(path: str, operation: str | None) -> str:
    """Return the group of routes that a request belongs to: a word of a closed set."""
    if operation is None:
        return next((group for prefix, group in PREFIXES if path.startswith(prefix)), "other")
    family, _, name = operation.partition(".")
    if name in {"search", "context"}:
        return name
    return "rights" if family in RIGHTS else GROUPS.get(family, "operate")
