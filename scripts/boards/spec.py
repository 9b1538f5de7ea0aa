"""What a board consists of, free of any Grafana type: boards, rows, panels and the queries in them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "tiered_memory_"
WHERE = 'job=~"$job",instance=~"$instance"'
BRIEF, WHOLE = "$__rate_interval", "$__range"
"""The window that follows the zoom, and everything shown: for what happens too rarely to have a rate."""

FAILURES = (
    "BacklogFullError",
    "ColdTierError",
    "CorruptionError",
    "DiskFullError",
    "EpochEndedError",
    "ErasureIncompleteError",
    "HotTierError",
    "IssuerUnavailableError",
    "KeyUnavailableError",
    "OutcomeUnknownError",
    "StateStoreError",
    "StorageError",
    "TenantUnavailableError",
    "TieredMemoryError",
    "TimeoutError",
    "other",
)
"""Errors that the service is to blame for; the others are the caller's, or the policy's answer."""
FAILED = f'error=~"{"|".join(FAILURES)}"'
"""Of `errors_total`, whose series begin at zero: of a series that appears with its first event, a rate sees none."""
FAILED_CALL = 'outcome=~"corruption|other|overloaded|storage|unknown_outcome"'
"""The same of `requests_total`, which tells the operations apart."""
BY_JOB = "exported_job"
"""What Prometheus calls our label `job`, since `job` is what it calls whom it scrapes."""


class Kind(StrEnum):
    """How a panel draws."""

    LINES = "lines"
    STACK = "stack"
    NUMBER = "number"
    BARS = "bars"


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and what its series are called."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Step:
    """From `value` on (None: from the beginning) the panel has `color`."""

    value: float | None
    color: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel: `good` says what good looks like, `runbook` is the heading of the runbooks it leads to."""

    title: str
    good: str
    runbook: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = Kind.LINES
    steps: tuple[Step, ...] = ()
    width: int = 8
    height: int = 8
    least: float | None = 0.0
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading, laid out from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard. `uid` and `file` never change: links and bookmarks hold on to them."""

    file: str
    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]


# --- colours -------------------------------------------------------------------------------------------------


def good_below(warning: float, critical: float) -> tuple[Step, ...]:
    """Return green, orange from `warning` and red from `critical` on."""
    return (Step(None, "green"), Step(warning, "orange"), Step(critical, "red"))


def good_above(critical: float, warning: float) -> tuple[Step, ...]:
    """Return red, orange from `critical` and green from `warning` on."""
    return (Step(None, "red"), Step(critical, "orange"), Step(warning, "green"))


NEVER = (Step(None, "green"), Step(1, "red"))
"""One is one too many."""
PLAIN = (Step(None, "blue"),)


# --- queries -------------------------------------------------------------------------------------------------


def series(name: str, *matchers: str) -> str:
    """Return the selector of a metric of ours on the chosen targets."""
    return f"{PREFIX}{name}{{{','.join((WHERE, *matchers))}}}"


def total(name: str, *matchers: str, by: str = "") -> str:
    """Return the sum of a gauge."""
    return f"{_over('sum', by)}({series(name, *matchers)})"


def highest(name: str, *matchers: str, by: str = "") -> str:
    """Return the highest value of a gauge: the worst process speaks for all."""
    return f"{_over('max', by)}({series(name, *matchers)})"


def lowest(name: str, *matchers: str, by: str = "") -> str:
    """Return the lowest value of a gauge."""
    return f"{_over('min', by)}({series(name, *matchers)})"


def rate(name: str, *matchers: str, by: str = "") -> str:
    """Return events per second of a counter."""
    return f"{_over('sum', by)}(rate({series(name, *matchers)}[{BRIEF}]))"


def counted(name: str, *matchers: str, by: str = "") -> str:
    """Return the events of a counter within everything shown."""
    return f"{_over('sum', by)}(increase({series(name, *matchers)}[{WHOLE}]))"


def quantile(share: float, name: str, *matchers: str, by: str = "") -> str:
    """Return a quantile of a histogram that is written to all the time."""
    return _quantile(share, rate(f"{name}_bucket", *matchers, by=_with_le(by)))


def rare_quantile(share: float, name: str, *matchers: str, by: str = "") -> str:
    """Return a quantile of a histogram over everything shown, for what happens now and then."""
    return _quantile(share, counted(f"{name}_bucket", *matchers, by=_with_le(by)))


def share(part: str, whole: str) -> str:
    """Return a ratio of two sums: 0 where nothing of `part` was ever seen, and where nothing happens at all."""
    return f"({part} or 0 * {whole}) / clamp_min({whole}, 1e-9)"


def or_none(expr: str) -> str:
    """Return a sum that is 0 while no series of it exists yet."""
    return f"{expr} or vector(0)"


def _quantile(share: float, buckets: str) -> str:
    """Leaves out what was never measured: its quantile is no number, and a legend full of those hides the others."""
    return f"histogram_quantile({share}, {buckets}) >= 0"


def _over(aggregate: str, by: str) -> str:
    return f"{aggregate} by ({by}) " if by else aggregate


def _with_le(by: str) -> str:
    return f"le, {by}" if by else "le"
