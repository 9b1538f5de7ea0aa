"""Commands against poisoned memories: the quarantine, and rolling back a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.entry import command, moment, output_of, run, user_of, whole_id
from tiered_memory.cli.options import Calling, NamedPerson, Person
from tiered_memory.cli.reading import MemoryId

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tiered_memory.memory import TieredMemory
    from tiered_memory.rollback import RollbackReport

ORIGIN = "Where it came from"
Reason = Annotated[str, typer.Option(help="Why, for the record; the ledger keeps a commitment to it only.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where memories came from; every given option must match, and one must be given."""

    source: Annotated[
        str | None,
        typer.Option(
            show_default=False, help="user, agent, tool, document or import.", rich_help_panel=ORIGIN
        ),
    ] = None
    channel: Annotated[
        str | None, typer.Option(show_default=False, help="Channel.", rich_help_panel=ORIGIN)
    ] = None
    session: Annotated[
        str | None, typer.Option(show_default=False, help="Session.", rich_help_panel=ORIGIN)
    ] = None
    agent: Annotated[str | None, typer.Option(show_default=False, help="Agent.", rich_help_panel=ORIGIN)] = (
        None
    )
    model: Annotated[str | None, typer.Option(show_default=False, help="Model.", rich_help_panel=ORIGIN)] = (
        None
    )
    since: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Stored from then on: ISO 8601, or a day (UTC).",
            rich_help_panel=ORIGIN,
        ),
    ] = None
    until: Annotated[
        str | None,
        typer.Option(
            show_default=False, help="Stored before: ISO 8601, or a day (UTC).", rich_help_panel=ORIGIN
        ),
    ] = None


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    quarantine = typer.Typer(no_args_is_help=True, help="Show, put and release what is kept apart.")
    command(quarantine, "list")(list_quarantined)
    command(quarantine, "release")(release)
    command(quarantine, "put")(put)
    app.add_typer(quarantine, name="quarantine", rich_help_panel="Guarding")
    command(app, "rollback", rich_help_panel="Guarding")(rollback)


def list_quarantined(person: Person, calling: Calling) -> None:
    """List the quarantined memories, newest first; they are shown nowhere else."""

    async def work(memory: TieredMemory) -> Any:
        return await user_of(memory, person, calling).quarantine.list()

    found = run(person, work)
    output_of(person).show({"quarantined": found}, views.memories(found))


def release(
    memory_id: MemoryId, person: Person, calling: Calling, reason: Reason = "released by the operator"
) -> None:
    """Make a quarantined memory retrievable."""

    async def work(memory: TieredMemory) -> Any:
        user = user_of(memory, person, calling)
        apart = [one.id for one in await user.quarantine.list() if one.id.startswith(memory_id)]
        wanted = apart[0] if len(apart) == 1 else await whole_id(user, memory_id)
        return await user.quarantine.release(wanted, reason=reason)

    freed = run(person, work)
    output_of(person).show(freed, views.memories([freed]))


def put(
    memory_id: MemoryId, person: Person, calling: Calling, reason: Reason = "quarantined by the operator"
) -> None:
    """Keep a memory apart: stored, but found, shown and followed by nothing."""

    async def work(memory: TieredMemory) -> Any:
        user = user_of(memory, person, calling)
        wanted = await whole_id(user, memory_id)
        await user.quarantine.put(wanted, reason=reason)
        return wanted

    wanted = run(person, work)
    output_of(person).show({"quarantined": wanted}, Text(f"quarantined {wanted[: views.ID_SHOWN]}"))


def rollback(
    person: NamedPerson,
    calling: Calling,
    origin: Origin,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it would take, change nothing.")
    ] = False,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Keep it apart in place of removing it.")
    ] = False,
    reason: Reason = "rolled back by the operator",
) -> None:
    """Take back everything that came from a source, and everything that derives from it."""
    since, until = moment(origin.since, "--since"), moment(origin.until, "--until")

    async def work(memory: TieredMemory) -> Any:
        return await user_of(memory, person, calling).roll_back(
            reason=reason,
            dry_run=dry_run,
            quarantine=quarantine,
            source=origin.source,
            channel=origin.channel,
            session=origin.session,
            agent=origin.agent,
            model=origin.model,
            since=since,
            until=until,
        )

    report: RollbackReport = run(person, work)
    output_of(person).show(report, _shown(report))


def _shown(report: RollbackReport) -> RenderableType:
    done = "would be " if report.dry_run else ""
    what = "quarantined" if report.quarantined else "removed"
    return views.pairs(
        [
            ("came from there", str(len(report.matched))),
            ("derive from it", str(len(report.derived))),
            (f"{done}{what}", str(len(report.matched) + len(report.derived))),
            ("hold good again", str(len(report.reopened))),
            ("unreadable", str(report.unreadable)),
        ]
    )
