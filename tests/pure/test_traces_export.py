from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tiered_memory.errors import ConfigurationError
from tiered_memory.logs import configure
from tiered_memory.metrics import FanOut, timed

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

from opentelemetry import trace
from otlp_collector import Collector

from tiered_memory.traces import configure_traces

CANARY = "canary-3f9"


def call(observer: Any, op: str) -> None:
    with timed(observer, op):
        pass


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.startswith("OTEL_"):
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


@pytest.mark.parametrize(
    "missing", ["opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter"]
)
def test_without_what_exports_it_says_what_to_install(environ: pytest.MonkeyPatch, missing: str) -> None:
    assert configure_traces() is None
    environ.setenv("OTEL_TRACES_EXPORTER", "otlp")
    environ.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError, match=r"tiered-memory\[otel\]"):
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


def test_a_collector_that_never_answers_delays_the_end_by_little(environ: pytest.MonkeyPatch) -> None:
    before = set(threading.enumerate())
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        environ.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        environ.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
        traces = configure_traces()
        assert traces is not None
        call(traces.observer, "get")
        traces.close(seconds=0.1)
        left = set(threading.enumerate()) - before
        assert left, "it waited for the collector"
        for one in left:
            one.join(20)
    assert not any(one.is_alive() for one in left)


def test_without_the_extras_only_traces_are_missing() -> None:
    source = (
        "import sys; sys.modules['opentelemetry'] = sys.modules['structlog'] = None\n"
        "import tiered_memory.memory, tiered_memory.logs\n"
        "try:\n    import tiered_memory.traces\n"
        "except tiered_memory.errors.ConfigurationError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert "pip install 'tiered-memory[otel]'" in done.stdout
