"""Timing of awaited calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from benchmarks.metrics import percentile
from benchmarks.suite import Progress, Results
from tiered_memory.clock import stopwatch

T = TypeVar("T")


async def timed(call: Callable[[T], Awaitable[object]], over: Iterable[T], progress: Progress) -> list[float]:
    """Call with one item after the other; return how many milliseconds each call took."""
    taken = []
    for item in over:
        begun = stopwatch()
        await call(item)
        taken.append(since_ms(begun))
        progress.step()
    return taken


def since_ms(begun: float) -> float:
    """Return the milliseconds since `begun` of the stopwatch."""
    return (stopwatch() - begun) * 1e3


def median(taken_ms: Sequence[float]) -> float:
    """Return the median of durations (not empty)."""
    return percentile(taken_ms, 50)


def spread(taken_ms: Sequence[float]) -> Results:
    """Return the median and the 99th percentile of durations (not empty)."""
    return {"p50_ms": median(taken_ms), "p99_ms": percentile(taken_ms, 99)}
