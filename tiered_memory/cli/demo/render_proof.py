"""Pictures of the last acts: the erasure with its proof, and where to go from there."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.panel import Panel
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.demo.facts import Closing, Erasure, Traces
from tiered_memory.cli.demo.words import say
from tiered_memory.cli.output import one_line

KIB = 1024


def erasure(act: Erasure) -> Iterator[RenderableType]:
    """Return what was erased, and what a search for leftovers found."""
    certificate = act.certificate
    yield f"Erasure, with proof ({act.milliseconds:.0f} ms)"
    yield say(
        f"Everything held of {act.user} goes: first the keys, then the bytes in every tier. Afterwards the store is "
        "closed, and every file, page, row and Redis value is opened with the root key and searched."
    )
    yield _before_and_after(act)
    yield _verdict(act)
    yield Panel(
        views.certificate(certificate),
        title="certificate",
        title_align="left",
        subtitle=_signature(act),
        subtitle_align="right",
        border_style="green" if act.signature_verified else "red",
    )


def _before_and_after(act: Erasure) -> RenderableType:
    shown = views.table("", "before", "after", right=["before", "after"])
    before, after = act.traces_before, act.traces_after
    shown.add_row("memories listed", str(act.listed_before), _gone(act.listed_after))
    for word in act.markers:
        name = Text(f"search finds “{one_line(word)}”")
        shown.add_row(name, str(act.hits_before[word]), _gone(act.hits_after[word]))
    shown.add_row("LanceDB tables", str(before.cold_tables), _gone(after.cold_tables))
    shown.add_row("Redis keys", str(before.redis_keys), _gone(after.redis_keys))
    shown.add_row("DuckDB rows, pseudonymous", str(before.analytics_rows), _counted(after.analytics_rows))
    shown.add_row("files (KiB)", _files(before), _files(after))
    shown.add_row("values decoded", f"{before.values_decoded:,}", f"{after.values_decoded:,}")
    sealed = sum(before.found.values())
    shown.add_row("id or words in clear", _gone(sealed), _gone(act.leftovers))
    return shown


def _files(traces: Traces) -> str:
    return f"{traces.files} ({traces.bytes / KIB:,.0f})"


def _gone(count: int) -> Text:
    return Text(str(count), style="bold red" if count else "bold green")


def _counted(rows: int) -> Text:
    return Text(str(rows), style="bold yellow" if rows else "bold green")


def _verdict(act: Erasure) -> Text:
    """Say what was found and no more: the search was for an id, for words, and for what each store still holds."""
    if act.leftovers or act.listed_after or any(act.hits_after.values()):
        return Text("Something is left. This must not happen: please report it.", style="bold red")
    verdict = Text.assemble(
        ("No id and no word is left. ", "bold green"),
        f"{act.certificate.keys_destroyed} keys were destroyed; while they lived, everything was sealed already.",
    )
    rows = act.traces_after.analytics_rows
    if rows:
        verdict.append(
            f" The statistics still hold {rows} rows of pseudonym and numbers, until they are rebuilt.",
            "yellow",
        )
    return verdict


def _signature(act: Erasure) -> Text:
    if not act.signature_verified:
        return Text("signature INVALID", style="bold red")
    return Text(
        "signature valid, an altered copy is refused"
        if act.altered_certificate_refused
        else "signature valid"
    )


def closing(act: Closing) -> Iterator[RenderableType]:
    """Return how long it took and where to go next."""
    yield f"{act.virtual_days} days in {act.seconds:.1f} seconds"
    calls = ", ".join(f"{op} {act.median_milliseconds[op]:.1f}" for op in act.calls)
    yield say("Median milliseconds of a call, verified and durable, embedding included:")
    yield Text(calls)
    yield Text()
    yield Text.assemble(
        ("Next: ", "bold"),
        ("README.md", "cyan"),
        " shows the same in Python; ",
        ("tiered-memory --help", "cyan"),
        " lists the commands; ",
        ("tiered-memory demo --input FILE", "cyan"),
        " plays a conversation of your own.",
    )
