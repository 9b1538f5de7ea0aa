"""What the daemon's application is put together from, by its settings."""

from __future__ import annotations

from pathlib import Path

from starlette.middleware import Middleware

from tiered_memory.daemon.app import Parts
from tiered_memory.daemon.claims import TokenRules
from tiered_memory.daemon.limits import Buckets
from tiered_memory.daemon.measuring import Measuring
from tiered_memory.daemon.serving import Serving
from tiered_memory.daemon.tokens import Tokens
from tiered_memory.daemon.window import window
from tiered_memory.daemon_config import DaemonSettings, TokenSettings
from tiered_memory.logs import AccessLog, RequestId
from tiered_memory.mcp_server.http_app import LOOPBACK, mcp_app
from tiered_memory.prometheus_observer import PrometheusObserver
from tiered_memory.traces import Traces


def parts_of(serving: Serving, observer: PrometheusObserver, traces: Traces | None = None) -> Parts:
    """Return the parts of the daemon's application."""
    own = serving.settings
    tokens = None if own.tokens is None else Tokens(rules_of(own.tokens), serving.clock).verify
    spans = () if traces is None else (Middleware(traces.middleware),)
    return Parts(
        limits=Buckets(own.burst, own.requests_per_second),
        local=own.socket is not None,
        tokens=tokens,
        exposition=observer.exposition,
        alone=(("/mcp", mcp_app(serving.opened, allowed_hosts=_hosts(own))),) if own.mcp else (),
        mounts=(("/ui", window(serving, observer)),) if own.inspector else (),
        outermost=(
            Middleware(RequestId),
            *spans,
            Middleware(AccessLog),
            Middleware(Measuring, observer=observer),
        ),
    )


def rules_of(given: TokenSettings) -> TokenRules:
    """Return the rules that the settings of access tokens come to; raises ConfigurationError."""
    is_url = given.jwks.startswith(("http://", "https://"))
    return TokenRules(
        issuer=given.issuer,
        audience=given.audience,
        jwks_url=given.jwks if is_url else None,
        jwks_file=None if is_url else str(Path(given.jwks)),
        algorithms=given.algorithms,
        leeway_seconds=given.leeway_seconds,
        tenant=given.tenant,
        tenant_claim=given.tenant_claim,
        user_claim=given.user_claim,
        scope_claim=given.scope_claim,
        roles_claim=given.roles_claim,
        actor_claim=given.actor_claim,
    )


def _hosts(own: DaemonSettings) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*LOOPBACK, own.host, *own.allowed_hosts)))
