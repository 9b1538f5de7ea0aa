"""Commands for the keys: ending epochs, escrow and recovery, and another keeper of the root key."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tiered_memory.cli.entry import command, output_of, run, settings_of
from tiered_memory.cli.options import Store
from tiered_memory.cli.views import several
from tiered_memory.errors import InvalidInputError

if TYPE_CHECKING:
    from tiered_memory.key_epochs import EpochStatus, RotationReport
    from tiered_memory.memory import TieredMemory
    from tiered_memory.root_keys import RootReport

ASKED_IN = "TIERED_MEMORY_ESCROW_PASSPHRASE"
EscrowFile = Annotated[Path, typer.Argument(show_default=False, help="The escrow file.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    keys = typer.Typer(
        no_args_is_help=True, help="End key epochs, keep the keys safe, and show how they stand."
    )
    command(keys, "rotate")(rotate)
    command(keys, "rotate-root")(rotate_root)
    command(keys, "status")(status)
    command(keys, "list")(listed)
    command(keys, "escrow")(escrow)
    command(keys, "recover")(recover)
    command(keys, "move")(move)
    app.add_typer(keys, name="keys", rich_help_panel="Upkeep")


def rotate(
    store: Store,
    tenant: Annotated[
        str | None, typer.Option("--tenant", show_default="all", help="Whose key epochs to end.")
    ] = None,
    discard_damaged: Annotated[
        bool, typer.Option("--discard-damaged", help="Give up what is sealed under keys that do not open.")
    ] = False,
) -> None:
    """End the key epochs: no backup taken before this reveals anything any more. Memories stay as they are."""
    output = output_of(store)
    with output.progress("rotating") as progress:
        task = progress.task_ids[0]

        async def work(memory: TieredMemory) -> RotationReport:
            return await memory.keys.rotate(
                tenant,
                progress=lambda done, of: progress.update(task, completed=done, total=of),
                discard_damaged=discard_damaged,
            )

        report = run(store, work)
    output.show(
        asdict(report),
        Text(
            f"{several(report.epochs_ended, 'epoch')} of {several(report.tenants, 'tenant')} ended, "
            f"{several(report.keys, 'key')} of {several(report.subjects, 'user')} wrapped again, "
            f"in {report.seconds:,.1f} s"
        ),
    )
    if report.left:
        output.note(
            f"{report.left} keys do not open, so that their epochs live on: restore them, or rotate with --discard-damaged"
        )
    if report.unguarded:
        output.note(
            f"{report.unguarded} of the epochs had no guard: destroy backups from before this, the root key opens them"
        )


def rotate_root(store: Store) -> None:
    """Put a new root key in the place of the old, and destroy that. Backups and escrow files from before open nothing."""

    async def work(memory: TieredMemory) -> RootReport:
        return await memory.keys.rotate_root()

    report = run(store, work)
    output = output_of(store)
    output.show(
        asdict(report),
        Text(
            f"a new root key wraps {several(report.epochs, 'key epoch')} of {several(report.stores, 'store')}"
        ),
    )
    output.note("take a backup and write an escrow file now: those from before open nothing any more")


def status(store: Store) -> None:
    """Show how many epochs live, and what a rotation that was cut short has left to do."""
    found = run(store, _epochs)
    states = ("current", "leaving", "unreadable", "ending", "ended")
    counts = {state: sum(one.state == state for one in found) for state in states}
    provider = settings_of(store).root_key_provider
    line = ", ".join(f"{number} {state}" for state, number in counts.items() if number) or "no epochs"
    output_of(store).show(
        {"root_key_provider": provider, "epochs": counts}, Text(f"root key: {provider}; {line}")
    )


def listed(store: Store) -> None:
    """List every key epoch; tenants appear by their pseudonyms."""
    found = run(store, _epochs)
    lines = [
        f"{one.tenant[:12] or 'the store':<12}  epoch {one.epoch:<4} {one.state:<10} {one.keys:>7,} keys of {one.subjects:,} users"
        for one in found
    ]
    document = [{**asdict(one), "since": one.since.isoformat()} for one in found]
    output_of(store).show({"epochs": document}, Text("\n".join(lines) or "no epochs"))


def escrow(file: EscrowFile, store: Store) -> None:
    """Write the root key and the live guards to a new file, sealed under a passphrase (see `recover`)."""
    from tiered_memory.key_keeping import escrow_keys

    report = escrow_keys(settings_of(store), file, _passphrase(twice=True))
    output = output_of(store)
    output.show(asdict(report), Text(f"the root key and {report.guards} guards are in the escrow file"))
    output.note(
        "keep it apart from the data and from backups; write a new one after each rotation and destroy this"
    )


def recover(file: EscrowFile, store: Store) -> None:
    """Put back the keys that are missing, out of an escrow file. The passphrase is asked for, or in the environment."""
    from tiered_memory.key_keeping import recover_keys

    report = recover_keys(settings_of(store), file, _passphrase(twice=False))
    root = "the root key and " if report.root else ""
    output_of(store).show(asdict(report), Text(f"put back {root}{report.guards} guards"))


def move(
    store: Store,
    provider: Annotated[
        str,
        typer.Option(show_default=False, help="file, aws-kms:<key ARN or alias> or vault:<mount>/<key>."),
    ],
) -> None:
    """Hand the root key to another provider, and destroy it where it was. Nothing is sealed anew."""
    from tiered_memory.key_keeping import move_root

    move_root(settings_of(store), provider)
    output = output_of(store)
    output.show(
        {"root_key_provider": provider}, Text(f"the root key is kept by {provider.partition(':')[0]}")
    )
    output.note(f"from now on open this store with TIERED_MEMORY_ROOT_KEY_PROVIDER={provider}")


async def _epochs(memory: TieredMemory) -> list[EpochStatus]:
    return await memory.keys.status()


def _passphrase(*, twice: bool) -> str:
    given = os.environ.get(ASKED_IN)
    if given is None and not os.isatty(0):
        raise InvalidInputError(f"give the passphrase in {ASKED_IN}, or at a terminal")
    asked: Any = given or typer.prompt("Passphrase", hide_input=True, confirmation_prompt=twice)
    return str(asked)
