"""The daemon's own application over a memory that the test drives, for Prometheus to scrape."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tiered_memory import TieredMemory
from tiered_memory.daemon.app import create_app
from tiered_memory.daemon.assembly import parts_of
from tiered_memory.daemon.listening import listening, server
from tiered_memory.daemon.serving import Phase, Serving
from tiered_memory.daemon.sockets import listening_socket
from tiered_memory.daemon_config import DaemonSettings
from tiered_memory.prometheus_observer import PrometheusObserver


@asynccontextmanager
async def served(memory: TieredMemory, observer: PrometheusObserver, port: int = 0) -> AsyncIterator[int]:
    """Serve a memory and its metrics as `tiered-memory serve` does; give the port (0: a free one)."""
    own = DaemonSettings(port=port, require_credentials=True)
    serving = Serving(own, memory, Phase.READY)
    sock = listening_socket(own)
    listener = server(create_app(serving, parts_of(serving, observer)), own)
    async with listening(listener, [sock]):
        yield int(sock.getsockname()[1])
