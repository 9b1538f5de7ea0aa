"""Whose memory a tool reaches is the credential's to say: no argument, no other request and no session can."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_house import ALICE, BOB, CERTAINLY, ERAS, NOWHERE, asked, over_http, refused

from tiered_memory import TieredMemory
from tiered_memory.errors import AccessDeniedError
from tiered_memory.mcp_server.desk import bound, role_of
from tiered_memory.mcp_server.tools import TOOLS
from tiered_memory.principals import EVERY_ROLE, LOCAL, Grant, Principal

pytestmark = pytest.mark.anyio
CANARIES = {"alice-key": "amberquokka", "bob-key": "basaltwombat"}
ROUNDS = 25
JSON = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@pytest.fixture
async def people(url: str) -> AsyncIterator[dict[str, Client]]:
    """Both people's connections, alice's in the protocol's earlier era."""
    async with AsyncExitStack() as stack:
        yield {
            key: await stack.enter_async_context(over_http(url, key, era))
            for key, era in zip(CANARIES, ERAS, strict=True)
        }


async def test_many_interleaved_requests_never_mix(people: dict[str, Client]) -> None:
    """Each person sees all of their own canaries and none of the other's, whatever runs at the same time."""
    seen: dict[str, list[str]] = {key: [] for key in people}
    chance = random.Random(4711)

    async def one(key: str, number: int) -> None:
        client, word = people[key], CANARIES[key]
        await asked(client, "remember", {"content": f"My {word} number {number} sleeps at noon."})
        tool, arguments = chance.choice(
            [
                ("recall", {"question": "What sleeps at noon?", "limit": 50}),
                ("list", {"limit": 100}),
                ("context", {"question": "What sleeps at noon?", "token_budget": 4000}),
                ("export_my_data", {"max_bytes": 100_000}),
            ]
        )
        seen[key].append(json.dumps(await asked(client, tool, arguments)))

    calls = [(key, number) for key in people for number in range(ROUNDS)]
    chance.shuffle(calls)
    async with anyio.create_task_group() as tasks:
        for key, number in calls:
            tasks.start_soon(one, key, number)
    for key, answers in seen.items():
        (foreign,) = [word for other, word in CANARIES.items() if other != key]
        assert len(answers) == ROUNDS
        assert all(CANARIES[key] in answer for answer in answers)
        assert not any(foreign in answer for answer in answers)
    for key, client in people.items():
        page = await asked(client, "list", {"limit": 100})
        assert len(page["memories"]) == ROUNDS
        assert all(CANARIES[key] in one["content"] for one in page["memories"])


async def test_one_connection_with_two_keys_is_two_people(url: str, people: dict[str, Client]) -> None:
    """The same client's next request, even with a session's id, is judged by the key it brings alone."""
    for key, client in people.items():
        await asked(client, "remember", {"content": f"My {CANARIES[key]} sleeps at noon."})
    call = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {"name": "list", "arguments": {}},
    }
    async with httpx2.AsyncClient(headers={**JSON, "mcp-session-id": "1234"}) as http:
        for key in ("alice-key", "bob-key", "alice-key"):
            answer = await http.post(url, json=call, headers={"authorization": f"Bearer {key}"})
            words = answer.text
            assert answer.status_code == 200
            assert [word in words for word in CANARIES.values()] == [key == one for one in CANARIES]
            assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize("tool", ["get", "explain", "update", "forget"])
async def test_another_persons_memory_is_no_memory(people: dict[str, Client], tool: str) -> None:
    """What a foreign id brings is what an id that never was brings, to the letter."""
    kept = await asked(people["alice-key"], "remember", {"content": "My amberquokka sleeps at noon."})
    words = {"content": "gone", "reason": "because"} if tool == "update" else {}
    foreign = await refused(people["bob-key"], tool, {"memory_id": kept["id"], **words})
    nowhere = await refused(people["bob-key"], tool, {"memory_id": NOWHERE, **words})
    assert foreign == nowhere
    assert foreign.startswith("NotFoundError: ")
    assert kept["id"] not in foreign
    still = await asked(people["alice-key"], "get", {"memory_id": kept["id"]})
    assert still["memory"]["content"] == "My amberquokka sleeps at noon."


@pytest.mark.parametrize("name", ["user", "tenant", "user_id", "subject", "principal", "caller", "role_of"])
async def test_no_argument_names_a_person(people: dict[str, Client], name: str) -> None:
    await asked(people["alice-key"], "remember", {"content": "My amberquokka sleeps at noon."})
    for spec in TOOLS:
        words = await refused(people["bob-key"], spec.name, {name: "alice"})
        assert words.startswith("InvalidInputError: ")
        assert "alice" not in words


async def test_one_person_erased_leaves_the_other_alone(people: dict[str, Client]) -> None:
    for key, client in people.items():
        await asked(client, "remember", {"content": f"My {CANARIES[key]} sleeps at noon."})
    assert (await asked(people["bob-key"], "erase_my_data", CERTAINLY))["certificate"]["verified"]
    assert (await asked(people["bob-key"], "list"))["memories"] == []
    assert len((await asked(people["alice-key"], "list"))["memories"]) == 1


