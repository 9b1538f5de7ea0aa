"""What only HTTP has: keys of idempotency, entity tags, cursors, streams of lines, archives, verbs, media types."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from acceptance_house import HTTP, PURPOSE, House, served
from support import opened

from tiered_memory.daemon.serving import Phase, Serving
from tiered_memory.daemon_config import DaemonSettings
from tiered_memory.wire.problems import MEDIA_TYPE

pytestmark = pytest.mark.anyio
SAID = "My sister Hannah moved to Lisbon."
JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
async def http(shared_house: House) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without any manners of ours, at the path of a new person."""
    name = shared_house.name()
    user = shared_house.owner.user(name, "acme")
    await user.consent.grant(PURPOSE, notice="notice 1", explicit=True)
    async with client(shared_house.addresses[HTTP], shared_house.secret, name) as made:
        yield made


@asynccontextmanager
async def client(address: str, key: str, name: str) -> AsyncIterator[httpx2.AsyncClient]:
    base = f"{address}/v1/tenants/acme/users/{name}/"
    async with httpx2.AsyncClient(
        base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=30
    ) as made:
        yield made


async def add(http: httpx2.AsyncClient, content: str = SAID, **headers: str) -> httpx2.Response:
    return await http.post("memories", json={"content": content, "importance": 0.9}, headers=headers)


def told(response: httpx2.Response, status: int, error: str = "") -> dict[str, Any]:
    """Return a problem, checked."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    problem: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "error"} <= problem.keys()
    assert (problem["status"], problem["error"]) == (status, error)
    return problem


# --- idempotency ---------------------------------------------------------------------------------------------


async def test_a_key_adds_once(http: httpx2.AsyncClient) -> None:
    first = await add(http, **{"Idempotency-Key": "k1"})
    again = await add(http, **{"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert again.json()["repeated"] is True
    told(await add(http, "Something else.", **{"Idempotency-Key": "k1"}), 409, "ConflictError")
    told(await add(http, **{"Idempotency-Key": "x" * 300}), 422, "InvalidInputError")


async def test_keys_of_additions_outlive_the_daemon(tmp_path: Path) -> None:
    receipts = []
    for _ in range(2):
        async with opened(tmp_path / "store", settings={"redis_url": "local", "ballast_mib": 0}) as memory:
            user = memory.user("ann", "acme")
            await user.consent.grant(PURPOSE, notice="notice 1")
            async with served(memory, DaemonSettings(port=0)) as address, client(address, "", "ann") as http:
                del http.headers["Authorization"]
                receipts.append((await add(http, **{"Idempotency-Key": "k1"})).json())
                told(await add(http, "Else.", **{"Idempotency-Key": "k1"}), 409, "ConflictError")
    assert receipts[0]["id"] == receipts[1]["id"]
    assert [one["repeated"] for one in receipts] == [False, True]


async def test_other_acts_are_answered_from_memory(http: httpx2.AsyncClient) -> None:
    key, body = {"Idempotency-Key": "open 1"}, {"right": "access"}
    first = await http.post("requests", json=body, headers=key)
    again = await http.post("requests", json=body, headers=key)
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["cache-control"] == "no-store"
    assert len((await http.get("requests")).json()["items"]) == 1
    told(await http.post("requests", json={"right": "erasure"}, headers=key), 409, "ConflictError")


async def test_what_was_answered_about_a_person_goes_with_them(http: httpx2.AsyncClient) -> None:
    """However the path writes the person's name: a letter may come encoded."""
    key, body = {"Idempotency-Key": "open 1"}, {"right": "access"}
    encoded = str(http.base_url).replace("/users/p", "/users/%70") + "requests"
    first = [await http.post(path, json=body, headers=key) for path in ("requests", encoded)]
    assert [one.status_code for one in first] == [201, 201]
    assert (await http.post("erasure", json={"reason": "asked"})).status_code == 200
    for path, before in zip(("requests", encoded), first, strict=True):
        again = await http.post(path, json=body, headers=key)
        assert "idempotent-replayed" not in again.headers
        assert again.json().get("id") != before.json()["id"]


async def test_what_was_refused_may_be_asked_again(http: httpx2.AsyncClient) -> None:
    key = {"Idempotency-Key": "lift 1"}
    told(
        await http.post("restrictions/lifting", json={"reason": "settled"}, headers=key), 404, "NotFoundError"
    )
    await http.post("restrictions", json={"reason": "disputed"})
    assert (
        await http.post("restrictions/lifting", json={"reason": "settled"}, headers=key)
    ).status_code == 200


async def test_duplicates_at_once_act_once(http: httpx2.AsyncClient) -> None:
    found: list[httpx2.Response] = []

    async def ask(path: str, body: dict[str, Any]) -> None:
        found.append(await http.post(path, json=body, headers={"Idempotency-Key": path}))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(ask, "requests", {"right": "access"})
            tasks.start_soon(ask, "memories", {"content": SAID, "importance": 0.9})
    assert {one.status_code for one in found} == {201}
    assert len({one.json()["id"] for one in found}) == 2
    assert len((await http.get("requests")).json()["items"]) == 1


