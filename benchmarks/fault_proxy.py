"""A TCP proxy that spoils what passes: late, slowly, never, cut off, half closed, or as garbage."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import Self

from tiered_memory.clock import SystemClock

CHUNK_BYTES = 16_384
SLICE_SECONDS = 0.01
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends RST instead of FIN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What happens to traffic. The default is none.

    `latency_seconds` delays every chunk of the server's answers. `bytes_per_second` bounds them (None: no bound).
    `stall` passes nothing on in either direction while connections stay open. `reset` answers every chunk of a
    client, and every new connection, with RST. `half_close` ends the answers (FIN) and goes on reading. `garbage`
    turns the answers into other bytes of the same length.
    """

    latency_seconds: float = 0.0
    bytes_per_second: float | None = None
    stall: bool = False
    reset: bool = False
    half_close: bool = False
    garbage: bool = False


NONE = Trouble()


class FaultProxy:
    """Listens on a free loopback port for connections to `target_port`; `trouble` may be set at any time.

    Use it as an async context manager. What was under way when trouble ended goes on, late.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._clock = SystemClock()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._trouble = NONE
        self.connections = 0

    @property
    def trouble(self) -> Trouble:
        """What happens to traffic now."""
        return self._trouble

    @trouble.setter
    def trouble(self, trouble: Trouble) -> None:
        self._trouble = trouble
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def port(self) -> int:
        """The port the proxy listens on."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The address of a Redis server behind the proxy."""
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for link in self._links:
            link.cancel()
        if self._links:
            await asyncio.wait(self._links)
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection in a task that the proxy can end."""
        self.connections += 1
        link = asyncio.create_task(self._serve(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        try:
            await asyncio.wait({link})
        finally:
            _close(writer, reset=self._trouble.reset)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            if not self._trouble.reset:
                await self._linked(reader, writer)

    async def _linked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, onward = await asyncio.open_connection("127.0.0.1", self._target_port)
        ways = {
            asyncio.create_task(self._ask(reader, onward)),
            asyncio.create_task(self._answer(upstream, writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            onward.close()
            await asyncio.wait(ways)

    async def _ask(self, reader: asyncio.StreamReader, onward: asyncio.StreamWriter) -> None:
        """Carry what the client says to the server, until either ends."""
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if self._trouble.reset:
                    return
                await self._while_stalled()
                onward.write(chunk)
                await onward.drain()

    async def _answer(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry what the server says to the client, as the trouble has it."""
        with contextlib.suppress(OSError):
            while chunk := await upstream.read(CHUNK_BYTES):
                await self._clock.sleep(self._trouble.latency_seconds)
                await self._while_stalled()
                if self._trouble.half_close:
                    writer.write_eof()
                    await self._until_other_trouble()
                    return
                await self._pass(_garbled(chunk) if self._trouble.garbage else chunk, writer)

    async def _pass(self, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        """Write as fast as the bound allows; it is looked at anew for every slice."""
        while chunk:
            bound = self._trouble.bytes_per_second
            size = len(chunk) if bound is None else max(1, int(bound * SLICE_SECONDS))
            writer.write(chunk[:size])
            await writer.drain()
            chunk = chunk[size:]
            if chunk and bound is not None:
                await self._clock.sleep(size / bound)

    async def _while_stalled(self) -> None:
        while self._trouble.stall:
            await self._until_other_trouble()

    async def _until_other_trouble(self) -> None:
        await self._changed.wait()


def _garbled(chunk: bytes) -> bytes:
    """Other bytes, none of them as before, no line ends among them."""
    return bytes(0x80 | (byte ^ 0x2A) for byte in chunk)


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if reset:
        connection: socket.socket = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.close()
