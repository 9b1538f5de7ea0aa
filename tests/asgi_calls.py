"""Calls an ASGI application as a server would, one request at a time, and keeps what it answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = MutableMapping[str, Any]
App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any
]
GET_BODY: tuple[Message, ...] = (
    {"type": "http.request", "body": b"", "more_body": False},
    {"type": "http.disconnect"},
)


@dataclass
class Answer:
    scope: MutableMapping[str, Any]
    messages: list[Message] = field(default_factory=list)

    @property
    def start(self) -> Message:
        return next(one for one in self.messages if one["type"].endswith((".start", ".accept")))

    def header(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.start.get("headers", ()) if key.lower() == name]


def request(
    path: str = "/",
    headers: Iterable[tuple[bytes, bytes]] = (),
    *,
    method: str = "GET",
    kind: str = "http",
    query: bytes = b"",
) -> dict[str, Any]:
    """Return the scope of a request."""
    return {
        "type": kind, "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": query, "headers": list(headers),
        "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 80),
    }  # fmt: skip


async def called(app: App, scope: dict[str, Any], incoming: Sequence[Message] = GET_BODY) -> Answer:
    """Return what `app` answers; what it raises passes through."""
    answer, waiting = Answer(scope), deque(incoming)

    async def receive() -> Message:
        return waiting.popleft()

    async def send(message: Message) -> None:
        answer.messages.append(message)

    await app(scope, receive, send)
    return answer


async def answering(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """An application that answers "ok" to everything."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"ok"})
