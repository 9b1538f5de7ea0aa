"""Who gets in and what they reach: sessions, forged forms, other names, grants, headers, words that are not ours."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inspector_stage import HOSTILE, KEYS
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from support import consenting, opened

from tiered_memory import TieredMemory
from tiered_memory.errors import UnauthenticatedError
from tiered_memory.inspector import Options, inspector_app
from tiered_memory.inspector.app import GET, POST
from tiered_memory.inspector.visitors import (
    IDLE_SECONDS,
    LONGEST_SECONDS,
    MOST_SESSIONS,
    Names,
    Seal,
    Sessions,
)
from tiered_memory.principals import LOCAL, Principal
from tiered_memory.testing import ManualClock, SeededEntropy

pytestmark = pytest.mark.anyio
HOST = "localhost:8765"
HERE = {"sec-fetch-site": "same-origin", "origin": f"http://{HOST}"}


class Door:
    """An inspector over a memory, and a visitor with a jar of cookies."""

    def __init__(self, memory: TieredMemory, clock: ManualClock) -> None:
        self.memory = memory
        self.clock = clock
        self.principal: Principal | None = LOCAL
        self.revoked: set[str] = set()
        self.app = inspector_app(
            lambda: memory, options=Options(verify=self._verify, recheck=self._recheck, clock=clock)
        )
        self.visitor = self.new_visitor()

    def new_visitor(self, host: str = HOST) -> httpx2.AsyncClient:
        outer = _Says(Starlette(routes=[Mount("/ui", self.app)]), self)
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=outer), base_url=f"http://{host}/ui")

    def address(self, user: str = "alice", path: str = "", tenant: str = "acme") -> str:
        return f"/p/{self.app.state.desk.names.of('person', tenant, user)}{path}"

    def filled(self, path: str, memory_id: str = "0" * 32) -> str:
        """Return a route's path with its parameters filled in."""
        person = self.address().removeprefix("/p/")
        return path.replace("{person}", person).replace("{memory}", memory_id).replace("{certificate}", "0")

    async def token(self, path: str = "/people") -> str:
        """Return the token of a page's forms."""
        page = await self.visitor.get(path)
        return re.search(r'name="csrf" value="(\w+)"', page.text).group(1)  # type: ignore[union-attr]

    async def post(self, path: str, fields: dict[str, str] | None = None) -> httpx2.Response:
        """Send a form as a page of ours would."""
        return await self.visitor.post(
            path, data={"csrf": await self.token(), **(fields or {})}, headers=HERE
        )

    async def sign_in(self, key: str) -> httpx2.Response:
        self.principal = None
        page = await self.visitor.get("/login")
        token = re.search(r'name="csrf" value="(\w+)"', page.text).group(1)  # type: ignore[union-attr]
        return await self.visitor.post("/login", data={"csrf": token, "key": key}, headers=HERE)

    async def _verify(self, key: str) -> Principal:
        if key not in KEYS:
            raise UnauthenticatedError
        return KEYS[key]

    async def _recheck(self, principal: Principal) -> bool:
        return principal.name not in self.revoked


