"""OpenTelemetry spans of requests and calls (extra `otel`): what happened and how long it took, never to whom.

Names follow the GenAI semantic conventions for memory operations (span `gen_ai.memory.client`, status Development, of
the repository open-telemetry/semantic-conventions-genai, whose attributes left the general conventions with their
version 1.42.0) and the HTTP server conventions of 1.41. Of theirs, spans carry `gen_ai.operation.name` and `error.type`.
Left out, although the conventions know them: `gen_ai.memory.query.text` and `gen_ai.memory.records`, because they are
content, and no variable turns them on; `gen_ai.memory.record.id` and `gen_ai.memory.store.id`, because they name a
person's memory; `url.path`, `url.query` and addresses. Errors are named by class, without message or stack.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from tiered_memory import __version__
from tiered_memory.errors import ConfigurationError
from tiered_memory.metrics import OTHER, Ended, Fact, RequestDone, Vocabulary

MISSING: Final = "traces need OpenTelemetry: pip install 'tiered-memory[otel]'"

try:
    from opentelemetry import context as otel_context
    from opentelemetry import trace
    from opentelemetry.trace import SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError:
    raise ConfigurationError(MISSING) from None

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SCOPE_NAME: Final = "tiered_memory"
SERVER_ERROR: Final = 500
CLOSING_SECONDS: Final = 2.0
HTTP_PROTOCOL: Final = "http/protobuf"
OPS: Final = Vocabulary().ops | {"about", "consents", "decide", "rights"}
GENAI: Final[Mapping[str, str]] = MappingProxyType(
    {
        # A new statement may make a memory, strengthen a held one or supersede it: the caller does not choose.
        "add": "upsert_memory",
        "add_many": "upsert_memory",
        "import": "upsert_memory",
        "search": "search_memory",
        "context": "search_memory",
        "get": "search_memory",
        "list": "search_memory",
        "update": "update_memory",
        "pin": "update_memory",
        "restore": "update_memory",
        "use": "update_memory",
        "delete": "delete_memory",
        "forget": "delete_memory",
        "erase": "delete_memory_store",
    }
)
"""The conventions' name of each call; a call that is not here (consents, holds, reports) is no memory operation."""
METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"}
)


class SpanObserver:
    """An observer that makes a span of each call, within the span that is current where the call is made.

    A span's name is the conventions' operation, or else "tiered_memory.OP"; its attributes are `tiered_memory.op`,
    `tiered_memory.outcome`, `gen_ai.operation.name`, and `error.type` of a call that failed.
    """

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._tracer = provider.get_tracer(SCOPE_NAME, __version__)

    def observe(self, fact: Fact) -> None:
        """Let a fact go: spans have a beginning, and facts have none."""

    def begin(self, op: str) -> Ended:
        """Begin the span of a call and make it the current one; return what ends it, to be called in the same task."""
        named = op if op in OPS else OTHER
        attributes = {"tiered_memory.op": named}
        operation = GENAI.get(named)
        if operation is not None:
            attributes["gen_ai.operation.name"] = operation
        span = self._tracer.start_span(operation or f"tiered_memory.{named}", attributes=attributes)
        token = otel_context.attach(trace.set_span_in_context(span))

        def ended(done: RequestDone) -> None:
            span.set_attribute("tiered_memory.outcome", done.outcome)
            if done.outcome != "ok":
                span.set_attribute("error.type", done.outcome)
                span.set_status(StatusCode.ERROR)
            span.end()
            otel_context.detach(token)

        return ended


class HttpSpans:
    """ASGI middleware: a server span per request, a child of the caller's `traceparent` where there is one.

    Belongs within `logs.RequestId` and around `logs.AccessLog`, whose line then tells the trace. Baggage and tracestate of a caller are not taken over: they are
    free text.
    """

    def __init__(self, app: App, provider: trace.TracerProvider) -> None:
        self._app = app
        self._tracer = provider.get_tracer(SCOPE_NAME, __version__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        span = self._tracer.start_span(
            method,
            context=_parent(scope["headers"]),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "url.scheme": _scheme(scope)},
        )
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            await self._served(scope, receive, send, span)

    async def _served(self, scope: Scope, receive: Receive, send: Send, span: trace.Span) -> None:
        status, failure = 0, ""

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except BaseException as error:
            failure = type(error).__name__
            # What a server answers for an application that did not.
            status = status or (SERVER_ERROR if isinstance(error, Exception) else 0)
            raise
        finally:
            _describe(span, scope, status, failure)


