"""The proxy that the fault tests rely on does what it says, to a server that echoes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import anyio
import pytest

from benchmarks.fault_proxy import NONE, FaultProxy, Trouble

pytestmark = pytest.mark.anyio


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    writers = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while said := await reader.read(65536):
            writer.write(said)
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        async with FaultProxy(server.sockets[0].getsockname()[1]) as proxy:
            yield proxy
        for writer in writers:
            writer.close()
            await writer.wait_closed()


class Client:
    """One connection through the proxy."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self._stream = stream

    async def say(self, words: bytes) -> None:
        await self._stream.send(words)

    async def hear(self, count: int) -> bytes:
        heard = b""
        while len(heard) < count:
            heard += await self._stream.receive()
        return heard

    async def silent(self, seconds: float) -> bool:
        with anyio.move_on_after(seconds):
            await self._stream.receive()
            return False
        return True


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[Client]:
    async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        yield Client(stream)


async def test_without_trouble_everything_passes(client: Client) -> None:
    await client.say(b"hello" * 10_000)
    assert await client.hear(50_000) == b"hello" * 10_000


async def test_latency(proxy: FaultProxy, client: Client) -> None:
    proxy.trouble = Trouble(latency_seconds=0.1)
    begun = time.perf_counter()
    await client.say(b"hello")
    assert await client.hear(5) == b"hello"
    assert time.perf_counter() - begun >= 0.1


async def test_bandwidth(proxy: FaultProxy, client: Client) -> None:
    proxy.trouble = Trouble(bytes_per_second=1000.0)
    begun = time.perf_counter()
    await client.say(b"x" * 200)
    assert await client.hear(200) == b"x" * 200
    assert time.perf_counter() - begun >= 0.15


async def test_stall_keeps_everything_and_passes_it_on_later(proxy: FaultProxy, client: Client) -> None:
    proxy.trouble = Trouble(stall=True)
    await client.say(b"hello")
    assert await client.silent(0.1)
    proxy.trouble = NONE
    assert await client.hear(5) == b"hello"


async def test_reset(proxy: FaultProxy, client: Client) -> None:
    proxy.trouble = Trouble(reset=True)
    await client.say(b"hello")
    with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
        await client.hear(5)
    proxy.trouble = NONE
    async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        await Client(stream).say(b"again")
        assert await Client(stream).hear(5) == b"again"


async def test_half_close(proxy: FaultProxy, client: Client) -> None:
    proxy.trouble = Trouble(half_close=True)
    await client.say(b"hello")
    with pytest.raises(anyio.EndOfStream):
        await client.hear(5)
    await client.say(b"still listening?")


async def test_garbage(proxy: FaultProxy, client: Client) -> None:
    proxy.trouble = Trouble(garbage=True)
    await client.say(b"hello\r\n")
    heard = await client.hear(7)
    assert all(byte >= 0x80 for byte in heard)
    assert proxy.connections == 1
