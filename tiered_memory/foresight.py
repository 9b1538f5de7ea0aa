"""The part of the public face that looks ahead and listens: forecasts, and events of forgetting."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import anyio.to_thread

from tiered_memory.active import ActiveSubject
from tiered_memory.events import BUFFERED, EventStream
from tiered_memory.forecast_model import ForgettingForecast
from tiered_memory.intake import check_count
from tiered_memory.metrics import timed
from tiered_memory.policy.rules import Policy
from tiered_memory.runtime import Parts
from tiered_memory.wiring import load_policy

MOST_DAYS = 3650


class _Running(Protocol):
    def _parts(self) -> Parts: ...


class _Bound(Protocol):
    def _using(self, op: str) -> AbstractAsyncContextManager[tuple[Parts, ActiveSubject]]: ...


class Foresight:
    """What a whole memory tells of what is to come."""

    async def forecast(
        self: _Running, days: int = 90, *, policy: Policy | str | Path | None = None
    ) -> ForgettingForecast:
        """Return how many memories of all users will leave within `days` (1..3650), when, and by which rule.

        It holds if nobody uses anything and no cycle is stopped. With `policy` (a shipped one's name, a file, or
        a `Policy`) it says besides what would leave under that one, and what would change; nothing is changed.
        """
        check_count(days, "days", high=MOST_DAYS)
        parts, candidate = self._parts(), await _policy(policy)
        with timed(parts.core.observer, "explain"):
            await parts.sweeper.write_uses()
            return await parts.forecaster.forecast(days, candidate)

    def events(self: _Running, *, buffered: int = BUFFERED) -> EventStream:
        """Return a stream of `MemoryEvent` for `async for`: each memory forgotten, evicted, purged or restored.

        It begins now and ends when the memory closes. At most `buffered` events wait in it; a listener that is
        slower misses some, and the next event says how many.
        """
        return self._parts().announcer.events.listen(buffered)


class UserForesight:
    """What one user's memory tells of what is to come."""

    async def forecast(
        self: _Bound, days: int = 90, *, policy: Policy | str | Path | None = None
    ) -> ForgettingForecast:
        """Return how many of this user's memories will leave; see `TieredMemory.forecast`."""
        check_count(days, "days", high=MOST_DAYS)
        candidate = await _policy(policy)
        async with self._using("explain") as (parts, active):
            await parts.sweeper.write_uses_of(active)
            return await parts.forecaster.forecast(days, candidate, active.ref.pseudonym)


async def _policy(given: Policy | str | Path | None) -> Policy | None:
    if given is None or isinstance(given, Policy):
        return given
    return await anyio.to_thread.run_sync(load_policy, str(given))
