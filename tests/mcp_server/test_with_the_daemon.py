"""With the real daemon: its keys say whose memory it is, and a stdio server can go through it to the same memory."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp.client.client import Client
from mcp_house import BOB, CERTAINLY, asked, environment, live_through, over_http, over_stdio, refused
from support import consenting, opened

from tiered_memory import TieredMemory
from tiered_memory.clock import SystemClock
from tiered_memory.mcp_server import build_server, person
from tiered_memory.mcp_server.stdio import OF_A_PERSON
from tiered_memory.mcp_server.tools import TOOLS
from tiered_memory.principals import Grant

pytestmark = pytest.mark.anyio
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
JSON = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class House:
    """A running daemon, and the secrets of its keys by whom they are bound to."""

    data: Path
    address: str
    keys: dict[str, str]

    @property
    def mcp(self) -> str:
        return f"{self.address}/mcp"


@pytest.fixture(scope="module")
async def daemon(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    data = tmp_path_factory.mktemp("daemon") / "data"
    async with opened(data, settings={"redis_url": "local"}) as memory:
        keys = {}
        for name in ("alice", "bob", "carol", "dave", "erin"):
            await consenting(memory, name)
            made = await memory.api_keys.create(name, grants=OF_A_PERSON, tenant="acme", user=name)
            keys[name] = made.secret
        keys["anybody"] = (await memory.api_keys.create("anybody", grants=[Grant.ADMIN])).secret
    command = [sys.executable, "-m", "tiered_memory", "serve", "--port", "0", "--json", "--data", str(data)]
    local = {"TIERED_MEMORY_REDIS_URL": "local"}
    with (data.parent / "log").open("wb") as log:
        process = await anyio.open_process(command, stderr=log, env=environment() | local)
    try:
        assert process.stdout is not None
        with anyio.fail_after(60):
            said = await BufferedByteReceiveStream(process.stdout).receive_until(b"}", 10_000)
        found = re.search(r"http://127\.0\.0\.1:\d+", said.decode())
        assert found is not None, said
        await ready(found.group())
        yield House(data, found.group(), keys)
        process.terminate()
        with anyio.fail_after(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.aclose()


async def ready(address: str) -> None:
    """It listens first and opens the memory then."""
    async with httpx2.AsyncClient() as http:
        with anyio.fail_after(60):
            while (await http.get(f"{address}/readyz")).status_code != 200:
                await SystemClock().sleep(0.02)


async def test_a_key_bound_to_a_person_reaches_that_persons_memory(daemon: House) -> None:
    async with (
        over_http(daemon.mcp, daemon.keys["alice"]) as alice,
        over_http(daemon.mcp, daemon.keys["bob"], era="legacy") as bob,
    ):
        kept = await asked(alice, "remember", {"content": "My amberquokka sleeps at noon."})
        assert kept["durability"] == "journaled"
        assert (await asked(bob, "list"))["memories"] == []
        assert (await refused(bob, "get", {"memory_id": kept["id"]})).startswith("NotFoundError")


async def test_a_person_erased_takes_the_key_along(daemon: House) -> None:
    async with over_http(daemon.mcp, daemon.keys["dave"]) as dave:
        await asked(dave, "remember", {"content": "My amberquokka sleeps at noon."})
        assert (await asked(dave, "erase_my_data", CERTAINLY))["certificate"]["verified"]
    assert await status(daemon, daemon.keys["dave"]) == 401


async def test_other_keys_reach_none(daemon: House) -> None:
    assert await status(daemon, daemon.keys["alice"]) == 200
    assert await status(daemon, daemon.keys["anybody"]) == 403
    assert await status(daemon, "made-up") == 401


async def status(daemon: House, key: str) -> int:
    async with httpx2.AsyncClient(headers={**JSON, "authorization": f"Bearer {key}"}) as http:
        return (await http.post(daemon.mcp, json=PING)).status_code


async def test_every_tool_works_through_the_daemons_api_as_well(daemon: House) -> None:
    """As the stdio server does when a daemon owns the directory: the same tools over the same face."""
    async with TieredMemory.open(daemon.address, api_key=daemon.keys["carol"]) as remote:
        async with Client(build_server(lambda: remote, lambda _request: BOB)) as other:
            assert (await refused(other, "list", {})).startswith("AccessDeniedError: ")
        carol = person("carol", "acme")
        async with Client(build_server(lambda: remote, lambda _request: carol)) as client:
            assert await live_through(client) == {spec.name for spec in TOOLS}


async def test_the_stdio_server_goes_through_the_directorys_owner(daemon: House) -> None:
    """While the daemon runs, the command reaches the same memory; who it is for is on the command line still."""
    async with over_http(daemon.mcp, daemon.keys["erin"]) as web:
        kept = await asked(web, "remember", {"content": "My amberquokka sleeps at noon."})
        async with over_stdio(daemon.data, "--user", "erin", "--tenant", "acme") as client:
            assert (await asked(client, "get", {"memory_id": kept["id"]}))["memory"]["id"] == kept["id"]
            assert await asked(client, "forget", {"memory_id": kept["id"]}) == {
                "id": kept["id"],
                "forgotten": True,
            }
        assert (await asked(web, "list"))["memories"] == []
