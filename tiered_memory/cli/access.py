"""Commands about who may do what: the access table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import RenderableType
from rich.text import Text

from tiered_memory.cli import views
from tiered_memory.cli.entry import command, output_of, settings_of
from tiered_memory.cli.options import Store
from tiered_memory.policy.access_rules import NOTHING, AccessAction

if TYPE_CHECKING:
    from tiered_memory.policy.rules import Policy


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    access = typer.Typer(no_args_is_help=True, help="Who may do what with memories of which level.")
    command(access, "show")(show)
    app.add_typer(access, name="access", rich_help_panel="Rights")


def show(store: Store) -> None:
    """Show the access table of the store's policy: for each role and action the highest level it reaches."""
    from tiered_memory.wiring import load_policy

    policy = load_policy(settings_of(store).policy)
    output_of(store).show({"policy": policy.name, "access": _levels(policy)}, table_of(policy))


def _levels(policy: Policy) -> dict[str, dict[str, str]]:
    return {
        role.value: {action.value: rule.ceiling(action) for action in AccessAction}
        for role, rule in policy.access.items()
    }


def table_of(policy: Policy) -> RenderableType:
    """Return a policy's access table as it is shown."""
    reached = _levels(policy)
    shown = views.table("up to", *reached)
    for action in AccessAction:
        levels = [by_action[action.value] for by_action in reached.values()]
        shown.add_row(action.value, *(Text(one, style="dim" if one == NOTHING else "") for one in levels))
    return shown
