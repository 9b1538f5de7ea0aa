"""Commands for the API keys of a store: who may call its daemon, and for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from tiered_memory.cli.entry import command, moment, output_of, run
from tiered_memory.cli.options import Store
from tiered_memory.cli.output import Output, one_line
from tiered_memory.errors import InvalidInputError

if TYPE_CHECKING:
    from tiered_memory.memory import TieredMemory
    from tiered_memory.privacy.api_keys import ApiKey, NewApiKey

ONCE = "This is the only time the key is shown: put it where its bearer reads it, and nowhere else."
Id = Annotated[
    str, typer.Argument(show_default=False, metavar="ID", help="Id of the key, as `list` shows it.")
]
BOUND = "Bounds"
SCOPES = "memories:read, memories:write, memories:delete, subjects:erase, rights, audit, metrics or admin (everything)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a key is for, whom it reaches, in which roles, and until when."""

    grant: Annotated[
        list[str],
        typer.Option("--grant", "-g", show_default=False, help=f"A scope: {SCOPES}; repeat it."),
    ]
    tenant: Annotated[
        str | None, typer.Option(show_default="any", help="The only tenant.", rich_help_panel=BOUND)
    ] = None
    user: Annotated[
        str | None,
        typer.Option("--user", "-u", show_default="any", help="The only user.", rich_help_panel=BOUND),
    ] = None
    role: Annotated[
        list[str] | None,
        typer.Option(show_default="agent", help="A role it may call in; repeat it.", rich_help_panel=BOUND),
    ] = None
    actor: Annotated[
        str,
        typer.Option(show_default=False, help="Who calls; the ledger commits to it.", rich_help_panel=BOUND),
    ] = ""
    expires: Annotated[
        str | None,
        typer.Option(
            show_default="never", help="When it ends: ISO 8601, or a day (UTC).", rich_help_panel=BOUND
        ),
    ] = None


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    keys = typer.Typer(no_args_is_help=True, help="Make, list, rotate and revoke API keys of the daemon.")
    command(keys, "create")(create)
    command(keys, "list")(list_keys)
    command(keys, "revoke")(revoke)
    command(keys, "rotate")(rotate)
    app.add_typer(keys, name="api-keys", rich_help_panel="Upkeep")


def create(
    name: Annotated[str, typer.Argument(show_default=False, help="What it is called in the list.")],
    store: Store,
    bounds: Bounds,
) -> None:
    """Make an API key and show it, once."""
    given: Any = {"tenant": bounds.tenant, "user": bounds.user, "actor": bounds.actor}
    given |= {"roles": bounds.role or ("agent",), "expires_at": moment(bounds.expires, "--expires")}

    async def work(memory: TieredMemory) -> NewApiKey:
        return await memory.api_keys.create(name, grants=bounds.grant, **given)

    _hand_over(run(store, work, create=True), output_of(store))


def list_keys(store: Store) -> None:
    """List the API keys without their secrets, those that ended within 90 days as well."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.api_keys.list()

    found = run(store, work)
    output_of(store).show({"api_keys": found}, _table(found) if found else Text("no API keys"))


def revoke(
    key: Id,
    store: Store,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "revoked by the operator",
) -> None:
    """End an API key at once and for good."""

    async def work(memory: TieredMemory) -> Any:
        return await memory.api_keys.revoke(_id(key), reason)

    output_of(store).show(run(store, work), Text("revoked: whoever presents it is refused"))


def rotate(
    key: Id,
    store: Store,
    overlap_hours: Annotated[float, typer.Option(help="How long the old key goes on working, 0..720.")] = 24,
) -> None:
    """Make a successor with the same terms and show it, once; the old key ends when the overlap does."""

    async def work(memory: TieredMemory) -> NewApiKey:
        return await memory.api_keys.rotate(_id(key), overlap_hours=overlap_hours)

    _hand_over(run(store, work), output_of(store))


def _id(given: str) -> str:
    """A key's whole text was not meant to be typed here: the shell's history has it now."""
    if given.startswith("tm_") and given.count("_") > 1:
        raise InvalidInputError("give the key's id alone, as `api-keys list` shows it; nothing was changed")
    return given.removeprefix("tm_")


def _hand_over(made: NewApiKey, output: Output) -> None:
    """The secret is all of standard output, so that it can be piped to where it belongs."""
    output.text({"secret": made.secret, "api_key": made.key}, made.secret)
    output.note(ONCE, "bold yellow")


def _table(found: Sequence[ApiKey]) -> Table:
    table = Table("id", "name", "scopes", "bound to", "last used", "state")
    for one in found:
        cells = (
            one.id,
            one.name,
            " ".join(one.grants),
            _bound(one),
            str(one.last_used_on or "never"),
            _state(one),
        )
        table.add_row(*map(one_line, cells))
    return table


def _bound(one: ApiKey) -> str:
    return " / ".join(part for part in (one.tenant, one.user) if part is not None) or "nobody"


def _state(one: ApiKey) -> str:
    if one.revoked_at is not None:
        return f"revoked {one.revoked_at:%Y-%m-%d}"
    if one.expires_at is None:
        return "good"
    ends = f"{'ends' if one.good else 'ended'} {one.expires_at:%Y-%m-%d %H:%M}"
    return f"rotated, {ends}" if one.replaced_by else ends
