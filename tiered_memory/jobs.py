"""Runs background jobs: each at its own pace, never twice at once, within a bound, and visibly.

When a job is due is `schedule.py`'s to say. What an engine refuses is reported and tried again later; an error nobody
foresaw ends the background work, which is loud, and `close` raises it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import anyio

from tiered_memory.clock import Clock, Entropy, stopwatch
from tiered_memory.errors import ClosedError, NotFoundError, TieredMemoryError
from tiered_memory.job_model import JobOutcome, JobStatus
from tiered_memory.metrics import JobPaused, JobRun, Observer
from tiered_memory.schedule import CHANCE_BYTES, Cadence, at_moment, chance_of, due_after, look_after

logger = logging.getLogger("tiered_memory")

TIMEOUT_SECONDS = 900.0
UNKNOWN_JOB = "there is no such job; `list` names them (backup is one when `backup_dir` is set)"
REPORTED = {JobOutcome.ERROR: "failed", JobOutcome.TIMEOUT: "failed"}
"""What metrics call an outcome, where it is not its own word: why a run failed is in its standing, and in the log."""
Work = Callable[[], Awaitable[object]]
Loop = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be done, and how often at most. `work` must bear to be cancelled at any place, and begun again.

    `first_wait` does what cannot wait, and says after how many seconds the first run is due; without it the cadence does. `when_paused` is
    called at each turn that is skipped. With `follow`, a loop that runs until cancelled, the job follows events: it
    has no turns of its own, and `work` is only what `run` does. `hold` hears of pauses.
    """

    name: str
    about: str
    work: Work
    cadence: Cadence
    timeout_seconds: float = TIMEOUT_SECONDS
    first_wait: Callable[[], Awaitable[float]] | None = None
    when_paused: Work | None = None
    follow: Loop | None = None
    hold: Callable[[bool], None] | None = None


@dataclass(slots=True)
class _Standing:
    """One job and how it stands. `due` is a moment of the monotonic clock."""

    job: Job
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    scope: anyio.CancelScope | None = None
    due: float | None = None
    paused_since: datetime | None = None
    last_run: datetime | None = None
    outcome: JobOutcome | None = None
    error: str | None = None
    seconds: float | None = None
    runs: int = 0
    failures: int = 0


