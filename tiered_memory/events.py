"""A bounded stream of what became of memories, for whoever listens: a slow listener misses some, and is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType
from typing import Self
from weakref import WeakSet

import anyio

from tiered_memory.errors import InvalidInputError
from tiered_memory.forget_model import MemoryEvent
from tiered_memory.model import Subject

BUFFERED, MOST_BUFFERED = 1000, 1_000_000


class EventStream:
    """Events from its making on, for `async for`; it ends when the memory closes. Made by `Events.listen`.

    As a context manager it is a stream that has certainly begun, of a memory that a daemon serves as well.
    """

    def __init__(self, buffered: int) -> None:
        self._buffered = buffered
        self._waiting: deque[MemoryEvent] = deque()
        self._bell = anyio.Event()
        self._missed = 0
        self._closed = False

    def tell(self, event: MemoryEvent) -> None:
        """Take an event; when the listener is too slow for it, count it as missed."""
        if len(self._waiting) >= self._buffered:
            self._missed += 1
            return
        self._waiting.append(replace(event, missed=self._missed) if self._missed else event)
        self._missed = 0
        self._bell.set()

    def drop(self, subject: Subject) -> None:
        """Let go of what waits of a subject."""
        self._waiting = deque(event for event in self._waiting if event.subject != subject)

    def drop_tenant(self, tenant: str) -> None:
        """Let go of what waits of a tenant's users."""
        self._waiting = deque(
            event for event in self._waiting if event.subject is None or event.subject.tenant != tenant
        )

    def close(self) -> None:
        """End the stream after what waits in it; safe to call twice."""
        self._closed = True
        self._bell.set()

    async def aclose(self) -> None:
        """Stop listening; safe to call twice."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MemoryEvent:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            if self._bell.is_set():
                # One bell for all who wait: a new one each would leave those before it waiting for ever.
                self._bell = anyio.Event()
            await self._bell.wait()
        return self._waiting.popleft()


class Events:
    """Passes events to any number of listeners; telling never waits."""

    def __init__(self) -> None:
        self._streams: WeakSet[EventStream] = WeakSet()

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._streams)

    def listen(self, buffered: int = BUFFERED) -> EventStream:
        """Return a stream in which at most `buffered` (1..1000000) events wait; those beyond are missed.

        A stream that nobody holds any more is not served.
        """
        if not 1 <= buffered <= MOST_BUFFERED:
            raise InvalidInputError(f"buffered must be from 1 to {MOST_BUFFERED}")
        stream = EventStream(buffered)
        self._streams.add(stream)
        return stream

    def tell(self, events: Iterable[MemoryEvent]) -> None:
        """Pass events on, in order."""
        streams = list(self._streams)
        for event in events:
            for stream in streams:
                stream.tell(event)

    def drop(self, subject: Subject) -> None:
        """Let go of what no listener has heard of a subject yet: it was erased."""
        for stream in list(self._streams):
            stream.drop(subject)

    def drop_tenant(self, tenant: str) -> None:
        """Let go of what no listener has heard of a tenant's users yet: it was erased."""
        for stream in list(self._streams):
            stream.drop_tenant(tenant)

    def close(self) -> None:
        """End every stream."""
        for stream in list(self._streams):
            stream.close()
