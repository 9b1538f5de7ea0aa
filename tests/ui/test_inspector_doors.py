"""Who gets in: headers, sessions, forged forms, other names."""

from __future__ import annotations

import re

import pytest
from inspector_door import HERE, HOST, Door

from tiered_memory.inspector.app import GET, POST
from tiered_memory.inspector.visitors import IDLE_SECONDS, LONGEST_SECONDS

pytestmark = pytest.mark.anyio


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


async def test_a_stranger_may_send_a_key_and_no_more(door: Door) -> None:
    known = await door.post("/people", {"user": "alice", "tenant": "acme", "more": "a" * 20_000})
    assert known.status_code == 303
    door.principal = None
    refused = await door.visitor.post("/login", data={"key": "a" * 20_000}, headers=HERE)
    assert (refused.status_code, "16 KiB" in refused.text) == (400, True)
    longest = await door.sign_in("%" * 4096)
    assert (longest.status_code, "no key of this daemon" in longest.text) == (403, True)


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


@pytest.mark.parametrize("path", ["/live", "/data/overview.json", "/data/forecast.json"])
async def test_a_page_left_open_keeps_no_session(door: Door, path: str) -> None:
    await door.sign_in("operator-key")
    assert (await door.visitor.get(path)).status_code == 200
    for _ in range(2):
        door.clock.advance(IDLE_SECONDS * 0.6)
        answer = await door.visitor.get(path, headers={"hx-request": "true"})
    assert answer.headers["hx-redirect"] == "/ui/login"
    assert (await door.visitor.get(path)).status_code == 303


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
