"""The words of a forecast: what will leave when, by which rule, and what another policy would change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ForecastBucket:
    """What leaves from `start` on: how many are forgotten, how many removed for good, by the rule behind it."""

    start: datetime
    forgotten: Mapping[str, int]
    purged: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What leaves under one policy if nobody uses anything: in buckets of days or weeks, from now on.

    `at_once` is due already and counted in the first bucket; `later` leaves after the last, `never` has no date.
    """

    policy: str
    bucket_days: int
    buckets: tuple[ForecastBucket, ...]
    at_once: int
    later: int
    never: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastShift:
    """What a candidate policy would change: who leaves `earlier` or `later` than under the present one, or as before.

    `kept` would leave within the forecast and stays beyond it, `lost` is the reverse; `at_once` would go with the
    first cycle though it is not due under the present policy.
    """

    earlier: int
    later: int
    same: int
    kept: int
    lost: int
    at_once: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgettingForecast:
    """When memories will leave within `days`; `candidate` and `shift` when another policy was asked about."""

    taken_at: datetime
    days: int
    memories: int
    present: Forecast
    candidate: Forecast | None = None
    shift: ForecastShift | None = None
