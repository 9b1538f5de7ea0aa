"""Commands for an operator's tenants: registration, what they use, erasure."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tiered_memory.cli import tenants_views as views
from tiered_memory.cli.entry import command, moment, output_of, run
from tiered_memory.cli.options import Store
from tiered_memory.cli.output import Output, as_json
from tiered_memory.errors import ConfirmationRequiredError, InvalidInputError
from tiered_memory.files import create_private

if TYPE_CHECKING:
    from tiered_memory.memory import TieredMemory
    from tiered_memory.privacy.tenancy import TenantCertificate

AGREED = "What is agreed"
NO_BOUND = "none"
Id = Annotated[str, typer.Argument(show_default=False, metavar="TENANT", help="Id of the tenant.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is agreed with a tenant; what is not given is not said."""

    quota_mib: Annotated[
        str | None,
        typer.Option(
            show_default=False, help="MiB its memories may take, or 'none'.", rich_help_panel=AGREED
        ),
    ] = None
    retention_days: Annotated[
        str | None,
        typer.Option(
            show_default=False, help="Days they are kept at most, or 'none'.", rich_help_panel=AGREED
        ),
    ] = None
    audit: Annotated[
        bool | None,
        typer.Option(
            "--audit/--no-audit", show_default=False, help="Whether reads are logged.", rich_help_panel=AGREED
        ),
    ] = None
    agent: Annotated[
        list[str] | None,
        typer.Option(show_default=False, help="An agent that may write; repeat it.", rich_help_panel=AGREED),
    ] = None
    any_agent: Annotated[
        bool, typer.Option("--any-agent", help="Any agent may write.", rich_help_panel=AGREED)
    ] = False
    residency: Annotated[
        str | None,
        typer.Option(
            show_default=False, help="Where its data lies (setting `residencies`).", rich_help_panel=AGREED
        ),
    ] = None
    isolation: Annotated[
        str | None,
        typer.Option(show_default=False, help="minimal, moderate or strict.", rich_help_panel=AGREED),
    ] = None


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    tenants = typer.Typer(no_args_is_help=True, help="Register tenants, bound, show and erase them.")
    command(tenants, "register")(register_tenant)
    command(tenants, "change")(change)
    command(tenants, "list")(list_tenants)
    command(tenants, "show")(show)
    command(tenants, "usage")(usage)
    command(tenants, "backup")(backup)
    command(tenants, "erase")(erase)
    app.add_typer(tenants, name="tenants", rich_help_panel="Rights")


def register_tenant(tenant: Id, store: Store, terms: Terms) -> None:
    """Register a tenant. Without further options nothing bounds it, and it shares the store's directory."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.tenants.register(tenant, **_agreed(terms))

    found = run(store, work, create=True)
    output_of(store).show(found, views.tenant(found))


def change(tenant: Id, store: Store, terms: Terms) -> None:
    """Change what is agreed with a tenant; what is not given stays."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.tenants.change(tenant, **_agreed(terms))

    found = run(store, work)
    output_of(store).show(found, views.tenant(found))


def list_tenants(store: Store) -> None:
    """List the registered tenants."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.tenants.list()

    found = run(store, work)
    output_of(store).show({"tenants": found}, views.tenants(found))


def show(tenant: Id, store: Store) -> None:
    """Show what is agreed with a tenant."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.tenants.get(tenant)

    found = run(store, work)
    output_of(store).show(found, views.tenant(found))


def usage(
    tenant: Id,
    store: Store,
    since: Annotated[
        str | None, typer.Option(show_default="ever", help="Count writes since: ISO 8601, or a day (UTC).")
    ] = None,
) -> None:
    """Show what a tenant holds and how much it writes."""
    begin = moment(since, "--since")

    async def work(memory: TieredMemory) -> Any:
        return await memory.tenants.usage(tenant, since=begin)

    found = run(store, work)
    output_of(store).show(found, views.usage(found))


def backup(
    tenant: Id,
    archive: Annotated[Path, typer.Argument(show_default=False, help="Directory to write, new or empty.")],
    store: Store,
) -> None:
    """Back up the data directory a tenant has of its own; its root key, where it has one, is not in it."""

    async def work(memory: TieredMemory) -> Any:
        report = await memory.tenants.backup(tenant, archive)
        return {"archive": archive, "directory": memory.tenants.directory(tenant), "report": report}

    output = output_of(store)
    with output.progress("backing up"):
        found = run(store, work)
    output.show(found, Text(f"backed up {found['report'].users} users to {archive}"))


def erase(
    tenant: Id,
    store: Store,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    certificate: Annotated[
        Path | None,
        typer.Option(show_default="printed only", help="File for the certificate; it must not exist."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase everything of a tenant, users and keys and directory, and prove it."""
    output = output_of(store)
    if certificate is not None and certificate.exists():
        raise InvalidInputError("the certificate's file exists already; nothing was erased")
    if not yes:
        _confirm(tenant, output)

    async def work(memory: TieredMemory) -> Any:
        return await memory.tenants.erase(tenant, reason)

    with output.progress("erasing"):
        proof = run(store, work)
    output.show({"certificate": proof, "file": certificate}, views.certificate(proof))
    if certificate is not None:
        _save(proof, certificate)
        output.note(f"certificate written to {certificate}")


def _agreed(terms: Terms) -> dict[str, Any]:
    given: dict[str, Any] = {
        name: _number(value, name)
        for name, value in (("quota_mib", terms.quota_mib), ("retention_days", terms.retention_days))
        if value is not None
    }
    if terms.any_agent and terms.agent:
        raise InvalidInputError("give --agent or --any-agent, not both")
    if terms.any_agent or terms.agent:
        given["allowed_agents"] = None if terms.any_agent else frozenset(terms.agent or ())
    words = {"audit": terms.audit, "residency": terms.residency, "isolation": terms.isolation}
    return {**given, **{name: value for name, value in words.items() if value is not None}}


def _number(text: str, name: str) -> float | None:
    if text == NO_BOUND:
        return None
    try:
        return float(text)
    except ValueError:
        option = name.replace("_", "-")
        raise InvalidInputError(f"--{option} must be a number, or '{NO_BOUND}'") from None


def _confirm(tenant: str, output: Output) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfirmationRequiredError(
            "erasing cannot be undone and nobody is there to ask: give --yes; nothing was erased"
        )
    output.note("This removes everything held of this tenant and all its users, for good.", "bold red")
    if typer.prompt("Type the tenant's id to go on", err=True, default="", show_default=False) != tenant:
        raise ConfirmationRequiredError("that is not the tenant's id; nothing was erased")


def _save(proof: TenantCertificate, target: Path) -> None:
    """Only its owner may read it: it holds the salt that ties the commitment to the tenant."""
    try:
        create_private(target, f"{as_json(proof)}\n".encode())
    except OSError as error:
        raise InvalidInputError(
            f"erased, but the certificate could not be written ({type(error).__name__}): keep the one printed"
        ) from None
