"""HTTP/1.1 on one connection, bounded in time: uvicorn's own protocol has no bound on heads and on answers unread."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from tiered_memory.daemon_config import DaemonSettings
from tiered_memory.wire.problems import MEDIA_TYPE, RETRY_SECONDS, Problem, problem

MOST_HEAD = 32 * 1024
"""Bytes of a request's line and headers together."""
AGAIN = (("Retry-After", str(RETRY_SECONDS)),)
FULL = problem(503, "too many connections are open; try again in a moment", headers=AGAIN)
TOO_SLOW = problem(408, "the head of the request did not come in time")
TOO_LONG = problem(431, f"the request's line and headers may have {MOST_HEAD} bytes")
NOT_HTTP = problem(400, "this is not a well-formed HTTP/1.1 request")

Refused = Callable[[int], None]
"""Hears the status of each request that was refused before there was one."""


class BoundedProtocol(H11Protocol):
    """Refuses with a problem what is no request, or does not become one in time.

    At most `most_connections` are kept. A request's head, and what is left of a body whose request was answered
    already, must come within `head_seconds`; an answer must be read with no pause longer than `body_seconds`.
    """

    settings: DaemonSettings
    refused: Refused

    def __init__(self, config: Config, *given: Any, **named: Any) -> None:
        super().__init__(config, *given, **named)
        self._head: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or refuse it when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.settings.most_connections:
            self._refuse(FULL)
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection and its timers."""
        for timer in (self._head, self._unread):
            if timer is not None:
                timer.cancel()
        self._head = self._unread = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; what is no request yet is waited for, but not for long."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._await_head()

    def on_response_complete(self) -> None:
        """Go on with the next request of the connection, if it has begun."""
        super().on_response_complete()
        if self.conn.trailing_data[0] or self.conn.their_state is h11.SEND_BODY:
            self._await_head()
        elif self.transport.is_closing():
            self._await_reader()

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong as a problem; `msg` is uvicorn's own word for all of it."""
        del msg
        error = sys.exception()
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._refuse(TOO_LONG if hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE else NOT_HTTP)

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade may be ignored (RFC 9110 section 7.8): the request is answered as any other."""

    def pause_writing(self) -> None:
        """Wait for the peer to read, but not for ever."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """Go on: the peer has read."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _await_head(self) -> None:
        """The time runs from a request's first byte on (or the connection's) until its head is complete."""
        if self._in_work():
            if self._head is not None:
                self._head.cancel()
                self._head = None
        elif self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(self.settings.head_seconds, self._late)

    def _in_work(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _late(self) -> None:
        self._head = None
        if self.transport.is_closing() or self._in_work():
            return
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self.transport.close()  # nothing was asked: there is nothing to answer
        else:
            self._refuse(TOO_SLOW)

    def _await_reader(self) -> None:
        if self._unread is None:
            self._unread = self.loop.call_later(self.settings.body_seconds, self.transport.abort)

    def _refuse(self, told: Problem) -> None:
        """Answer without a request, where nothing was answered yet, and close."""
        self.refused(told.status)
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE} and not self._answering():
            self.transport.write(_written(told))
        self.transport.close()
        self._await_reader()

    def _answering(self) -> bool:
        return self._in_work() and self.cycle.response_started


def _written(told: Problem) -> bytes:
    body = json.dumps(told.document()).encode()
    lines = [
        f"HTTP/1.1 {told.status} {told.title}",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
        *(f"{name}: {text}" for name, text in told.headers),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def protocol_for(own: DaemonSettings, heard: Refused) -> type[BoundedProtocol]:
    """Return the protocol with its bounds; `heard` hears what is refused before the application sees it."""
    return type("Protocol", (BoundedProtocol,), {"settings": own, "refused": staticmethod(heard)})