# --- entity tags ---------------------------------------------------------------------------------------------


async def test_entity_tags(http: httpx2.AsyncClient) -> None:
    path = f"memories/{(await add(http)).json()['id']}"
    read = await http.get(path)
    etag = read.headers["etag"]
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        same = await http.get(path, headers={"If-None-Match": known})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    changed = await http.patch(
        path, json={"content": "Hannah lives in Porto.", "reason": "moved"}, headers={"If-Match": etag}
    )
    assert changed.status_code == 200
    assert (await http.get(path, headers={"If-None-Match": etag})).status_code == 200
    told(
        await http.patch(path, json={"content": "No.", "reason": "late"}, headers={"If-Match": etag}),
        412,
        "ConflictError",
    )
    told(await http.delete(path, headers={"If-Match": etag}), 412, "ConflictError")
    told(await http.delete(path, headers={"If-Match": "abc"}), 422, "InvalidInputError")
    assert (await http.delete(path, headers={"If-Match": "*"})).status_code == 204


async def test_a_tag_of_a_shared_memory(shared_house: House, http: httpx2.AsyncClient) -> None:
    user, plan = str(http.base_url).rstrip("/").rpartition("/")[2], shared_house.name("plan")
    shared = shared_house.owner.shared(plan, "acme", user=user)
    await shared.create(notice="team notice", explicit=True)
    receipt = await shared.add(SAID, importance=0.9)
    path = f"../../shared/{plan}/memories/{receipt.id}?as_user={user}"
    told(await http.delete(path, headers={"If-Match": '"99"'}), 412, "ConflictError")
    etag = (await http.get(path)).headers["etag"]
    assert (await http.delete(path, headers={"If-Match": etag})).status_code == 204


# --- pages ---------------------------------------------------------------------------------------------------


async def test_pages_follow_their_cursors(http: httpx2.AsyncClient) -> None:
    for number in range(7):
        await add(http, f"Number {number} counts.")
    seen, page = [], await http.get("memories?limit=3")
    while page.json()["next"] is not None:
        seen += page.json()["items"]
        assert page.links["next"]["url"] == f"?limit=3&cursor={page.json()['next']}"
        page = await http.get("memories" + page.links["next"]["url"])
    seen += page.json()["items"]
    assert [one["content"][7] for one in seen] == list("6543210")
    assert "link" not in page.headers


@pytest.mark.parametrize(
    "query",
    [
        "cursor=1",
        "cursor=AAAAAAAAAAAA",
        "cursor=bf________8_",
        "before=3",
        "limit=0",
        "limit=x",
        "limit=1&limit=2",
        "what=1",
    ],
)
async def test_queries_that_are_none_are_refused(http: httpx2.AsyncClient, query: str) -> None:
    told(await http.get(f"memories?{query}"), 422, "InvalidInputError")


# --- lines ---------------------------------------------------------------------------------------------------


def lines(*contents: Any) -> bytes:
    return b"".join(json.dumps({"content": one, "importance": 0.9}).encode() + b"\n" for one in contents)


async def test_lines_in_and_out(http: httpx2.AsyncClient) -> None:
    said = [f"Number {number} counts." for number in range(450)]
    taken = await http.post("memories/lines", content=lines(*said), headers=LINES)
    receipts = [json.loads(one) for one in taken.text.splitlines()]
    assert len({one["id"] for one in receipts}) == len(said)
    out = await http.get("memories/lines")
    assert out.headers["content-type"] == LINES["Content-Type"]
    assert [json.loads(one)["content"] for one in out.text.splitlines()] == said[::-1]


async def test_a_bad_line_ends_the_stream_and_leaves_what_was_acknowledged(http: httpx2.AsyncClient) -> None:
    body = lines(*(f"Number {number} counts." for number in range(250))) + b"{no json\n" + lines("Late.")
    taken = await http.post("memories/lines", content=body, headers=LINES)
    *receipts, last = [json.loads(one) for one in taken.text.splitlines()]
    assert len(receipts) == 200
    assert last["problem"]["error"] == "InvalidInputError"
    assert len((await http.get("memories/lines")).text.splitlines()) == 200


@pytest.mark.parametrize("body", [b"{no json\n", lines(3), b'{"content": "x", "unknown": 1}\n', b"\xff\n"])
async def test_a_first_line_that_is_bad_is_a_problem(http: httpx2.AsyncClient, body: bytes) -> None:
    response = await http.post("memories/lines", content=body, headers=LINES)
    told(response, 422 if body.startswith(b'{"') else 400, "InvalidInputError")


