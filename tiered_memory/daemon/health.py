"""Whether the process lives, has started, and should be given requests."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tiered_memory.daemon.answers import SAFE_HEADERS, error_answer, json_answer
from tiered_memory.daemon.serving import Phase, Serving
from tiered_memory.errors import TieredMemoryError
from tiered_memory.principals import Grant

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
Answer = Callable[[Request], Awaitable[Response]]


def routes(serving: Serving, exposition: Callable[[], bytes] | None) -> list[Route]:
    """Return the routes of health and metrics."""
    found = [
        Route("/livez", _livez(), methods=["GET"]),
        Route("/startupz", _startupz(serving), methods=["GET"]),
        Route("/readyz", _readyz(serving), methods=["GET"]),
    ]
    if exposition is not None:
        found.append(Route("/metrics", _metrics(exposition), methods=["GET"]))
    return found


def _livez() -> Answer:
    async def livez(_request: Request) -> Response:
        return json_answer(b'{"status":"ok"}')

    return livez


def _startupz(serving: Serving) -> Answer:
    async def startupz(_request: Request) -> Response:
        started = serving.phase is not Phase.STARTING
        return _said({"status": serving.phase.value}, well=started)

    return startupz


def _readyz(serving: Serving) -> Answer:
    async def readyz(request: Request) -> Response:
        if serving.phase is not Phase.READY:
            return _said({"status": serving.phase.value}, well=False)
        health = await serving.opened().health()
        told = {"status": "ready" if health.ready else "not ready"}
        if "verbose" in request.query_params:
            return _said(told | {"checks": dict(health.checks)}, well=health.ready)
        return _said(told, well=health.ready)

    return readyz


def _metrics(exposition: Callable[[], bytes]) -> Answer:
    async def metrics(request: Request) -> Response:
        try:
            request.scope["state"]["principal"].check(Grant.METRICS)
        except TieredMemoryError as error:
            return error_answer(error, request)
        return Response(exposition(), 200, SAFE_HEADERS, EXPOSITION)

    return metrics


def _said(told: Mapping[str, object], *, well: bool) -> Response:
    return json_answer(json.dumps(told).encode(), 200 if well else 503)
