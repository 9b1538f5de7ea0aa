"""Answers of the daemon: JSON as the codec made it, problems, and what every answer says about keeping it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tiered_memory.errors import TieredMemoryError
from tiered_memory.wire.problems import MEDIA_TYPE, Problem, problem_of

JSON = "application/json"
SAFE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""What is personal is not kept on the way, and is never taken for a page."""


def json_answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer whose body is JSON already."""
    return Response(body, status, {**SAFE_HEADERS, **(headers or {})}, JSON)


def nothing(status: int = 204) -> Response:
    """Return an answer without a body."""
    return Response(None, status, SAFE_HEADERS)


def refused(told: Problem) -> Response:
    """Return a problem as an answer."""
    return _Refusal(told)


class _Refusal(Response):
    """Says, whoever refused, under which name the request is in the log; and there, which class of error it was."""

    def __init__(self, told: Problem) -> None:
        body = json.dumps(told.document(), ensure_ascii=False).encode(errors="replace")
        super().__init__(body, told.status, {**SAFE_HEADERS, **dict(told.headers)}, MEDIA_TYPE)
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        state["error"], named = self._told.error, state.get("request_id", "")
        if named and not self._told.request_id:
            await _Refusal(replace(self._told, request_id=named))(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def error_answer(error: TieredMemoryError, request: HTTPConnection) -> Response:
    """Return one of our errors as an answer."""
    return refused(problem_of(error, request_id(request)))


def request_id(request: HTTPConnection) -> str:
    """Return the id that the request has in the log; empty where nobody gave it one."""
    found = request.scope.get("state", {}).get("request_id", "")
    return found if isinstance(found, str) else ""
