"""How background jobs stand, as callers see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class JobOutcome(StrEnum):
    """How a job's turn ended."""

    OK = "ok"
    SKIPPED = "skipped"
    """Its turn came while it was paused."""
    TIMEOUT = "timeout"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How one job stands. Moments are aware, in UTC; None: it has not happened, or is not planned.

    `interval_seconds` is None for a job that follows events. `last_error` is the name of the error's class, and
    `failures_in_a_row` counts runs since the last that ended well. A paused job is not run by itself; `run` still
    runs it. Counts begin anew with the process, and no pause outlives it.
    """

    name: str
    about: str
    interval_seconds: float | None
    jitter_share: float
    timeout_seconds: float
    running: bool = False
    paused_since: datetime | None = None
    last_run: datetime | None = None
    last_outcome: JobOutcome | None = None
    last_error: str | None = None
    last_seconds: float | None = None
    next_due: datetime | None = None
    runs: int = 0
    failures_in_a_row: int = 0

    @property
    def paused(self) -> bool:
        """Whether it is held."""
        return self.paused_since is not None


_GRAVITY = (None, JobOutcome.OK, JobOutcome.SKIPPED, JobOutcome.TIMEOUT, JobOutcome.ERROR)


def merged_statuses(found: Sequence[JobStatus]) -> JobStatus:
    """Return one job's statuses in several directories as one: the first one's, and the worst of all.

    Runs are the first directory's; failures, the last run and its seconds are the greatest of any.
    """
    worst = max(found, key=lambda one: _GRAVITY.index(one.last_outcome))
    return replace(
        found[0],
        running=any(one.running for one in found),
        paused_since=min((one.paused_since for one in found if one.paused_since), default=None),
        last_run=max((one.last_run for one in found if one.last_run), default=None),
        last_outcome=worst.last_outcome,
        last_error=worst.last_error,
        last_seconds=max((one.last_seconds for one in found if one.last_seconds is not None), default=None),
        next_due=min((one.next_due for one in found if one.next_due), default=None),
        failures_in_a_row=max(one.failures_in_a_row for one in found),
    )
