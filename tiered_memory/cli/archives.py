"""Commands that take a person's data out, check such an archive, and take it in again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.entry import command, output_of, run, user_of
from tiered_memory.cli.options import Calling, Format, NamedPerson
from tiered_memory.cli.output import Output, plain

if TYPE_CHECKING:
    from tiered_memory.archive import Progress as Told
    from tiered_memory.memory import TieredMemory

ArchiveFile = Annotated[Path, typer.Argument(show_default=False, help="An archive.")]
Key = Annotated[
    str | None,
    typer.Option("--key", show_default="this store's", help="Public key it was made under, 64 hex digits."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "export", rich_help_panel="Rights")(export)
    command(app, "import", rich_help_panel="Rights")(take_in)
    archive = typer.Typer(no_args_is_help=True, help="Check an archive of somebody's data.")
    command(archive, "verify")(verify)
    app.add_typer(archive, name="archive", rich_help_panel="Rights")


def export(
    person: NamedPerson,
    calling: Calling,
    target: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            show_default="a new file here",
            help="File to write, which must not exist, or a directory for it.",
        ),
    ] = None,
    portability: Annotated[
        bool,
        typer.Option("--portability", help="Only what the person provided, to take elsewhere (Art. 20)."),
    ] = False,
) -> None:
    """Write everything held of a user to a signed archive with a page to read (Art. 15)."""
    output = output_of(person)
    kind = "portability" if portability else "access"

    async def work(memory: TieredMemory) -> Any:
        user = user_of(memory, person, calling)
        return await user.export(target, kind=kind, progress=_told(progress))

    with output.progress("exporting") as progress:
        made = run(person, work)
    rows = [
        ("archive", made.id),
        ("file", str(made.path)),
        ("memories", f"{made.memories:,}"),
        ("bytes", f"{made.bytes:,}"),
    ]
    rows += [("left out", f"{count:,}: {why}") for why, count in made.left_out.items()]
    rows += [("damaged", f"{len(made.damaged):,}: held, and cannot be read")] if made.damaged else []
    output.show(made, views.pairs([*rows, ("key", made.public_key)]))
    output.note("it holds personal data, unencrypted: hand it over by a safe way, and the key by another")


def take_in(
    person: NamedPerson,
    calling: Calling,
    source: ArchiveFile,
    purpose: Annotated[
        str | None, typer.Option(show_default="the one each had", help="Purpose to keep them for.")
    ] = None,
    key: Key = None,
    other: Annotated[
        bool, typer.Option("--accept-other-subject", help="The person is known by another id here.")
    ] = False,
) -> None:
    """Take in the memories of an archive; repeating it adds nothing."""
    output = output_of(person)

    async def work(memory: TieredMemory) -> Any:
        return await user_of(memory, person, calling).import_archive(
            source, purpose=purpose, public_key=key, accept_other_subject=other, progress=_told(progress)
        )

    with output.progress("importing") as progress:
        report = run(person, work)
    rows = [("added", f"{report.added:,}"), ("held already", f"{report.skipped:,}")]
    rows += [("of these quarantined", f"{report.quarantined:,}")] if report.quarantined else []
    rows += [("refused", f"{count:,}: {why}") for why, count in report.refused.items()]
    output.show(report, views.pairs(rows))


def verify(
    source: ArchiveFile,
    how: Format,
    key: Annotated[
        str | None,
        typer.Option("--key", show_default="the archive's own", help="Public key you trust, 64 hex digits."),
    ] = None,
) -> None:
    """Check an archive's files and signature; needs no store."""
    from tiered_memory.archive_files import verify_archive
    from tiered_memory.clock import from_us
    from tiered_memory.intake import check_key

    output = Output(as_document=how.json)
    found = verify_archive(source, None if key is None else check_key(key))
    manifest = found.manifest
    made_at = from_us(manifest.made_at_us)
    document = {"valid": True, "notices": found.notices, "made_at": made_at, **plain(manifest)}
    rows = [
        ("archive", manifest.id),
        ("kind", manifest.kind.value),
        ("made at", f"{made_at:%Y-%m-%d %H:%M} UTC, by version {manifest.software}"),
        ("memories", f"{manifest.files['memories.jsonl'].lines:,}"),
        ("key", manifest.public_key),
    ]
    output.show(document, views.pairs(rows), Text("every file is as it was signed", style="bold green"))
    for notice in found.notices:
        output.note(notice, "yellow")


def _told(progress: Progress) -> Told:
    def told(done: int, total: int) -> None:
        for task in progress.task_ids:
            progress.update(task, completed=done, total=total)

    return told
