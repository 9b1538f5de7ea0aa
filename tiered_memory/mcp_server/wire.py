"""Standard input and output as MCP's wire: waited for without a thread, so that a signal ends every wait."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel

STDIN, STDOUT, STDERR = 0, 1, 2
CHUNK = 65_536
PIECE = 4_096
"""What a pipe that is ready takes without blocking (POSIX: at least PIPE_BUF)."""
TOO_LONG = '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"the message is too long; send less at once"}}\n'


@dataclass(slots=True)
class Wire:
    """Reads lines of at most `most` bytes from one descriptor and writes text to another."""

    reads: int
    writes: int
    most: int
    _turn: anyio.Lock = field(default_factory=anyio.Lock)

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield each line; one that is too long is answered with an error and left out."""
        held, lost = bytearray(), False
        while chunk := await self._read():
            held += chunk
            *lines, rest = held.split(b"\n")
            for line in lines:
                if lost or len(line) > self.most:
                    await self.write(TOO_LONG)
                elif line.strip():
                    yield line.decode(errors="replace")
                lost = False
            held = bytearray(rest)
            if len(held) > self.most:
                held, lost = bytearray(), True
        if held.strip() and not lost:
            yield held.decode(errors="replace")

    async def write(self, text: str) -> None:
        """Write the whole text before any other; what a peer that is gone would not read is dropped."""
        async with self._turn:
            left = memoryview(text.encode())
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while left:
                    await _ready(anyio.wait_writable, self.writes)
                    left = left[os.write(self.writes, left[:PIECE]) :]

    async def flush(self) -> None:
        """Do nothing: what was written is with the peer."""

    async def _read(self) -> bytes:
        await _ready(anyio.wait_readable, self.reads)
        try:
            return os.read(self.reads, CHUNK)
        except ConnectionResetError:
            return b""


async def _ready(wait: Callable[[int], Awaitable[None]], descriptor: int) -> None:
    try:
        await wait(descriptor)
    except PermissionError:
        # A regular file cannot be waited for: it is ready always.
        await anyio.lowlevel.checkpoint()


@contextlib.contextmanager
def standard_wire(most: int) -> Iterator[Wire]:
    """Give the process's standard input and output to the protocol alone; what others print goes to standard error."""
    reads, writes = os.dup(STDIN), os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        yield Wire(reads, writes, most)
    finally:
        os.dup2(writes, STDOUT)
        os.close(reads)
        os.close(writes)
