"""The life of the daemon: listen, open the memory, serve, and on SIGTERM drain, flush and close."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from tiered_memory.config import Settings
from tiered_memory.daemon.app import Parts, create_app
from tiered_memory.daemon.limits import RateLimit
from tiered_memory.daemon.listening import listening, server
from tiered_memory.daemon.notify import notify
from tiered_memory.daemon.serving import Phase, Serving
from tiered_memory.daemon.sockets import listening_socket
from tiered_memory.errors import ConfigurationError
from tiered_memory.memory import TieredMemory
from tiered_memory.prometheus_observer import PrometheusObserver

logger = logging.getLogger("tiered_memory.daemon")
NO_KEYS = (
    "an address that others can reach needs a credential: make one with `tiered-memory api-keys create`, "
    "or set `daemon.tokens`; nothing was served"
)


@dataclass(slots=True)
class Daemon:
    """One run of the daemon; `on_listening` hears of the address before the memory is open."""

    settings: Settings
    on_listening: Callable[[str], None] = lambda _address: None
    stopping: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        """Serve until a SIGTERM or SIGINT; raises ConfigurationError and its kinds when it cannot begin."""
        own = self.settings.daemon
        observer = PrometheusObserver()
        serving = Serving(own)
        sock = listening_socket(own)
        address = _address(sock, tls=own.tls_certificate is not None)
        app = create_app(serving, _parts(serving, observer, local=own.socket is not None))
        made = server(app, own)
        async with listening(made, [sock]) as tasks:
            tasks.start_soon(self._watch_signals)
            self.on_listening(address)
            async with TieredMemory.open(self.settings, observer=observer) as memory:
                await self._serve(serving, memory)
                serving.phase = Phase.DRAINING
                notify("STOPPING=1")
                made.should_exit = True
                with anyio.move_on_after(own.drain_seconds + 1.0):
                    await _drained(made)
                serving.memory = None
            tasks.cancel_scope.cancel()
        logger.info("stopped")

    async def _serve(self, serving: Serving, memory: TieredMemory) -> None:
        if serving.settings.public and serving.settings.tokens is None and not memory.api_keys.any_in_force():
            raise ConfigurationError(NO_KEYS)
        serving.memory, serving.phase = memory, Phase.READY
        notify("READY=1")
        logger.info("ready")
        await self.stopping.wait()

    async def _watch_signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                self.stopping.set()
