"""Commands of whoever keeps the store: backup, restore, another embedder, and the search for what an erasure may have left."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.entry import command, output_of, run, settings_of
from tiered_memory.cli.options import NamedPerson, Store
from tiered_memory.errors import ErasureIncompleteError

if TYPE_CHECKING:
    from tiered_memory.memory import TieredMemory
    from tiered_memory.reembed import ReembedReport

UNREADABLE = "unreadable"
Archive = Annotated[Path, typer.Argument(show_default=False, help="Directory of the archive.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "backup", rich_help_panel="Upkeep")(backup)
    command(app, "restore", rich_help_panel="Upkeep")(restore)
    command(app, "reembed", rich_help_panel="Upkeep")(reembed)
    command(app, "verify-erased", rich_help_panel="Upkeep")(verify_erased)


def backup(archive: Archive, store: Store) -> None:
    """Write a consistent archive of the store. The keys are not in it: keep them apart."""
    output = output_of(store)
    with output.progress("copying") as progress:
        task = progress.task_ids[0]

        async def work(memory: TieredMemory) -> Any:
            return await memory.backup(
                archive, lambda done, of: progress.update(task, completed=done, total=of)
            )

        report = run(store, work)
    output.show(
        report,
        Text(f"{views.several(report.users, 'user')}, {report.files} files, {report.bytes / 1e6:,.1f} MB"),
    )


def restore(
    archive: Archive,
    store: Store,
    erased_list: Annotated[
        Path | None,
        typer.Option(show_default="none", help="The erased.log of the store that was backed up."),
    ] = None,
) -> None:
    """Restore an archive into an empty data directory; whom the erased list names is erased again."""
    from tiered_memory.memory import TieredMemory

    settings, output = settings_of(store), output_of(store)

    async def copy() -> str | None:
        return await TieredMemory.restore(archive, settings.data_dir, erased_list=erased_list)

    async def look(memory: TieredMemory) -> tuple[Any, int]:
        return await memory.stats(), sum(
            one.subjects for one in await memory.keys.status() if one.state == UNREADABLE
        )

    with output.progress("restoring"):
        taken_at = anyio.run(copy)
        found, unreadable = run(store, look)
    if erased_list is None:
        since = (
            "this backup" if taken_at is None else f"{datetime.fromisoformat(taken_at):%Y-%m-%d %H:%M} UTC"
        )
        output.note(
            f"no erased list was given: erasures after {since} could not be known to the restored store"
        )
    if unreadable:
        output.note(
            f"{views.several(unreadable, 'user')} of ended key epochs: unreadable, with any key; erase to begin anew"
        )
    document = {
        "users": found.subjects,
        "memories": found.memories,
        "erased_list": erased_list is not None,
        "taken_at": taken_at,
        "unreadable_users": unreadable,
    }
    output.show(
        document,
        Text(
            f"restored {views.several(found.memories, 'memory', 'memories')} of {views.several(found.subjects, 'user')}"
        ),
    )


def reembed(
    store: Store,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="EMBEDDER",
            show_default=False,
            help="'static', the directory of a model (static or model2vec), or 'module:factory'.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing: count, and estimate how long it takes.")
    ] = False,
) -> None:
    """Move the store to another embedder. Interrupted at any moment, the same command goes on."""
    from tiered_memory.memory import TieredMemory

    settings, output = settings_of(store), output_of(store)
    with output.progress("measuring" if dry_run else "re-embedding") as progress:
        task = progress.task_ids[0]

        async def work() -> ReembedReport:
            return await TieredMemory.reembed(
                settings,
                to,
                dry_run=dry_run,
                progress=lambda done, of: progress.update(task, completed=done, total=of),
            )

        report = anyio.run(work)
    output.show(report, Text(_moved(report)))
    if report.left:
        output.note(f"{report.left} users have a table that cannot be read and keep the embedder they had")
    if not dry_run and settings.embedder != to:
        output.note(
            f"from now on open this store with TIERED_MEMORY_EMBEDDER={to}, or embedder in its settings"
        )


def _moved(report: ReembedReport) -> str:
    would = "would take about" if report.dry_run else "in"
    rest = f"{report.skipped} without a key, {report.damaged} damaged"
    return (
        f"{report.memories:,} memories of {report.subjects:,} users to {report.embedder}, {rest}; "
        f"{would} {report.seconds:,.1f} s"
    )


def verify_erased(
    person: NamedPerson,
    word: Annotated[
        list[str] | None, typer.Option(show_default="none", help="A word the person's memories held.")
    ] = None,
) -> None:
    """Look for an erased user's id, and words of theirs, in everything the stopped store has left; decoded."""
    from tiered_memory.cli.leftovers import SHORT, is_short, traces
    from tiered_memory.model import Filter

    words = [person.user, *(word or [])]

    async def listed(memory: TieredMemory) -> int:
        user, every = memory.user(person.user, person.tenant), Filter(include_superseded=True)
        return len(await user.list(where=every, limit=1)) + len(await user.forgotten())

    async def search() -> Any:
        return await traces(settings_of(person), None, words, live=False)

    output = output_of(person)
    with output.progress("searching"):
        memories = run(person, listed)
        found = anyio.run(search)
    short = [one for one in dict.fromkeys(words) if is_short(one)]
    hits, by_chance = sum(found.found.values()), sum(found.found[one] for one in short)
    document = {
        "memories": memories,
        "words": len(words),
        "short_words": len(short),
        "hits": hits,
        "hits_of_short_words": by_chance,
        "values_decoded": found.values_decoded,
        "files": found.files,
        "cold_tables": found.cold_tables,
    }
    left = f"{views.several(hits, 'hit')}, {views.several(memories, 'memory', 'memories')}"
    line = f"{found.files} files, {found.values_decoded:,} decoded values: {left}"
    output.show(document, Text(line))
    if short:
        many = views.several(len(short), "word has", "words have")
        output.note(f"{many} fewer than {SHORT} characters: {by_chance} of the hits may be chance", "yellow")
    if memories or hits > by_chance:
        raise ErasureIncompleteError("something of this user is left; erase again")
    if by_chance:
        raise ErasureIncompleteError(
            "only words too short to tell from chance were found; look for longer ones of this user's"
        )
