"""The command that gives one person's memory to an agent over MCP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tiered_memory.cli.entry import command, run
from tiered_memory.cli.options import NamedPerson
from tiered_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from tiered_memory.memory import TieredMemory


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "mcp", rich_help_panel="Serving")(serve)


def serve(
    person: NamedPerson,
    role: Annotated[str, typer.Option(help="Role to call in; the policy's access table knows it.")] = "agent",
    actor: Annotated[
        str, typer.Option(show_default=False, help="Which agent calls; the ledger commits to it.")
    ] = "",
    read_only: Annotated[bool, typer.Option("--read-only", help="Only the tools that read.")] = False,
) -> None:
    """Serve one user's memory to an agent over MCP, on standard input and output.

    An MCP client starts this command. It ends when its input ends, or with SIGTERM.
    """
    try:
        from tiered_memory.mcp_server import stdio
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            f"the package {missing.name} is not installed: pip install 'tiered-memory[server]'"
        ) from None
    who = stdio.person(person.user, person.tenant, role=role, actor=actor, read_only=read_only)

    async def work(memory: TieredMemory) -> None:
        memory.user(person.user, person.tenant)  # a wrong id is said now, not by every call
        await stdio.serve_stdio(memory, who)

    run(person, work, create=True)
