"""A circuit breaker that judges: callers tell it the time and what happened, it says whether to try."""

from __future__ import annotations

from enum import StrEnum


class BreakerState(StrEnum):
    """Where the breaker stands."""

    CLOSED = "closed"
    """Calls pass."""
    OPEN = "open"
    """Calls are refused until the cool-down has passed."""
    HALF_OPEN = "half_open"
    """A probe is under way; calls are refused until it has told."""


class Breaker:
    """Opens for `cooldown_seconds` (> 0) after failures in a row: `failures_to_open` (>= 1), or fewer long ones.

    Failures that together took `patience_seconds` (> 0) are enough: callers waited for them. After the cool-down one
    probe may be made. Not safe across threads: it belongs to one event loop.
    """

    def __init__(self, *, failures_to_open: int, cooldown_seconds: float, patience_seconds: float) -> None:
        self._failures_to_open = failures_to_open
        self._patience_seconds = patience_seconds
        self._waited_seconds = 0.0
        self._cooldown_seconds = cooldown_seconds
        self._failures = 0
        self._opened_at = 0.0
        self._state = BreakerState.CLOSED

    @property
    def state(self) -> BreakerState:
        """The state; it stays OPEN after the cool-down until somebody comes to probe."""
        return self._state

    @property
    def closed(self) -> bool:
        """Whether calls may be tried; their outcomes must then be reported."""
        return self._state is BreakerState.CLOSED

    def take_probe(self, now: float) -> bool:
        """Say whether a probe is due at `now` (monotonic seconds); who is told so makes it and reports its outcome."""
        due = self._state is BreakerState.OPEN and now - self._opened_at >= self._cooldown_seconds
        if due:
            self._state = BreakerState.HALF_OPEN
        return due

    def succeeded(self) -> None:
        """Report that the engine answered in time."""
        self._failures, self._waited_seconds = 0, 0.0
        self._state = BreakerState.CLOSED

    def failed(self, now: float, seconds: float = 0.0) -> None:
        """Report at `now` (monotonic seconds) that the engine did not answer, or late, and that it took `seconds`."""
        self._failures += 1
        self._waited_seconds += seconds
        if self._failures >= self._failures_to_open or self._waited_seconds >= self._patience_seconds:
            self._state = BreakerState.OPEN
            self._opened_at = now
