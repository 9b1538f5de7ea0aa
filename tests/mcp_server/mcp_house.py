"""What the tests of MCP share: a web server with two people's keys, the official client over both transports."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import jsonschema
import uvicorn
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, TextContent
from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from support import until

import tiered_memory
from tiered_memory import TieredMemory
from tiered_memory.erasure import verify_certificate
from tiered_memory.mcp_server import mcp_app, person
from tiered_memory.mcp_server.tools import PHRASE
from tiered_memory.model import Certificate
from tiered_memory.principals import LOCAL, Grant, Principal

BESIDE_THE_PACKAGE = Path(tiered_memory.__file__).parent.parent
ALICE, BOB = person("alice", "acme"), person("bob", "acme")
PEOPLE: Mapping[str, Principal] = {
    "alice-key": ALICE,
    "bob-key": BOB,
    "reads-only": person("alice", "acme", read_only=True),
    "no-erasing": replace(ALICE, grants=ALICE.grants - {Grant.ERASE}),
    "exporting": replace(ALICE, roles=frozenset({"export"})),
    "nobody's": LOCAL,
    "no-tenant": replace(ALICE, tenant=None),
}
ERAS = ("legacy", "auto")
"""The handshake of the protocol's earlier revisions, and the newest revision without one."""
NOWHERE = "0" * 32
MIA = "My daughter Mia is allergic to walnuts."
CERTAINLY = {"confirm": PHRASE}


class KeysAsked:
    """Authenticates as a daemon does: a known key's holder comes into the request's state, others stay outside."""

    def __init__(self, app: ASGIApp, people: Mapping[str, Principal] = PEOPLE) -> None:
        self.app, self.people = app, people

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
        if given not in self.people:
            await PlainTextResponse("who are you?", 401)(scope, receive, send)
            return
        await self.app({**scope, "state": {"principal": self.people[given]}}, receive, send)


def behind_keys(memory: TieredMemory) -> ASGIApp:
    return KeysAsked(Starlette(routes=[Mount("/mcp", mcp_app(lambda: memory))]))


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application on a free port and give the URL of its `/mcp`."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=5)
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        try:
            await until(lambda: server.started)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield f"http://127.0.0.1:{port}/mcp/"
        finally:
            server.should_exit = True


@asynccontextmanager
async def over_http(url: str, key: str = "alice-key", era: str = "auto") -> AsyncIterator[Client]:
    """The official client over HTTP, with somebody's key."""
    async with AsyncExitStack() as stack:
        headers = {"authorization": f"Bearer {key}"}
        http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=120))
        yield await stack.enter_async_context(Client(streamable_http_client(url, http_client=http), mode=era))


@asynccontextmanager
async def served_with(*tools: Tool) -> AsyncIterator[Client]:
    """The official client of a server that has these tools alone, in this process."""
    async with Client(MCPServer("other", tools=list(tools))) as client:
        yield client


def command_line(data: Path, *options: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tiered_memory", "mcp", "--data", str(data), *options)


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIERED_MEMORY_")}
    return {**kept, "PYTHONPATH": str(BESIDE_THE_PACKAGE)}


@asynccontextmanager
async def over_stdio(data: Path, *options: str, era: str = "auto", log: Any = None) -> AsyncIterator[Client]:
    """The official client over a process of the command line."""
    command, *arguments = command_line(data, *options)
    started = StdioServerParameters(command=command, args=arguments, env=environment())
    transport = stdio_client(started, log) if log is not None else stdio_client(started)
    async with Client(transport, mode=era) as client:
        yield client


async def asked(client: Client, tool: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a tool's structured answer, having checked it against the schema the tool is listed with."""
    schema = {one.name: one.output_schema for one in (await client.list_tools()).tools}[tool]
    assert schema is not None
    answer = await client.call_tool(tool, arguments or {})
    assert isinstance(answer, CallToolResult)
    assert not answer.is_error, answer.content
    jsonschema.validate(answer.structured_content, schema)
    found: dict[str, Any] = answer.structured_content or {}
    return found


async def refused(client: Client, tool: str, arguments: dict[str, Any]) -> str:
    """Return the words of a tool's refusal."""
    answer = await client.call_tool(tool, arguments)
    assert isinstance(answer, CallToolResult)
    assert answer.is_error, answer.structured_content
    assert answer.structured_content is None
    return "\n".join(one.text for one in answer.content if isinstance(one, TextContent))


async def live_through(client: Client) -> set[str]:
    """Call every tool as a life would, and see that each does what it says; return the tools that were called."""
    called: set[str] = set()

    async def ask(tool: str, **arguments: Any) -> dict[str, Any]:
        called.add(tool)
        return await asked(client, tool, arguments)

    kept = await ask("remember", content=MIA, kind="profile", session="s1", operation_id="op 1")
    again = await ask("remember", content=MIA, kind="profile", session="s1", operation_id="op 1")
    assert (kept["repeated"], again["repeated"]) == (False, True)
    assert kept["id"] == again["id"]
    assert kept["durability"] == "journaled"

    found = await ask("recall", question="What is Mia allergic to?", limit=3, kinds=["profile"])
    assert [hit["memory"]["content"] for hit in found["hits"]] == [MIA]
    packed = await ask("context", question="What is Mia allergic to?", token_budget=200)
    assert MIA in packed["text"]
    assert packed["tokens"] <= 200
    assert (await ask("get", memory_id=kept["id"]))["memory"]["content"] == MIA
    assert [one["id"] for one in (await ask("list"))["memories"]] == [kept["id"]]
    why = await ask("explain", memory_id=kept["id"])
    assert why["policy"]
    assert why["half_life_days"] > 0

    right = MIA.replace("walnuts", "peanuts")
    done = await ask(
        "update", memory_id=kept["id"], content=right, reason="it was peanuts", expected_version=1
    )
    assert (done["memory"]["content"], done["memory"]["version"]) == (right, 2)
    taken = await ask("export_my_data")
    assert right in "".join(one["text"] for one in taken["files"])
    assert await ask("forget", memory_id=kept["id"]) == {"id": kept["id"], "forgotten": True}
    proof = TypeAdapter(Certificate).validate_python((await ask("erase_my_data", **CERTAINLY))["certificate"])
    verify_certificate(proof)
    assert proof.verified
    return called
