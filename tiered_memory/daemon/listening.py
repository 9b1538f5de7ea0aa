"""A uvicorn server that leaves the process's signals to whoever runs it."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import uvicorn
from anyio.abc import TaskGroup
from starlette.types import ASGIApp

from tiered_memory.daemon.protocol import MOST_HEAD, Refused, protocol_for
from tiered_memory.daemon_config import DaemonSettings
from tiered_memory.errors import ConfigurationError

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 30


class Server(uvicorn.Server):
    """Serves until `should_exit` is set."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none: the process that embeds us has its own ideas about them."""
        yield


def server(app: ASGIApp, settings: DaemonSettings, *, refused: Refused = lambda _status: None) -> Server:
    """Return a server for an application, not yet listening; `refused` hears what does not get as far as that.

    Raises:
        ConfigurationError: the certificate or its key cannot be used.
    """
    config = uvicorn.Config(
        app,
        http=protocol_for(settings, refused),
        ws="none",
        h11_max_incomplete_event_size=MOST_HEAD,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        backlog=BACKLOG,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"`daemon.tls_certificate` and `daemon.tls_key` cannot be used: {error.strerror or 'not a PEM pair'}"
        ) from None
    return Server(config)


@asynccontextmanager
async def listening(made: Server, sockets: list[socket.socket]) -> AsyncIterator[TaskGroup]:
    """Serve on sockets that listen already, until the body ends; then drain."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.serve, sockets)
        try:
            yield tasks
        finally:
            made.should_exit = True