@pytest.mark.parametrize(
    "confirm", ["", "yes", "ERASE EVERYTHING ABOUT ME", " erase everything about me", "{}"]
)
async def test_erasing_needs_the_phrase_to_the_letter(people: dict[str, Client], confirm: str) -> None:
    alice = people["alice-key"]
    await asked(alice, "remember", {"content": "My amberquokka sleeps at noon."})
    words = await refused(alice, "erase_my_data", {"confirm": confirm})
    assert words.startswith("ConfirmationRequiredError: nothing was erased")
    assert len((await asked(alice, "list"))["memories"]) == 1


async def test_a_key_reaches_what_its_scopes_say(url: str) -> None:
    async with over_http(url) as alice:
        await asked(alice, "remember", {"content": "My amberquokka sleeps at noon."})
    async with over_http(url, "reads-only") as client:
        listed = [one.name for one in (await client.list_tools()).tools]
        assert listed == [spec.name for spec in TOOLS if spec.grant is Grant.READ]
        assert len((await asked(client, "recall", {"question": "What sleeps?"}))["hits"]) == 1
        refusals = {
            spec.name: await refused(client, spec.name, valid_arguments(spec.name))
            for spec in TOOLS
            if spec.grant is not Grant.READ
        }
    assert set(refusals) == {"remember", "update", "forget", "export_my_data", "erase_my_data"}
    grants = {spec.name: spec.grant for spec in TOOLS}
    for name, words in refusals.items():
        assert words == f"AccessDeniedError: this credential lacks the scope {grants[name].value}"


async def test_erasing_is_a_scope_of_its_own(url: str) -> None:
    async with over_http(url, "no-erasing") as client:
        assert "erase_my_data" not in [one.name for one in (await client.list_tools()).tools]
        assert "subjects:erase" in await refused(client, "erase_my_data", CERTAINLY)


async def test_the_policys_roles_hold_besides_the_scopes(url: str) -> None:
    async with over_http(url) as alice:
        await asked(alice, "remember", {"content": "My amberquokka sleeps at noon."})
    async with over_http(url, "exporting") as client:
        words = await refused(client, "recall", {"question": "What sleeps?"})
        assert words.startswith("AccessDeniedError: the role 'export' may not search")
        assert (await asked(client, "export_my_data"))["memories"] == 1


@pytest.mark.parametrize("key", ["nobody's", "no-tenant"])
async def test_a_key_without_a_person_is_told_to_bring_one(url: str, key: str) -> None:
    async with httpx2.AsyncClient(headers=JSON) as http:
        answer = await http.post(url, json=PING, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 403
    assert "bound to one user" in answer.json()["error"]["message"]


async def test_nobody_comes_in_without_authentication(memory: TieredMemory) -> None:
    """The application itself refuses what no middleware has authenticated, and whatever else stands in that place."""
    from tiered_memory.mcp_server import mcp_app

    app = mcp_app(lambda: memory)
    for state in ({}, {"principal": None}, {"principal": {"user": "alice", "tenant": "acme"}}):
        transport = httpx2.ASGITransport(app=with_state(app, state))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=JSON) as http:
            answer = await http.post("/", json=PING)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


def with_state(app: Any, state: dict[str, Any]) -> Any:
    async def call(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": state}, receive, send)

    return call


def valid_arguments(tool: str) -> dict[str, Any]:
    return {
        "remember": {"content": "I like tea."},
        "update": {"memory_id": NOWHERE, "content": "I like tea.", "reason": "so it is"},
        "forget": {"memory_id": NOWHERE},
        "export_my_data": {},
        "erase_my_data": CERTAINLY,
    }[tool]


@given(st.frozensets(st.sampled_from(["agent", "support", "export", "auditor", EVERY_ROLE])))
def test_the_role_is_one_the_credential_has(roles: frozenset[str]) -> None:
    who = replace(ALICE, roles=roles)
    role = role_of(who)
    if roles:
        assert who.caller(role).role == role
        assert role == "agent" or "agent" not in roles
    else:
        with pytest.raises(AccessDeniedError):
            who.caller(role)


@pytest.mark.parametrize("who", [LOCAL, replace(ALICE, user=None), replace(BOB, tenant=None)])
def test_an_unbound_principal_has_no_memory(who: Principal) -> None:
    with pytest.raises(AccessDeniedError, match="bound to one user"):
        bound(who)
    assert bound(ALICE) == ("acme", "alice")


async def test_no_log_line_carries_what_anybody_said(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Texts, ids, names of tools, prompts and resources that a peer made up, and hostile headers."""
    caplog.set_level(logging.INFO)
    caplog.clear()
    canary = "cobaltpangolin"
    async with over_http(url) as client:
        kept = await asked(client, "remember", {"content": f"My {canary} sleeps at noon."})
        await asked(client, "recall", {"question": canary})
        await refused(client, "get", {"memory_id": canary})
        await refused(client, canary, {})
        await refused(client, "recall", {"question": "x", canary: canary})
        with pytest.raises(MCPError):
            await client.get_prompt(canary)
        with pytest.raises(MCPError):
            await client.read_resource(f"memory://{canary}")
        with pytest.raises(MCPError):
            await client.get_prompt("use_memory", {canary: canary})
    async with httpx2.AsyncClient(headers={**JSON, "authorization": "Bearer alice-key"}) as http:
        for header in ("host", "origin", "mcp-protocol-version", "mcp-session-id"):
            await http.post(url, json=PING, headers={header: canary})
        await http.post(url, content=f"{{{canary}")
    written = caplog.text
    assert canary not in written
    assert kept["id"] not in written
