"""What several runtimes of one store report, as one answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TypeVar

from tiered_memory.analytics.duckdb_views import Forecast as DueForecast
from tiered_memory.analytics.duckdb_views import Stats
from tiered_memory.forecast_model import Forecast, ForecastBucket, ForecastShift, ForgettingForecast
from tiered_memory.forget_model import ForgetReport
from tiered_memory.hold_model import PurgeRun
from tiered_memory.purge_log import NEWEST

PLANNED_MOST = 1000
K = TypeVar("K")


def merged_reports(reports: Sequence[ForgetReport]) -> ForgetReport:
    """Return one report of forgetting runs over several runtimes; there is at least one."""
    if len(reports) == 1:
        return reports[0]
    planned = [one for report in reports for one in report.planned]
    return ForgetReport(
        dry_run=reports[0].dry_run,
        evaluated=sum(one.evaluated for one in reports),
        forgotten=tuple(one for report in reports for one in report.forgotten),
        removed=tuple(one for report in reports for one in report.removed),
        kept=sum(one.kept for one in reports),
        reasons=_summed([one.reasons for one in reports]),
        stopped=any(one.stopped for one in reports),
        planned=tuple(planned[:PLANNED_MOST]),
        planned_left_out=sum(one.planned_left_out for one in reports) + max(0, len(planned) - PLANNED_MOST),
        vetoed=sum(one.vetoed for one in reports),
        unheard=any(one.unheard for one in reports),
    )


def merged_stats(found: Sequence[Stats]) -> Stats:
    """Return the statistics of several runtimes as one; there is at least one."""
    if len(found) == 1:
        return found[0]
    taken = [one.taken_at_us for one in found if one.taken_at_us is not None]
    histograms = zip(*(one.importance_histogram for one in found), strict=True)
    return Stats(
        taken_at_us=max(taken, default=None),
        memories=sum(one.memories for one in found),
        subjects=sum(one.subjects for one in found),
        bytes=sum(one.bytes for one in found),
        by_state=_summed([one.by_state for one in found]),
        by_kind=_summed([one.by_kind for one in found]),
        by_sensitivity=_summed([one.by_sensitivity for one in found]),
        routing=_summed_within([one.routing for one in found]),
        importance_histogram=tuple(sum(counts) for counts in histograms),
        forecast=DueForecast(
            overdue=sum(one.forecast.overdue for one in found),
            within_days=_summed([one.forecast.within_days for one in found]),
            later=sum(one.forecast.later for one in found),
            protected=sum(one.forecast.protected for one in found),
        ),
    )


def merged_forecasts(found: Sequence[ForgettingForecast]) -> ForgettingForecast:
    """Return the forecasts of several runtimes as one; they are for the same days and policies."""
    first = found[0]
    if len(found) == 1:
        return first
    candidates = [one.candidate for one in found if one.candidate is not None]
    shifts = [one.shift for one in found if one.shift is not None]
    return replace(
        first,
        memories=sum(one.memories for one in found),
        present=_merged([one.present for one in found]),
        candidate=_merged(candidates) if candidates else None,
        shift=_shifted(shifts) if shifts else None,
    )


def merged_runs(found: Sequence[Sequence[PurgeRun]]) -> list[PurgeRun]:
    """Return the newest purge runs of several runtimes, oldest first."""
    return sorted((run for runs in found for run in runs), key=lambda run: run.at)[-NEWEST:]


def _merged(found: Sequence[Forecast]) -> Forecast:
    buckets = zip(*(one.buckets for one in found), strict=True)
    return replace(
        found[0],
        buckets=tuple(_bucket(same) for same in buckets),
        at_once=sum(one.at_once for one in found),
        later=sum(one.later for one in found),
        never=sum(one.never for one in found),
    )


def _bucket(same: Sequence[ForecastBucket]) -> ForecastBucket:
    return ForecastBucket(
        same[0].start, _summed([one.forgotten for one in same]), _summed([one.purged for one in same])
    )


def _shifted(shifts: Sequence[ForecastShift]) -> ForecastShift:
    return ForecastShift(
        **{one.name: sum(getattr(shift, one.name) for shift in shifts) for one in fields(ForecastShift)}
    )


def _summed(counts: Sequence[Mapping[K, int]]) -> dict[K, int]:
    total = Counter[K]()
    for one in counts:
        total.update(one)
    return dict(total)


def _summed_within(found: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    outer = dict.fromkeys(name for one in found for name in one)
    return {name: _summed([one.get(name, {}) for one in found]) for name in outer}
