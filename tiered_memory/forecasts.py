"""Forecasts of forgetting, taken from the state store: of one user or of all, under the present policy or another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import timedelta

from tiered_memory.bulk import in_bulk
from tiered_memory.clock import from_us
from tiered_memory.core import Core
from tiered_memory.forecast_model import Forecast, ForecastBucket, ForecastShift, ForgettingForecast
from tiered_memory.forgetting.decay import DAY_US
from tiered_memory.forgetting.forecast import Forecasting, Outlook, Shift
from tiered_memory.held import state_of
from tiered_memory.leaving import due_of
from tiered_memory.policy.rules import Policy
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryRow, MemoryState
from tiered_memory.state.forgetting import MemoriesAfter

PAGE = 5000


class Forecaster:
    """Looks ahead. Uses should have been written before: what it reads is the state store."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def forecast(
        self, days: int, candidate: Policy | None = None, pseudonym: bytes | None = None
    ) -> ForgettingForecast:
        """Return when memories leave within `days` if nobody uses them; of all users, or of one."""
        present = self._core.policy
        policies = [present] if candidate is None else [present, candidate]
        made = Forecasting(self._core.now_us(), days, policies)
        async for rows in self._pages(pseudonym):
            await self._core.learn_tenants({row.subject for row in rows})
            await in_bulk(len(rows), self._take, made, rows)
        views = [_forecast(one, policy.version) for one, policy in zip(made.outlooks, policies, strict=True)]
        return ForgettingForecast(
            taken_at=from_us(made.outlooks[0].now_us),
            days=days,
            memories=made.memories,
            present=views[0],
            candidate=views[1] if candidate is not None else None,
            shift=None if made.shift is None else _shift(made.shift),
        )

    def _take(self, made: Forecasting, rows: Iterable[MemoryRow]) -> None:
        kept = [row for row in rows if row.state != MemoryState.REMOVING]
        made.add(
            due_of(row, state_of(row), self._core.policy, self._core.terms.of(row.subject)) for row in kept
        )

    async def _pages(self, pseudonym: bytes | None) -> AsyncIterator[list[MemoryRow]]:
        if pseudonym is not None:
            yield await self._core.state.read(c.Memories(pseudonym))
            return
        after = (b"", "")
        while rows := await self._core.state.read(MemoriesAfter(*after, PAGE)):
            yield rows
            after = (rows[-1].subject, rows[-1].memory_id)


def _forecast(outlook: Outlook, policy: str) -> Forecast:
    start, span = from_us(outlook.now_us), timedelta(days=outlook.bucket_us // DAY_US)
    buckets = tuple(
        ForecastBucket(start + number * span, dict(bucket.forgotten), dict(bucket.purged))
        for number, bucket in enumerate(outlook.buckets)
    )
    return Forecast(
        policy=policy,
        bucket_days=span.days,
        buckets=buckets,
        at_once=outlook.at_once,
        later=outlook.later,
        never=outlook.never,
    )


def _shift(shift: Shift) -> ForecastShift:
    return ForecastShift(
        earlier=shift.earlier,
        later=shift.later,
        same=shift.same,
        kept=shift.kept,
        lost=shift.lost,
        at_once=shift.at_once,
    )
