"""The metrics over the last minutes, as the overview draws them: the quantities of the dashboards, kept in RAM. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Protocol

PREFIX = "tiered_memory_"
KEPT = 720
LEAST_SECONDS = 1.5
TIERS = ("hot", "warm", "cold")
OK = "ok"
Buckets = tuple[tuple[float, float], ...]


class Sample(Protocol):
    """One value of a metric."""

    @property
    def name(self) -> str:
        """The metric's name with its suffix."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        ...

    @property
    def value(self) -> float:
        """Its value."""
        ...


@dataclass(frozen=True, slots=True)
class Totals:
    """What the metrics said at `at`: sums by a short name, and the request durations' cumulated buckets."""

    at: datetime
    sums: Mapping[str, float]
    durations: Buckets = ()


@dataclass(frozen=True, slots=True)
class TierState:
    """How a tier stands: whether it is reachable and its breaker's state (None: not reported), reads asked and found."""

    tier: str
    up: bool | None
    breaker: str | None
    hits: float
    misses: float

    @property
    def ratio(self) -> float | None:
        """The share of reads that found something; None when none asked."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


def totals(samples: Iterable[Sample], at: datetime) -> Totals:
    """Return what is drawn, of everything that is measured."""
    sums: dict[str, float] = {}
    durations: dict[float, float] = {}
    for one in samples:
        name = one.name.removeprefix(PREFIX)
        if name == "request_duration_seconds_bucket":
            bound = float(one.labels["le"])
            durations[bound] = durations.get(bound, 0.0) + one.value
        for key in _keys(name, one.labels):
            sums[key] = sums.get(key, 0.0) + one.value
    return Totals(at, sums, tuple(sorted(durations.items())))


def _keys(name: str, labels: Mapping[str, str]) -> Iterable[str]:
    """Return under which names a sample is summed up."""
    match name:
        case "requests_total":
            yield "requests"
            if labels["outcome"] != OK:
                yield "failures"
        case "tier_lookups_total":
            yield f"{labels['result']}.{labels['tier']}"
        case "tier_up":
            yield f"up.{labels['tier']}"
        case "breaker_state":
            yield f"breaker.{labels['tier']}.{labels['state']}"
        case "memory_changes_total":
            yield f"change.{labels['change']}"
        case (
            "journal_depth_records"
            | "journal_depth_bytes"
            | "journal_oldest_unapplied_seconds"
            | "recall_index_bytes"
            | "recall_index_users"
            | "oldest_overdue_deletion_seconds"
        ):
            yield name
        case _:
            return


def tier_states(now: Totals | None) -> list[TierState]:
    """Return how the tiers stand."""
    sums = {} if now is None else now.sums
    return [_tier_state(tier, sums) for tier in TIERS]


def _tier_state(tier: str, sums: Mapping[str, float]) -> TierState:
    start = f"breaker.{tier}."
    states = [key.removeprefix(start) for key, value in sums.items() if key.startswith(start) and value]
    up = sums.get(f"up.{tier}")
    return TierState(
        tier=tier,
        up=None if up is None else up > 0,
        breaker=states[0] if states else None,
        hits=sums.get(f"hit.{tier}", 0.0),
        misses=sums.get(f"miss.{tier}", 0.0),
    )


def quantile(share: float, before: Buckets, after: Buckets) -> float | None:
    """Return the seconds within which `share` (0..1) of what came between two looks was done; None: nothing came.

    Interpolated linearly in the bucket, as Prometheus's `histogram_quantile` does; what lies beyond the last bound has
    that bound.
    """
    earlier = dict(before)
    counts = [(bound, count - earlier.get(bound, 0.0)) for bound, count in after]
    if not counts or counts[-1][1] <= 0:
        return None
    wanted, below, under = share * counts[-1][1], 0.0, 0.0
    for bound, count in counts:
        if count >= wanted:
            inside = count - under
            return below if bound == inf else below + (bound - below) * (wanted - under) / (inside or 1.0)
        below, under = bound, count
    return below


class History:
    """The last looks at the metrics, at most `KEPT` of them; one taken too soon after another is let go."""

    def __init__(self, kept: int = KEPT) -> None:
        self._rows: deque[Totals] = deque(maxlen=kept)

    def note(self, row: Totals) -> None:
        """Keep a look."""
        if self._rows and abs((row.at - self._rows[-1].at).total_seconds()) < LEAST_SECONDS:
            return
        self._rows.append(row)

    @property
    def newest(self) -> Totals | None:
        """The last look."""
        return self._rows[-1] if self._rows else None

    def drawn(self) -> dict[str, list[float | None]]:
        """Return columns over time: `at` in seconds since 1970, rates per second, gauges as they were."""
        pairs = list(zip(self._rows, list(self._rows)[1:], strict=False))
        columns: dict[str, list[float | None]] = {"at": [after.at.timestamp() for _, after in pairs]}
        for name in ("requests", "failures", *(f"hit.{tier}" for tier in TIERS)):
            columns[name] = [_rate(before, after, name) for before, after in pairs]
        for label, level in (("p50", 0.5), ("p99", 0.99)):
            found = [quantile(level, before.durations, after.durations) for before, after in pairs]
            columns[label] = [None if one is None else one * 1e3 for one in found]
        for name in ("journal_depth_records", "recall_index_bytes"):
            columns[name] = [after.sums.get(name) for _, after in pairs]
        for change in ("forgotten", "purged", "restored"):
            columns[change] = _gained([after.sums.get(f"change.{change}", 0.0) for _, after in pairs])
        return columns


def _rate(before: Totals, after: Totals, name: str) -> float | None:
    """Return how much a counter grew per second; None over a restart, when it fell."""
    seconds = (after.at - before.at).total_seconds()
    grown = after.sums.get(name, 0.0) - before.sums.get(name, 0.0)
    return grown / seconds if seconds > 0 and grown >= 0 else None


def _gained(values: Sequence[float]) -> list[float | None]:
    return [one - values[0] for one in values]
