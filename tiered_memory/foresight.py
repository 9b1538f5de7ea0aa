"""The part of the public face that looks ahead and listens: forecasts, and events of forgetting."""

from __future__ import annotations

from typing import Protocol

from tiered_memory.events import BUFFERED, EventStream
from tiered_memory.runtime import Parts


class _Running(Protocol):
    def _parts(self) -> Parts: ...


class Foresight:
    """What a whole memory tells."""

    def events(self: _Running, *, buffered: int = BUFFERED) -> EventStream:
        """Return a stream of `MemoryEvent` for `async for`: each memory forgotten, evicted, purged or restored.

        It begins now and ends when the memory closes. At most `buffered` events wait in it; a listener that is
        slower misses some, and the next event says how many.
        """
        return self._parts().announcer.events.listen(buffered)
