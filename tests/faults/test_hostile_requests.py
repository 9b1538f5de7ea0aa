"""Requests that no honest client sends, byte by byte: each gets a clear refusal, nothing leaks, the daemon goes on."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack

import anyio
import pytest
from anyio.to_thread import run_sync
from support import until

pytest.importorskip("uvicorn", reason="needs the extra server")

from hostile import CANARY, CLOSE, HOST, JSON, MEMORIES, Answer, answers, chunked, posted, request
from live_daemon import LiveDaemon, client, connected, told

pytestmark = pytest.mark.anyio
HEAD_SECONDS, BODY_SECONDS, MOST = 0.6, 0.8, 24
LINES = MEMORIES + b"/lines"
DEEP = 100_000


@pytest.fixture(scope="module")
async def daemon(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveDaemon]:
    bounds = {
        "TIERED_MEMORY_DAEMON__HEAD_SECONDS": str(HEAD_SECONDS),
        "TIERED_MEMORY_DAEMON__BODY_SECONDS": str(BODY_SECONDS),
        "TIERED_MEMORY_DAEMON__MOST_CONNECTIONS": str(MOST),
        "TIERED_MEMORY_DAEMON__MAX_BODY_MIB": "1",
        "TIERED_MEMORY_DAEMON__REQUESTS_PER_SECOND": "100000",
    }
    with LiveDaemon(tmp_path_factory.mktemp("hostile"), **bounds) as live:
        await live.ready()
        yield live
        assert CANARY not in live.log
        assert "Traceback" not in live.log
        assert not [line for line in live.lines if line["level"] in {"error", "critical"}]
        status, seconds = await live.stop()
        assert (status, seconds < 10) == (0, True)


@pytest.fixture(scope="module")
async def address(daemon: LiveDaemon) -> str:
    return await daemon.ready()


async def refused(address: str, raw: bytes) -> Answer:
    """Return the one problem that is told, which must not repeat a word of the request."""
    found = await run_sync(told, address, raw)
    assert CANARY.encode() not in found
    (one,) = answers(found)
    assert 400 <= one.status < 500
    assert one.problem["detail"]
    return one


# --- heads ---------------------------------------------------------------------------------------------------

HEADS = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "a NUL in the target": (request(target=b"/v1/\x00" + CANARY.encode()), 400),
    "a NUL in a header": (request(more=b"X-A: a\x00b\r\n"), 400),
    "a space before the colon": (request(more=b"Content-Length : 3\r\n", body=b"abc"), 400),
    "a folded header": (request(more=b"X-A: a\r\nContent-Length: 3\r\n b\r\n"), 400),
    "a bare line feed injects nothing": (request(more=b"X-A: a\rX-B: " + CANARY.encode() + b"\r\n"), 400),
    "no Host": (b"GET /v1/health HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (request(more=b"Host: evil.example\r\n"), 400),
    "two lengths": (request(b"POST", MEMORIES, more=b"Content-Length: 3\r\nContent-Length: 4\r\n"), 400),
    "a length that is no number": (request(b"POST", MEMORIES, more=b"Content-Length: +3\r\n"), 400),
    "a negative length": (request(b"POST", MEMORIES, more=b"Content-Length: -1\r\n"), 400),
    "a length of twenty digits": (posted(b"", JSON)[:-5] + b"9" * 20 + b"\r\n\r\n", 413),
    "a length of many digits": (posted(b"", JSON)[:-5] + b"9" * 30 + b"\r\n\r\n", 400),
    "length and chunks": (chunked(b"0\r\n\r\n", b"Content-Length: 3\r\n"), 400),
    "chunks in HTTP/1.0": (chunked(b"0\r\n\r\n", version=b"1.0"), 400),
    "an unknown coding": (request(b"POST", MEMORIES, more=b"Transfer-Encoding: xchunked\r\n"), 400),
    "two codings": (request(b"POST", MEMORIES, more=b"Transfer-Encoding: gzip, chunked\r\n"), 400),
    "two coding lines": (chunked(b"0\r\n\r\n", b"Transfer-Encoding: identity\r\n"), 400),
    "a coding in disguise": (request(b"POST", MEMORIES, more=b"Transfer-Encoding: \x0bchunked\r\n"), 400),
    "HTTP/2 by surmise": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a long target": (request(target=b"/v1/" + CANARY.encode() * 450), 414),
    "a long query": (request(target=b"/v1/health?a=" + b"a" * 9000), 414),
    "a long header": (request(more=b"X-A: " + CANARY.encode() * 2000 + b"\r\n"), 431),
    "a header without an end": (b"GET /v1/health HTTP/1.1\r\n" + HOST + b"X-A: " + b"a" * 80_000, 431),
    "many headers": (request(more=b"".join(b"X-%d: a\r\n" % one for one in range(5000))), 431),
    "an absolute target": (request(target=b"http://evil.example/v1/health"), 404),
    "a target of no path": (request(b"OPTIONS", b"*"), 404),
    "a tunnel": (request(b"CONNECT", b"evil.example:443"), 404),
    "a trace": (request(b"TRACE", b"/v1/health"), 405),
    "a method of its own": (request(CANARY.upper().encode(), b"/v1/health"), 405),
    "another's name": (request(host=b"Host: " + CANARY.encode() + b".example\r\n"), 401),
    "another's name that begins like ours": (request(host=b"Host: localhost.evil.example\r\n"), 401),
    "a name with a user in it": (request(host=b"Host: localhost@evil.example\r\n"), 401),
    "a forwarded name": (
        request(host=b"Host: evil.example\r\n", more=b"X-Forwarded-Host: localhost\r\n"),
        401,
    ),
    "a trailing slash": (request(target=b"/v1/health/"), 404),
    "dots": (request(target=b"/v1/../v1/health"), 404),
    "encoded dots": (request(target=b"/v1/%2e%2e/health"), 404),
    "a bad escape in a segment": (request(target=b"/v1/tenants/%zz/users/u/memories"), 422),
    "half a character in a segment": (request(target=b"/v1/tenants/%c3%28/users/u/memories"), 422),
    "a NUL in a segment": (request(target=b"/v1/tenants/a%00b/users/u/memories"), 422),
    "an escape for an id that is none": (request(target=b"/v1/tenants/~%21%21/users/u/memories"), 422),
    "half a character in a header": (request(target=MEMORIES, more=b"Tiered-Memory-Actor: %c3%28\r\n"), 422),
}


@pytest.mark.parametrize("name", HEADS)
async def test_a_head_that_is_none_is_refused(address: str, name: str) -> None:
    raw, status = HEADS[name]
    assert (await refused(address, raw)).status == status


async def test_nothing_a_request_says_of_itself_gets_into_the_headers_of_its_answer(address: str) -> None:
    said = b"X-Request-Id: " + CANARY.encode() + b"%0d%0aSet-Cookie: a=b\r\nX-Forwarded-For: 9.9.9.9\r\n"
    (one,) = answers(await run_sync(told, address, request(target=b"/v1/nowhere%0d%0aX-A:%20b", more=said)))
    assert one.status == 404
    assert CANARY not in json.dumps(one.headers)
    assert not {"set-cookie", "x-a", "location", "access-control-allow-origin"} & set(one.headers)


async def test_an_upgrade_is_ignored_and_an_old_version_is_served(address: str) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n"
    for raw in (request(target=b"/livez", more=upgrade), b"GET /livez HTTP/1.0\r\n\r\n"):
        (one,) = answers(await run_sync(told, address, raw))
        assert one.status == 200


async def test_requests_in_one_piece_are_answered_in_their_order(address: str) -> None:
    ours = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
    found = await run_sync(told, address, ours * 20 + request(target=b"/v1/nowhere") + ours)
    assert [one.status for one in answers(found)] == [200] * 20 + [404]


async def test_what_follows_a_refused_body_is_no_request(address: str) -> None:
    inner = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
    for raw in (HEADS["length and chunks"][0] + inner, HEADS["two lengths"][0] + inner):
        assert [one.status for one in answers(await run_sync(told, address, raw))] == [400]


# --- bodies --------------------------------------------------------------------------------------------------

BODIES = {
    "no JSON": (posted(b"{" + CANARY.encode()), 400),
    "half a character": (posted(b'{"content": "\xc3\x28"}'), 400),
    "a lone surrogate": (posted(b'{"content": "\\ud800"}'), 400),
    "deep lists": (posted(b"[" * DEEP), 400),
    "a deep value": (
        posted(b'{"content": "a", "metadata": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}"),
        400,
    ),
    "a long list": (posted(b"[" + b"1," * 400_000 + b"1]"), 422),
    "a huge number": (posted(b'{"content": "a", "importance": ' + b"9" * 5000 + b"}"), 400),
    "an infinite number": (posted(b'{"content": "a", "importance": 1e999}'), 422),
    "no number": (posted(b'{"content": "a", "importance": NaN}'), 422),
    "a word of another type": (posted(b'{"content": ["' + CANARY.encode() + b'"]}'), 422),
    "an unknown name": (posted(b'{"content": "a", "colour": "' + CANARY.encode() + b'"}'), 422),
    "compressed": (posted(gzip.compress(b'{"content": "a"}'), JSON + b"Content-Encoding: gzip\r\n"), 415),
    "a form": (posted(b'{"content": "a"}', b"Content-Type: text/plain\r\n"), 415),
    "no type": (posted(b'{"content": "a"}', b""), 415),
    "longer than it may be": (posted(b'{"content": "' + b"a" * 2**20 + b'"}'), 413),
    "chunks without an end": (chunked(b"10000\r\n" + b"a" * 2**16 + b"\r\n"), 408),
    "more chunks than it may be": (chunked((b"10000\r\n" + b"a" * 2**16 + b"\r\n") * 17 + b"0\r\n\r\n"), 413),
    **{
        f"longer than it may be for {verb.decode()} of a name like a stream's: {target.rpartition(b'/')[2].decode()}": (
            request(verb, target, more=JSON + b"Content-Length: 1048577\r\n"),
            413,
        )
        for verb, target in (
            (b"PUT", b"/v1/tenants/acme/shared/lines"),
            (b"PUT", b"/v1/tenants/acme/shared/archive"),
            (b"PATCH", LINES),
            (b"DELETE", LINES),
            (b"GET", b"/v1/jobs/archive"),
        )
    },
    "a chunk that is none": (chunked(b"zz\r\n\r\n"), 400),
    "a chunk of a huge size": (chunked(b"f" * 40 + b"\r\n"), 400),
    "a chunk with much to say": (chunked(b"1;" + b"a" * 80_000), 431),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_none_is_refused(address: str, name: str) -> None:
    raw, status = BODIES[name]
    assert (await refused(address, raw)).status == status


async def test_a_million_lines_of_nothing_are_nothing(address: str) -> None:
    raw = posted(b"\n" * 1_000_000, b"Content-Type: application/x-ndjson\r\n", LINES)
    found = await run_sync(told, address, raw)
    assert found.startswith(b"HTTP/1.1 200 ")


# --- slow clients, and many ----------------------------------------------------------------------------------


async def test_a_head_that_drips_is_cut_off(address: str) -> None:
    """A byte now and then, as a slow loris does it: each is no pause, and all the same it ends."""

    def drip() -> tuple[bytes, float]:
        begun = time.monotonic()
        with connected(address) as made:
            made.settimeout(HEAD_SECONDS / 4)
            made.sendall(b"GET /livez HTTP/1.1\r\nX-A: ")
            while time.monotonic() - begun < 10 * HEAD_SECONDS:
                try:
                    found = made.recv(65_536)
                except TimeoutError:
                    made.sendall(b"a")
                else:
                    return found, time.monotonic() - begun
        raise AssertionError("the daemon waited for the head for ever")

    found, seconds = await run_sync(drip)
    (one,) = answers(found)
    assert one.status == 408
    assert one.problem["detail"]
    assert seconds < 5 * HEAD_SECONDS


async def test_a_connection_that_says_nothing_is_closed(address: str) -> None:
    assert await run_sync(told, address, b"") == b""


async def test_a_second_head_is_waited_for_no_longer(address: str) -> None:
    found = await run_sync(told, address, b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\nGET /live")
    assert [one.status for one in answers(found)] == [200, 408]


async def test_a_body_that_stops_or_drips_is_cut_off(address: str) -> None:
    head = b"POST " + MEMORIES + b" HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: 1000\r\n\r\n{"
    (one,) = answers(await run_sync(told, address, head))
    assert one.status == 408

    def drip() -> bytes:
        begun = time.monotonic()
        with connected(address) as made:
            made.settimeout(BODY_SECONDS / 4)
            made.sendall(head)
            while time.monotonic() - begun < 10 * BODY_SECONDS:
                try:
                    return made.recv(65_536)
                except TimeoutError:
                    made.sendall(b" ")
        raise AssertionError("the daemon waited for the body for ever")

    assert (await run_sync(drip)).startswith(b"HTTP/1.1 408 ")


async def test_what_is_left_of_a_refused_body_is_not_waited_for(address: str) -> None:
    raw = b"POST /v1/nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\nabc"
    begun = time.monotonic()
    (one,) = answers((await run_sync(told, address, raw)).split(b"HTTP/1.1 408")[0])
    assert one.status == 404
    assert time.monotonic() - begun < 10 * HEAD_SECONDS


async def test_clients_that_leave_within_their_body_leave_nothing_behind(
    daemon: LiveDaemon, address: str
) -> None:
    for _ in range(20):
        with connected(address) as made:
            made.sendall(
                b"POST " + MEMORIES + b" HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: 1000\r\n\r\n{"
            )
    async with client(address) as http:
        with anyio.fail_after(20):
            while not re.search(r"_http_in_flight(_requests)? 1\.0", (await http.get("/metrics")).text):
                await anyio.lowlevel.checkpoint()
    assert '"level": "error"' not in daemon.log


async def test_an_answer_that_nobody_reads_is_given_up(address: str) -> None:
    """Pipelined requests whose answers pile up: the daemon stops writing, and then closes."""

    def flood() -> float:
        begun = time.monotonic()
        with connected(address) as made:
            made.settimeout(0.2)
            asked = b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"
            while time.monotonic() - begun < 20:
                try:
                    made.sendall(asked * 100)
                except TimeoutError:
                    continue
                except OSError:
                    return time.monotonic() - begun
        raise AssertionError("the daemon waits for a reader for ever")

    assert await run_sync(flood) < 20


async def test_beyond_so_many_connections_one_is_told_to_come_again(address: str) -> None:
    with ExitStack() as stack:
        kept = [stack.enter_context(connected(address)) for _ in range(MOST)]
        for one in kept:
            one.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        assert all(one.recv(65_536).startswith(b"HTTP/1.1 200 ") for one in kept)
        (one_more,) = answers(await run_sync(told, address, b""))
        assert one_more.status == 503
        assert one_more.headers["retry-after"] == "1"
        assert one_more.problem["detail"]
    found = b""

    def again() -> bool:
        nonlocal found
        found = told(address, request(target=b"/livez"))
        return found.startswith(b"HTTP/1.1 200 ")

    await until(again)


async def test_it_answers_others_meanwhile(address: str) -> None:
    with ExitStack() as stack:
        for _ in range(MOST // 2):
            stack.enter_context(connected(address)).sendall(b"POST /v1/forgetting HTTP/1.1\r\nX-A: ")
        async with client(address) as http:
            for _ in range(20):
                assert (await http.get("/livez")).status_code == 200


# --- pages in browsers ---------------------------------------------------------------------------------------

PAGES = {
    "of another site": b"Sec-Fetch-Site: cross-site\r\n",
    "of another port": b"Sec-Fetch-Site: same-site\r\n",
    "of another origin": b"Origin: http://evil.example\r\n",
    "of no origin": b"Origin: null\r\n",
}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("verb", [b"POST", b"GET"])
async def test_a_page_of_another_origin_cannot_use_a_daemon_without_keys(
    address: str, name: str, verb: bytes
) -> None:
    raw = request(verb, b"/v1/forgetting" if verb == b"POST" else b"/v1/stats", more=PAGES[name])
    found = await refused(address, raw)
    assert (found.status, found.problem["error"]) == (403, "AccessDeniedError")


async def test_no_other_origin_is_ever_allowed(address: str) -> None:
    asks = b"Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n"
    found = await refused(address, request(b"OPTIONS", MEMORIES, more=asks))
    assert not [name for name in found.headers if name.startswith("access-control-")]


async def test_a_page_of_its_own_origin_may(address: str) -> None:
    own = HOST.replace(b"localhost", address.removeprefix("http://").encode())
    origin = b"Origin: " + address.encode() + b"\r\nSec-Fetch-Site: same-origin\r\n"
    (one,) = answers(await run_sync(told, address, request(target=b"/v1/stats", more=origin, host=own)))
    assert one.status == 200
    assert CLOSE.split(b":")[0].decode().lower() in one.headers


async def test_refusals_are_counted_even_before_there_is_a_request(address: str) -> None:
    asked = (HEADS["a header without an end"][0], HEADS["another's name"][0], b"GET /livez HTT")
    for raw in (*asked, request(target=b"/v1/stats", more=PAGES["of no origin"])):
        await refused(address, raw)
    async with client(address) as http:
        text = (await http.get("/metrics")).text
    found = re.findall(r'^tiered_memory_http_rejected_total\{reason="(\w+)"\} (\S+)$', text, re.MULTILINE)
    counted = {reason for reason, count in found if float(count) > 0}
    assert {"timeout", "body_too_large", "unauthenticated", "forbidden"} <= counted
