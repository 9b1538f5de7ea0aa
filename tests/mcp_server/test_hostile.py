"""Whatever a peer sends: a clear refusal, nothing of what it sent or of anybody's memory in it, and the server goes on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.client.client import Client
from mcp.types import CallToolResult
from mcp_house import ALICE, NOWHERE, KeysAsked, asked, over_http, refused, served_with
from support import consenting, opened

from tiered_memory import TieredMemory
from tiered_memory.errors import TieredMemoryError
from tiered_memory.mcp_server import mcp_app
from tiered_memory.mcp_server.answers import Forgotten
from tiered_memory.mcp_server.arguments import MOST_CONTENT, MOST_QUESTION, Named
from tiered_memory.mcp_server.desk import Desk
from tiered_memory.mcp_server.guarded import CRASHED, GuardedTool, ToolSpec
from tiered_memory.mcp_server.server import MOST_MESSAGE, build_server
from tiered_memory.mcp_server.taking_out import beginning
from tiered_memory.mcp_server.tools import TOOLS
from tiered_memory.model import Kind, Role, Sensitivity, SourceKind
from tiered_memory.principals import Grant
from tiered_memory.user import User

pytestmark = pytest.mark.anyio
KEY = {"authorization": "Bearer alice-key"}
JSON = {**KEY, "accept": "application/json, text/event-stream", "content-type": "application/json"}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
CANARY = "saffronlemur"
WRONG: dict[str, list[dict[str, Any]]] = {
    "remember": [
        {},
        {"content": ""},
        {"content": "   "},
        {"content": "a\x00b"},
        {"content": 5},
        {"content": None},
        {"content": ["a"]},
        {"content": "a" * (MOST_CONTENT + 1)},
        {"content": "a", "role": "root"},
        {"content": "a", "kind": CANARY},
        {"content": "a", "sensitivity": "secret"},
        {"content": "a", "source": "the moon"},
        {"content": "a", "session": "x" * 257},
        {"content": "a", "session": "a\nb"},
        {"content": "a", "occurred_at": "yesterday"},
        {"content": "a", "occurred_at": "2026-01-01T00:00:00"},
        {"content": "a", "occurred_at": "0001-01-01T00:00:00Z"},
        {"content": "a", "occurred_at": "9999-12-31T00:00:00Z"},
        {"content": "a", "operation_id": ""},
        {"content": "a", "durability": "eternal"},
    ],
    "recall": [
        {"question": "\t"},
        {"question": "q" * (MOST_QUESTION + 1)},
        {"question": "q", "limit": 0},
        {"question": "q", "limit": 51},
        {"question": "q", "limit": 10**40},
        {"question": "q", "limit": 1.5},
        {"question": "q", "limit": "NaN"},
        {"question": "q", "kinds": []},
        {"question": "q", "kinds": "profile"},
        {"question": "q", "kinds": [CANARY]},
        {"question": "q", "since": "2026-02-30T00:00:00Z"},
    ],
    "context": [
        {"question": "q", "token_budget": 0},
        {"question": "q", "token_budget": 10**6},
        {"question": {"q": CANARY}},
    ],
    "list": [{"limit": 101}, {"before": -1}, {"before": 2**63}, {"limit": [CANARY]}],
    "get": [
        {},
        {"memory_id": ""},
        {"memory_id": CANARY},
        {"memory_id": NOWHERE.upper() + "A"},
        {"memory_id": 0},
    ],
    "explain": [{"memory_id": NOWHERE}, {"memory_id": "../../etc/passwd"}, {"memory_id": [NOWHERE]}],
    "update": [
        {"memory_id": NOWHERE, "content": "x"},
        {"memory_id": NOWHERE, "content": "x", "reason": ""},
        {"memory_id": NOWHERE, "content": "x", "reason": "r" * 1025},
        {"memory_id": NOWHERE, "content": "x", "reason": "r", "expected_version": 0},
        {"memory_id": NOWHERE, "content": "x", "reason": "r"},
    ],
    "forget": [
        {"memory_id": NOWHERE},
        {"memory_id": f"{NOWHERE}\n"},
        {"memory_id": NOWHERE, "reason": "\x00"},
    ],
    "export_my_data": [{"kind": "everything"}, {"form": "paper"}, {"max_bytes": 0}, {"max_bytes": 2**40}],
    "erase_my_data": [{}, {"confirm": True}, {"confirm": "x" * 300}, {"confirm": CANARY}],
}


@pytest.fixture
async def alice(url: str) -> AsyncIterator[Client]:
    async with over_http(url) as client:
        yield client


def test_every_tool_is_given_wrong_arguments() -> None:
    assert set(WRONG) == {spec.name for spec in TOOLS}


@pytest.mark.parametrize("tool", WRONG)
async def test_wrong_arguments_are_refused_with_what_to_do(alice: Client, tool: str) -> None:
    await asked(alice, "remember", {"content": "My amberquokka sleeps at noon."})
    for arguments in WRONG[tool]:
        words = await refused(alice, tool, arguments)
        kind, _, rest = words.partition(": ")
        assert kind in {one.__name__ for one in kinds(TieredMemoryError)}, words
        assert len(rest) > 10
        assert len(words) < 600
        assert CANARY not in words
        assert "amberquokka" not in words
        assert "Traceback" not in words
    assert len((await asked(alice, "list"))["memories"]) == 1


def kinds(root: type[Exception]) -> set[type[Exception]]:
    return {root, *(one for child in root.__subclasses__() for one in kinds(child))}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def calls(draw: st.DrawFn) -> tuple[ToolSpec, dict[str, Any]]:
    spec = draw(st.sampled_from([one for one in TOOLS if one.name != "erase_my_data"]))
    names = st.sampled_from(sorted(spec.takes.model_fields))
    return spec, draw(st.dictionaries(names | st.text(max_size=8), JSON_VALUES | sensible(spec)))


def sensible(spec: ToolSpec) -> st.SearchStrategy[Any]:
    """Values of the sort that a tool's arguments have, so that some calls get far."""
    words = [word.value for kind in (Role, Kind, SourceKind, Sensitivity) for word in kind]
    return st.sampled_from([spec.name, NOWHERE, 1, 5, "2026-01-01T00:00:00Z", *words])


