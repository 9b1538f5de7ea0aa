"""MCP over HTTP, for a web server to mount behind its own authentication."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import INVALID_REQUEST
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tiered_memory.errors import AccessDeniedError
from tiered_memory.mcp_server.desk import UNKNOWN, authenticated, bound
from tiered_memory.mcp_server.server import MemoryServer, build_server
from tiered_memory.memory import TieredMemory
from tiered_memory.principals import Principal

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
POST_ONLY = "this endpoint keeps no session and pushes nothing: send each message by POST"
UNAUTHORIZED, FORBIDDEN, NOT_ALLOWED = 401, 403, 405


def mcp_app(
    memory_of: Callable[[], TieredMemory],
    *,
    allowed_hosts: Sequence[str] = LOOPBACK,
    allowed_origins: Sequence[str] | None = None,
) -> ASGIApp:
    """Return an ASGI application that speaks MCP (streamable HTTP, stateless, answers in JSON).

    The server in front authenticates and puts a `Principal` into `scope["state"]["principal"]`; it has to be bound to
    a tenant and a user. `memory_of` gives the open memory when a request comes. A request whose Host is none of
    `allowed_hosts` (with any port), or whose Origin is none of `allowed_origins` (default: those hosts over http and
    https), is refused: a page of another site cannot reach it by rebinding a name. No lifespan is needed.
    """
    origins = allowed_origins if allowed_origins is not None else _origins_of(allowed_hosts)
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=_any_port(allowed_hosts),
        allowed_origins=_any_port(origins),
    )
    return McpApp(build_server(memory_of, authenticated), security)


@dataclass(frozen=True, slots=True)
class McpApp:
    """Answers each request by itself: no session, no stream that stays open."""

    server: MemoryServer
    security: TransportSecuritySettings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        refused = _refusal(scope)
        if refused is not None:
            await refused(scope, receive, send)
            return
        exchange = self.server.exchange(self.security)
        async with exchange.run():
            await exchange.handle_request(scope, receive, send)


def _refusal(scope: Scope) -> JSONResponse | None:
    if scope["method"] != "POST":
        return _refused(NOT_ALLOWED, POST_ONLY, {"allow": "POST"})
    who = scope.get("state", {}).get("principal")
    if not isinstance(who, Principal):
        return _refused(UNAUTHORIZED, UNKNOWN, {"www-authenticate": "Bearer"})
    try:
        bound(who)
    except AccessDeniedError as denied:
        return _refused(FORBIDDEN, str(denied))
    return None


def _refused(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": INVALID_REQUEST, "message": message}}
    return JSONResponse(error, status, headers)


def _origins_of(hosts: Sequence[str]) -> list[str]:
    return [f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")]


def _any_port(names: Sequence[str]) -> list[str]:
    return [form for name in names for form in (name, f"{name}:*")]
