"""Who asks, and whose memory it is about: read from the request itself, so that two requests cannot mix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcp.server.context import ServerRequestContext

from tiered_memory.errors import AccessDeniedError
from tiered_memory.memory import TieredMemory
from tiered_memory.principals import Grant, Principal
from tiered_memory.user import User

UNBOUND = (
    "this credential is bound to no user, and over MCP nobody names one: "
    "use a key that is bound to one user of one tenant"
)
UNKNOWN = "nobody is authenticated: send the key as `Authorization: Bearer <key>`"
Request = ServerRequestContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Desk:
    """Gives each request the memory of the person its credential is bound to."""

    memory_of: Callable[[], TieredMemory]
    principal_of: Callable[[Request], Principal]

    def user(self, request: Request, grant: Grant) -> User:
        """Return the person's memory as the credential may use it for `grant`.

        Raises:
            AccessDeniedError: it lacks the grant, is bound to no person, or may be used in no role.
        """
        who = self.principal_of(request)
        tenant, user = bound(who)
        who.check(grant, tenant=tenant, user=user)
        return self.memory_of().user(user, tenant, caller=who.caller(role_of(who)))

    def allows(self, request: Request, grant: Grant) -> bool:
        """Tell whether the request's credential may be used for `grant`."""
        return self.principal_of(request).allows(grant)


def bound(who: Principal) -> tuple[str, str]:
    """Return the tenant and the user a credential is bound to; raises AccessDeniedError when either is open."""
    if who.tenant is None or who.user is None:
        raise AccessDeniedError(UNBOUND)
    return who.tenant, who.user


def role_of(who: Principal) -> str:
    """Return the role to call in: an agent's where the credential has that one, else the first it has."""
    return who.role


def authenticated(request: Request) -> Principal:
    """Return whom the web server authenticated for this request: `scope["state"]["principal"]`."""
    http = request.request
    found = None if http is None else http.scope.get("state", {}).get("principal")
    if not isinstance(found, Principal):
        raise AccessDeniedError(UNKNOWN)
    return found
