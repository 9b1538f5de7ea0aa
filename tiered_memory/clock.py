"""The only reader of time and the only source of randomness.

Everything else takes `now` as an argument or asks the `Clock` and `Entropy` it was given, so that months can
pass in a test and an interleaving can be replayed from a seed.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol, runtime_checkable

import anyio

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ENTROPY_BLOCK_BYTES = 4096


@runtime_checkable
class Clock(Protocol):
    """What the runtime may ask of time."""

    def now(self) -> datetime:
        """Return the current moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring durations and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` (>= 0) of this clock."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the current moment, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of real time."""
        await anyio.sleep(seconds)


class Entropy(Protocol):
    """What the runtime may ask of chance."""

    def token(self, size: int) -> bytes:
        """Return `size` unpredictable bytes."""
        ...


class SystemEntropy:
    """The operating system's generator: fit for keys.

    Bytes are drawn in blocks, because a write needs several nonces and a system call for each costs more than
    sealing. Each byte is handed out once; a forked child starts with an empty block.
    """

    def __init__(self) -> None:
        self._block = memoryview(b"")
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._discard)

    def token(self, size: int) -> bytes:
        """Return `size` unpredictable bytes."""
        with self._lock:
            if len(self._block) < size:
                self._block = memoryview(secrets.token_bytes(max(size, ENTROPY_BLOCK_BYTES)))
            drawn, self._block = self._block[:size], self._block[size:]
        return bytes(drawn)

    def _discard(self) -> None:
        self._lock = threading.Lock()
        self._block = memoryview(b"")


class SeededEntropy:
    """Repeatable bytes for golden files and replays. Never for keys of real people."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatability is the purpose

    def token(self, size: int) -> bytes:
        """Return the next `size` bytes of the seeded stream."""
        return self._random.randbytes(size)


def stopwatch() -> float:
    """Return seconds of the process's finest monotonic counter, for durations reported to the observer."""
    return time.perf_counter()


def to_us(moment: datetime) -> int:
    """Return whole microseconds since 1970-01-01 UTC of an aware `moment`."""
    return (moment - EPOCH) // MICROSECOND


def from_us(microseconds: int) -> datetime:
    """Return the aware UTC moment that lies `microseconds` after 1970-01-01."""
    return EPOCH + timedelta(microseconds=microseconds)