def _describe(span: trace.Span, scope: Scope, status: int, failure: str) -> None:
    route = getattr(scope.get("route"), "path", None)
    if isinstance(route, str):
        span.set_attribute("http.route", route)
        method = scope["method"] if scope["method"] in METHODS else "HTTP"
        span.update_name(f"{method} {route}")
    if status:
        span.set_attribute("http.response.status_code", status)
    if failure or status >= SERVER_ERROR:
        span.set_attribute("error.type", failure or str(status))
        span.set_status(StatusCode.ERROR)


def _scheme(scope: Scope) -> str:
    return "https" if scope.get("scheme") == "https" else "http"


def _parent(headers: Iterable[tuple[bytes, bytes]]) -> otel_context.Context:
    found = [value for key, value in headers if key.lower() == b"traceparent"]
    carrier = {"traceparent": found[0].decode("latin-1")} if len(found) == 1 else {}
    return TraceContextTextMapPropagator().extract(carrier, context=otel_context.Context())


class TraceIds(logging.Filter):
    """Notes `trace_id` and `span_id` of the current span on each record: for the `filters` of `logs.configure`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            record.trace_id = trace.format_trace_id(span.trace_id)
            record.span_id = trace.format_span_id(span.span_id)
        return True


# --- export --------------------------------------------------------------------------------------------------


class Traces:
    """Spans on their way to a collector: an observer for the memory, a middleware for the daemon."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self.observer = SpanObserver(provider)

    def middleware(self, app: App) -> HttpSpans:
        """Return `app` with a span around each request."""
        return HttpSpans(app, self._provider)

    def close(self, seconds: float = CLOSING_SECONDS) -> None:
        """Export what waits, and stop; returns after `seconds` even when the collector does not answer."""
        # The exporter's own timeout is longer than a daemon has to end in.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(seconds)


def configure_traces() -> Traces | None:
    """Return traces set up by OpenTelemetry's variables, or None when nothing asks for them.

    They are on when `OTEL_TRACES_EXPORTER` is "otlp" or "console", or an `OTEL_EXPORTER_OTLP_…ENDPOINT` is set, and off
    by `OTEL_SDK_DISABLED=true`. Endpoint, headers, timeout, batching, sampler and resource follow the standard
    variables. The process's global provider stays as it is: other libraries' spans do not travel with ours.

    Raises:
        ConfigurationError: the exporter or the protocol is none that there is (OTLP travels over HTTP), or the extra
            `otel` is not installed.
    """
    chosen = _exporter_named(os.environ)
    if chosen == "none":
        return None
    try:
        return Traces(_provider(chosen))
    except ModuleNotFoundError:
        raise ConfigurationError(MISSING) from None


def _provider(chosen: str) -> TracerProvider:
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({SERVICE_VERSION: __version__})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "tiered-memory"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_exporter(chosen, os.environ)))
    return provider


def _exporter_named(environ: Mapping[str, str]) -> str:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return "none"
    named = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if named:
        return named
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return "otlp" if any(environ.get(one) for one in endpoints) else "none"


def _exporter(named: str, environ: Mapping[str, str]) -> SpanExporter:
    if named == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if named != "otlp":
        raise ConfigurationError('OTEL_TRACES_EXPORTER must be "otlp", "console" or "none"')
    general = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or HTTP_PROTOCOL
    if (environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or general) != HTTP_PROTOCOL:
        raise ConfigurationError(
            f"traces travel over {HTTP_PROTOCOL} only: set OTEL_EXPORTER_OTLP_PROTOCOL to it"
        )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
