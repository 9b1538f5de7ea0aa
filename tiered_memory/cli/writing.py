"""Commands that write: add, delete, forget, unforget."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.bulk import How, add_lines, lines_in, opened
from tiered_memory.cli.entry import REFUSED, caller_of, command, moment, output_of, run, user_of, whole_id
from tiered_memory.cli.options import About, AnyPerson, Calling, Person, Terms
from tiered_memory.cli.output import Output
from tiered_memory.cli.reading import MemoryId
from tiered_memory.errors import AccessDeniedError, InvalidInputError, NotFoundError
from tiered_memory.model import Durability, Interaction, Memory

if TYPE_CHECKING:
    from tiered_memory.memory import TieredMemory
    from tiered_memory.user import User

STDIN = "-"
SHOWN_MEMORIES = 20


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    panel = "Remembering"
    command(app, "add", rich_help_panel=panel)(add)
    command(app, "delete", rich_help_panel="Forgetting")(delete)
    command(app, "unforget", rich_help_panel="Forgetting")(unforget)
    command(app, "forget", rich_help_panel="Forgetting")(forget)


def add(
    person: Person,
    calling: Calling,
    about: About,
    terms: Terms,
    text: Annotated[
        str | None,
        typer.Argument(show_default=False, help="What was said; - reads lines from standard input."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input", show_default=False, help="File of JSON lines: content, role, time, session, …"
        ),
    ] = None,
) -> None:
    """Give the memory an interaction, or many: text, a file of JSON lines, or lines on standard input."""
    if (text is None) == (source is None):
        raise typer.BadParameter("give either a text, or - for standard input, or --input FILE")
    how = How(
        defaults=_said(about),
        purpose=terms.purpose,
        operation_id=terms.operation_id,
        durability=terms.require,
    )
    if text is None or text == STDIN:
        _add_lines(person, calling, source, how)
    else:
        _add_one(person, calling, text, how)


def _said(about: About) -> Interaction:
    given = asdict(about)
    return Interaction(content="", occurred_at=moment(given.pop("time"), "--time"), **given)


def _add_one(person: Person, calling: Calling, text: str, how: How) -> None:
    async def work(memory: TieredMemory) -> Any:
        return await user_of(memory, person, calling).add_many(
            [replace(how.defaults, content=text)],
            purpose=how.purpose,
            operation_id=how.operation_id,
            durability=how.durability,
        )

    (receipt,) = run(person, work, create=True)
    output = output_of(person)
    output.show(receipt, views.receipt(receipt))
    if receipt.durability is Durability.EPHEMERAL and not output.as_document:
        output.note("nothing stays after this command: see `tiered-memory consent grant --help`", "yellow")


def _add_lines(person: Person, calling: Calling, source: Path | None, how: How) -> None:
    output = output_of(person)

    async def work(memory: TieredMemory) -> Any:
        user = user_of(memory, person, calling)
        with opened(source) as stream, output.progress("storing", lines_in(source)) as progress:
            return await add_lines(user, stream, how, progress)

    summary = run(person, work, create=True)
    output.show(
        summary,
        views.pairs(
            [
                ("added", f"{summary.added} interactions in {summary.seconds:.2f} s"),
                ("already there", str(summary.repeated)),
                (
                    "deepest tier",
                    ", ".join(f"{n} {tier}" for tier, n in sorted(summary.by_deepest_tier.items())),
                ),
                ("kept", ", ".join(f"{n} {word}" for word, n in sorted(summary.by_durability.items()))),
            ]
        ),
    )


def delete(
    memory_id: MemoryId,
    person: Person,
    calling: Calling,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "deleted from the command line",
) -> None:
    """Remove one memory for good, its bytes included."""

    async def work(memory: TieredMemory) -> Any:
        user = user_of(memory, person, calling)
        found = await whole_id(user, memory_id)
        await user.delete(found, reason=reason)
        return found

    found = run(person, work)
    output_of(person).show({"deleted": found}, Text(f"deleted {found}"))


def unforget(memory_id: MemoryId, person: Person, calling: Calling) -> None:
    """Bring back a memory that faded, while its undo window lasts (see `list --forgotten`)."""

    async def work(memory: TieredMemory) -> Any:
        user = user_of(memory, person, calling)
        return await user.restore(await whole_id(user, memory_id))

    found = run(person, work)
    output_of(person).show(found, Text(f"restored {found.id}"), views.memories([found]))


def forget(
    person: AnyPerson,
    calling: Calling,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; change nothing.")] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Even if a user loses a larger share than the policy allows.")
    ] = False,
) -> None:
    """Forget what is due now. Exit code 1 when a user was left alone for want of --confirm."""
    if dry_run and confirm:
        raise InvalidInputError("a dry run changes nothing: there is nothing to confirm")
    if person.user is None and calling != Calling():
        raise InvalidInputError("forgetting of every user is upkeep, which no role asks for: name a --user")

    async def work(memory: TieredMemory) -> Any:
        if person.user is None:
            return await memory.forget(dry_run=dry_run, confirmed=confirm), {}
        user = memory.user(person.user, person.tenant, caller=caller_of(calling))
        report = await user.forget(dry_run=dry_run, confirmed=confirm)
        held = await _held(user, report.forgotten, dry_run=dry_run)
        return report, held

    output = output_of(person)
    with output.progress("forgetting"):
        report, held = run(person, work)
    _show_forgetting(output, report, held)


async def _held(user: User, forgotten: tuple[str, ...], *, dry_run: bool) -> dict[str, Memory]:
    """Return the contents of some of the memories concerned, most important first; of what the role may read."""
    found: list[Memory] = []
    if dry_run:
        for one in forgotten:
            with suppress(AccessDeniedError, NotFoundError):
                found.append(await user.get(one))
    else:
        with suppress(AccessDeniedError):
            found = [one for one in await user.forgotten() if one.id in set(forgotten)]
    found.sort(key=lambda one: (-one.importance, one.order))
    return {one.id: one for one in found[:SHOWN_MEMORIES]}


def _show_forgetting(output: Output, report: Any, held: dict[str, Memory]) -> None:
    output.show(report, views.forgetting(report, held))
    if report.stopped and not report.dry_run:
        raise typer.Exit(REFUSED)
