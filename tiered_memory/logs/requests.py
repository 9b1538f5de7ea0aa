"""Request ids, and one line per request: two ASGI middlewares, which need no framework.

A path holds people's ids, a query may hold anything: neither is ever told. A line names the route's template.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextvars import ContextVar
from typing import Any, Final

from tiered_memory import clock

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

HEADER: Final = b"x-request-id"
TRACEPARENT: Final = b"traceparent"
ACCESS: Final = "tiered_memory.access"
PROBES: Final = frozenset({"/livez", "/readyz", "/startupz", "/metrics"})
ID_BYTES: Final = 16
SERVER_ERROR: Final = 500

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# W3C Trace Context, level 2, section 3.2: later versions may add fields after a dash.
_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-[^\x00-\x1f]*)?")
_VERSION_00_LENGTH: Final = 55

_current: ContextVar[str] = ContextVar("tiered_memory_request_id", default="")
access = logging.getLogger(ACCESS)


def request_id() -> str:
    """Return the id of the request that is being served here, or "" outside of one."""
    return _current.get()


def given_id(headers: Headers) -> str | None:
    """Return the id that a caller gives: a well-formed X-Request-ID, else the trace id of a W3C traceparent, else None.

    A header that comes twice, or in another form, does not count.
    """
    named = _only(headers, HEADER)
    if named is not None and _ID.fullmatch(named):
        return named.decode("ascii")
    return trace_of(_only(headers, TRACEPARENT))


def trace_of(parent: bytes | None) -> str | None:
    """Return the trace id (32 hex digits) of a traceparent, or None when it is none."""
    found = _PARENT.fullmatch(parent or b"")
    if found is None or (found[0].startswith(b"00-") and len(found[0]) != _VERSION_00_LENGTH):
        return None
    if not found[1].strip(b"0") or not found[2].strip(b"0"):
        return None
    return found[1].decode("ascii")


def _only(headers: Headers, name: bytes) -> bytes | None:
    found = [value for key, value in headers if key.lower() == name]
    return found[0] if len(found) == 1 else None


class RequestId:
    """Names each request: for the lines logged while it is served, for `scope["state"]`, and in the answer.

    Belongs outermost. `entropy` makes the ids of requests that bring none.
    """

    def __init__(self, app: App, entropy: clock.Entropy | None = None) -> None:
        self._app = app
        self._entropy = entropy or clock.SystemEntropy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        name = given_id(scope["headers"]) or self._entropy.token(ID_BYTES).hex()
        scope.setdefault("state", {})["request_id"] = name
        token = _current.set(name)
        try:
            await self._app(scope, receive, _naming(send, name.encode("ascii")))
        finally:
            _current.reset(token)


def _naming(send: Send, name: bytes) -> Send:
    async def named(message: Message) -> None:
        if message["type"] in {"http.response.start", "websocket.accept", "websocket.http.response.start"}:
            others = [(key, value) for key, value in message.get("headers", ()) if key.lower() != HEADER]
            message = {**message, "headers": [*others, (HEADER, name)]}
        await send(message)

    return named


class AccessLog:
    """Logs one line per request after its end: method, route template, status, duration, how it ended.

    Belongs within `RequestId`. `scope["state"]["error"]` names the class of an error that was the answer.
    `quiet` names the templates of probes, which are told at DEBUG only.
    """

    def __init__(
        self,
        app: App,
        *,
        quiet: frozenset[str] = PROBES,
        stopwatch: Callable[[], float] = clock.stopwatch,
    ) -> None:
        self._app = app
        self._quiet = quiet
        self._stopwatch = stopwatch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange, started = _Exchange(receive, send), self._stopwatch()
        error: BaseException | None = None
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._tell(scope, exchange, error, self._stopwatch() - started)

    def _tell(self, scope: Scope, exchange: _Exchange, error: BaseException | None, seconds: float) -> None:
        unforeseen = isinstance(error, Exception)
        status = exchange.status or (SERVER_ERROR if unforeseen else None)
        route = route_of(scope)
        told = {
            "method": scope["method"],
            "route": route,
            "op": scope.get("state", {}).get("operation"),
            "status": status,
            "outcome": exchange.outcome(error, scope.get("state", {}).get("error")),
            "seconds": seconds,
        }
        access.log(self._level(route, status), "request", extra=told, exc_info=error if unforeseen else None)

    def _level(self, route: str | None, status: int | None) -> int:
        if status is not None and status >= SERVER_ERROR:
            return logging.ERROR
        return logging.DEBUG if route in self._quiet else logging.INFO


def route_of(scope: Scope) -> str | None:
    """Return the template of the route that served a request, or None when none did; never its path."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else None


class _Exchange:
    """What went over the wire, as far as a log line tells it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.status: int | None = None
        self._left = False
        self._ended = False

    async def receive(self) -> Message:
        message = await self._receive()
        # Servers say "disconnect" after every answer, too: then nobody left early.
        self._left = self._left or (message["type"] == "http.disconnect" and not self._ended)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        body = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)
        self._ended = self._ended or body or message["type"] == "http.response.pathsend"

    def outcome(self, error: BaseException | None, refusal: str | None) -> str:
        if error is not None:
            return type(error).__name__
        if self._ended:
            return refusal or "ok"
        return "disconnected" if self._left else "incomplete"
