"""The background jobs of a memory, as its operator sees them."""

from __future__ import annotations

import builtins
from collections.abc import Callable

from tiered_memory.branches import Branches
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.job_model import JobStatus, merged_statuses
from tiered_memory.jobs import JobRunner
from tiered_memory.state import commands as c

OPERATOR = "operator"


class Jobs:
    """The jobs of the main directory. What is done to them is done in the tenants' own directories as well.

    Without background work (`background=False`) no job is due by itself, and `run` is how one is run.
    """

    def __init__(self, branches: Branches) -> None:
        self._branches = branches

    async def list(self) -> builtins.list[JobStatus]:
        """Return how every job stands. Of the tenants' own directories the worst shows; see `merged_statuses`."""
        return [self._status(name) for name in self._main.names]

    async def get(self, name: str) -> JobStatus:
        """Return how one job stands; NotFoundError when there is none of that name."""
        self._main.status(name)
        return self._status(name)

    async def run(self, name: str) -> JobStatus:
        """Run a job now, paused or not, and return how it stands afterwards: `last_outcome` says how it went.

        A run that is under way is waited for. What an engine refuses is in the outcome, and the job's next turn is
        put off for it.

        Raises:
            NotFoundError: there is no such job.
            ClosedError: the memory was closed meanwhile; the run was cut short.
        """
        for runner in [self._main, *self._others(name)]:
            await runner.run(name)
        return self._status(name)

    async def pause(self, name: str | None = None) -> builtins.list[JobStatus]:
        """Let a job, or all, run by themselves no more, and return how they stand. The ledger records it.

        No pause outlives the process. What it puts off stays visible: `paused_since`, and how long the oldest
        deletion is overdue.

        Raises:
            NotFoundError: there is no such job.
            StorageError: it could not be recorded; nothing was paused.
        """
        names = self._names(name)
        fresh = [one for one in names if not self._main.paused(one)]
        await self._record(AuditEvent.JOB_PAUSED, fresh)
        return self._each(names, JobRunner.pause)

    async def resume(self, name: str | None = None) -> builtins.list[JobStatus]:
        """Let a job, or all, run by themselves again, within a minute; return how they stand. The ledger records it.

        Raises:
            NotFoundError: there is no such job.
            StorageError: it goes on, but that could not be recorded.
        """
        names = self._names(name)
        held = [one for one in names if self._main.paused(one)]
        found = self._each(names, JobRunner.resume)
        await self._record(AuditEvent.JOB_RESUMED, held)
        return found

    @property
    def _main(self) -> JobRunner:
        return self._branches.runtimes()[0].jobs

    def _others(self, name: str) -> builtins.list[JobRunner]:
        """A job that depends on settings may be missing in a tenant's own directory."""
        return [one.jobs for one in self._branches.runtimes()[1:] if name in one.jobs.names]

    def _names(self, name: str | None) -> builtins.list[str]:
        if name is None:
            return self._main.names
        return [self._main.status(name).name]

    def _status(self, name: str) -> JobStatus:
        return merged_statuses([one.status(name) for one in [self._main, *self._others(name)]])

    def _each(
        self, names: builtins.list[str], change: Callable[[JobRunner, str], bool]
    ) -> builtins.list[JobStatus]:
        for name in names:
            for runner in [self._main, *self._others(name)]:
                change(runner, name)
        return [self._status(name) for name in names]

    async def _record(self, event: AuditEvent, names: builtins.list[str]) -> None:
        core = self._branches.main.core
        leaves = tuple(
            AuditLeaf(event, core.now_us(), "", "", 0, actor=OPERATOR, detail={"job": name}) for name in names
        )
        if leaves:
            await core.state.write(c.AppendLeaves(leaves))
