"""One endpoint for every operation of the table: decode, ask the public face, encode."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tiered_memory.daemon.answers import error_answer, json_answer, nothing, refused, request_id
from tiered_memory.daemon.asked import AS_USER, Asked, asked_of
from tiered_memory.daemon.idempotency import HEADER, Answers, checked_key
from tiered_memory.daemon.serving import Serving
from tiered_memory.errors import AccessDeniedError, ConflictError, InvalidInputError, TieredMemoryError
from tiered_memory.model import Memory
from tiered_memory.wire.codec import answer, arguments
from tiered_memory.wire.faces import method_of
from tiered_memory.wire.operation import Carries, Effect, Operation, Root
from tiered_memory.wire.problems import problem
from tiered_memory.wire.signatures import Signature, signature_of

Handler = Callable[["Endpoint", Asked, Request], Awaitable[Response]]
UNLIKE_JSON = "the body must be JSON: send Content-Type: application/json"


@dataclass(frozen=True, slots=True)
class Shared:
    """What every endpoint has: the memory, the answers to repeat, and whether this is the owner's own socket."""

    serving: Serving
    answers: Answers
    local: bool = False


class Endpoint:
    """Serves one operation; `handler` is for those that are more than a call and its answer."""

    def __init__(self, operation: Operation, shared: Shared, handler: Handler | None = None) -> None:
        self.operation = operation
        self.shared = shared
        self.signature: Signature = signature_of(operation, method_of(operation))
        self._handler = handler or _call
        self._remembers = operation.effect is Effect.ACTS and operation.takes is Carries.JSON
        body = self.signature.body
        self._own_id = body is not None and "operation_id" in body.model_fields

    async def __call__(self, request: Request) -> Response:
        """Answer a request; our errors become problems."""
        request.scope["state"]["operation"] = self.operation.name
        try:
            asked = asked_of(self.operation, request)
            if self.operation.local and not self.shared.local:
                raise AccessDeniedError("paths of the daemon's machine are taken over its own socket only")
            return await self._handler(self, asked, request)
        except TieredMemoryError as error:
            return error_answer(error, request)

    async def once(self, asked: Asked, request: Request, body: bytes) -> Response:
        """Answer a call, or repeat the answer that its `Idempotency-Key` got."""
        key = checked_key(request.headers.get(HEADER))
        given = self.arguments(asked, request, body)
        if key is not None and self._own_id:
            return await self.act(asked, given | {"operation_id": given.get("operation_id") or key}, request)
        if key is None or not self._remembers:
            return await self.act(asked, given, request)
        whose = (asked.principal.name, self.operation.name, request.url.path, key)
        said = str(sorted(request.query_params.items())).encode() + b"\0" + body
        return await self.shared.answers.once(whose, said, lambda: self.act(asked, given, request))

    def arguments(self, asked: Asked, request: Request, body: bytes) -> dict[str, Any]:
        """Return the method's arguments; raises InvalidInputError."""
        query = request.query_params.multi_items()
        if self.operation.root is Root.SHARED:
            query = [(name, text) for name, text in query if name != AS_USER]
        return arguments(self.signature, asked.path, query, body)

    async def act(self, asked: Asked, given: dict[str, Any], request: Request) -> Response:
        """Call the public face and return its answer."""
        face = asked.face(self.shared.serving.opened())
        expected = _expected_version(request)
        if expected is not None:
            given = await _conditioned(self, asked, given, expected)
        try:
            found = await getattr(face, self.operation.method)(**given)
        except ConflictError as error:
            if expected is None:
                raise
            return refused(problem(412, str(error), error="ConflictError", request_id=request_id(request)))
        return self._answered(found, request)

    def _answered(self, found: Any, request: Request) -> Response:
        if self.signature.answer is None:
            return nothing(self.operation.status)
        headers = {}
        if isinstance(found, Memory):
            headers["ETag"] = f'"{found.version}"'
            if self.operation.verb == "GET" and request.headers.get("if-none-match") == headers["ETag"]:
                return Response(None, 304, headers)
        return json_answer(answer(self.signature, found), self.operation.status, headers)


async def _call(endpoint: Endpoint, asked: Asked, request: Request) -> Response:
    body = await request.body()
    if body and not _is_json(request):
        return refused(problem(415, UNLIKE_JSON, request_id=request_id(request)))
    return await endpoint.once(asked, request, body)


def _is_json(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json"


def _expected_version(request: Request) -> int | None:
    """`If-Match` names the version that was read; `*` is any."""
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    digits = given.strip().removeprefix('"').removesuffix('"')
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 9:  # noqa: PLR2004 - versions are small
        raise InvalidInputError("If-Match must be the ETag of a memory")
    return int(digits)


async def _conditioned(
    endpoint: Endpoint, asked: Asked, given: dict[str, Any], version: int
) -> dict[str, Any]:
    """A correction checks the version where it commits; before anything else the memory is looked at."""
    if endpoint.operation.name == "memories.update":
        return given | {"expected_version": version}
    if "memory_id" not in given:
        raise InvalidInputError("If-Match is for a memory")
    reader = replace(asked.caller)
    memory = endpoint.shared.serving.opened().user(asked.path["user"], asked.path["tenant"], caller=reader)
    found = await memory.get(given["memory_id"])
    if found.version != version:
        raise ConflictError("the memory was changed since it was read; read it again")
    return given
