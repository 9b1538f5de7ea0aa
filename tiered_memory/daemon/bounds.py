"""Bounds on requests: how many at a time, how long a body, how slow a client. ASGI middleware."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiered_memory.daemon.answers import refused
from tiered_memory.daemon_config import DaemonSettings
from tiered_memory.wire.problems import RETRY_SECONDS, problem

STREAMS = ("/lines", "/archive")
"""Paths whose bodies are read piece by piece and bounded by whoever reads them."""
MOST_PATH = 8192


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

    def __init__(self, app: ASGIApp, settings: DaemonSettings) -> None:
        self._app = app
        self._settings = settings
        self._most = int(settings.max_body_mib * 2**20)
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._running >= self._settings.most_requests:
            again = (("Retry-After", str(RETRY_SECONDS)),)
            told = problem(503, "too many requests are in work; repeat it in a moment", headers=again)
            await refused(told)(scope, receive, send)
            return
        self._running += 1
        try:
            await self._bounded(scope, receive, send)
        finally:
            self._running -= 1

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        most = None if scope["path"].endswith(STREAMS) else self._most
        if most is not None and _announced(scope) > most:
            await refused(_too_long(most))(scope, receive, send)
            return
        begun = _Begun(send)
        try:
            await self._app(scope, self._counted(receive, most), begun)
        except BodyTooLongError:
            await begun.otherwise(refused(_too_long(most or self._most)), scope, receive)
        except ClientTooSlowError:
            told = problem(408, "the body did not come in time", headers=(("Connection", "close"),))
            await begun.otherwise(refused(told), scope, receive)

    def _counted(self, receive: Receive, most: int | None) -> Receive:
        size, more = 0, True

        async def counted() -> Message:
            nonlocal size, more
            if not more:
                return await receive()
            message = await self._in_time(receive)
            size += len(message.get("body", b""))
            more = message["type"] == "http.request" and message.get("more_body", False)
            if most is not None and size > most:
                raise BodyTooLongError
            return message

        return counted

    async def _in_time(self, receive: Receive) -> Message:
        try:
            with anyio.fail_after(self._settings.body_seconds):
                return await receive()
        except TimeoutError:
            raise ClientTooSlowError from None


class _Begun:
    """Knows whether an answer was begun: after that nothing else can be said."""

    def __init__(self, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> None:
        self._send = send
        self._begun = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        self._begun = True
        await self._send(message)

    async def otherwise(self, answer: ASGIApp, scope: Scope, receive: Receive) -> None:
        if not self._begun:
            await answer(scope, receive, self._send)


def _announced(scope: Scope) -> int:
    for name, text in scope["headers"]:
        if name == b"content-length":
            return int(text) if text.isdigit() else 0
    return 0


def _too_long(most: int) -> Any:
    return problem(413, f"a body may have {most / 2**20:g} MiB here", headers=(("Connection", "close"),))
