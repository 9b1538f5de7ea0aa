"""The background jobs of one runtime: what each does, and how often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from tiered_memory.backup_rota import BackupRota
from tiered_memory.clock import to_us
from tiered_memory.config import Settings
from tiered_memory.jobs import Job, JobRunner
from tiered_memory.schedule import Cadence, cadence
from tiered_memory.tiers.base import Compacting

if TYPE_CHECKING:
    from tiered_memory.runtime import Parts

FORGET, PURGE = "forget", "purge"
COMPACTED_A_RUN = 20
"""Tables that one run compacts at most; each takes 70 to 400 ms, and its user waits for it."""
KEY_EPOCH_SECONDS = 3_600.0
START_SECONDS = 60.0
"""A process that is over sooner, as a command is, begins neither a backup nor a rotation by itself."""
MICROSECONDS_A_DAY = 86_400_000_000
USES_CAP_SECONDS = 30.0
GAUGES_CAP_SECONDS = 60.0


def jobs_of(parts: Parts, settings: Settings) -> JobRunner:
    """Return the jobs of a runtime, none of them begun. Further ones may be added to it (`JobRunner.add`)."""
    core = parts.core
    runner = JobRunner(core.clock, core.entropy, core.observer)
    for job in (
        *_writing(parts, settings, runner),
        *_forgetting(parts, settings, runner),
        *_keeping(parts, settings),
    ):
        bound = settings.job_timeout_seconds if job.name != "backup" else job.timeout_seconds
        runner.add(replace(job, timeout_seconds=bound))
    return runner


def _writing(parts: Parts, settings: Settings, runner: JobRunner) -> Iterator[Job]:
    flusher = parts.flusher
    flusher.told = lambda seconds, error: runner.note("flush", seconds, error)
    yield Job(
        name="flush",
        about="carries what the journal holds to cold; paused, the journal fills up and writes are refused",
        work=flusher.drain,
        cadence=_every(settings.flush_age_seconds, settings),
        follow=flusher.run,
        hold=flusher.hold,
    )

    async def write_uses() -> None:
        await parts.sweeper.write_uses()
        await parts.accesses.tend()
        await parts.api_keys.flush()
        parts.directory.trim()

    yield Job(
        name="uses",
        about="writes the strengths that uses changed, and the reads that were counted",
        work=write_uses,
        cadence=replace(_every(settings.uses_flush_seconds, settings), cap_seconds=USES_CAP_SECONDS),
    )


def _forgetting(parts: Parts, settings: Settings, runner: JobRunner) -> Iterator[Job]:
    sweeper, pace = parts.sweeper, _every(settings.forget_interval_seconds, settings)

    async def forget() -> None:
        await sweeper.cycle(removing=not runner.paused(PURGE))

    async def purge() -> None:
        await sweeper.remove_pending()
        await parts.overwriting.resume()

    yield Job(
        name=FORGET,
        about="ends consents that expired, and forgets what is due",
        work=forget,
        cadence=pace,
        when_paused=sweeper.report_overdue,
    )
    yield Job(
        name=PURGE,
        about="removes the bytes of what has to go for good, and those that corrections overwrote",
        work=purge,
        cadence=pace,
        when_paused=sweeper.report_overdue,
    )

    async def end_sessions() -> None:
        """A session that has left warm is nowhere until it is in hot, which has deadlines of its own."""
        with anyio.CancelScope(shield=True):
            await parts.sessions.end_idle()

    yield Job(
        name="sessions",
        about="ends sessions that nobody has touched for the policy's idle time",
        work=end_sessions,
        cadence=pace,
    )


def _keeping(parts: Parts, settings: Settings) -> Iterator[Job]:
    cold = parts.core.cold

    async def finish_rotations() -> float:
        await parts.key_epochs.finish_begun()
        return START_SECONDS

    if isinstance(cold, Compacting):
        yield Job(
            name="compact",
            about="rewrites cold tables that many small writes have left in pieces",
            work=lambda: cold.compact_worn(COMPACTED_A_RUN),
            cadence=_every(settings.compact_interval_seconds, settings),
        )
    yield Job(
        name="key_epoch",
        about="finishes rotations that were cut short, and ends key epochs older than `key_epoch_days`",
        work=_turning(parts, settings.key_epoch_days),
        cadence=_every(KEY_EPOCH_SECONDS, settings),
        first_wait=finish_rotations,
    )
    yield Job(
        name="checkpoint",
        about="signs how far the audit ledger has come",
        work=parts.core.notary.tend,
        cadence=_every(settings.forget_interval_seconds, settings),
    )
    yield Job(
        name="gauges",
        about="looks at how the store stands, for the metrics",
        work=parts.gauges.look,
        cadence=replace(_every(settings.gauges_interval_seconds, settings), cap_seconds=GAUGES_CAP_SECONDS),
        first_wait=_at_once,
    )
    yield from _backing_up(parts, settings)


def _backing_up(parts: Parts, settings: Settings) -> Iterator[Job]:
    """A backup may take as long as there is until the next."""
    if settings.backup_dir is None:
        return
    seconds = timedelta(hours=settings.backup_interval_hours).total_seconds()
    rota = BackupRota(
        parts.backup, parts.core.clock, settings.backup_dir, every_seconds=seconds, keep=settings.backup_keep
    )

    async def first_archive() -> float:
        return max(START_SECONDS, await rota.wait())

    yield Job(
        name="backup",
        about="writes an archive into `backup_dir`, and keeps the newest `backup_keep`",
        work=rota.take,
        cadence=_every(seconds, settings),
        timeout_seconds=seconds,
        first_wait=first_archive,
    )


def _turning(parts: Parts, days: float | None) -> Callable[[], Awaitable[None]]:
    async def turn() -> None:
        await parts.key_epochs.finish_begun()
        if days is not None:
            before_us = to_us(parts.core.clock.now()) - round(days * MICROSECONDS_A_DAY)
            await parts.key_epochs.rotate_aged(before_us)

    return turn


async def _at_once() -> float:
    return 0.0


def _every(seconds: float, settings: Settings) -> Cadence:
    return cadence(seconds, jitter_share=settings.job_jitter_share)
