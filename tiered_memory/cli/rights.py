"""Commands for a person's rights: erasure."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.entry import command, output_of, run, user_of
from tiered_memory.cli.options import Calling, NamedPerson
from tiered_memory.cli.output import Output, as_json, plain
from tiered_memory.errors import ConfirmationRequiredError, InvalidInputError

if TYPE_CHECKING:
    from tiered_memory.memory import TieredMemory
    from tiered_memory.model import Certificate


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "erase", rich_help_panel="Rights")(erase)


def erase(
    person: NamedPerson,
    calling: Calling,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Annotated[
        str, typer.Option(help="Why; it is written on the certificate.")
    ] = "requested by the person",
    certificate: Annotated[
        Path | None,
        typer.Option(show_default=False, help="File to write the certificate to; must not exist."),
    ] = None,
) -> None:
    """Erase everything held of a user, in every tier, and prove it with a signed certificate."""
    output = output_of(person)
    if not yes:
        _confirm(person.user, output)
    if certificate is not None and certificate.exists():
        raise InvalidInputError("the certificate's file exists already; nothing was erased")

    async def work(memory: TieredMemory) -> Any:
        return await user_of(memory, person, calling).erase(reason=reason)

    with output.progress("erasing"):
        proof = run(person, work)
    _hand_over(proof, certificate, output)


def _confirm(user: str, output: Output) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfirmationRequiredError(
            "erasing cannot be undone and nobody is there to ask: give --yes; nothing was erased"
        )
    output.note("This removes everything held of this user, for good.", "bold red")
    if typer.prompt("Type the user's id to go on", err=True, default="", show_default=False) != user:
        raise ConfirmationRequiredError("that is not the user's id; nothing was erased")


def _hand_over(proof: Certificate, target: Path | None, output: Output) -> None:
    from tiered_memory.erasure import verify_certificate

    verify_certificate(proof)
    document = {"certificate": plain(proof), "signature_verified": True, "file": plain(target)}
    output.show(
        document,
        views.certificate(proof),
        Text("erased; the certificate's signature is valid", style="bold green"),
    )
    if target is not None:
        _save(proof, target)
        output.note(f"certificate written to {target}")


def _save(proof: Certificate, target: Path) -> None:
    """Only its owner may read it: it holds the salt that ties the commitment to the person."""
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(as_json(proof) + "\n")
    except OSError as error:
        raise InvalidInputError(
            f"erased, but the certificate could not be written ({type(error).__name__}): keep the one printed"
        ) from None
