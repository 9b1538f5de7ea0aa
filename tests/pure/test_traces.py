from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from asgi_calls import answering, called, request
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import HotTierError
from tiered_memory.logs import AccessLog, RequestId, configure
from tiered_memory.logs.scrubbing import FIELDS
from tiered_memory.metrics import FanOut, NullObserver, RecordingObserver, RequestDone, timed

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tiered_memory.traces import GENAI, OPS, HttpSpans, SpanObserver, TraceIds

pytestmark = pytest.mark.anyio
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = [(b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())]
CANARY = "canary-3f9"


class Kept:
    """A provider whose spans are kept."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    @property
    def by_name(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.spans}


@pytest.fixture
def kept() -> Iterator[Kept]:
    found = Kept()
    yield found
    found.provider.shutdown()


def call(observer: Any, op: str, error: BaseException | None = None) -> None:
    with timed(observer, op):
        if error is not None:
            raise error


# --- calls ---------------------------------------------------------------------------------------------------


def test_a_call_is_a_span_named_as_the_conventions_say(kept: Kept) -> None:
    call(FanOut(SpanObserver(kept.provider)), "search")
    (span,) = kept.spans
    assert span.name == "search_memory"
    assert span.kind is trace.SpanKind.INTERNAL
    assert dict(span.attributes or {}) == {
        "tiered_memory.op": "search", "gen_ai.operation.name": "search_memory", "tiered_memory.outcome": "ok",
    }  # fmt: skip
    assert (span.status.status_code, span.status.description, list(span.events)) == (
        trace.StatusCode.UNSET,
        None,
        [],
    )


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (HotTierError(CANARY), "HotTierError"),
        (KeyError(CANARY), "other"),
        (TimeoutError(CANARY), "TimeoutError"),
    ],
)
def test_a_failed_call_names_the_error_s_class_alone(kept: Kept, error: Exception, told: str) -> None:
    with pytest.raises(type(error)):
        call(FanOut(SpanObserver(kept.provider)), "add", error)
    (span,) = kept.spans
    assert (span.attributes or {})["error.type"] == (span.attributes or {})["tiered_memory.outcome"] == told
    assert (span.status.status_code, span.status.description, list(span.events)) == (
        trace.StatusCode.ERROR,
        None,
        [],
    )
    assert CANARY not in span.to_json()


def test_what_is_no_memory_operation_has_a_name_of_ours(kept: Kept) -> None:
    call(SpanObserver(kept.provider), "hold")
    (span,) = kept.spans
    assert span.name == "tiered_memory.hold"
    assert "gen_ai.operation.name" not in (span.attributes or {})


@given(st.text())
def test_an_op_outside_the_closed_set_is_other(op: str) -> None:
    kept = Kept()
    call(SpanObserver(kept.provider), op)
    assert (kept.spans[0].attributes or {})["tiered_memory.op"] == (op if op in OPS else "other")


def test_every_memory_operation_is_one_of_the_conventions() -> None:
    assert set(GENAI) <= OPS
    assert set(GENAI.values()) <= {
        "create_memory_store", "search_memory", "create_memory", "update_memory", "upsert_memory", "delete_memory",
        "delete_memory_store",
    }  # fmt: skip


def test_the_documentation_tells_every_field_and_every_name() -> None:
    told = (Path(__file__).parents[2] / "docs" / "logs.md").read_text(encoding="utf-8")
    assert {name for name in FIELDS if f"`{name}`" not in told} == set()
    rows = [line.split("|")[1:3] for line in told.splitlines() if line.startswith("| `")]
    named = {op.strip(" `"): span.strip(" `") for ops, span in rows for op in ops.split(",")}
    assert {op: named.get(op) for op in GENAI} == dict(GENAI)


def test_a_call_within_a_call_is_its_child(kept: Kept) -> None:
    observer = FanOut(SpanObserver(kept.provider))
    with timed(observer, "erase"):
        call(observer, "delete")
    outer, inner = kept.by_name["delete_memory_store"], kept.by_name["delete_memory"]
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
    assert not trace.get_current_span().get_span_context().is_valid


async def test_calls_at_once_do_not_become_each_other_s_children(kept: Kept) -> None:
    observer, ready = FanOut(SpanObserver(kept.provider)), anyio.Event()

    async def one(last: bool) -> None:
        with timed(observer, "add"):
            if last:
                ready.set()
            await ready.wait()

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, number == 19)
    assert len(kept.spans) == 20
    assert all(span.parent is None for span in kept.spans)


def test_the_other_observers_hear_as_before(kept: Kept) -> None:
    recording = RecordingObserver()
    call(FanOut(FanOut(recording, SpanObserver(kept.provider))), "add")
    assert [fact.op for fact in recording.of(RequestDone)] == ["add"]
    assert len(kept.spans) == 1


def test_without_a_listener_nothing_begins() -> None:
    assert FanOut(NullObserver(), FanOut(RecordingObserver())).begin is None


@pytest.mark.parametrize("where", ["begin", "end"])
def test_a_broken_listener_does_not_disturb_the_call(kept: Kept, where: str) -> None:
    class Broken(NullObserver):
        def begin(self, op: str) -> Any:
            if where == "begin":
                raise RuntimeError
            return self.end

        def end(self, done: RequestDone) -> None:
            raise RuntimeError

    observer = FanOut(Broken(), SpanObserver(kept.provider))
    call(observer, "add")
    assert (observer.failures, len(kept.spans)) == (1, 1)


# --- requests ------------------------------------------------------------------------------------------------


async def test_a_request_s_span_is_the_caller_s_child_and_the_call_s_parent(kept: Kept) -> None:
    observer = FanOut(SpanObserver(kept.provider))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = SimpleNamespace(path="/v1/users/{user}/memories")
        call(observer, "add")
        await answering(scope, receive, send)

    scope = request(f"/v1/users/{CANARY}/memories", PARENT, method="POST", query=CANARY.encode())
    await called(RequestId(HttpSpans(app, kept.provider)), scope)
    served, added = kept.by_name["POST /v1/users/{user}/memories"], kept.by_name["upsert_memory"]
    assert served.kind is trace.SpanKind.SERVER
    assert served.parent is not None
    assert trace.format_span_id(served.parent.span_id) == SPAN
    assert added.parent is not None
    assert added.parent.span_id == served.context.span_id
    assert {trace.format_trace_id(span.context.trace_id) for span in kept.spans} == {TRACE}
    assert dict(served.attributes or {}) == {
        "http.request.method": "POST", "url.scheme": "http", "http.route": "/v1/users/{user}/memories",
        "http.response.status_code": 200,
    }  # fmt: skip


async def test_free_text_of_the_caller_goes_nowhere(kept: Kept) -> None:
    headers = [*PARENT, (b"tracestate", f"v={CANARY}".encode()), (b"baggage", f"user={CANARY}".encode())]
    scope = request(f"/{CANARY}", headers, method=CANARY.upper(), query=CANARY.encode())
    await called(HttpSpans(answering, kept.provider), scope)
    (span,) = kept.spans
    assert span.name == "_OTHER"
    assert not span.context.trace_state
    assert CANARY not in span.to_json().lower()


@pytest.mark.parametrize(
    "headers", [[], PARENT * 2, [(b"traceparent", b"\xff")], [(b"traceparent", b"00-0-0-01")]]
)
async def test_without_a_well_formed_parent_a_trace_begins(
    kept: Kept, headers: list[tuple[bytes, bytes]]
) -> None:
    await called(HttpSpans(answering, kept.provider), request(headers=headers))
    assert kept.spans[0].parent is None


async def test_a_failing_application_is_told_by_its_error_s_class(kept: Kept) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError(CANARY)

    with pytest.raises(KeyError):
        await called(HttpSpans(app, kept.provider), request())
    (span,) = kept.spans
    assert (span.attributes or {})["error.type"] == "KeyError"
    assert (span.attributes or {})["http.response.status_code"] == 500
    assert (span.status.status_code, span.status.description, list(span.events)) == (
        trace.StatusCode.ERROR,
        None,
        [],
    )


@pytest.mark.parametrize(("status", "failed"), [(404, False), (503, True)])
async def test_only_the_server_s_own_failures_are_errors(kept: Kept, status: int, failed: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    await called(HttpSpans(app, kept.provider), request())
    (span,) = kept.spans
    assert (span.status.status_code is trace.StatusCode.ERROR) is failed
    assert (span.attributes or {}).get("error.type") == (str(status) if failed else None)


async def test_lifespan_has_no_span(kept: Kept) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})

    assert (await called(HttpSpans(app, kept.provider), {"type": "lifespan"})).messages
    assert kept.spans == []


async def test_log_lines_within_name_their_span(kept: Kept) -> None:
    stream = io.StringIO()
    undo = configure(json=True, stream=stream, filters=[TraceIds()])
    observer = FanOut(SpanObserver(kept.provider))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with timed(observer, "add"):
            logging.getLogger("tiered_memory").warning("within")
        await answering(scope, receive, send)

    try:
        await called(RequestId(HttpSpans(AccessLog(app), kept.provider)), request(headers=PARENT))
        logging.getLogger("tiered_memory").warning("without")
    finally:
        undo()
    lines = {line["event"]: line for line in map(json.loads, stream.getvalue().splitlines())}
    spans = {span.kind: trace.format_span_id(span.context.span_id) for span in kept.spans}
    assert (lines["within"]["trace_id"], lines["within"]["span_id"]) == (
        TRACE,
        spans[trace.SpanKind.INTERNAL],
    )
    assert (lines["request"]["trace_id"], lines["request"]["span_id"]) == (
        TRACE,
        spans[trace.SpanKind.SERVER],
    )
    assert lines["request"]["request_id"] == TRACE
    assert "trace_id" not in lines["without"]