async def test_lines_are_added_once_under_a_key(http: httpx2.AsyncClient) -> None:
    body, headers = (
        lines(*(f"Number {number} counts." for number in range(250))),
        LINES | {"Idempotency-Key": "k" * 255},
    )
    first = await http.post("memories/lines?purpose=service", content=body, headers=headers)
    again = await http.post("memories/lines?purpose=service", content=body, headers=headers)
    ids = [[json.loads(one)["id"] for one in response.text.splitlines()] for response in (first, again)]
    assert ids[0] == ids[1]
    assert len((await http.get("memories/lines")).text.splitlines()) == 250


async def test_a_line_has_an_end(shared_house: House, http: httpx2.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 2**20

    told(await http.post("memories/lines", content=endless(), headers=LINES), 422, "InvalidInputError")
    assert await shared_house.owner.user("nobody-said-anything").list() == []


# --- verbs, media types, paths -------------------------------------------------------------------------------


async def test_methods_that_a_path_has_not(http: httpx2.AsyncClient) -> None:
    for verb, path, allowed in (
        ("PUT", "memories", {"GET", "HEAD", "POST"}),
        ("OPTIONS", "memories", {"GET", "HEAD", "POST"}),
        ("GET", "search", {"POST"}),
        ("POST", "archive", {"GET", "HEAD", "PUT"}),
    ):
        response = await http.request(verb, path)
        told(response, 405)
        assert {one.strip() for one in response.headers["allow"].split(",")} == allowed
    told(await http.get("nothing-here"), 404)


@pytest.mark.parametrize(
    "path", ["memories", "memories/lines", "archive", "../../../../events", "../../../../health"]
)
async def test_head_is_get_without_its_body(http: httpx2.AsyncClient, path: str) -> None:
    response = await http.head(path)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize(
    ("verb", "path", "media_type"),
    [
        ("POST", "memories", "text/plain"),
        ("POST", "memories", ""),
        ("POST", "memories", "application/x-www-form-urlencoded"),
        ("POST", "memories/lines", "application/json"),
        ("PUT", "archive", "application/json"),
    ],
)
async def test_media_types_are_meant(http: httpx2.AsyncClient, verb: str, path: str, media_type: str) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    told(await http.request(verb, path, content=b'{"content": "x"}', headers=headers), 415)


async def test_a_charset_does_no_harm(http: httpx2.AsyncClient) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await http.post("memories", content=b'{"content": "Hello."}', headers=headers)).status_code == 201


async def test_where_nothing_is_taken_nothing_may_be_given(http: httpx2.AsyncClient) -> None:
    told(
        await http.request("GET", "memories", content=b'{"limit": 3}', headers=JSON), 422, "InvalidInputError"
    )
    told(await http.get("about?what=1"), 422, "InvalidInputError")
    told(await http.post("memories?content=x", json={"content": "x"}), 422, "InvalidInputError")


@pytest.mark.parametrize("policy", ["/etc/passwd", "policy.toml", "../gdpr", "a.b", ""])
async def test_no_file_of_the_daemons_machine_is_read(http: httpx2.AsyncClient, policy: str) -> None:
    problem = told(await http.get("forecast", params={"policy": policy}), 422, "InvalidInputError")
    assert "passwd" not in problem["detail"]


# --- archives ------------------------------------------------------------------------------------------------


async def test_archives_are_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path / "store", settings={"redis_url": "local", "ballast_mib": 0}) as memory:
        settings = DaemonSettings(port=0, max_archive_mib=1)
        async with served(memory, settings) as address, client(address, "", "ann") as http:
            del http.headers["Authorization"]
            body, headers = b"PK" + bytes(2 * 2**20), {"Content-Type": "application/zip"}
            told(await http.put("archive", content=body, headers=headers), 413)
            told(await http.put("archive", content=b"PK", headers=headers), 422, "ArchiveError")


async def test_an_archive_is_a_file_with_a_name(http: httpx2.AsyncClient) -> None:
    await add(http)
    made = await http.get("archive?kind=portability")
    assert made.headers["content-type"] == "application/zip"
    assert made.headers["content-disposition"].startswith("attachment; filename=")
    assert int(made.headers["content-length"]) == len(made.content)
    assert made.content[:2] == b"PK"
    facts = json.loads(made.headers["tiered-memory-archive"])
    assert (facts["bytes"], "/" in facts["path"]) == (len(made.content), False)
    told(await http.get("archive?kind=everything"), 422, "InvalidInputError")


# --- events --------------------------------------------------------------------------------------------------


async def test_events_end_when_the_daemon_drains(tmp_path: Path) -> None:
    async with opened(tmp_path / "store", settings={"redis_url": "local", "ballast_mib": 0}) as memory:
        serving = Serving(DaemonSettings(port=0), memory, Phase.READY)
        async with (
            served(memory, DaemonSettings(port=0), serving=serving) as address,
            client(address, "", "ann") as http,
        ):
            del http.headers["Authorization"]
            async with http.stream("GET", "../../../../events") as response:
                pieces = response.aiter_raw()
                assert await anext(pieces) == b"\n"
                serving.ending.set()
                with anyio.fail_after(10):
                    assert [piece async for piece in pieces] == []
