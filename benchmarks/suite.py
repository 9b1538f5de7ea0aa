"""What a benchmark is to the suite: a request comes in, a configuration and results go out."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.table import Table

from benchmarks.charts import Chart

DOCUMENT_VERSION = 1
MISSED = 3

Results = dict[str, Any]


class Progress(Protocol):
    """Shows a person how far a run is."""

    def stage(self, title: str, total: int) -> None:
        """Begin a stage of `total` (>= 0) steps; the one before is over."""
        ...

    def step(self, count: int = 1) -> None:
        """Count steps of the present stage."""
        ...


class Silent:
    """Shows nothing."""

    def stage(self, title: str, total: int) -> None:
        """Begin a stage."""

    def step(self, count: int = 1) -> None:
        """Count steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked of a benchmark. `data` and `policy` are None where the benchmark's own are meant.

    `turns` names conversations where `data` is something else. `seconds` (> 0) is for load that runs for a time; None
    is the benchmark's own for quick and full. `scale` asks for what grows with the number of rows, where the benchmark
    has that.
    """

    data: Path | None = None
    turns: Path | None = None
    policy: str | None = None
    full: bool = False
    seed: int = 0
    seconds: float | None = None
    scale: bool = False
    progress: Progress = field(default_factory=Silent)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run came to: how it was configured, and its results; both are plain JSON values."""

    config: Mapping[str, Any]
    results: Results


def no_bars(_results: Results) -> Sequence[str]:
    """Set no bar: what is measured is for people to judge."""
    return ()


def no_charts(_results: Results) -> Sequence[Chart]:
    """Draw nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark. `tables` and `charts` show results to people, from nothing but the results.

    `missed` names the results that are worse than they may be: a run with one ends with the status `MISSED`.
    """

    name: str
    run: Callable[[Request], Coroutine[Any, Any, Measured]]
    tables: Callable[[Results], Sequence[Table]]
    charts: Callable[[Results], Sequence[Chart]] = no_charts
    missed: Callable[[Results], Sequence[str]] = no_bars


def document(name: str, measured: Measured, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run as the JSON document that tools read."""
    return {
        "benchmark": name,
        "version": DOCUMENT_VERSION,
        "config": dict(measured.config),
        "machine": dict(machine),
        "results": measured.results,
    }
