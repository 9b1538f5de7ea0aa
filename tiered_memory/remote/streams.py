"""Calls whose bodies are streams: archives there and back, events as they happen."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio

from tiered_memory.archive import Archive
from tiered_memory.errors import CorruptionError, InvalidInputError, StorageError
from tiered_memory.forget_model import MemoryEvent
from tiered_memory.remote.faces import Link, arguments, shape_of
from tiered_memory.remote.transport import Sent
from tiered_memory.wire.codec import Call, answered, believed, call
from tiered_memory.wire.operation import Operation
from tiered_memory.wire.signatures import signature_of

ARCHIVE_HEADER = "Tiered-Memory-Archive"
PIECE = 64 * 1024
Maker = Callable[[Operation, Callable[..., Any]], Callable[..., Any]]


def _export(operation: Operation, method: Callable[..., Any]) -> Callable[..., Any]:
    async def export(self: Any, *positional: Any, **named: Any) -> Archive:
        signature, shape = signature_of(operation, method), shape_of(method)
        given = arguments(shape, positional, named)
        target, link = given.pop("path", None), self._link
        made = call(operation, signature, link.named, given)
        async with link.transport.stream(
            Sent(operation=operation, call=made, caller=link.caller)
        ) as response:
            facts: Archive = believed(Archive, response.headers.get(ARCHIVE_HEADER, "").encode())
            path = _target(target, str(facts.path))
            await _written(path, response.aiter_bytes(PIECE), facts.bytes)
        return replace(facts, path=path)

    export.__doc__ = method.__doc__
    return export


def _target(given: str | Path | None, name: str) -> Path:
    """A new file at the path, or one in that directory; the daemon's word is a name and never more."""
    target = Path.cwd() if given is None else Path(given)
    if target.is_dir():
        target /= Path(name).name
    if target.exists():
        raise InvalidInputError("there is such a file already; nothing was written")
    if not target.parent.is_dir():
        raise InvalidInputError("there is no such directory; nothing was written")
    return target


async def _written(path: Path, pieces: AsyncIterator[bytes], size: int) -> None:
    whole = False
    try:
        async with await anyio.open_file(path, "xb") as file:
            async for piece in pieces:
                await file.write(piece)
            whole = await file.tell() == size
    except OSError as error:
        raise StorageError("the archive could not be written; there is no file") from error
    finally:
        if not whole:
            await anyio.Path(path).unlink(missing_ok=True)
    if not whole:
        raise CorruptionError("the archive did not arrive whole; there is no file, export it again")


def _import(operation: Operation, method: Callable[..., Any]) -> Callable[..., Any]:
    async def import_archive(self: Any, *positional: Any, **named: Any) -> Any:
        signature, shape = signature_of(operation, method), shape_of(method)
        given = arguments(shape, positional, named)
        path, link = Path(given.pop("path")), self._link
        if not await anyio.Path(path).is_file():
            raise InvalidInputError("there is no such archive")
        made = call(operation, signature, link.named, given)
        sent = Sent(operation=operation, call=made, caller=link.caller)
        async with link.transport.stream(sent, _pieces(path)) as response:
            return answered(signature, await response.aread())

    import_archive.__doc__ = method.__doc__
    return import_archive


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while piece := await file.read(PIECE):
            yield piece


class RemoteEvents:
    """Events of a daemon's memory for `async for`; see `TieredMemory.events`.

    It begins with `async with`, or else when the first event is asked for; it ends when the daemon does.
    """

    def __init__(self, listened: AsyncGenerator[MemoryEvent | None]) -> None:
        self._listened = listened
        self._begun = False

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MemoryEvent:
        await self._begin()
        while (event := await anext(self._listened)) is None:
            pass
        return event

    async def aclose(self) -> None:
        """Stop listening; safe to call twice."""
        self._begun = True
        await self._listened.aclose()

    async def _begin(self) -> None:
        """The first thing heard, before any event, is that the daemon listens for us."""
        if not self._begun:
            self._begun = True
            await anext(self._listened)


def _events(operation: Operation, method: Callable[..., Any]) -> Callable[..., Any]:
    def events(self: Any, *positional: Any, **named: Any) -> RemoteEvents:
        signature, shape = signature_of(operation, method), shape_of(method)
        made = call(operation, signature, self._link.named, arguments(shape, positional, named))
        return RemoteEvents(_listened(self._link, operation, made))

    events.__doc__ = method.__doc__
    return events


async def _listened(link: Link, operation: Operation, made: Call) -> AsyncGenerator[MemoryEvent | None]:
    async with link.transport.stream(Sent(operation=operation, call=made, caller=link.caller)) as response:
        yield None
        async for text in response.aiter_lines():
            yield believed(MemoryEvent, text.encode()) if text.strip() else None


SPECIAL: dict[str, Maker] = {
    "person.export": _export,
    "person.import": _import,
    "store.events": _events,
    "tenants.events": _events,
}
