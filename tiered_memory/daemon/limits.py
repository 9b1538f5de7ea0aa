"""Token buckets: how often somebody may call. Pure: `now` is an argument, in seconds that never go back.

A bucket holds at most `capacity` tokens and gains `per_second`; a call takes one or more. Within any `t` seconds no
more than `capacity + per_second * t` are taken (RFC 2697 calls it the committed burst and information rate).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from tiered_memory.errors import ConfigurationError

MOST_HOLDERS = 10_000
TOLERANCE = 1e-9
"""What rounding may take from a token, so that whoever waits as long as told is served."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The call may go on; `left` tokens (>= 0) remain."""

    left: float


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """The call has to wait `seconds` (> 0); nothing was taken."""

    seconds: float


class Bucket:
    """One token bucket; it begins full."""

    __slots__ = ("_at", "_capacity", "_per_second", "_tokens")

    def __init__(self, capacity: float, per_second: float) -> None:
        _check(capacity, per_second)
        self._capacity, self._per_second = capacity, per_second
        self._tokens = float(capacity)
        self._at: float | None = None

    def take(self, now: float, n: float = 1) -> Allowed | RetryAfter:
        """Take `n` (> 0) tokens if they are there; what costs more than a full bucket takes a full one."""
        self._fill(now)
        cost = min(n, self._capacity)
        if self._tokens < cost - TOLERANCE:
            return RetryAfter((cost - self._tokens) / self._per_second)
        self._tokens = max(0.0, self._tokens - cost)
        return Allowed(self._tokens)

    def wait(self, now: float, n: float = 1) -> float:
        """Return in how many seconds (>= 0) `n` (> 0) tokens are there; nothing is taken."""
        self._fill(now)
        return max(0.0, (min(n, self._capacity) - TOLERANCE - self._tokens) / self._per_second)

    def _fill(self, now: float) -> None:
        """A moment before the last one adds nothing, and takes nothing away."""
        if self._at is None or now > self._at:
            gained = 0.0 if self._at is None else (now - self._at) * self._per_second
            self._tokens = min(self._capacity, self._tokens + gained)
            self._at = now


class Buckets:
    """A bucket for each of at most `most` holders (a principal's name, an address).

    Beyond that the bucket goes that was asked longest ago. One not asked for `capacity / per_second` seconds is full
    again, so that nothing is lost with it; keep `most` above the number of holders who call within that time.
    """

    def __init__(self, capacity: float, per_second: float, *, most: int = MOST_HOLDERS) -> None:
        _check(capacity, per_second)
        if most < 1:
            raise ConfigurationError("a limit is kept for one holder at least")
        self._capacity, self._per_second, self._most = capacity, per_second, most
        self._held: OrderedDict[Hashable, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def take(self, holder: Hashable, now: float, n: float = 1) -> Allowed | RetryAfter:
        """Take `n` (> 0) tokens from the holder's bucket; see `Bucket.take`."""
        bucket = self._held.get(holder)
        if bucket is None:
            bucket = self._held[holder] = Bucket(self._capacity, self._per_second)
        self._held.move_to_end(holder)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return bucket.take(now, n)

    def wait(self, holder: Hashable, now: float, n: float = 1) -> float:
        """Return in how many seconds (>= 0) the holder may take `n` (> 0) tokens; nothing is taken."""
        bucket = self._held.get(holder)
        return 0.0 if bucket is None else bucket.wait(now, n)


def _check(capacity: float, per_second: float) -> None:
    if not (0 < capacity < float("inf") and 0 < per_second < float("inf")):
        raise ConfigurationError("a rate limit needs a capacity and a rate above 0")
