"""No word of a request is in a line or a span: an application over the memory, served by uvicorn, called over TCP."""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import until
from test_canaries_in_lines import Out, out, staged
from test_rights_in_clear import Scene

pytest.importorskip("uvicorn", reason="needs the extra server")

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from tiered_memory.errors import TieredMemoryError
from tiered_memory.logs import AccessLog, RequestId
from tiered_memory.traces import HttpSpans

pytestmark = pytest.mark.anyio
__all__ = ["out"]
WORD = f"mk{secrets.token_hex(9)}"
USER = "/v1/users/{user}"


def application(scene: Scene) -> Starlette:
    """A thin mouth over the memory: it adds, finds, streams without end, and fails."""

    def person(request: Request) -> Any:
        return scene.memory.user(request.path_params["user"], tenant="acme")

    async def add(request: Request) -> Response:
        said = await request.json()
        await person(request).consent.grant("advice", notice="n")
        receipt = await person(request).add(said["content"], importance=0.9)
        return JSONResponse({"id": receipt.id}, status_code=201)

    async def find(request: Request) -> Response:
        try:
            hits = await person(request).search(
                request.query_params["q"], limit=int(request.query_params["limit"])
            )
        except TieredMemoryError as error:
            return JSONResponse({"title": str(error)}, status_code=422)
        return JSONResponse([hit.memory.content for hit in hits])

    async def endless(request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield request.path_params["user"].encode() * 1000
                await anyio.lowlevel.checkpoint()

        return StreamingResponse(parts())

    async def broken(request: Request) -> Response:
        raise ValueError(f"{request.path_params['user']}: {await request.body()!r}")

    inner = [Route("/add", add, methods=["POST"]), Route("/find", find), Route("/endless", endless)]
    return Starlette(routes=[Mount(USER, routes=[*inner, Route("/broken", broken, methods=["GET", "POST"])])])


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[tuple[str, int]]:
    """Serve `app` on a free port as the daemon does: uvicorn neither formats nor tells of requests."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._serve, [listening])
            try:
                await until(lambda: server.started)
                yield listening.getsockname()
            finally:
                server.should_exit = True


def connected(address: tuple[str, int]) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=f"http://{address[0]}:{address[1]}")


async def raw(address: tuple[str, int], sent: bytes) -> bytes:
    """Return the answer to bytes that need be no HTTP."""
    async with await anyio.connect_tcp(*address) as stream:
        await stream.send(sent)
        try:
            return await stream.receive()
        except anyio.EndOfStream:
            return b""


def requests_told(out: Out) -> list[dict[str, Any]]:
    return [line for line in out.lines if line["logger"] == "tiered_memory.access"]


async def hostile_calls(client: httpx2.AsyncClient) -> None:
    user, headers = f"/v1/users/{WORD}", {"X-Request-ID": f"{WORD}/{WORD}", "Cookie": f"session={WORD}"}
    added = await client.post(f"{user}/add", json={"content": f"{WORD} is my dentist"}, headers=headers)
    assert added.status_code == 201
    found = await client.get(f"{user}/find", params={"q": WORD, "limit": 3}, headers=headers)
    assert WORD in found.text
    assert (await client.get(f"{user}/find", params={"q": WORD, "limit": -1})).status_code == 422
    assert (await client.post(f"{user}/broken", content=WORD)).status_code == 500
    assert (await client.get(f"/{WORD}?{WORD}={WORD}")).status_code == 404
    assert (await client.request(WORD.upper(), f"{user}/find")).status_code == 405
    assert (await client.get(f"{user}/find?{WORD}")).status_code == 500


async def test_no_word_of_a_request_is_let_out(
    data: Path, tmp_path: Path, out: Out, capfd: pytest.CaptureFixture[str]
) -> None:
    async with staged(data, tmp_path, out) as scene:
        app = RequestId(HttpSpans(AccessLog(application(scene)), out.provider))
        async with served(app) as address:
            async with connected(address) as client:
                await hostile_calls(client)
            assert b"400" in await raw(address, f"GET /{WORD} HTTP/9.9\r\n{WORD}\r\n\r\n".encode())
            assert await raw(
                address, f"GET /v1/users/{WORD}/endless HTTP/1.1\r\nHost: {WORD}\r\n\r\n".encode()
            )
            await until(lambda: "/endless" in str(requests_told(out)))
    told = requests_told(out)
    assert [(line.get("status"), line["outcome"]) for line in told] == [
        (201, "ok"), (200, "ok"), (422, "ok"), (500, "ValueError"), (404, "ok"), (405, "ok"), (500, "KeyError"),
        (200, "disconnected"),
    ]  # fmt: skip
    assert {line.get("route") for line in told} == {"/add", "/find", "/broken", "/endless", None}
    assert len({line["request_id"] for line in told}) == len(told)
    assert {line["method"] for line in told} == {"GET", "POST", "_OTHER"}
    server = [line for line in out.lines if line["logger"] == "uvicorn.error"]
    assert {"Exception in ASGI application", "Invalid HTTP request received."} <= {
        line["event"] for line in server
    }
    letters = (out.stream.getvalue() + "".join(out.spans) + "".join(capfd.readouterr())).lower()
    assert WORD not in letters
    assert logging.getLogger("httpx2").level == logging.DEBUG
    assert any(line["logger"].startswith("httpx2") for line in out.lines)


async def test_a_call_s_span_is_within_its_request_s(data: Path, tmp_path: Path, out: Out) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with staged(data, tmp_path, out) as scene:
        app = RequestId(HttpSpans(AccessLog(application(scene)), out.provider))
        async with served(app) as address, connected(address) as client:
            headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
            answer = await client.post("/v1/users/u/add", json={"content": "tea"}, headers=headers)
    assert answer.headers["x-request-id"] == trace
    spans = {span.name: span for span in out.exporter.get_finished_spans()}
    added, request = spans["upsert_memory"], spans["POST /add"]
    assert added.parent is not None
    assert added.parent.span_id == request.context.span_id
    assert f"{request.context.trace_id:032x}" == trace
    assert requests_told(out)[0]["trace_id"] == trace
