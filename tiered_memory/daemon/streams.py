"""Operations whose bodies are streams: lines of JSON, archives, events."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tiered_memory.daemon.answers import SAFE_HEADERS, json_answer, refused, request_id
from tiered_memory.daemon.asked import Asked
from tiered_memory.daemon.endpoints import Endpoint, Handler
from tiered_memory.daemon.idempotency import HEADER, checked_key
from tiered_memory.daemon.serving import Serving
from tiered_memory.errors import InvalidInputError, TieredMemoryError
from tiered_memory.events import EventStream
from tiered_memory.intake import ID_CHARACTERS
from tiered_memory.model import Interaction
from tiered_memory.user import User
from tiered_memory.wire.codec import answer, header_document, line, parsed
from tiered_memory.wire.operation import Carries
from tiered_memory.wire.paging import order_at, page_of
from tiered_memory.wire.problems import problem, problem_of

PAGE = 100
"""Memories of a page, where the request does not say how many; `User.list` has the same."""
GROUP = 200
"""Interactions of a stream that are acknowledged together."""
ALIVE, ALIVE_SECONDS = b"\n", 10.0
PIECE = 64 * 1024
CLOSING = (("Connection", "close"),)
AGAIN = (("Retry-After", "10"),)
"""What is left of a body that is too long is not waited for."""
ARCHIVE_HEADER = "Tiered-Memory-Archive"
LISTENERS_SHARE = 8
"""One credential's streams of events take at most one in so many of the requests that may be in work at one time."""
TOO_MANY = "this credential listens to as many streams of events as it may: end one, or hear of more in one"
TOO_LONG = "a line of the stream is longer than a body may be"


def lines_answer(lines: AsyncIterator[bytes]) -> StreamingResponse:
    """Return a stream of lines."""
    return StreamingResponse(lines, 200, SAFE_HEADERS, Carries.LINES.value)


# --- memories in, receipts out -------------------------------------------------------------------------------


async def stream_in(endpoint: Endpoint, asked: Asked, request: Request) -> Response:
    """Take interactions line by line, and answer each with its receipt's line; a bad line ends it with a problem.

    What is wrong before anything was kept is a problem with its status, as everywhere.
    Groups are acknowledged as they are complete: what was answered is kept, whatever happens to the rest. With an
    `Idempotency-Key` the groups are numbered under it, so that repeating the stream adds nothing twice.
    """
    options = endpoint.arguments(asked, request, b"")
    user: User = asked.face(endpoint.shared.serving.opened())
    key = checked_key(request.headers.get(HEADER))
    most = int(endpoint.shared.serving.settings.max_body_mib * 2**20)
    receipts = _receipts(user, _groups(request, most), options, key)
    first = await anext(receipts, b"")
    return lines_answer(_after(first, receipts, request))


async def _receipts(
    user: User, groups: AsyncIterator[list[Interaction]], options: dict[str, Any], key: str | None
) -> AsyncIterator[bytes]:
    number = 0
    async for group in groups:
        operation_id = None if key is None else numbered(key, number)
        for receipt in await user.add_many(group, operation_id=operation_id, **options):
            yield line(receipt)
        number += 1


def numbered(key: str, number: int) -> str:
    """Return the operation id of a group under a key, within the length that one may have."""
    whole = f"{key}/{number}"
    return whole if len(whole) <= ID_CHARACTERS else f"{sha256(key.encode()).hexdigest()}/{number}"


async def _after(first: bytes, receipts: AsyncIterator[bytes], request: Request) -> AsyncIterator[bytes]:
    """Once the answer has begun, its status cannot say any more what went wrong: its last line does."""
    yield first
    try:
        async for receipt in receipts:
            yield receipt
    except TieredMemoryError as error:
        told = problem_of(error, request_id(request)).document()
        yield json.dumps({"problem": told}).encode() + b"\n"


async def _groups(request: Request, most: int) -> AsyncIterator[list[Interaction]]:
    group: list[Interaction] = []
    async for text in _lines(request, most):
        group.append(parsed(Interaction, text))
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group


async def _lines(request: Request, most: int) -> AsyncIterator[bytes]:
    """What waits is neither copied nor searched again for each piece: a long line may come in many small ones."""
    waiting = bytearray()
    async for piece in request.stream():
        *whole, rest = piece.split(b"\n")
        if whole:
            whole[0] = bytes(waiting) + whole[0]
            waiting.clear()
        for one in whole:
            if one.strip():
                yield one
        waiting += rest
        if len(waiting) > most:
            raise InvalidInputError(TOO_LONG)
    if waiting.strip():
        yield bytes(waiting)


# --- pages, and memories and events out ---------------------------------------------------------------------------------


async def page(endpoint: Endpoint, asked: Asked, request: Request) -> Response:
    """Give one page, with the next one's address in `Link` (RFC 8288)."""
    given = endpoint.arguments(asked, request, b"")
    user: User = asked.face(endpoint.shared.serving.opened())
    cursor, limit = given.get("cursor"), given.get("limit", PAGE)
    found = page_of(await user.list(limit=limit, before=None if cursor is None else order_at(cursor)), limit)
    following = urlencode({"limit": limit, "cursor": found.next})
    headers = {} if found.next is None else {"Link": f'<?{following}>; rel="next"'}
    return json_answer(answer(endpoint.signature, found), endpoint.operation.status, headers)


