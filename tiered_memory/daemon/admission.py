"""Who is let in: API keys and access tokens; on loopback without any of them, whoever is on this machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from tiered_memory.daemon.answers import refused
from tiered_memory.daemon.attempts import Attempts
from tiered_memory.daemon.limits import Buckets, RetryAfter
from tiered_memory.daemon.serving import Serving
from tiered_memory.daemon.tokens import looks_like_token
from tiered_memory.errors import AccessDeniedError, TieredMemoryError, UnauthenticatedError
from tiered_memory.principals import LOCAL, Principal
from tiered_memory.wire.problems import Problem, problem, problem_of

OPEN = frozenset({"/livez", "/readyz", "/startupz", "/openapi.json"})
"""Paths that say nothing about anybody."""
OWN_DOOR = "/ui"
"""The inspector has a login of its own: it gets a principal when there is one, and else asks for a key."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
CHALLENGE = (("WWW-Authenticate", 'Bearer realm="tiered_memory"'),)

SAME_PLACE = frozenset({"same-origin", "none"})
"""What a browser says of a request that no other page made (Fetch Metadata, `Sec-Fetch-Site`)."""

Verify = Callable[[str], Awaitable[Principal]]


class Admission:
    """ASGI middleware: puts the `Principal` into `scope["state"]["principal"]`, or refuses the request."""

    def __init__(
        self, app: ASGIApp, serving: Serving, *, local: bool, limits: Buckets, tokens: Verify | None
    ) -> None:
        self._app = app
        self._serving = serving
        self._local = local
        self._limits = limits
        self._tokens = tokens
        self._attempts = Attempts(serving.settings.failures, serving.settings.failures_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on when it is let in."""
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._principal(scope)
        except _TooManyFailuresError as many:
            await refused(_too_often(many.seconds, "too many wrong credentials came from this address"))(
                scope, receive, send
            )
            return
        except TieredMemoryError as error:
            if not _is_door(scope["path"]) or not isinstance(error, UnauthenticatedError):
                await _refusal(error)(scope, receive, send)
                return
            principal = None
        taken = self._limits.take(_holder(principal, scope), self._serving.clock.monotonic())
        if isinstance(taken, RetryAfter) and not self._local:
            await refused(_too_often(taken.seconds, "this credential asks too often"))(scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        await self._app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal:
        if self._local:
            return LOCAL
        headers = Headers(scope=scope)
        if not self.asks():
            self._check_host(headers.get("host", ""))
            _check_page(scope["method"], headers)
            return LOCAL
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not credential:
            raise UnauthenticatedError
        return await self._attempted(credential.strip(), scope)

    async def _attempted(self, credential: str, scope: Scope) -> Principal:
        """Who guesses is slowed down; who was let in before is not, though a proxy gives both the same address."""
        peer, now = (scope.get("client") or ("",))[0], self._serving.clock.monotonic()
        wait = self._attempts.wait(peer, credential, now)
        # A signature takes time to verify; a key's text none, and nobody guesses one of 256 random bits.
        if wait > 0 and looks_like_token(credential):
            raise _TooManyFailuresError(wait)
        try:
            found = await self.verify(credential)
        except UnauthenticatedError:
            if wait > 0:
                raise _TooManyFailuresError(wait) from None
            self._attempts.failed(peer, now)
            raise
        self._attempts.succeeded(credential)
        return found

    async def verify(self, credential: str) -> Principal:
        """Return whose credential it is; raises UnauthenticatedError."""
        if self._tokens is not None and looks_like_token(credential):
            return await self._tokens(credential)
        return self._serving.opened().api_keys.verify(credential)

    def asks(self) -> bool:
        """Tell whether a credential is asked for: as soon as there is one, and always where others can reach us."""
        own = self._serving.settings
        return (
            self._tokens is not None
            or own.public
            or own.require_credentials
            or self._serving.opened().api_keys.any_made()
        )

    def _check_host(self, host: str) -> None:
        """A page elsewhere must not reach a daemon without keys by a name that resolves to loopback."""
        name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
        known = (*LOOPBACK_NAMES, *self._serving.settings.allowed_hosts)
        if self._serving.settings.socket is None and name.lower() not in known:
            raise UnauthenticatedError("this name is not served without a credential; see `allowed_hosts`")


class _TooManyFailuresError(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


def _check_page(method: str, headers: Headers) -> None:
    """While no credential is asked for, no page from elsewhere may have a person's browser ask for it.

    Following a link to a page of ours is no such thing.
    """
    if method == "GET" and headers.get("sec-fetch-mode") == "navigate":
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    # A form of a page without a referrer has the origin "null": where the newer header is, it tells.
    ours = origin is None or origin.partition("://")[2] == headers.get("host", "")
    if not (ours if site is None else site in SAME_PLACE):
        raise AccessDeniedError(
            "a page of another origin asks for this; it is not served without a credential"
        )


def _holder(principal: Principal | None, scope: Scope) -> tuple[str | None, ...]:
    """Return whose requests are counted: issuers name people per tenant, and a visitor without a key is an address."""
    if principal is None:
        return (None, (scope.get("client") or ("",))[0])
    return (principal.name, principal.tenant, principal.user)


def _is_door(path: str) -> bool:
    return path == OWN_DOOR or path.startswith(OWN_DOOR + "/")


def _refusal(error: TieredMemoryError) -> ASGIApp:
    told = problem_of(error)
    if isinstance(error, UnauthenticatedError):
        told = problem(401, str(error), error="UnauthenticatedError", headers=CHALLENGE)
    return refused(told)


def _too_often(wait: float, why: str) -> Problem:
    seconds = max(1, int(wait + 0.999))
    return problem(429, why, headers=(("Retry-After", str(seconds)),))
