"""One endpoint for every operation of the table: decode, ask the public face, encode."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tiered_memory.daemon.answers import SAFE_HEADERS, error_answer, json_answer, nothing, refused, request_id
from tiered_memory.daemon.asked import AS_USER, Asked, asked_of
from tiered_memory.daemon.idempotency import HEADER, Answers, checked_key
from tiered_memory.daemon.serving import Serving
from tiered_memory.errors import AccessDeniedError, ConflictError, InvalidInputError, TieredMemoryError
from tiered_memory.model import Memory
from tiered_memory.wire.codec import NO_BODY, answer, arguments
from tiered_memory.wire.faces import method_of
from tiered_memory.wire.operation import Carries, Effect, Operation, Root
from tiered_memory.wire.problems import problem
from tiered_memory.wire.signatures import Signature, signature_of

Handler = Callable[["Endpoint", Asked, Request], Awaitable[Response]]
ACCEPTED: dict[Carries, tuple[str, ...]] = {
    Carries.JSON: ("application/json",),
    Carries.LINES: ("application/x-ndjson", "application/jsonl"),
    Carries.ARCHIVE: ("application/zip", "application/octet-stream"),
}
"""What a body may call itself; the first is what the API's description says."""
ERASURES = frozenset({"person.erase", "tenants.erase"})
"""After these no answer about the person, or the tenant, is remembered for a repeated request."""


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
        self._handler = handler or _call
        self._remembers = operation.effect is Effect.ACTS and operation.takes is Carries.JSON

    @property
    def signature(self) -> Signature:
        """What the operation takes and gives; made when somebody asks first, for most owners' doors see a call or two."""
        return signature_of(self.operation, method_of(self.operation))

    @property
    def _own_id(self) -> bool:
        body = self.signature.body
        return body is not None and "operation_id" in body.model_fields

    async def __call__(self, request: Request) -> Response:
        """Answer a request; our errors become problems."""
        request.scope["state"]["operation"] = self.operation.name
        try:
            asked = asked_of(self.operation, request)
            if self.operation.local and not self.shared.local:
                raise AccessDeniedError("paths of the daemon's machine are taken over its own socket only")
            if refusal := self._unlike(request):
                return refusal
            if request.method == "HEAD" and self.operation.gives is not Carries.JSON:
                self.arguments(asked, request, b"")
                return Response(None, self.operation.status, SAFE_HEADERS, self.operation.gives.value)
            if self._handler is not _call and self.operation.takes is Carries.JSON and has_body(request):
                raise InvalidInputError(NO_BODY)
            return await self._handler(self, asked, request)
        except TieredMemoryError as error:
            return error_answer(error, request)

    def _unlike(self, request: Request) -> Response | None:
        """Refuse a body that says it is something else; without a body nothing needs to be said."""
        wanted = ACCEPTED[self.operation.takes]
        bare = self.operation.takes is Carries.JSON and not has_body(request)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if bare or media_type in wanted:
            return None
        told = f"the body is not what is taken here: send Content-Type: {wanted[0]}"
        return refused(problem(415, told, request_id=request_id(request)))

    async def once(self, asked: Asked, request: Request, body: bytes) -> Response:
        """Answer a call, or repeat the answer that its `Idempotency-Key` got."""
        key = checked_key(request.headers.get(HEADER))
        given = self.arguments(asked, request, body)
        if key is not None and self._own_id:
            return await self.act(asked, given | {"operation_id": given.get("operation_id") or key}, request)
        if key is None or not self._remembers:
            return await self.act(asked, given, request)
        whose = (*asked.whose, self.operation.name, request.scope["path"], *asked.words, key)
        said = str(sorted(request.query_params.items())).encode() + b"\0" + body
        return await self.shared.answers.once(
            whose, said, lambda: self.act(asked, given, request), asked.about
        )

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
        try:
            if expected is not None:
                given = await _conditioned(self, asked, given, expected)
            found = await getattr(face, self.operation.method)(**given)
            if self.operation.name in ERASURES:
                self.shared.answers.let_go(asked.about[0], asked.about[1] or None)
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
            if self.operation.verb == "GET" and _is_known(request, headers["ETag"]):
                return Response(None, 304, headers)
        return json_answer(answer(self.signature, found), self.operation.status, headers)


async def _call(endpoint: Endpoint, asked: Asked, request: Request) -> Response:
    return await endpoint.once(asked, request, await request.body())


def has_body(request: Request) -> bool:
    """Tell whether a body comes with a request (RFC 9112 section 6.3)."""
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _is_known(request: Request, etag: str) -> bool:
    """Tell whether `If-None-Match` names it; the comparison is the weak one (RFC 9110 section 13.1.2)."""
    given = request.headers.get("if-none-match", "")
    known = {one.strip().removeprefix("W/") for one in given.split(",")}
    return etag in known or "*" in known


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
    found = await asked.root(endpoint.shared.serving.opened()).get(given["memory_id"])
    if found.version != version:
        raise ConflictError("the memory was changed since it was read; read it again")
    return given