async def stream_out(endpoint: Endpoint, asked: Asked, request: Request) -> Response:
    """Give every current memory, a line each, newest first."""
    endpoint.arguments(asked, request, b"")
    user: User = asked.face(endpoint.shared.serving.opened())
    first = await user.list(limit=GROUP)
    return lines_answer(_every(user, first))


async def _every(user: User, page: list[Any]) -> AsyncIterator[bytes]:
    while page:
        for memory in page:
            yield line(memory)
        page = await user.list(limit=GROUP, before=page[-1].order)


async def events(endpoint: Endpoint, asked: Asked, request: Request) -> Response:
    """Give what becomes of memories, a line each, from now on; an empty line every while shows that it lives.

    It ends when the daemon drains: who listens must not hold it up; and when the key is good no more. One credential may not listen so often that nobody
    else is served.
    """
    given, serving = endpoint.arguments(asked, request, b""), endpoint.shared.serving
    if serving.listeners[asked.whose] >= max(1, serving.settings.most_requests // LISTENERS_SHARE):
        return refused(problem(429, TOO_MANY, request_id=request_id(request), headers=AGAIN))
    stream = getattr(asked.face(serving.opened()), endpoint.operation.method)(**given)
    return lines_answer(_counted(_told(stream, serving.ending, _admitted(serving, asked)), serving, asked))


def _admitted(serving: Serving, asked: Asked) -> Callable[[], bool]:
    """Return what tells whether who listens may still: an API key ends, and then hears no more."""
    keys = serving.opened().api_keys
    by_key = keys.good(asked.principal)
    return lambda: not by_key or keys.good(asked.principal)


async def _counted(lines: AsyncGenerator[bytes], serving: Serving, asked: Asked) -> AsyncIterator[bytes]:
    with serving.listening(asked.whose):
        async with aclosing(lines):
            async for one in lines:
                yield one


async def _told(
    stream: EventStream, ending: anyio.Event, admitted: Callable[[], bool]
) -> AsyncGenerator[bytes]:
    told = ALIVE
    while admitted() and not (ending.is_set() and told is ALIVE):
        yield told
        told = ALIVE
        with anyio.move_on_after(ALIVE_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_cancelled_by, ending, tasks.cancel_scope)
                event = await anext(stream, None)
                tasks.cancel_scope.cancel()
                if event is None:
                    return
                told = line(event)


async def _cancelled_by(ending: anyio.Event, scope: anyio.CancelScope) -> None:
    await ending.wait()
    scope.cancel()


# --- archives ------------------------------------------------------------------------------------------------


async def export(endpoint: Endpoint, asked: Asked, request: Request) -> Response:
    """Give an archive. While it is sent no file of it has a name."""
    given = endpoint.arguments(asked, request, b"")
    user: User = asked.face(endpoint.shared.serving.opened())
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tiered-memory-"))
        made = await user.export(Path(folder), **given)
        file = await anyio.open_file(made.path, "rb")
    headers = {
        **SAFE_HEADERS,
        ARCHIVE_HEADER: header_document(_named(made)),
        "Content-Length": str(made.bytes),
        "Content-Disposition": f'attachment; filename="{made.path.name}"',
    }
    return StreamingResponse(_pieces(file), 200, headers, "application/zip")


def _named(made: Any) -> dict[str, Any]:
    shown = {name: getattr(made, name) for name in type(made).__dataclass_fields__}
    return shown | {"path": made.path.name}


async def _pieces(file: anyio.AsyncFile[bytes]) -> AsyncIterator[bytes]:
    async with file:
        while piece := await file.read(PIECE):
            yield piece


async def take_in(endpoint: Endpoint, asked: Asked, request: Request) -> Response:
    """Take an archive in; its bytes wait in a private file meanwhile."""
    given = endpoint.arguments(asked, request, b"")
    user: User = asked.face(endpoint.shared.serving.opened())
    most = endpoint.shared.serving.settings.max_archive_mib * 2**20
    with tempfile.TemporaryDirectory(prefix="tiered-memory-") as folder:
        path = Path(folder) / "archive.zip"
        if not await _kept(request, path, most):
            told = f"an archive may have {most >> 20} MiB here"
            return refused(problem(413, told, request_id=request_id(request), headers=CLOSING))
        report = await user.import_archive(path, **given)
    return json_answer(answer(endpoint.signature, report), endpoint.operation.status)


async def _kept(request: Request, path: Path, most: int) -> bool:
    size = 0
    async with await anyio.open_file(path, "wb") as file:
        async for piece in request.stream():
            size += len(piece)
            if size > most:
                return False
            await file.write(piece)
    return True


HANDLERS: dict[str, Handler] = {
    "memories.page": page,
    "memories.stream_in": stream_in,
    "memories.stream_out": stream_out,
    "store.events": events,
    "tenants.events": events,
    "person.export": export,
    "person.import": take_in,
}
