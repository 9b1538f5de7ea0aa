"""Who hears of facts, and how a call becomes one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, TypeAlias, TypeVar

from tiered_memory import clock, errors
from tiered_memory.metrics.facts import Fact
from tiered_memory.metrics.serving import RequestDone
from tiered_memory.metrics.words import ERRORS, OK, OTHER

F = TypeVar("F", bound=Fact)
G = TypeVar("G")
R = TypeVar("R")


class Observer(Protocol):
    """Hears of every fact."""

    def observe(self, fact: Fact) -> None:
        """Take note of `fact`: within microseconds, from any thread, without raising into the caller."""
        ...


Ended: TypeAlias = Callable[[RequestDone], None]
Begin: TypeAlias = Callable[[str], Ended]
"""A method `begin` of an observer: given a call's `op` when it begins, returns what is told, in the same task, its end."""


def begin_of(observer: Observer) -> Begin | None:
    """Return the observer's `begin`, or None when it does not hear of beginnings."""
    return getattr(observer, "begin", None)


class NullObserver:
    """Hears everything and keeps nothing."""

    def observe(self, fact: Fact) -> None:
        """Let `fact` go."""


class RecordingObserver:
    """Keeps the newest `limit` (>= 1) facts, for tests and demonstrations."""

    def __init__(self, limit: int = 10_000) -> None:
        if limit < 1:
            raise errors.InvalidInputError("limit must be at least 1")
        self._facts: deque[Fact] = deque(maxlen=limit)

    def observe(self, fact: Fact) -> None:
        """Keep `fact`, letting the oldest go when full."""
        self._facts.append(fact)

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What was kept, oldest first."""
        return tuple(self._facts)

    def of(self, kind: type[F]) -> list[F]:
        """Return the kept facts of one kind, oldest first."""
        return [fact for fact in tuple(self._facts) if isinstance(fact, kind)]

    def clear(self) -> None:
        """Forget what was kept."""
        self._facts.clear()


class FanOut:
    """Passes each fact to several observers; one that raises does not disturb the caller or the others.

    `failures` counts the facts that an observer failed on. `begin` is None unless an observer hears of beginnings.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        self._begins = [begin for begin in map(begin_of, observers) if begin is not None]
        self.begin: Begin | None = self._begun if self._begins else None
        self.failures = 0

    def observe(self, fact: Fact) -> None:
        """Pass `fact` to every observer in order."""
        for observer in self._observers:
            self._try(observer.observe, fact)

    def _begun(self, op: str) -> Ended:
        ends = [end for begin in self._begins if (end := self._try(begin, op)) is not None]

        def ended(done: RequestDone) -> None:
            for end in reversed(ends):
                self._try(end, done)

        return ended

    def _try(self, hear: Callable[[G], R], told: G) -> R | None:
        try:
            return hear(told)
        except Exception:  # noqa: BLE001 - foreign code: a broken listener must not undo an acknowledged write
            self.failures += 1
            return None


def outcome_of(error: type[BaseException] | None) -> str:
    """Return "ok" for None, else the name of the nearest known class among `error` and its bases, or "other"."""
    if error is None:
        return OK
    names = (kind.__name__ for kind in error.__mro__)
    return next((name for name in names if name in ERRORS), OTHER)


@dataclass(slots=True)
class _Timed(AbstractContextManager[None]):
    observer: Observer
    op: str
    stopwatch: Callable[[], float]
    started: float = field(default=0.0, init=False)
    ended: Ended | None = field(default=None, init=False)

    def __enter__(self) -> None:
        begin = begin_of(self.observer)
        self.ended = None if begin is None else begin(self.op)
        self.started = self.stopwatch()

    def __exit__(
        self,
        error: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        done = RequestDone(self.op, outcome_of(error), self.stopwatch() - self.started)
        if self.ended is not None:
            self.ended(done)
        self.observer.observe(done)


def timed(
    observer: Observer, op: str, stopwatch: Callable[[], float] = clock.stopwatch
) -> AbstractContextManager[None]:
    """Return a context that reports its body as one `RequestDone`; what the body raises passes through.

    The outcome is "ok" or the name of an error class of a closed set (`outcome_of`). `stopwatch` returns
    seconds that never go back.
    """
    return _Timed(observer, op, stopwatch)


class Laps:
    """The seconds of each phase of something that takes several."""

    def __init__(self) -> None:
        self._begun = self._last = clock.stopwatch()
        self._seconds: dict[str, float] = {}

    def end(self, phase: str) -> None:
        """End a phase: the next begins."""
        now = clock.stopwatch()
        self._seconds[phase], self._last = now - self._last, now

    def all(self) -> dict[str, float]:
        """Return them with "all", what they and the rest came to."""
        return {**self._seconds, "all": clock.stopwatch() - self._begun}
