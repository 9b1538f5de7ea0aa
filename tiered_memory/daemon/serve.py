"""The life of the daemon: listen, open the memory, serve, and on SIGTERM drain, flush and close."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import anyio.to_thread

from tiered_memory.config import Settings
from tiered_memory.daemon.app import create_app
from tiered_memory.daemon.assembly import parts_of
from tiered_memory.daemon.listening import Server, server
from tiered_memory.daemon.measuring import refused_early
from tiered_memory.daemon.notify import keep_alive, notify
from tiered_memory.daemon.serving import Phase, Serving
from tiered_memory.daemon.sockets import listening_socket
from tiered_memory.errors import ConfigurationError
from tiered_memory.memory import TieredMemory
from tiered_memory.metrics import FanOut
from tiered_memory.model import Subject
from tiered_memory.prometheus_observer import PrometheusObserver
from tiered_memory.traces import configure_traces

logger = logging.getLogger("tiered_memory.daemon")
NO_KEYS = (
    "an address that others can reach needs a credential: make one with `tiered-memory api-keys create`, "
    "or set `daemon.tokens`; nothing was served"
)


@dataclass(slots=True)
class Daemon:
    """One run of the daemon; `on_listening` hears of the address before the memory is open.

    `people` are offered on the inspector's page of people, to whoever may read their memories.
    """

    settings: Settings
    on_listening: Callable[[str], None] = lambda _address: None
    people: tuple[Subject, ...] = ()
    ready: anyio.Event = field(default_factory=anyio.Event)
    stopping: anyio.Event = field(default_factory=anyio.Event)
    _served: anyio.Event = field(default_factory=anyio.Event)
    _opened: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        """Serve until a SIGTERM or SIGINT; raises ConfigurationError and its kinds when it cannot begin."""
        own = self.settings.daemon
        prometheus, serving, traces = (
            PrometheusObserver(),
            Serving(own, people=self.people),
            configure_traces(),
        )
        observer = prometheus if traces is None else FanOut(prometheus, traces.observer)
        app = create_app(serving, parts_of(serving, prometheus, traces))
        listener = server(app, own, refused=refused_early(prometheus))
        sock = listening_socket(own)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_signals)
            tasks.start_soon(keep_alive, serving.clock)
            tasks.start_soon(self._listen, listener, sock)
            try:
                self.on_listening(_address(sock, tls=own.tls_certificate is not None))
                with anyio.CancelScope() as opening:
                    tasks.start_soon(self._give_up, opening)
                    async with TieredMemory.open(self.settings, observer=observer) as memory:
                        self._opened.set()
                        await self._serve(serving, memory)
                        await self._drain(serving, listener)
            finally:
                listener.should_exit = True
                tasks.cancel_scope.cancel()
                if traces is not None:
                    # What is cancelled above would not wait for the last spans to go out.
                    with anyio.CancelScope(shield=True):
                        await anyio.to_thread.run_sync(traces.close)
        logger.info("stopped")

    async def _serve(self, serving: Serving, memory: TieredMemory) -> None:
        if serving.settings.public and serving.settings.tokens is None and not memory.api_keys.any_in_force():
            raise ConfigurationError(NO_KEYS)
        if self.stopping.is_set():
            return
        serving.memory, serving.phase = memory, Phase.READY
        notify("READY=1")
        self.ready.set()
        logger.info("ready")
        await self.stopping.wait()

    async def _drain(self, serving: Serving, listener: Server) -> None:
        """Take no more, let what runs end; the memory closes after it, so that what was acknowledged is kept."""
        serving.drain()
        notify("STOPPING=1")
        logger.info("draining")
        listener.should_exit = True
        with anyio.move_on_after(serving.settings.drain_seconds + 1.0):
            await self._served.wait()
        serving.memory = None

    async def _listen(self, listener: Server, sock: socket.socket) -> None:
        try:
            await listener.serve([sock])
        finally:
            self._served.set()
            self.stopping.set()

    async def _give_up(self, opening: anyio.CancelScope) -> None:
        """A journal of hours need not be read to its end by who is told to stop: the next one reads it again."""
        await self.stopping.wait()
        if not self._opened.is_set():
            opening.cancel()

    async def _watch_signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                self.stopping.set()


def _address(sock: socket.socket, *, tls: bool) -> str:
    name = sock.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{'https' if tls else 'http'}://{host}:{name[1]}"
