"""Commands of whoever answers for the processing: how frameworks stand, and the record of processing activities."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tiered_memory.accounts import pages
from tiered_memory.cli.entry import command, moment, output_of, run
from tiered_memory.cli.options import Store
from tiered_memory.cli.output import Output, one_line
from tiered_memory.errors import InvalidInputError

if TYPE_CHECKING:
    from tiered_memory.accounts.activities import Activities
    from tiered_memory.accounts.judgement import Assessment, Finding
    from tiered_memory.memory import TieredMemory
    from tiered_memory.reports_face import ActivitiesReport, ComplianceReport

COLOURS = {"met": "green", "outside": "dim", "partly": "yellow", "not_met": "red"}
WORDS = {"met": "met", "outside": "outside", "partly": "partly", "not_met": "not met"}


class Written(StrEnum):
    """How a report is written to a file."""

    MARKDOWN = "md"
    HTML = "html"


Target = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", show_default="the terminal", help="A new file: .md for Markdown, .html for a page."
    ),
]
Tenant = Annotated[
    str | None,
    typer.Option(
        "--of-tenant", show_default="the store", help="About the directory this tenant's data is in."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    report = typer.Typer(no_args_is_help=True, help="Show how frameworks stand, and what is processed why.")
    command(report, "compliance")(compliance)
    command(report, "ropa")(ropa)
    app.add_typer(report, name="report", rich_help_panel="Upkeep")


def compliance(
    framework: Annotated[str, typer.Argument(show_default=False, help="gdpr, hipaa, sox or pci_dss.")],
    store: Store,
    since: Annotated[str | None, typer.Option(show_default="a year ago", help="Begin of the period.")] = None,
    until: Annotated[str | None, typer.Option(show_default="now", help="End of the period.")] = None,
    tenant: Tenant = None,
    target: Target = None,
) -> None:
    """Judge each requirement by the live configuration and the ledger: evidence, and what is missing."""
    begin, end = moment(since, "--since"), moment(until, "--until")
    written = _form(target)

    async def work(memory: TieredMemory) -> Any:
        return await memory.reports.compliance(framework, since=begin, until=end, tenant=tenant)

    output = output_of(store)
    with output.progress("verifying the ledger"):
        found = run(store, work)
    about = pages.covered(found.facts.directories, found.facts.directories_unread)
    output.show(found, _assessed(found.assessment), Text(about), _advice(found.assessment))
    _write(found, target, written, output)


def ropa(store: Store, tenant: Tenant = None, target: Target = None) -> None:
    """Show the record of processing activities (GDPR Art. 30), made from configuration and store as they are now."""
    written = _form(target)

    async def work(memory: TieredMemory) -> Any:
        return await memory.reports.activities(tenant=tenant)

    output = output_of(store)
    with output.progress("reading the store"):
        found = run(store, work)
    output.show(found, *_processed(found.record))
    _write(found, target, written, output)


def _form(target: Path | None) -> Written | None:
    if target is None:
        return None
    if target.exists():
        raise InvalidInputError("the report's file exists already; nothing was written")
    try:
        return Written(target.suffix.removeprefix("."))
    except ValueError:
        raise InvalidInputError("--output must end in .md or .html") from None


def _write(
    report: ComplianceReport | ActivitiesReport, target: Path | None, written: Written | None, output: Output
) -> None:
    if target is None:
        return
    text = report.html() if written is Written.HTML else report.markdown()
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise InvalidInputError(f"the report could not be written ({type(error).__name__})") from None
    output.note(f"report written to {target}")


def _assessed(found: Assessment) -> RenderableType:
    table = Table(title=f"{found.framework}: {WORDS[found.status.value]}", title_justify="left")
    table.add_column("where", no_wrap=True)
    table.add_column("what")
    table.add_column("stands", no_wrap=True)
    table.add_column("evidence, or what is missing")
    for one in found.findings:
        # As text: what stands in brackets, e.g. a policy's table, would be taken for markup.
        said = Text(one_line("; ".join(one.missing or one.evidence)))
        table.add_row(one.reference, one.title, _standing(one), said)
    return table


def _standing(finding: Finding) -> Text:
    return Text(WORDS[finding.status.value], style=COLOURS[finding.status.value])


def _advice(found: Assessment) -> RenderableType:
    if not found.recommendations:
        return Text("nothing is missing that the software can show", style="green")
    lines = [f"{number}. {one_line(line)}" for number, line in enumerate(found.recommendations, 1)]
    return Text("what to do:\n" + "\n".join(lines))


def _processed(record: Activities) -> list[RenderableType]:
    table = Table(title=f"processing activities under {record.policy}", title_justify="left")
    for column in ("purpose", "basis", "held", "retention", "to complete"):
        table.add_column(column)
    for one in record.activities:
        held = f"memories: {one.memories:,}, people: {one.subjects:,}"
        cells = (one.purpose, one.lawful_basis, held, "; ".join(one.erasure_limits))
        missing = ", ".join(one.to_complete) or "nothing"
        table.add_row(*(Text(one_line(cell)) for cell in (*cells, missing)))
    controller = f"controller: {one_line(record.controller or 'not stated')}; contact: {one_line(record.contact or 'not stated')}"
    return [
        Text(controller),
        table,
        Text(pages.covered(record.directories, record.directories_unread)),
        Text("measures:\n" + "\n".join(f"- {one_line(one)}" for one in record.measures)),
    ]
