"""What the daemon's parts share: the memory once it is open, and how far the process has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

import anyio

from tiered_memory.clock import Clock, SystemClock
from tiered_memory.daemon_config import DaemonSettings
from tiered_memory.errors import ClosedError
from tiered_memory.memory import TieredMemory
from tiered_memory.model import Subject


class Phase(StrEnum):
    """How far the process has come."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(slots=True)
class Serving:
    """The memory that is served; None until it is open."""

    settings: DaemonSettings
    memory: TieredMemory | None = None
    phase: Phase = Phase.STARTING
    clock: Clock = field(default_factory=SystemClock)
    ending: anyio.Event = field(default_factory=anyio.Event)
    """Set when the daemon begins to drain: what would go on for ever ends then."""
    hurried: set[Callable[[], None]] = field(default_factory=set)
    """What cuts short requests that could outlast the drain: streams without an end, bodies still on their way."""

    def drain(self) -> None:
        """From now on nothing is ready, and nothing waits for a client."""
        self.phase = Phase.DRAINING
        self.ending.set()
        for hurry in list(self.hurried):
            hurry()

    @contextmanager
    def hurrying(self, hurry: Callable[[], None]) -> Iterator[None]:
        """Have `hurry` called when the daemon ends, while the body runs; at once when it is ending already."""
        self.hurried.add(hurry)
        if self.phase is Phase.DRAINING:
            hurry()
        try:
            yield
        finally:
            self.hurried.discard(hurry)

    listeners: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """How many streams of events each credential listens to."""

    @contextmanager
    def listening(self, whose: tuple[str, ...]) -> Iterator[None]:
        """Count a stream of events while the body runs."""
        self.listeners[whose] += 1
        try:
            yield
        finally:
            self.listeners[whose] -= 1
            if not self.listeners[whose]:
                del self.listeners[whose]

    people: tuple[Subject, ...] = ()
    """Who is offered on the inspector's page of people."""

    def opened(self) -> TieredMemory:
        """Return the memory; raises ClosedError before it is open and after it is closed."""
        if self.memory is None:
            raise ClosedError("the memory is being opened; try again in a moment")
        return self.memory
