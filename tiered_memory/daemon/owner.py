"""What is behind the owner's door: the same API, for whoever may open the socket."""

from __future__ import annotations

import asyncio
import socket

import anyio

from tiered_memory.daemon.app import Parts, create_app
from tiered_memory.daemon.limits import Buckets
from tiered_memory.daemon.listening import server
from tiered_memory.daemon.serving import Phase, Serving
from tiered_memory.daemon_config import DaemonSettings
from tiered_memory.memory import TieredMemory

UNBOUNDED = 1e9


async def answer(
    memory: TieredMemory, settings: DaemonSettings, made: socket.socket, closing: asyncio.Event
) -> None:
    """Answer on a listening socket until `closing`, then drain."""
    serving = Serving(settings, memory, Phase.READY)
    app = create_app(serving, Parts(limits=Buckets(UNBOUNDED, UNBOUNDED), local=True))
    listener = server(app, settings)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, [made])
        await closing.wait()
        serving.phase = Phase.DRAINING
        listener.should_exit = True