class _Says:
    """The daemon's middleware: it says who asks."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["principal"] = self._door.principal
        await self._app(scope, receive, send)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    clock = ManualClock()
    async with opened(tmp_path / "data", settings={"redis_url": "local"}, clock=clock) as memory:
        alice = await consenting(memory)
        await alice.add("I like tea.", importance=0.8, session="s")
        yield Door(memory, clock)


# --- headers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/", "/people", "/audit", "/login", "/nowhere", "/data/overview.json", "/static/app.js", "/static/none"],
)
async def test_every_answer_holds_its_page_in(door: Door, path: str) -> None:
    answer = await door.visitor.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == ("no-cache" if path == "/static/app.js" else "no-store")


async def test_no_page_has_script_or_style_of_its_own(door: Door) -> None:
    for path in ("/", "/people", "/audit", "/forgetting", door.address(), door.address(path="/rights")):
        page = (await door.visitor.get(path)).text
        assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
        assert "<style" not in page
        assert re.findall(r"<[^>]+\s(?:style|on\w+)=", page) == []
        assert set(re.findall(r'(?:src|href|action)="(https?:)?//', page)) == set()


async def test_the_session_is_a_cookie_no_script_and_no_other_site_gets(door: Door) -> None:
    cookie = (await door.visitor.get("/people")).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/ui" in cookie
    assert "secure" not in cookie
    door.visitor.base_url = f"https://{HOST}/ui"
    door.visitor.cookies.clear()
    assert "secure" in (await door.visitor.get("/people")).headers["set-cookie"].lower()


# --- forged forms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        (HERE, None),
        (HERE, "0" * 64),
        ({}, "good"),
        ({"origin": "null"}, "good"),
        ({"origin": "http://evil.example"}, "good"),
        ({"sec-fetch-site": "cross-site"}, "good"),
        ({"sec-fetch-site": "same-site", "origin": f"http://{HOST}"}, "good"),
        ({"sec-fetch-site": "same-origin", "origin": "http://evil.example"}, "good"),
        ({"sec-fetch-site": "none"}, "good"),
    ],
)
async def test_a_forged_form_does_nothing(door: Door, headers: dict[str, str], token: str | None) -> None:
    memory_id = (await door.memory.user("alice", "acme").list())[0].id
    given = await door.token() if token == "good" else token
    fields = {"reason": "x", "confirm": "alice", "content": "forged", "pinned": "yes", "user": "alice"}
    for path in POST:
        target = door.filled(path, memory_id)
        answer = await door.visitor.post(
            target, data=fields | ({"csrf": given} if given else {}), headers=headers
        )
        assert answer.status_code == 403, path
    assert [one.content for one in await door.memory.user("alice", "acme").list()] == ["I like tea."]


async def test_a_token_is_good_for_its_visitor_alone(door: Door) -> None:
    token = await door.token()
    other = door.new_visitor()
    await other.get("/people")
    answer = await other.post("/people", data={"csrf": token, "user": "alice"}, headers=HERE)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "given", [{"origin": f"http://{HOST}"}, {"sec-fetch-site": "same-origin", "origin": "null"}, HERE]
)
async def test_a_form_of_ours_is_taken(door: Door, given: dict[str, str]) -> None:
    fields = {"csrf": await door.token(), "user": "alice", "tenant": "acme"}
    answer = await door.visitor.post("/people", data=fields, headers=given)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/ui" + door.address()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", "application/json"),
        (b"\xff\xfe=1", "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % n for n in range(1000)), "application/x-www-form-urlencoded"),
        (b"a=" + b"x" * (3 << 20), "application/x-www-form-urlencoded"),
    ],
)
async def test_a_body_that_is_no_form_is_refused(door: Door, body: bytes, kind: str) -> None:
    await door.token()
    answer = await door.visitor.post("/people", content=body, headers=HERE | {"content-type": kind})
    assert answer.status_code in {400, 403}


async def test_nothing_is_changed_by_a_link(door: Door) -> None:
    for path in POST:
        if path not in GET:
            assert (await door.visitor.get(door.filled(path))).status_code == 405


# --- other names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.1.evil.example"]
)
async def test_an_open_daemon_answers_under_its_own_names_alone(door: Door, host: str) -> None:
    visitor = door.new_visitor(host)
    for path in ("/", "/people", door.address(), "/data/overview.json"):
        assert (await visitor.get(path)).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8765", "LOCALHOST:8765"])
async def test_its_own_names_are_the_loopbacks(door: Door, host: str) -> None:
    assert (await door.new_visitor(host).get("/people")).status_code == 200


# --- signing in ----------------------------------------------------------------------------------------------


async def test_nobody_gets_in_without_a_key(door: Door) -> None:
    door.principal = None
    for path in (*(one for one in GET if one != "/login"), "/nowhere"):
        answer = await door.visitor.get(door.filled(path))
        assert answer.status_code in {303, 404}, path
        assert "tea" not in answer.text


async def test_a_part_of_a_page_is_sent_to_the_door_whole(door: Door) -> None:
    door.principal = None
    answer = await door.visitor.get("/people", headers={"hx-request": "true"})
    assert answer.headers["hx-redirect"] == "/ui/login"


@pytest.mark.parametrize("key", ["", "no-such-key", "operator-key " * 1000, "operator-key\x00"])
async def test_a_wrong_key_opens_nothing(door: Door, key: str) -> None:
    answer = await door.sign_in(key)
    assert answer.status_code == 403
    assert key.strip() not in answer.text or not key
    assert (await door.visitor.get("/people")).status_code == 303


async def test_a_key_opens_under_a_new_session(door: Door) -> None:
    await door.visitor.get("/login")
    planted = dict(door.visitor.cookies)
    assert (await door.sign_in("operator-key")).status_code == 303
    assert dict(door.visitor.cookies) != planted
    page = await door.visitor.get("/people")
    assert page.status_code == 200
    assert "operator" in page.text
    assert "operator-key" not in page.text
    other = door.new_visitor()
    other.cookies.update(planted)
    assert (await other.get("/people")).status_code == 303


@pytest.mark.parametrize(
    ("step", "times"), [(IDLE_SECONDS + 1, 1), (IDLE_SECONDS - 1, int(LONGEST_SECONDS / IDLE_SECONDS) + 1)]
)
async def test_a_session_ends(door: Door, step: float, times: int) -> None:
    await door.sign_in("operator-key")
    for _ in range(times):
        door.clock.advance(step)
        answer = await door.visitor.get("/people")
    assert answer.status_code == 303


async def test_a_revoked_key_ends_its_sessions(door: Door) -> None:
    await door.sign_in("operator-key")
    assert (await door.visitor.get("/people")).status_code == 200
    door.revoked.add("operator")
    assert (await door.visitor.get("/people")).status_code == 303
    door.revoked.clear()
    assert (await door.visitor.get("/people")).status_code == 303


async def test_signing_out_ends_it(door: Door) -> None:
    await door.sign_in("operator-key")
    cookies = dict(door.visitor.cookies)
    token = await door.token()
    assert (await door.visitor.post("/logout", data={"csrf": token}, headers=HERE)).status_code == 303
    other = door.new_visitor()
    other.cookies.update(cookies)
    assert (await other.get("/people")).status_code == 303


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
