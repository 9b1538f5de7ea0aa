"""Bounds on requests: how many at a time, how long a body, how slow a client. ASGI middleware."""

from __future__ import annotations

import re

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiered_memory.clock import stopwatch
from tiered_memory.daemon.answers import refused
from tiered_memory.daemon.protocol import MOST_HEAD
from tiered_memory.daemon.serving import Phase, Serving
from tiered_memory.wire.problems import RETRY_SECONDS, Problem, problem

STREAMS = re.compile(r"/v1/tenants/[^/]+/users/[^/]+/(?:memories/lines|archive)")
"""Paths whose bodies are read piece by piece and bounded by whoever reads them: no name that somebody chose is one."""
SENDS = frozenset({"POST", "PUT"})
"""The verbs that such a body comes with; with another one the path's last word is a memory's id."""
ENDLESS = "/mcp"
"""The path whose answers may have no end of their own."""
PROBES = frozenset({"/livez", "/readyz", "/startupz"})
"""Paths that are answered however much is in work: who is busy must not be taken for dead."""
MOST_PATH = 8192
VERSIONS = ("1.0", "1.1")
SLOWEST = 1024.0
"""Bytes per second that a body must come with, once it has had the time of one pause."""
DRAIN_GRACE_SECONDS = 1.0
"""How long a body that is on its way may still take when the daemon ends."""
CLOSING = (("Connection", "close"),)
AGAIN = (("Retry-After", str(RETRY_SECONDS)),)


class BodyTooLongError(Exception):
    """The body is longer than it may be."""


class ClientTooSlowError(Exception):
    """The client paused too long within its body."""


class RawPath:
    """Routes on the path as it came, so that an encoded slash stays part of its segment."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            raw: bytes = scope.get("raw_path") or scope["path"].encode()
            if len(raw) + len(scope["query_string"]) > MOST_PATH:
                await refused(problem(414, f"path and query may have {MOST_PATH} bytes"))(
                    scope, receive, send
                )
                return
            scope["path"] = raw.decode("latin-1")
        await self._app(scope, receive, send)


class Bounds:
    """Refuses what would be too much, before anything of it is read."""

    def __init__(self, app: ASGIApp, serving: Serving) -> None:
        self._app = app
        self._serving = serving
        self._settings = serving.settings
        self._most = int(serving.settings.max_body_mib * 2**20)
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most: int | None = self._most
        if STREAMS.fullmatch(scope["path"]):
            # Starlette would listen for the client's leaving while it answers, and take the rest of the body for that.
            scope["asgi"] = {**scope["asgi"], "spec_version": "2.4"}
            most = None if scope["method"] in SENDS else most
        if (told := self._judged(scope, most)) is not None:
            await refused(told)(scope, receive, send)
            return
        self._running += 1
        try:
            await self._bounded(scope, receive, _Begun(send), most)
        finally:
            self._running -= 1

    def _judged(self, scope: Scope, most: int | None) -> Problem | None:
        """Return why the request is refused by its head alone."""
        if self._running >= self._settings.most_requests and scope["path"] not in PROBES:
            return problem(503, "too many requests are in work; repeat it in a moment", headers=AGAIN)
        if (told := _framing_fault(scope)) is not None:
            return told
        if most is not None and _announced(scope) > most:
            return _too_long(most)
        return None

    async def _bounded(self, scope: Scope, receive: Receive, begun: _Begun, most: int | None) -> None:
        counted = _Body(self._serving, receive, most).receive
        try:
            if scope["path"] == ENDLESS:
                await self._endless(scope, counted, begun)
            else:
                await self._app(scope, counted, begun)
        except BodyTooLongError:
            await begun.otherwise(refused(_too_long(most or self._most)), scope, receive)
        except ClientTooSlowError:
            await begun.otherwise(refused(self._too_slow()), scope, receive)
        except ClientDisconnect:
            return  # nobody is there to be answered

    async def _endless(self, scope: Scope, receive: Receive, begun: _Begun) -> None:
        """End the answer with the daemon, as one that is complete."""
        with anyio.CancelScope() as cut, self._serving.hurrying(cut.cancel):
            await self._app(scope, receive, begun)
        if cut.cancelled_caught:
            ending = refused(problem(503, "the daemon is ending", headers=CLOSING + AGAIN))
            await begun.ended(ending, scope, receive)

    def _too_slow(self) -> Problem:
        if self._serving.phase is Phase.DRAINING:
            return problem(503, "the daemon is ending; nothing was done", headers=CLOSING + AGAIN)
        return problem(408, "the body did not come in time", headers=CLOSING)


class _Body:
    """A request's body as it comes, counted and timed."""

    def __init__(self, serving: Serving, receive: Receive, most: int | None) -> None:
        self._serving = serving
        self._receive = receive
        self._most = most
        self._size, self._waited, self._more = 0, 0.0, True

    async def receive(self) -> Message:
        """Return the next piece; raises BodyTooLongError, ClientTooSlowError."""
        if not self._more:
            return await self._receive()
        message = await self._in_time()
        self._size += len(message.get("body", b""))
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        if self._most is not None and self._size > self._most:
            raise BodyTooLongError
        return message

    async def _in_time(self) -> Message:
        """Only waiting for the client counts: how long we take to read on is not its doing."""
        pause, begun = self._serving.settings.body_seconds, stopwatch()
        left = min(pause, pause + self._size / SLOWEST - self._waited)
        try:
            with anyio.fail_after(max(0.0, left)) as bound, self._serving.hurrying(lambda: _hurry(bound)):
                return await self._receive()
        except TimeoutError:
            raise ClientTooSlowError from None
        finally:
            self._waited += stopwatch() - begun


def _hurry(bound: anyio.CancelScope) -> None:
    bound.deadline = min(bound.deadline, anyio.current_time() + DRAIN_GRACE_SECONDS)


class _Begun:
    """Knows whether an answer was begun: after that nothing else can be said."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = self._complete = False

    async def __call__(self, message: Message) -> None:
        self._begun = True
        self._complete = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def otherwise(self, answer: ASGIApp, scope: Scope, receive: Receive) -> None:
        if not self._begun:
            await answer(scope, receive, self._send)

    async def ended(self, answer: ASGIApp, scope: Scope, receive: Receive) -> None:
        """Complete what was begun; what was not is answered with `answer`."""
        await self.otherwise(answer, scope, receive)
        if self._begun and not self._complete:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _framing_fault(scope: Scope) -> Problem | None:
    """Return why a head is refused: what two servers may read differently smuggles (RFC 9112 section 6.3)."""
    names = [name for name, _ in scope["headers"]]
    if sum(len(name) + len(text) + len(": \r\n") for name, text in scope["headers"]) > MOST_HEAD:
        return problem(431, f"the headers may have {MOST_HEAD} bytes together", headers=CLOSING)
    if scope["http_version"] not in VERSIONS:
        return problem(400, "HTTP/1.1 is spoken here", headers=CLOSING)
    if b"transfer-encoding" in names and (b"content-length" in names or scope["http_version"] == "1.0"):
        return problem(400, "a body is framed by Content-Length or by Transfer-Encoding", headers=CLOSING)
    if b"content-encoding" in names:
        return problem(415, "a body must come as it is, without Content-Encoding", headers=CLOSING)
    return None


def _announced(scope: Scope) -> int:
    for name, text in scope["headers"]:
        if name == b"content-length":
            return int(text) if text.isdigit() else 0
    return 0


def _too_long(most: int) -> Problem:
    return problem(413, f"a body may have {most / 2**20:g} MiB here", headers=CLOSING)
