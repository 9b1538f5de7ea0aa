"""Settings of the daemon: the table `[daemon]` of the settings file, or `TIERED_MEMORY_DAEMON__<FIELD>`."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class TokenSettings(BaseModel):
    """Access tokens (JWT, RFC 7519; profile RFC 9068) of an OpenID provider, besides API keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str
    """The `iss` that a token must have."""
    audience: str
    """The `aud` that a token must name."""
    jwks: str
    """The provider's key set: an https:// address (http:// on loopback), or a file."""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    """Signature algorithms that are accepted; only asymmetric ones may be."""
    leeway_seconds: float = Field(30.0, ge=0, le=300)
    """How far clocks may differ."""
    tenant: str = "default"
    """The tenant of every token, unless `tenant_claim` says which."""
    tenant_claim: str | None = None
    """The claim that names the tenant."""
    user_claim: str | None = "sub"
    """The claim that names the person; unset, tokens are bound to nobody."""
    scope_claim: str = "scope"
    """The claim with the scopes, parted by spaces or as a list."""
    roles_claim: str | None = None
    """The claim with the roles of the access table; without it the role is `agent`."""
    actor_claim: str | None = None
    """The claim that names the calling program, for the ledger's commitments."""


class DaemonSettings(BaseModel):
    """How `tiered-memory serve` listens, whom it admits and what it bears."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    """Address to listen on; one that is not loopback needs an API key or `tokens`."""
    port: int = Field(8765, ge=0, le=65_535)
    """Port to listen on; 0 takes a free one and says which."""
    socket: Path | None = None
    """Listen on this unix socket instead of a port; whoever may open it is not asked for a key."""
    tls_certificate: Path | None = None
    """Certificate chain (PEM) for TLS; without it TLS is for a proxy in front."""
    tls_key: Path | None = None
    """Its private key (PEM)."""
    allowed_hosts: tuple[str, ...] = ()
    """Names in `Host` that are served besides the loopback ones while no credential is asked for."""
    require_credentials: bool = False
    """Ask for a credential on loopback too, even while there is no API key yet."""
    tokens: TokenSettings | None = None
    """Access tokens of an OpenID provider; unset: API keys only."""
    max_body_mib: float = Field(8.0, gt=0, le=1024)
    """Longest body of a request, in MiB; a stream of lines is bounded line by line."""
    max_archive_mib: int = Field(1024, ge=1, le=1 << 20)
    """Longest archive that is taken in, in MiB."""
    body_seconds: float = Field(30.0, gt=0, le=3600)
    """Longest pause of a client within its body, or within reading its answer; after that it is cut off (408)."""
    head_seconds: float = Field(10.0, gt=0, le=3600)
    """Longest time for a request's line and headers; after that the connection ends with 408."""
    most_connections: int = Field(512, ge=1, le=65_536)
    """Connections that are kept at one time; beyond it they are answered 503 and closed."""
    most_requests: int = Field(256, ge=1, le=65_536)
    """Requests in work at one time; beyond it they are answered 503."""
    requests_per_second: float = Field(500.0, gt=0, le=1e6)
    """What one credential may ask for in the long run; beyond it requests are answered 429."""
    burst: int = Field(1000, ge=1, le=10_000_000)
    """Requests that a credential may make at once after a rest."""
    failures: int = Field(20, ge=1, le=10_000)
    """Credentials that one address may get wrong at once; beyond it those never seen before are answered 429."""
    failures_per_minute: float = Field(6.0, gt=0, le=10_000)
    """How many it may get wrong in the long run."""
    drain_seconds: float = Field(5.0, gt=0, le=600)
    """How long running requests may go on after SIGTERM."""
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")
    """The least severe lines that are logged."""
    log_format: str = Field("auto", pattern="^(auto|json|text)$")
    """`auto`: text on a terminal, JSON lines elsewhere."""
    inspector: bool = True
    """Whether the inspector is served at /ui."""
    mcp: bool = True
    """Whether MCP is served at /mcp."""

    @property
    def public(self) -> bool:
        """Whether others than this machine can reach it."""
        if self.socket is not None:
            return False
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"
