"""Commands for the background jobs: how they stand, running one now, pausing them in the process that runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.entry import REFUSED, command, output_of, run
from tiered_memory.cli.options import Store
from tiered_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from tiered_memory.job_model import JobStatus
    from tiered_memory.memory import TieredMemory

Name = Annotated[str, typer.Argument(show_default=False, help="The job's name; see `jobs list`.")]
Some = Annotated[str | None, typer.Argument(show_default="all", help="The job's name; see `jobs list`.")]
NOBODY_RUNS = (
    "a pause ends with the process that runs the jobs, and no process runs this memory: there is nothing to {}. "
    "Pause them where it runs: `memory.jobs.{}(...)` in your program"
)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    jobs = typer.Typer(no_args_is_help=True, help="Show, run, pause and resume the background jobs.")
    command(jobs, "list")(listed)
    command(jobs, "run")(run_now)
    command(jobs, "pause")(pause)
    command(jobs, "resume")(resume)
    app.add_typer(jobs, name="jobs", rich_help_panel="Upkeep")


def listed(store: Store) -> None:
    """List the background jobs, and how they stand."""

    async def work(memory: TieredMemory) -> list[JobStatus]:
        return await memory.jobs.list()

    _show(store, run(store, work))


def run_now(name: Name, store: Store) -> None:
    """Run one job now. The exit code is 1 when it did not end well."""

    async def work(memory: TieredMemory) -> JobStatus:
        return await memory.jobs.run(name)

    found = run(store, work)
    failed = "" if found.last_error is None else f" ({found.last_error})"
    said = Text(f"{found.name}: {found.last_outcome}{failed}, {found.last_seconds or 0.0:,.2f} s")
    output_of(store).show(found, said)
    if found.last_outcome != "ok":
        raise typer.Exit(REFUSED)


def pause(store: Store, name: Some = None) -> None:
    """Pause a job, or all, in the process that runs this memory."""

    async def work(memory: TieredMemory) -> list[JobStatus]:
        await _needs_a_process(memory, name, "pause")
        return await memory.jobs.pause(name)

    _show(store, run(store, work))


def resume(store: Store, name: Some = None) -> None:
    """Let a paused job, or all, go on in the process that runs this memory."""

    async def work(memory: TieredMemory) -> list[JobStatus]:
        await _needs_a_process(memory, name, "resume")
        return await memory.jobs.resume(name)

    _show(store, run(store, work))


async def _needs_a_process(memory: TieredMemory, name: str | None, what: str) -> None:
    """A memory that this command itself has opened ends with it, and its pauses do."""
    from tiered_memory.memory import TieredMemory as Embedded

    if name is not None:
        await memory.jobs.get(name)
    if type(memory) is Embedded:
        raise ConfigurationError(NOBODY_RUNS.format(what, what))


def _show(store: Store, found: Sequence[JobStatus]) -> None:
    output_of(store).show({"jobs": found}, _table(found))


def _table(found: Sequence[JobStatus]) -> RenderableType:
    made = views.table("job", "every", "last run", "outcome", "next", "what it does", wide="what it does")
    for one in found:
        every = "on events" if one.interval_seconds is None else _span(one.interval_seconds)
        last = "-" if one.last_run is None else f"{one.last_run:%Y-%m-%d %H:%M:%S}"
        made.add_row(one.name, every, last, one.last_outcome or "-", _next(one), Text(one.about))
    return made


def _next(one: JobStatus) -> str:
    if one.paused_since is not None:
        return f"paused since {one.paused_since:%Y-%m-%d %H:%M}"
    return "-" if one.next_due is None else f"{one.next_due:%Y-%m-%d %H:%M:%S}"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
