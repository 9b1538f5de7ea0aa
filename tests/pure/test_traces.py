from __future__ import annotations

import gzip
import io
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from asgi_calls import answering, called, request
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import ConfigurationError, HotTierError
from tiered_memory.logs import AccessLog, RequestId, configure
from tiered_memory.metrics import FanOut, NullObserver, RecordingObserver, RequestDone, timed

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tiered_memory.traces import GENAI, OPS, HttpSpans, SpanObserver, TraceIds, configure_traces

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


# --- export --------------------------------------------------------------------------------------------------


class Collector:
    """An OTLP/HTTP endpoint on a free port that decodes what it is sent."""

    def __init__(self) -> None:
        received = self.received = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                received.append(
                    (self.path, self.headers["content-type"], ExportTraceServiceRequest.FromString(body))
                )
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    import os

    for name in list(os.environ):
        if re.match("OTEL_", name):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


def test_spans_reach_a_collector_over_http(environ: pytest.MonkeyPatch, collector: Collector) -> None:
    environ.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    environ.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    traces = configure_traces()
    assert traces is not None
    call(FanOut(traces.observer), "add")
    traces.close()
    ((path, kind, export),) = collector.received
    assert (path, kind) == ("/v1/traces", "application/x-protobuf")
    (sent,) = export.resource_spans
    resource = {one.key: one.value.string_value for one in sent.resource.attributes}
    assert resource["service.name"] == "tiered-memory"
    assert resource["deployment.environment.name"] == "test"
    (span,) = sent.scope_spans[0].spans
    assert span.name == "upsert_memory"
    assert {one.key: one.value.string_value for one in span.attributes}["tiered_memory.outcome"] == "ok"


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"OTEL_SERVICE_NAME": "mine"}, "mine"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=theirs"}, "theirs"),
        ({}, "tiered-memory"),
    ],
)
def test_a_service_s_name_is_the_operator_s(
    environ: pytest.MonkeyPatch, collector: Collector, variables: dict[str, str], name: str
) -> None:
    for key, value in {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/x", **variables}.items():
        environ.setenv(key, value)
    traces = configure_traces()
    assert traces is not None
    call(traces.observer, "get")
    traces.close()
    ((path, _, export),) = collector.received
    resource = {one.key: one.value.string_value for one in export.resource_spans[0].resource.attributes}
    assert (path, resource["service.name"]) == ("/x", name)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "otlp"},
    ],
)
def test_nothing_is_traced_unless_asked_for(environ: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for key, value in variables.items():
        environ.setenv(key, value)
    assert configure_traces() is None


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, '"otlp", "console"'),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
            "http/protobuf",
        ),
    ],
)
def test_an_exporter_that_is_not_there_is_refused(
    environ: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    for key, value in variables.items():
        environ.setenv(key, value)
    with pytest.raises(ConfigurationError, match=said):
        configure_traces()


def test_the_global_provider_stays_as_it_is(environ: pytest.MonkeyPatch, collector: Collector) -> None:
    environ.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    before = trace.get_tracer_provider()
    traces = configure_traces()
    assert traces is not None
    with trace.get_tracer("a library").start_as_current_span(CANARY):
        pass
    traces.close()
    assert trace.get_tracer_provider() is before
    assert collector.received == []


def test_a_collector_that_is_not_there_stops_nobody(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    environ.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    stream = io.StringIO()
    undo = configure(json=True, stream=stream)
    try:
        traces = configure_traces()
        assert traces is not None
        call(traces.observer, "get")
        traces.close()
    finally:
        undo()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines
    assert all(line["logger"].startswith("opentelemetry.") for line in lines)


def test_without_the_extras_only_traces_are_missing() -> None:
    source = (
        "import sys; sys.modules['opentelemetry'] = sys.modules['structlog'] = None\n"
        "import tiered_memory.memory, tiered_memory.logs\n"
        "try:\n    import tiered_memory.traces\n"
        "except tiered_memory.errors.ConfigurationError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert "pip install 'tiered-memory[otel]'" in done.stdout
