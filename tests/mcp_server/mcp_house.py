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
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from support import until

import tiered_memory
from tiered_memory import TieredMemory
from tiered_memory.mcp_server import mcp_app, person
from tiered_memory.mcp_server.tools import PHRASE
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
        http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=30))
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
    answer = await client.call_tool(tool, arguments or {})
    assert isinstance(answer, CallToolResult)
    assert not answer.is_error, answer.content
    listed = {one.name: one for one in (await client.list_tools()).tools}
    schema = listed[tool].output_schema
    assert schema is not None
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
