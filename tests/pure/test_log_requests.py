from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from asgi_calls import GET_BODY, answering, called, request
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.clock import SeededEntropy
from tiered_memory.logs import AccessLog, RequestId, configure, request_id
from tiered_memory.logs.requests import given_id, trace_of

pytestmark = pytest.mark.anyio
TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
PARENT = b"00-" + TRACE + b"-" + SPAN + b"-01"
CANARY = "canary-3f9"


class Ticking:
    """A stopwatch that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    written = io.StringIO()
    undo = configure(json=True, level="debug", stream=written)
    yield written
    undo()


def told(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def named(name: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"x-request-id", name)]


# --- which id ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"a", b"A-Z_0.9", b"x" * 64])
def test_a_well_formed_id_is_taken(name: bytes) -> None:
    assert given_id(named(name)) == name.decode()
    assert given_id([(b"X-Request-Id", name), (b"traceparent", PARENT)]) == name.decode()


@pytest.mark.parametrize(
    "name",
    [
        b"", b"x" * 65, b"a b", b"a\n", b"a\r\nset-cookie: x=1", b"a;b", b"\xff", b"\x00", "ä".encode(), b"a/b",
        b'"', b"<script>", b"%0d%0a", b"a\x1b[2J",
    ],
)  # fmt: skip
def test_any_other_is_not(name: bytes) -> None:
    assert given_id(named(name)) is None
    assert given_id([*named(name), (b"traceparent", PARENT)]) == TRACE.decode()


def test_a_header_that_comes_twice_does_not_count() -> None:
    assert given_id([*named(b"a"), *named(b"a")]) is None
    assert given_id([(b"traceparent", PARENT), (b"traceparent", PARENT)]) is None


@pytest.mark.parametrize(
    "parent",
    [
        b"00-" + b"0" * 32 + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
        b"ff-" + TRACE + b"-" + SPAN + b"-01",
        PARENT.upper(),
        PARENT + b"-more",
        PARENT[:-1],
        PARENT + b"\n",
        b"01-" + PARENT[3:] + b"-a\nb",
        b" " + PARENT,
        b"",
    ],
)
def test_what_is_no_traceparent_names_no_trace(parent: bytes) -> None:
    assert trace_of(parent) is None


def test_a_later_version_of_traceparent_may_say_more() -> None:
    assert trace_of(PARENT) == trace_of(b"01-" + PARENT[3:] + b"-more") == TRACE.decode()
    assert trace_of(None) is None


@given(
    st.lists(
        st.tuples(st.sampled_from([b"x-request-id", b"X-Request-ID", b"traceparent"]), st.binary(max_size=80))
    )
)
async def test_whatever_comes_an_answer_s_id_is_well_formed(headers: list[tuple[bytes, bytes]]) -> None:
    answer = await called(RequestId(answering, SeededEntropy(1)), request(headers=headers))
    (name,) = answer.header(b"x-request-id")
    assert 0 < len(name) <= 64
    assert name.decode("ascii").replace(".", "").replace("_", "").replace("-", "").isalnum()


# --- where it goes -------------------------------------------------------------------------------------------


async def test_the_id_is_in_the_answer_the_scope_and_the_context() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(request_id())
        await answering(scope, receive, send)

    answer = await called(RequestId(app), request(headers=named(b"r-1")))
    assert answer.header(b"x-request-id") == [b"r-1"]
    assert answer.scope["state"]["request_id"] == "r-1"
    assert (seen, request_id()) == (["r-1"], "")


async def test_a_made_id_is_chance_and_new_each_time() -> None:
    app = RequestId(answering, SeededEntropy(1))
    first, second = [(await called(app, request())).header(b"x-request-id")[0] for _ in range(2)]
    assert len(first) == len(second) == 32
    assert first != second


async def test_what_the_application_says_of_an_id_is_replaced() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"X-Request-ID", b"other"), (b"a", b"b")],
            }
        )
        await send({"type": "http.response.body"})

    answer = await called(RequestId(app), request(headers=named(b"mine")))
    assert answer.start["headers"] == [(b"a", b"b"), (b"x-request-id", b"mine")]


async def test_lifespan_passes_and_websockets_are_named() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "websocket.accept" if scope["type"] == "websocket" else "lifespan.startup.complete"}
        )

    chain = RequestId(AccessLog(app))
    assert (await called(chain, {"type": "lifespan"})).messages == [{"type": "lifespan.startup.complete"}]
    answer = await called(chain, request(kind="websocket", headers=named(b"ws")))
    assert answer.header(b"x-request-id") == [b"ws"]


async def test_an_existing_state_is_kept() -> None:
    scope = {**request(headers=named(b"r")), "state": {"pool": 1}}
    assert (await called(RequestId(answering), scope)).scope["state"] == {"pool": 1, "request_id": "r"}


async def test_requests_at_once_keep_their_own_ids(stream: io.StringIO) -> None:
    seen: dict[str, list[str]] = {}
    ready = anyio.Event()

    async def inner() -> str:
        return request_id()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        mine = scope["state"]["request_id"]
        seen[mine] = [request_id()]
        if len(seen) == 50:
            ready.set()
        await ready.wait()
        seen[mine] += [await inner(), await anyio.to_thread.run_sync(request_id)]
        logging.getLogger("tiered_memory").info("working", extra={"op": mine})
        await answering(scope, receive, send)

    chain = RequestId(AccessLog(app))
    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(called, chain, request(headers=named(b"r-%d" % number)))
    assert all(found == [name] * 3 for name, found in seen.items())
    working = [line for line in told(stream) if line["event"] == "working"]
    assert len(working) == 50
    assert all(line["request_id"] == line["op"] for line in working)
    assert sorted(line["request_id"] for line in told(stream) if line["event"] == "request") == sorted(seen)


# --- the line of a request -----------------------------------------------------------------------------------


async def one_line(
    stream: io.StringIO, app: Any, scope: dict[str, Any] | None = None, incoming: Any = GET_BODY
) -> dict[str, Any]:
    await called(RequestId(AccessLog(app)), scope or request(), incoming)
    return [line for line in told(stream) if line["logger"] == "tiered_memory.access"][-1]


async def test_a_line_names_the_template_and_never_the_path(stream: io.StringIO) -> None:
    watch = Ticking()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = SimpleNamespace(path="/v1/users/{user}")
        scope["state"]["operation"] = "add"
        watch.now += 0.25
        await answering(scope, receive, send)

    scope = request(f"/v1/users/{CANARY}", named(b"r-1"), method="POST", query=f"q={CANARY}".encode())
    await called(RequestId(AccessLog(app, stopwatch=watch)), scope)
    (line,) = told(stream)
    del line["timestamp"]
    assert line == {
        "level": "info", "logger": "tiered_memory.access", "event": "request", "op": "add", "outcome": "ok",
        "seconds": 0.25, "method": "POST", "route": "/v1/users/{user}", "status": 200, "request_id": "r-1",
    }  # fmt: skip


async def test_what_no_route_served_has_no_template(stream: io.StringIO) -> None:
    line = await one_line(stream, answering, request(f"/{CANARY}", method=CANARY))
    assert "route" not in line
    assert line["method"] == "_OTHER"
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize(
    ("error", "outcome", "level", "status"),
    [
        (KeyError(CANARY), "KeyError", "error", 500),
        (ExceptionGroup(CANARY, [ValueError()]), "ExceptionGroup", "error", 500),
    ],
)
async def test_an_application_that_fails_is_told_with_its_stack(
    stream: io.StringIO, error: Exception, outcome: str, level: str, status: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    with pytest.raises(type(error)):
        await one_line(stream, app)
    (line,) = told(stream)
    assert (line["outcome"], line["level"], line["status"]) == (outcome, level, status)
    assert line["error"]["stack"][-1].endswith(" app")
    assert CANARY not in stream.getvalue()


async def test_a_cancelled_request_is_told_without_a_status(stream: io.StringIO) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.Event().wait()

    with anyio.move_on_after(0):
        await called(RequestId(AccessLog(app)), request())
    (line,) = told(stream)
    assert line["outcome"] == "CancelledError"
    assert "status" not in line
    assert "error" not in line


async def test_a_stream_s_line_comes_after_its_last_part(stream: io.StringIO) -> None:
    watch, during = Ticking(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            watch.now += 1
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            during.append(stream.getvalue())
        await send({"type": "http.response.body", "body": b""})

    answer = await called(RequestId(AccessLog(app, stopwatch=watch)), request())
    assert during == ["", "", ""]
    assert len(answer.messages) == 5
    (line,) = told(stream)
    assert (line["seconds"], line["outcome"]) == (3, "ok")


async def test_who_left_early_is_told_apart_from_who_left_after(stream: io.StringIO) -> None:
    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async def polite(scope: Any, receive: Any, send: Any) -> None:
        await answering(scope, receive, send)
        assert (await receive())["type"] == "http.disconnect"

    async def forgetful(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    outcomes = [(await one_line(stream, app))["outcome"] for app in (waiting, polite, forgetful)]
    assert outcomes == ["disconnected", "ok", "incomplete"]


async def test_a_file_sent_by_the_server_is_an_answer(stream: io.StringIO) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": "/x"})

    assert (await one_line(stream, app))["outcome"] == "ok"


@pytest.mark.parametrize(
    ("path", "status", "level"), [("/livez", 200, "debug"), ("/livez", 503, "error"), ("/x", 404, "info")]
)
async def test_probes_are_quiet_unless_they_fail(
    stream: io.StringIO, path: str, status: int, level: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = SimpleNamespace(path=path)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    assert (await one_line(stream, app))["level"] == level
