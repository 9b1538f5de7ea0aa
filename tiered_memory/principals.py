"""Who stands behind a credential, and what it may reach: decided before a call, apart from the policy's access table.

A credential bounds calls (which operations, which tenant, which person, in which roles); the access table then decides
what a role may do to whose memories. Both must agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tiered_memory.caller import AGENT, Caller
from tiered_memory.errors import AccessDeniedError


class Grant(StrEnum):
    """What a credential may be used for (the scopes of an API key or an access token)."""

    READ = "memories:read"
    """Find, list and explain memories, and pack contexts."""
    WRITE = "memories:write"
    """Add, pin, use and restore memories."""
    DELETE = "memories:delete"
    """Delete and forget memories, and roll back what came from a source."""
    ERASE = "subjects:erase"
    """Erase everything of a person."""
    RIGHTS = "rights"
    """Consents, objections, corrections, restriction, requests, decisions, export and import."""
    AUDIT = "audit"
    """Read the ledger, reports and statistics."""
    METRICS = "metrics"
    """Read `/metrics`."""
    ADMIN = "admin"
    """Everything, in every tenant: tenants, holds, keys, jobs, backups, and API keys themselves."""


EVERY_ROLE = "*"
"""Among a principal's roles: any role that the policy's access table knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A credential's holder. `name` is an opaque name without a secret (an API key's id, a token's subject).

    `tenant` and `user` bound it to one tenant and one person (None: any); `roles` are those it may call in. `actor` is
    what the ledger commits to: a call may name another only where the credential has none.
    """

    name: str
    grants: frozenset[Grant]
    tenant: str | None = None
    user: str | None = None
    roles: frozenset[str] = frozenset({AGENT})
    actor: str = ""

    def allows(self, grant: Grant) -> bool:
        """Tell whether it may be used for `grant`; ADMIN is good for all."""
        return grant in self.grants or Grant.ADMIN in self.grants

    def check(self, grant: Grant, *, tenant: str | None = None, user: str | None = None) -> None:
        """Refuse a call for `grant` about `tenant` and `user` (None: about all of them).

        Raises:
            AccessDeniedError: it lacks the grant, or is bound to another tenant or person.
        """
        if not self.allows(grant):
            raise AccessDeniedError(f"this credential lacks the scope {grant.value}")
        if self.tenant is not None and tenant != self.tenant:
            raise AccessDeniedError("this credential is bound to one tenant, and this call reaches beyond it")
        if self.user is not None and user != self.user:
            raise AccessDeniedError("this credential is bound to one person, and this call reaches beyond it")

    @property
    def role(self) -> str:
        """The role of a call that names none: an agent's where the credential has that one, else the first it has."""
        return AGENT if not self.roles or self.roles & {AGENT, EVERY_ROLE} else min(self.roles)

    def caller(self, role: str = AGENT, actor: str = "", context: str = "") -> Caller:
        """Return who calls.

        Raises:
            AccessDeniedError: the credential may not be used in that role, or is another actor's.
        """
        if role not in self.roles and EVERY_ROLE not in self.roles:
            raise AccessDeniedError(
                "this credential may not be used in that role; `tiered-memory api-keys list --json` tells its own"
            )
        if self.actor and actor not in {"", self.actor}:
            raise AccessDeniedError(
                "this credential calls under an actor's name of its own, and this is another"
            )
        return Caller(role=role, actor=actor or self.actor, context=context)


LOCAL = Principal(name="local", grants=frozenset({Grant.ADMIN}), roles=frozenset({EVERY_ROLE}))
"""Whoever may read the data directory itself: the owner's unix socket, and a daemon on loopback without keys."""
