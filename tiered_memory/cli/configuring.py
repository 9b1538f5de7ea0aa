"""Commands for the settings: whether they would work and what they risk, and what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.config_looks import looked_at
from tiered_memory.cli.config_rules import (
    ERROR,
    HIDDEN,
    NOTE,
    REDIS_WORDS,
    WARNING,
    Finding,
    judged,
    without_password,
)
from tiered_memory.cli.entry import REFUSED, command, output_of, settings_of
from tiered_memory.cli.options import Store
from tiered_memory.cli.output import one_line
from tiered_memory.errors import ConfigurationError
from tiered_memory.plurals import counted

if TYPE_CHECKING:
    from tiered_memory.config import Settings

STYLES = {ERROR: "bold red", WARNING: "yellow", NOTE: "dim"}


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    config = typer.Typer(no_args_is_help=True, help="Check and show the settings.")
    command(config, "check")(check)
    command(config, "show")(show)
    app.add_typer(config, name="config", rich_help_panel="Operating")


def check(
    store: Store,
    online: Annotated[
        bool, typer.Option("--online", help="Have the key service unwrap the root key as well.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings too are a failure.")] = False,
) -> None:
    """Check the settings and what they name, without opening the store. The exit code is 1 when they would not work."""
    found = _findings(store, online=online)
    counts = Counter(one.level for one in found)
    bad = counts[ERROR] > 0 or (strict and counts[WARNING] > 0)
    said = [
        Text.assemble((f"{one.level}: ", STYLES[one.level]), f"{one.key}: {one.message}") for one in found
    ]
    summary = f"{counted(counts[ERROR], 'error')}, {counted(counts[WARNING], 'warning')}"
    output_of(store).show({"ok": not bad, "findings": found}, *said, Text(summary))
    if bad:
        raise typer.Exit(REFUSED)


def show(store: Store) -> None:
    """Show the settings as they come out of arguments, environment, file and defaults; secrets are not shown."""
    settings = settings_of(store)
    shown = _plain(settings)
    given = set(_given(settings))
    table = views.table("setting", "value", "from", wide="value")
    for key, value in _flat(shown):
        table.add_row(
            key, one_line("unset" if value is None else str(value)), "given" if key in given else "default"
        )
    output_of(store).show({"settings": shown, "given": sorted(given)}, table)


def _findings(store: Store, *, online: bool) -> list[Finding]:
    try:
        settings = settings_of(store)
    except ConfigurationError as error:
        return [Finding(ERROR, "settings", str(error).removeprefix("settings: "))]
    order = (ERROR, WARNING, NOTE)
    found = [*judged(settings), *looked_at(settings, ask_provider=online)]
    return sorted(found, key=lambda one: (order.index(one.level), one.key))


def _plain(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON has them; of addresses only what is no secret."""
    found: dict[str, Any] = settings.model_dump(mode="json")
    found["root_key"] = None if settings.root_key is None else HIDDEN
    if settings.redis_url not in REDIS_WORDS:
        found["redis_url"] = without_password(settings.redis_url)
    tokens = found["daemon"]["tokens"]
    if tokens is not None and "://" in tokens["jwks"]:
        tokens["jwks"] = without_password(tokens["jwks"])
    return found


def _given(settings: Settings) -> Iterator[str]:
    for name in settings.model_fields_set - {"daemon"}:
        yield name
    for name in settings.daemon.model_fields_set - {"tokens"}:
        yield f"daemon.{name}"
    if settings.daemon.tokens is not None:
        for name in settings.daemon.tokens.model_fields_set:
            yield f"daemon.tokens.{name}"


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