@settings(max_examples=6)
@given(st.lists(calls(), min_size=20, max_size=40))
def test_any_json_at_all_is_answered(made: list[tuple[ToolSpec, dict[str, Any]]]) -> None:
    """Each argument may be anything: a tool answers by its schema or refuses in words, and never crashes."""

    async def story() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with opened(Path(folder) / "data", settings={"redis_url": "local"}) as memory:
                await consenting(memory, "alice")
                async with Client(build_server(lambda: memory, lambda _request: ALICE)) as client:
                    for spec, arguments in made:
                        answer = await client.call_tool(spec.name, arguments)
                        assert isinstance(answer, CallToolResult)
                        assert CRASHED not in str(answer.content)
                        content = json.dumps(answer.structured_content)
                        assert answer.is_error or spec.gives.model_validate_json(content)

    anyio.run(story)


@pytest.mark.parametrize(
    "text",
    [
        "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
        "e\u0301 \u00e9 \ufb01",
        "\U0001f469\u200d\U0001f4bb works",
        "日本語のお茶が好きです。",
        "a\u2028b",
    ],
)
async def test_any_script_comes_back_as_it_was(alice: Client, text: str) -> None:
    kept = await asked(alice, "remember", {"content": text})
    assert (await asked(alice, "get", {"memory_id": kept["id"]}))["memory"]["content"] == text


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("host", "evil.example", 421),
        ("host", "127.0.0.1.evil.example", 421),
        ("host", "", 421),
        ("origin", "https://evil.example", 403),
        ("origin", "http://localhost.evil.example", 403),
        ("origin", "null", 403),
        ("content-type", "text/plain", 400),
        ("accept", "text/html", 406),
    ],
)
async def test_a_page_of_another_site_is_kept_out(
    anywhere: str, header: str, value: str, status: int
) -> None:
    for version in ({}, {"mcp-protocol-version": "2025-11-25"}):
        async with httpx2.AsyncClient(headers={**JSON, **version}) as http:
            assert (await http.post(anywhere, json=PING, headers={header: value})).status_code == status
            assert (await http.post(anywhere, json=PING)).status_code == 200


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1"])
async def test_a_page_of_this_machine_may_ask(anywhere: str, origin: str) -> None:
    async with httpx2.AsyncClient(headers=JSON) as http:
        assert (await http.post(anywhere, json=PING, headers={"origin": origin})).status_code == 200


