"""Commands about the audit ledger: export it, verify it, hand out its newest checkpoint, ask it about a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.entry import caller_of, command, output_of, run
from tiered_memory.cli.options import Calling, NamedPerson, Store
from tiered_memory.cli.output import Output, harmless
from tiered_memory.errors import CorruptionError, InvalidInputError

if TYPE_CHECKING:
    from tiered_memory.memory import TieredMemory
    from tiered_memory.privacy.audit import Verdict
    from tiered_memory.privacy.checkpoint import SignedCheckpoint

KEY_BYTES = 32


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    ledger = typer.Typer(no_args_is_help=True, help="Export and verify the audit ledger.")
    command(ledger, "export")(export)
    command(ledger, "verify")(verify)
    command(ledger, "checkpoint")(checkpoint)
    command(ledger, "about")(about)
    app.add_typer(ledger, name="ledger", rich_help_panel="Upkeep")


def export(
    target: Annotated[Path, typer.Argument(show_default=False, help="Directory to write; empty or new.")],
    store: Store,
) -> None:
    """Write the ledger as files that anybody can verify, with the program that does it."""
    output = output_of(store)

    async def work(memory: TieredMemory) -> Any:
        return await memory.ledger.export(target)

    with output.progress("exporting"):
        report = run(store, work)
    fields = {"entries": f"{report.entries:,}", "checkpoints": str(report.checkpoints)}
    output.show(report, views.pairs([*fields.items(), ("root", report.root), ("key", report.public_key)]))
    output.note("whoever verifies it should get the key from you by another way")


def verify(
    store: Store,
    source: Annotated[
        Path | None, typer.Argument(show_default="the store", help="Directory of an export.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(show_default="the export's own", help="Public key of the ledger, 64 hex digits."),
    ] = None,
    known: Annotated[
        Path | None, typer.Option("--checkpoint", show_default="none", help="A checkpoint kept from earlier.")
    ] = None,
) -> None:
    """Find any edit, drop, swap, truncation or fork in the ledger, or in an export of it."""
    output = output_of(store)
    trusted, kept = _key(key), _known(known)
    with output.progress("verifying"):
        verdict = _of_export(source, trusted, kept) if source else _of_store(store, trusted, kept)
    _show(verdict, output)
    if not verdict.sound:
        raise CorruptionError(f"the ledger does not verify: {verdict.problems[0]}")


def checkpoint(store: Store) -> None:
    """Print the newest signed checkpoint: kept elsewhere, it finds out a ledger that is rolled back later."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.ledger.checkpoint(), (await memory.ledger.verification_key()).hex()

    signed, public_key = run(store, work)
    if signed is None:
        raise InvalidInputError("the ledger is empty: there is no checkpoint")
    note, size = signed.note(), signed.checkpoint.size
    output_of(store).text({"checkpoint": note, "entries": size, "public_key": public_key}, note.rstrip("\n"))


def about(person: NamedPerson, calling: Calling) -> None:
    """Say what is held about a user, since when, why and until when, and what the ledger recorded about them."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.user(person.user, person.tenant, caller=caller_of(calling)).about()

    found = run(person, work)
    held = views.table("what", "why", "count", "since", "until", right=["count"], wide="why")
    for one in found.held:
        until = f"{one.until:%Y-%m-%d}" if one.until else "no date"
        why = f"{one.purpose} ({one.lawful_basis}); {', '.join(one.rules)}"
        held.add_row(f"{one.kind}, {one.sensitivity}", why, str(one.count), f"{one.since:%Y-%m-%d}", until)
    events = views.table("recorded", "times", "first", "last", "by", right=["times"], wide="by")
    for entry in found.recorded:
        days = f"{entry.first:%Y-%m-%d %H:%M}", f"{entry.last:%Y-%m-%d %H:%M}"
        events.add_row(entry.event, str(entry.count), *days, harmless(", ".join(entry.actors)))
    output_of(person).show(found, held, events)


def _of_export(source: Path, key: bytes | None, known: tuple[SignedCheckpoint, ...]) -> Verdict:
    from tiered_memory.audit_export import verify_export

    return verify_export(source, key, known)


def _of_store(store: Store, key: bytes | None, known: tuple[SignedCheckpoint, ...]) -> Verdict:
    async def work(memory: TieredMemory) -> Any:
        if key is not None and key != await memory.ledger.verification_key():
            raise CorruptionError("the store signs with another key than the one you trust")
        return await memory.ledger.verify(known)

    verdict: Verdict = run(store, work)
    return verdict


def _key(given: str | None) -> bytes | None:
    if given is None:
        return None
    try:
        key = bytes.fromhex(given)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidInputError("--key must be 64 hex digits")
    return key


def _known(path: Path | None) -> tuple[SignedCheckpoint, ...]:
    from tiered_memory.audit_export import known_checkpoints

    if path is None:
        return ()
    try:
        return known_checkpoints(path.read_bytes())
    except OSError as error:
        raise InvalidInputError(f"the checkpoint cannot be read ({type(error).__name__})") from None


def _show(verdict: Verdict, output: Output) -> None:
    document = {
        "sound": verdict.sound,
        "entries": verdict.entries,
        "covered": verdict.covered,
        "checkpoints": verdict.checkpoints,
        "root": verdict.root.hex(),
        "problems": verdict.problems,
        "notices": verdict.notices,
    }
    sign = Text("sound", style="bold green") if verdict.sound else Text("NOT SOUND", style="bold red")
    line = f": {verdict.entries:,} entries, {verdict.covered:,} under {verdict.checkpoints:,} checkpoints"
    output.show(document, Text.assemble(sign, line), *map(Text, verdict.problems))
    for notice in verdict.notices:
        output.note(notice)
