"""MCP over standard input and output, for one person whom the command line names."""

from __future__ import annotations

import signal
from typing import cast

import anyio
from mcp.server.stdio import stdio_server

from tiered_memory.caller import AGENT
from tiered_memory.mcp_server.server import MOST_MESSAGE, build_server
from tiered_memory.mcp_server.wire import standard_wire
from tiered_memory.memory import TieredMemory
from tiered_memory.principals import Grant, Principal

OF_A_PERSON = frozenset({Grant.READ, Grant.WRITE, Grant.DELETE, Grant.RIGHTS, Grant.ERASE})


def person(
    user: str, tenant: str = "default", *, role: str = AGENT, actor: str = "", read_only: bool = False
) -> Principal:
    """Return the principal of one person's own connection: everything of theirs, or only reading it."""
    return Principal(
        name="stdio",
        grants=frozenset({Grant.READ}) if read_only else OF_A_PERSON,
        tenant=tenant,
        user=user,
        roles=frozenset({role}),
        actor=actor,
    )


async def serve_stdio(memory: TieredMemory, who: Principal) -> None:
    """Serve until the input ends or SIGTERM or SIGINT comes; closing `memory` is the caller's."""
    server = build_server(lambda: memory, lambda _request: who)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until_told, tasks.cancel_scope)
        with standard_wire(MOST_MESSAGE) as wire:
            # The SDK only iterates over lines, writes and flushes.
            ends = cast("anyio.AsyncFile[str]", wire)
            async with stdio_server(ends, ends) as (incoming, outgoing):
                await server.serve(incoming, outgoing)
        tasks.cancel_scope.cancel()


async def _until_told(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return
