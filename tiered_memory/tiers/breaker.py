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
    """One probe is under way; every other call is refused."""


class Breaker:
    """Opens after `failures_to_open` (>= 1) failures in a row, for `cooldown_seconds` (> 0), then lets one call probe.

    Not safe across threads: it belongs to one event loop.
    """

    def __init__(self, *, failures_to_open: int, cooldown_seconds: float) -> None:
        self._failures_to_open = failures_to_open
        self._cooldown_seconds = cooldown_seconds
        self._failures = 0
        self._opened_at = 0.0
        self._state = BreakerState.CLOSED

    @property
    def state(self) -> BreakerState:
        """The state; it stays OPEN after the cool-down until a call comes to probe."""
        return self._state

    def admit(self, now: float) -> bool:
        """Say whether a call may be tried at `now` (monotonic seconds); its outcome must then be reported."""
        if self._state is BreakerState.OPEN and now - self._opened_at >= self._cooldown_seconds:
            self._state = BreakerState.HALF_OPEN
            return True
        return self._state is BreakerState.CLOSED

    def succeeded(self) -> None:
        """Report that the engine answered."""
        self._failures = 0
        self._state = BreakerState.CLOSED

    def failed(self, now: float) -> None:
        """Report at `now` (monotonic seconds) that the engine did not answer."""
        self._failures += 1
        if self._failures >= self._failures_to_open:
            self._state = BreakerState.OPEN
            self._opened_at = now