async def test_another_host_is_served_when_it_is_named(memory: TieredMemory) -> None:
    app = KeysAsked(mcp_app(lambda: memory, allowed_hosts=["memory.example"]))
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="https://memory.example", headers=JSON
    ) as http:
        assert (await http.post("/", json=PING)).status_code == 200
        own = {"origin": "https://memory.example"}
        assert (await http.post("/", json=PING, headers=own)).status_code == 200
        assert (await http.post("/", json=PING, headers={"host": "localhost"})).status_code == 421


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS", "HEAD"])
async def test_nothing_but_posting_is_possible(anywhere: str, method: str) -> None:
    """No stream stays open and no session is there to end."""
    async with httpx2.AsyncClient(headers=JSON) as http:
        answer = await http.request(method, anywhere)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_body_beyond_the_limit_is_refused(anywhere: str) -> None:
    async with httpx2.AsyncClient(headers=JSON) as http:
        assert (await http.post(anywhere, content=b" " * (MOST_MESSAGE + 1))).status_code == 413
        assert (await http.post(anywhere, json=PING)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list","arguments":"all"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"no/such"}',
        b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":{},"method":"ping"}',
        b"[" * 100_000,
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"recall","arguments":{"question":"\\ud800"}}}',
    ],
)
async def test_a_broken_message_is_refused(anywhere: str, body: bytes) -> None:
    for version in ({}, {"mcp-protocol-version": "2026-07-28"}):
        async with httpx2.AsyncClient(headers={**JSON, **version}) as http:
            answer = await http.post(anywhere, content=body)
            assert answer.status_code < 500
            assert "Traceback" not in answer.text
            assert not_done(answer)
            assert (await http.post(anywhere, json=PING)).status_code in {200, 400}


def not_done(answer: httpx2.Response) -> bool:
    """Tell whether a message was refused, or, like a notification that nobody knows, taken without an answer."""
    if answer.status_code >= 400 or answer.status_code == 202:
        return True
    body = answer.json()
    return "error" in body or body["result"]["isError"]


async def test_a_tool_that_crashes_says_nothing_of_why(
    memory: TieredMemory, caplog: pytest.LogCaptureFixture
) -> None:
    """A crash's own words may be somebody's: neither the answer nor the log has them."""

    async def crashing(_user: User, _asked: Named) -> Forgotten:
        raise RuntimeError(CANARY)

    spec = ToolSpec(
        name="crash",
        title="Crash",
        description="Crash.",
        grant=Grant.READ,
        takes=Named,
        gives=Forgotten,
        work=crashing,
    )
    tool = GuardedTool.of(spec, Desk(lambda: memory, lambda _request: ALICE))
    async with served_with(tool) as client:
        assert await refused(client, "crash", {"memory_id": NOWHERE}) == CRASHED
    assert CANARY not in caplog.text
    assert "the MCP tool crash crashed: RuntimeError in crashing" in caplog.text


@given(st.binary(max_size=200), st.integers(1, 200), st.booleans())
def test_a_beginning_is_whole_lines_within_its_bound(content: bytes, most: int, whole_only: bool) -> None:
    kept = beginning(content, most, whole_only=whole_only)
    assert content.startswith(kept)
    assert len(kept) <= most
    assert kept in {content, b""} or kept.endswith(b"\n")
    assert (kept == content) == (len(content) <= most) or kept == content == b""
