"""Commands of whoever keeps the store: backup, restore, and the search for what an erasure may have left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer
from rich.text import Text

from tiered_memory.cli.entry import command, output_of, run, settings_of
from tiered_memory.cli.options import NamedPerson, Store
from tiered_memory.errors import ErasureIncompleteError

if TYPE_CHECKING:
    from tiered_memory.memory import TieredMemory

Archive = Annotated[Path, typer.Argument(show_default=False, help="Directory of the archive.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "backup", rich_help_panel="Upkeep")(backup)
    command(app, "restore", rich_help_panel="Upkeep")(restore)
    command(app, "verify-erased", rich_help_panel="Upkeep")(verify_erased)


def backup(archive: Archive, store: Store) -> None:
    """Write a consistent archive of the store. The root key is not in it: keep that apart."""
    output = output_of(store)
    with output.progress("copying") as progress:
        task = progress.task_ids[0]

        async def work(memory: TieredMemory) -> Any:
            return await memory.backup(
                archive, lambda done, of: progress.update(task, completed=done, total=of)
            )

        report = run(store, work)
    output.show(report, Text(f"{report.users} users, {report.files} files, {report.bytes / 1e6:,.1f} MB"))


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

    async def copy() -> None:
        await TieredMemory.restore(archive, settings.data_dir, erased_list=erased_list)

    async def statistics(memory: TieredMemory) -> Any:
        return await memory.stats()

    with output.progress("restoring"):
        anyio.run(copy)
        found = run(store, statistics)
    if erased_list is None:
        output.note("no erased list was given: erasures after this backup are unknown to the restored store")
    document = {"users": found.subjects, "memories": found.memories, "erased_list": erased_list is not None}
    output.show(document, Text(f"restored {found.memories} memories of {found.subjects} users"))


def verify_erased(
    person: NamedPerson,
    word: Annotated[
        list[str] | None, typer.Option(show_default="none", help="A word the person's memories held.")
    ] = None,
) -> None:
    """Look for an erased user's id, and words of theirs, in everything the stopped store has left; decoded."""
    from tiered_memory.cli.leftovers import traces
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
    hits = sum(found.found.values())
    document = {
        "memories": memories,
        "words": len(words),
        "hits": hits,
        "values_decoded": found.values_decoded,
        "files": found.files,
        "cold_tables": found.cold_tables,
    }
    line = f"{found.files} files, {found.values_decoded:,} decoded values: {hits} hits, {memories} memories"
    output.show(document, Text(line))
    if hits or memories:
        raise ErasureIncompleteError("something of this user is left; erase again")
