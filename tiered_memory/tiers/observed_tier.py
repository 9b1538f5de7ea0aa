"""The hot tier with somebody looking on: what its callers meet is reported as it changes, never once per call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Protocol, TypeVar

from tiered_memory.errors import HotTierError
from tiered_memory.metrics import BreakerChanged, Observer, TierHeld, TierUp
from tiered_memory.tiers.base import Measured, SnapshotStore, SubjectRef, Tier, TierRecord

T = TypeVar("T")


class Observable(Tier, SnapshotStore, Protocol):
    """A hot tier, with or without a breaker."""


class _Need(IntEnum):
    """What a call needs of the engine; one that has little room or is read-only serves the lower ones alone."""

    READ = 0
    SHRINK = 1
    GROW = 2


class ObservedHot:
    """Passes every call to `tier` and tells `observer` when it goes down or comes up, and what its breaker does.

    The tier is down from its first failure until a call that needs at least as much of it succeeds: a server that
    is out of memory and answers reads does not look up and down by turns. Errors pass through unchanged.
    `breaker` returns the state of the breaker before the engine; None when there is none. `address` is what another
    runtime gives as `redis_url` to use the same server.
    """

    def __init__(
        self,
        tier: Observable,
        observer: Observer,
        breaker: Callable[[], str] | None = None,
        *,
        address: str = "local",
    ) -> None:
        self.address = address
        self._tier = tier
        self._observer = observer
        self._breaker = breaker
        self._failing: _Need | None = None
        self._breaker_state: str | None = None
        self._observer.observe(TierUp(tier.name, up=True))
        self._look_at_breaker()

    @property
    def name(self) -> str:
        """Short name for metrics and receipts."""
        return self._tier.name

    @property
    def up(self) -> bool:
        """Whether the last calls were answered."""
        return self._failing is None

    async def put(self, subject: SubjectRef, records: Sequence[TierRecord]) -> None:
        """See `Tier`."""
        await self._watched(_Need.GROW, self._tier.put(subject, records), asked=bool(records))

    async def scan(self, subject: SubjectRef, *, limit: int | None = None) -> list[TierRecord]:
        """See `Tier`."""
        return await self._watched(_Need.READ, self._tier.scan(subject, limit=limit), asked=limit != 0)

    async def remove(self, subject: SubjectRef, ids: Sequence[str]) -> int:
        """See `Tier`."""
        return await self._watched(_Need.SHRINK, self._tier.remove(subject, ids), asked=bool(ids))

    async def drop(self, subject: SubjectRef) -> int:
        """See `Tier`."""
        return await self._watched(_Need.SHRINK, self._tier.drop(subject))

    async def save_snapshot(self, subject: SubjectRef, session: str, blob: bytes, ttl_seconds: float) -> None:
        """See `SnapshotStore`."""
        await self._watched(_Need.GROW, self._tier.save_snapshot(subject, session, blob, ttl_seconds))

    async def load_snapshot(self, subject: SubjectRef, session: str) -> bytes | None:
        """See `SnapshotStore`."""
        return await self._watched(_Need.READ, self._tier.load_snapshot(subject, session))

    async def measure(self) -> TierHeld:
        """See `Measured`. A server may refuse to tell: that says nothing of whether it is up."""
        return await self._tier.measure() if isinstance(self._tier, Measured) else TierHeld(None, None)

    async def close(self) -> None:
        """Close the tier."""
        await self._tier.close()

    async def _watched(self, need: _Need, call: Awaitable[T], *, asked: bool = True) -> T:
        """A call with nothing to do never reached the engine and says nothing of it."""
        if not asked:
            return await call
        with self._watching(need):
            return await call

    @contextmanager
    def _watching(self, need: _Need) -> Iterator[None]:
        try:
            yield
        except HotTierError:
            self._failed(need)
            raise
        else:
            self._succeeded(need)
        finally:
            self._look_at_breaker()

    def _failed(self, need: _Need) -> None:
        if self._failing is None:
            self._observer.observe(TierUp(self.name, up=False))
        self._failing = need if self._failing is None else max(need, self._failing)

    def _succeeded(self, need: _Need) -> None:
        if self._failing is not None and need >= self._failing:
            self._failing = None
            self._observer.observe(TierUp(self.name, up=True))

    def _look_at_breaker(self) -> None:
        state = None if self._breaker is None else str(self._breaker())
        if state is not None and state != self._breaker_state:
            self._breaker_state = state
            self._observer.observe(BreakerChanged(self.name, state))
