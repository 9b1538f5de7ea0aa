"""Commands about certificates of erasure: checking one needs no store, only the file and a key one trusts."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.entry import command
from tiered_memory.cli.options import WHO, Format
from tiered_memory.cli.output import Output, plain
from tiered_memory.errors import CorruptionError, InvalidInputError

if TYPE_CHECKING:
    from tiered_memory.model import Certificate

LARGEST = 1 << 20
TEXTS = (
    *("id", "reason", "subject_commitment", "salt", "software_version", "public_key", "signature"),
    *("ledger_leaf", "ledger_entry", "ledger_checkpoint"),
)
UNREADABLE = "that is no certificate of an erasure: its fields are not those this version knows"


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    certificates = typer.Typer(no_args_is_help=True, help="Check a certificate of an erasure.")
    command(certificates, "verify")(verify)
    app.add_typer(certificates, name="certificate", rich_help_panel="Rights")


def verify(
    source: Annotated[Path, typer.Argument(show_default=False, help="The certificate's file.")],
    how: Format,
    key: Annotated[
        str | None,
        typer.Option(show_default="the certificate's own", help="Public key you trust, 64 hex digits."),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            "--user", "-u", show_default="not checked", help="Whom it should be of.", rich_help_panel=WHO
        ),
    ] = None,
    tenant: Annotated[str, typer.Option(help="Id of the user's tenant.", rich_help_panel=WHO)] = "default",
) -> None:
    """Check a certificate's signature, its proof in the ledger, and whom it is of; needs no store."""
    from tiered_memory.erasure import verify_certificate
    from tiered_memory.intake import check_key

    trusted = None if key is None else check_key(key)
    found, output = _read(source), Output(as_document=how.json)
    verify_certificate(found)
    if trusted is not None and trusted != bytes.fromhex(found.public_key):
        raise CorruptionError("the certificate was signed by another store than the one you trust")
    if user is not None and not _is_of(found, user, tenant):
        raise CorruptionError("the certificate is of somebody else's erasure")
    document = {"valid": True, "trusted_key": key is not None, "of_user": user, "certificate": plain(found)}
    words = "its signature is valid" + ("" if user is None else ", and it is of this user")
    output.show(document, views.certificate(found), Text(words, style="bold green"))
    if key is None:
        output.note("the key is the certificate's own: compare it with one you trust", "yellow")


def _is_of(found: Certificate, user: str, tenant: str) -> bool:
    """Tell whether the commitment, which the salt on the certificate opens, is to this user."""
    from tiered_memory.erasure import commitment_to
    from tiered_memory.model import Subject

    try:
        salt = bytes.fromhex(found.salt)
    except ValueError:
        return False
    return hmac.compare_digest(commitment_to(Subject(tenant, user), salt), found.subject_commitment)


def _read(source: Path) -> Certificate:
    try:
        with source.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise InvalidInputError(f"the certificate cannot be read ({type(error).__name__})") from None
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidInputError("that is no certificate of an erasure: it is not JSON") from None
    if not isinstance(fields, dict):
        raise InvalidInputError(UNREADABLE)
    return _certificate(fields)


def _certificate(fields: Mapping[str, Any]) -> Certificate:
    """Wrong numbers of the right names are left to the signature: nobody signed them."""
    from datetime import datetime

    from tiered_memory.model import Certificate, TierErasure

    try:
        tiers = tuple(TierErasure(**one) for one in fields["tiers"])
        moments = {name: datetime.fromisoformat(fields[name]) for name in ("requested_at", "finished_at")}
        lists = {name: tuple(fields.get(name, ())) for name in ("retained", "ledger_path")}
        found = Certificate(**{**fields, **moments, **lists, "tiers": tiers})
    except (KeyError, TypeError, ValueError):
        raise InvalidInputError(UNREADABLE) from None
    texts = [getattr(found, name) for name in TEXTS] + [
        word for one in tiers for word in (one.tier, one.method)
    ]
    if not all(isinstance(one, str) for one in (*texts, *found.retained, *found.ledger_path)):
        raise InvalidInputError(UNREADABLE)
    return found
