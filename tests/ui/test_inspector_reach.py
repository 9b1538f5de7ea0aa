"""What a credential reaches in the inspector, and that words which are not ours stay words."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inspector_door import HERE, Door
from inspector_stage import HOSTILE
from support import consenting

from tiered_memory.inspector.visitors import MOST_SESSIONS, Names, Seal, Sessions
from tiered_memory.principals import LOCAL
from tiered_memory.testing import ManualClock, SeededEntropy

pytestmark = pytest.mark.anyio


# --- what a credential reaches -------------------------------------------------------------------------------

REACHED = {
    "reader-key": {"/people", "/p", "/p/search", "/p/context"},
    "alice-key": {"/people", "/p", "/p/search", "/p/context", "/p/rights"},
    "operator-key": {
        "/",
        "/people",
        "/forgetting",
        "/audit",
        "/p",
        "/p/search",
        "/p/context",
        "/p/forgetting",
        "/p/rights",
    },
}
EVERY = sorted(REACHED["operator-key"])


@pytest.mark.parametrize("key", REACHED)
async def test_a_credential_reaches_what_it_may(door: Door, key: str) -> None:
    await door.sign_in(key)
    for path in sorted(REACHED["operator-key"]):
        of_a_person = path == "/p" or path.startswith("/p/")
        answer = await door.visitor.get(door.address(path=path.removeprefix("/p")) if of_a_person else path)
        if path in REACHED[key]:
            assert answer.status_code == 200, path
            shown = set(re.findall(r'<li><a href="/ui(/[a-z]*)"', answer.text))
            assert shown == {one for one in REACHED[key] if not one.startswith(("/p/", "/p"))} | {"/people"}
        else:
            assert answer.status_code in {303, 403}, path
            assert "tea" not in answer.text


async def test_a_bound_credential_reaches_nobody_else(door: Door) -> None:
    bob = await consenting(door.memory, "bob")
    await bob.add("Bob likes beer.", importance=0.8)
    await door.sign_in("alice-key")
    for path in ("", "/search", "/context", "/rights", "/forgetting", "/forecast.json"):
        answer = await door.visitor.get(door.address("bob", path))
        assert answer.status_code == 403
        assert "beer" not in answer.text
    for tenant in ("other", "acme "):
        assert (await door.visitor.get(door.address("alice", tenant=tenant))).status_code == 403


async def test_buttons_are_for_whoever_may(door: Door) -> None:
    memory_id = (await door.memory.user("alice", "acme").list())[0].id
    path = door.address(path=f"/m/{memory_id}")
    assert "Pin" in (await door.visitor.get(path)).text
    await door.sign_in("reader-key")
    page = await door.visitor.get(path)
    assert page.status_code == 200
    assert ">Pin<" not in page.text
    assert "Correct…" not in page.text
    token = await door.token()
    for act, fields in (("pin", {"pinned": "yes"}), ("edit", {"content": "x", "reason": "x"})):
        answer = await door.visitor.post(f"{path}/{act}", data={"csrf": token, **fields}, headers=HERE)
        assert answer.status_code == 403
    for act in ("erase", "export"):
        fields = {"csrf": token, "confirm": "alice", "reason": "x", "kind": "access"}
        assert (
            await door.visitor.post(door.address(path=f"/{act}"), data=fields, headers=HERE)
        ).status_code == 403
    assert len(await door.memory.user("alice", "acme").list()) == 1


async def test_a_role_narrows_what_is_seen(door: Door) -> None:
    answer = await door.post("/role", {"role": "auditor"})
    assert answer.status_code == 303
    refused = await door.visitor.get(door.address())
    assert refused.status_code == 403
    assert "tea" not in refused.text
    assert (await door.post("/role", {"role": "agent"})).status_code == 303
    assert "tea" in (await door.visitor.get(door.address())).text
    await door.sign_in("reader-key")
    token = await door.token()
    assert (
        await door.visitor.post("/role", data={"csrf": token, "role": "admin"}, headers=HERE)
    ).status_code == 403


async def test_a_restricted_person_is_shown_what_they_may_ask_for(door: Door) -> None:
    await door.memory.user("alice", "acme").rights.restrict(reason="contested")
    answer = await door.visitor.get(door.address())
    assert answer.status_code == 409
    assert f'href="/ui{door.address(path="/rights")}"' in answer.text
    assert "restricted since" in (await door.visitor.get(door.address(path="/rights"))).text


async def test_looking_is_recorded(door: Door) -> None:
    await door.visitor.get(door.address())
    found = await door.memory.ledger.entries(limit=5)
    assert found[0].event == "accessed"
    assert found[0].detail["category"] == "inspector"


# --- words that are not ours ---------------------------------------------------------------------------------


async def test_no_id_stands_in_an_address(door: Door) -> None:
    answer = await door.post("/people", {"user": "alice", "tenant": "acme"})
    assert "alice" not in answer.headers["location"]
    page = await door.visitor.get(door.address())
    addresses = re.findall(r'(?:href|action|data-source)="([^"]+)"', page.text)
    assert addresses
    assert [one for one in addresses if "alice" in one or "acme" in one] == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
)
async def test_whatever_is_asked_comes_back_as_text(door: Door, words: str) -> None:
    for path in ("/search", "/context"):
        fields = {"question": f"<i>{words}", "limit": "5", "token_budget": "100"}
        answer = await door.post(door.address(path=path), fields)
        assert answer.status_code in {200, 400}
        assert "<i>" not in answer.text
        assert "\u202e" not in answer.text


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/search", {"question": "x", "limit": "many"}),
        ("/search", {"question": "x", "limit": "-1"}),
        ("/search", {"question": ""}),
        ("/context", {"question": "x", "token_budget": "0"}),
        ("/erase", {"confirm": "bob", "reason": "x"}),
        ("/erase", {"confirm": "alice"}),
        ("/export", {"kind": "everything"}),
    ],
)
async def test_what_cannot_be_is_said_and_changes_nothing(
    door: Door, path: str, fields: dict[str, str]
) -> None:
    answer = await door.post(door.address(path=path), fields)
    assert answer.status_code == 400
    assert "<h1" in answer.text
    assert len(await door.memory.user("alice", "acme").list()) == 1


@pytest.mark.parametrize("path", ["?kind=none", "?session=none", "?before=x", "/m/none", "/m/" + "0" * 32])
async def test_a_wrong_address_is_an_answer(door: Door, path: str) -> None:
    assert (await door.visitor.get(door.address(path=path))).status_code in {400, 404}


# --- the parts -----------------------------------------------------------------------------------------------


async def test_sessions_and_names_are_bounded() -> None:
    sessions = Sessions(ManualClock(), SeededEntropy(1))
    every = [sessions.begin(LOCAL) for _ in range(MOST_SESSIONS + 5)]
    assert sum(sessions.principal(one) is not None for one in every) == MOST_SESSIONS
    assert sessions.principal(every[-1]) == LOCAL
    sessions.end("none such")


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1), st.text())
def test_a_seal_holds_for_its_own_words(one: list[str], other: list[str], forged: str) -> None:
    seal = Seal(SeededEntropy(1))
    assert seal.holds(seal.sign(*one), *one)
    assert seal.holds(seal.sign(*one), *other) == (one == other)
    assert not seal.holds(forged, *one)
    names = Names(seal)
    assert names.words(names.of(*one)) == tuple(one)
    assert names.words(forged) is None
    assert (names.of(*one) == names.of(*other)) == (one == other)