class JobRunner:
    """Keeps the jobs of one runtime."""

    def __init__(self, clock: Clock, entropy: Entropy, observer: Observer, jobs: Iterable[Job] = ()) -> None:
        self._clock = clock
        self._entropy = entropy
        self._observer = observer
        self._standings = {job.name: _Standing(job) for job in jobs}
        self._closed = False

    def add(self, job: Job) -> None:
        """Take up one more job, before the background work begins; one of the same name gives way to it."""
        self._standings[job.name] = _Standing(job)

    @property
    def names(self) -> list[str]:
        """The jobs' names, in the order they were given in."""
        return list(self._standings)

    def paused(self, name: str) -> bool:
        """Tell whether a job is paused; False for one that is not here."""
        standing = self._standings.get(name)
        return standing is not None and standing.paused_since is not None

    def status(self, name: str) -> JobStatus:
        """Return how a job stands; raises NotFoundError."""
        one, now = self._get(name), self._clock.now()
        return JobStatus(
            name=name,
            about=one.job.about,
            interval_seconds=None if one.job.follow else one.job.cadence.interval_seconds,
            jitter_share=one.job.cadence.jitter_share,
            timeout_seconds=one.job.timeout_seconds,
            running=one.turn.locked(),
            paused_since=one.paused_since,
            last_run=one.last_run,
            last_outcome=one.outcome,
            last_error=one.error,
            last_seconds=one.seconds,
            next_due=at_moment(one.due, self._clock.monotonic(), now),
            runs=one.runs,
            failures_in_a_row=one.failures,
        )

    def pause(self, name: str) -> bool:
        """Let a job run by itself no more; one that is running ends its run. Return whether that is new."""
        standing = self._get(name)
        if standing.paused_since is not None:
            return False
        standing.paused_since = self._clock.now()
        self._tell_pause(standing, paused=True)
        return True

    def resume(self, name: str) -> bool:
        """Let a job run by itself again; its turn comes within a minute. Return whether that is new."""
        standing = self._get(name)
        if standing.paused_since is None:
            return False
        standing.paused_since = None
        self._tell_pause(standing, paused=False)
        return True

    async def run(self, name: str) -> None:
        """Run a job now, paused or not, after a run that is under way; return when it has ended, however.

        Raises:
            NotFoundError: there is no such job.
            ClosedError: the runtime was closed meanwhile.
        """
        await self._run(self._get(name))

    async def run_all(self) -> None:
        """Run every job at its turns until cancelled."""
        async with anyio.create_task_group() as tasks:
            for standing in list(self._standings.values()):
                tasks.start_soon(standing.job.follow or self._turns_of(standing))

    def note(self, name: str, seconds: float, error: TieredMemoryError | None) -> None:
        """Take note of a run that a job following events made by itself."""
        self._settle(self._get(name), JobOutcome.ERROR if error else JobOutcome.OK, seconds, error)

    async def close(self) -> None:
        """Cut short what is running; return when nothing is."""
        self._closed = True
        for standing in self._standings.values():
            if standing.scope is not None:
                standing.scope.cancel()
            async with standing.turn:
                standing.due = None

    def _get(self, name: str) -> _Standing:
        if name not in self._standings:
            raise NotFoundError(UNKNOWN_JOB)
        return self._standings[name]

    def _tell_pause(self, standing: _Standing, *, paused: bool) -> None:
        self._observer.observe(JobPaused(standing.job.name, paused))
        if standing.job.hold is not None:
            standing.job.hold(paused)

    def _turns_of(self, standing: _Standing) -> Loop:
        async def turns() -> None:
            try:
                await self._take_turns(standing)
            finally:
                standing.due = None

        return turns

    async def _take_turns(self, standing: _Standing) -> None:
        job = standing.job
        if job.first_wait is None:
            standing.due = self._next(standing)
        else:
            standing.due = self._clock.monotonic() + await job.first_wait()
        while True:
            await self._until_due(standing)
            if standing.paused_since is None:
                await self._run(standing)
            else:
                await self._skip(standing)

    async def _until_due(self, standing: _Standing) -> None:
        """A run that somebody asked for meanwhile moves the next turn."""
        while standing.due is not None and (left := standing.due - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)

    async def _skip(self, standing: _Standing) -> None:
        """What is put off must not be out of sight: the outcome of the last run stays, the turn is reported."""
        job = standing.job
        standing.due = look_after(job.cadence, self._clock.monotonic())
        self._observer.observe(JobRun(job.name, str(JobOutcome.SKIPPED), 0.0))
        if job.when_paused is not None:
            try:
                await job.when_paused()
            except TieredMemoryError as error:
                logger.warning("job %s is paused: %s", job.name, error)

    async def _run(self, standing: _Standing) -> None:
        async with standing.turn:
            if self._closed:
                raise ClosedError
            standing.last_run, begun = self._clock.now(), stopwatch()
            outcome, failure = JobOutcome.OK, None
            try:
                async with self._bounded(standing) as scope:
                    await standing.job.work()
                if scope.cancelled_caught:
                    outcome = JobOutcome.TIMEOUT
            except TieredMemoryError as error:
                outcome, failure = JobOutcome.ERROR, error
            except Exception as error:
                self._settle(standing, JobOutcome.ERROR, stopwatch() - begun, error)
                raise
            if self._closed:
                raise ClosedError
            self._settle(standing, outcome, stopwatch() - begun, failure)
            self._say(standing, failure)

    @asynccontextmanager
    async def _bounded(self, standing: _Standing) -> AsyncIterator[anyio.CancelScope]:
        """The bound is of the runtime's clock, as every other wait."""
        scope = standing.scope = anyio.CancelScope()

        async def expire() -> None:
            await self._clock.sleep(standing.job.timeout_seconds)
            scope.cancel()

        watch = asyncio.create_task(expire())
        try:
            with scope:
                yield scope
        finally:
            standing.scope = None
            watch.cancel()

    def _settle(
        self, standing: _Standing, outcome: JobOutcome, seconds: float, error: Exception | None
    ) -> None:
        standing.outcome, standing.seconds = outcome, seconds
        standing.error = None if error is None else type(error).__name__
        standing.runs += 1
        standing.failures = 0 if outcome == JobOutcome.OK else standing.failures + 1
        if standing.job.follow is not None:
            standing.last_run = self._clock.now()
        elif standing.due is not None:
            standing.due = self._next(standing)
        self._observer.observe(JobRun(standing.job.name, REPORTED.get(outcome, str(outcome)), seconds))

    def _next(self, standing: _Standing) -> float:
        chance = chance_of(self._entropy.token(CHANCE_BYTES))
        return due_after(standing.job.cadence, self._clock.monotonic(), standing.failures, chance)

    def _say(self, standing: _Standing, error: TieredMemoryError | None) -> None:
        if error is not None:
            logger.warning("job %s failed and is tried again: %s", standing.job.name, error)
        elif standing.outcome == JobOutcome.TIMEOUT:
            bound = standing.job.timeout_seconds
            logger.warning("job %s was cut short after %.0f s and is tried again", standing.job.name, bound)
