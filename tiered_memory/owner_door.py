"""The owner's door: a unix socket in the data directory, so that other programs of its user can work meanwhile.

Listening costs nothing until somebody knocks: only then is the HTTP server loaded.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from tiered_memory.errors import ConfigurationError
from tiered_memory.unix_sockets import OWNER_SOCKET, unix_socket

logger = logging.getLogger("tiered_memory")

Answer = Callable[[socket.socket, asyncio.Event], Awaitable[None]]
"""Answers on a listening socket until the event is set, and then ends what it has begun."""
CLOSE_SECONDS = 5.0


class OwnerDoor:
    """Listens while it is open."""

    def __init__(self, data_dir: Path, answer: Answer) -> None:
        self._path = data_dir / OWNER_SOCKET
        self._answer = answer
        self._socket: socket.socket | None = None
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to listen. Where that cannot be, the memory works all the same, and the log says why."""
        try:
            self._socket = unix_socket(self._path)
        except ConfigurationError as error:
            logger.warning("other programs cannot reach this memory's owner: %s", error)
            return
        asyncio.get_running_loop().add_reader(self._socket, self._knocked)

    async def close(self) -> None:
        """Stop listening, and let what was begun come to its end; safe to call twice."""
        made, self._socket = self._socket, None
        if made is None:
            return
        asyncio.get_running_loop().remove_reader(made)
        self._path.unlink(missing_ok=True)
        self._closing.set()
        if self._task is not None:
            await self._ended(self._task)
        made.close()

    def _knocked(self) -> None:
        assert self._socket is not None
        asyncio.get_running_loop().remove_reader(self._socket)
        self._task = asyncio.create_task(self._answered(self._socket), name="tiered-memory-door")

    async def _answered(self, made: socket.socket) -> None:
        await self._answer(made, self._closing)

    async def _ended(self, task: asyncio.Task[None]) -> None:
        done, _ = await asyncio.wait([task], timeout=CLOSE_SECONDS)
        if not done:
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            logger.error(
                "the owner's door ended by an unforeseen error (%s)", type(task.exception()).__name__
            )
