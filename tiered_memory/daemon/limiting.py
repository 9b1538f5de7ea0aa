"""How often a credential may ask: a token bucket each, in bounded room."""

from __future__ import annotations

from collections import OrderedDict

from tiered_memory.clock import Clock
from tiered_memory.daemon_config import DaemonSettings

MOST_NAMES = 10_000


class RateLimit:
    """Token buckets by name; the least recently used is let go, which is as if its holder had rested."""

    def __init__(self, settings: DaemonSettings, clock: Clock) -> None:
        self._rate = settings.requests_per_second
        self._burst = float(settings.burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, name: str) -> float:
        """Return 0 when the request may be made now, and count it; else the seconds until it may."""
        now = self._clock.monotonic()
        level, at = self._buckets.pop(name, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._rate)
        allowed = level >= 1.0
        self._buckets[name] = (level - 1.0 if allowed else level, now)
        if len(self._buckets) > MOST_NAMES:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - level) / self._rate
