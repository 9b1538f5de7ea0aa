"""Who asks, and of which object of the public face: read off a request, refused where the credential does not reach."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request

from tiered_memory.caller import Caller
from tiered_memory.errors import InvalidInputError
from tiered_memory.intake import check_caller
from tiered_memory.memory import TieredMemory
from tiered_memory.principals import Principal
from tiered_memory.wire.headers import WORD
from tiered_memory.wire.operation import Operation, Root
from tiered_memory.wire.segments import from_segment

ROLE, ACTOR, CONTEXT = "tiered-memory-role", "tiered-memory-actor", "tiered-memory-context"
AS_USER = "as_user"
_WORD = re.compile(WORD)


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation that a principal asks for: the decoded segments of its path, and in which role."""

    operation: Operation
    principal: Principal
    caller: Caller
    path: Mapping[str, str]
    as_user: str | None = None

    @property
    def whose(self) -> tuple[str, ...]:
        """Who asks; a token's name alone may be another one's in another tenant."""
        who = self.principal
        return (who.name, who.tenant or "", who.user or "")

    @property
    def about(self) -> tuple[str, str]:
        """The tenant and the person that the path names, each empty where it names none."""
        return (self.path.get("tenant", ""), self.path.get("user", ""))

    @property
    def words(self) -> tuple[str, ...]:
        """What else than the path decides what an answer shows: in which role it is asked, and by whom."""
        return (self.caller.role, self.caller.actor, self.caller.context, self.as_user or "")

    def face(self, memory: TieredMemory) -> Any:
        """Return the object whose method the operation calls."""
        found = self.root(memory)
        return getattr(found, self.operation.face) if self.operation.face else found

    def root(self, memory: TieredMemory) -> Any:
        """Return the object that the path begins with: the memory, a user, a shared memory or a ledger."""
        if self.operation.root is Root.STORE:
            return memory
        if self.operation.root is Root.LEDGER:
            return memory.tenants.ledger(self.path["tenant"])
        if self.operation.root is Root.USER:
            return memory.user(self.path["user"], self.path["tenant"], caller=self.caller)
        return memory.shared(self.path["name"], self.path["tenant"], user=self.as_user, caller=self.caller)


def asked_of(operation: Operation, request: Request) -> Asked:
    """Return what a request asks for.

    Raises:
        AccessDeniedError: the credential does not allow it.
        InvalidInputError: path or headers are not well-formed.
    """
    principal: Principal = request.scope["state"]["principal"]
    path = {name: from_segment(raw) for name, raw in request.path_params.items()}
    as_user = request.query_params.get(AS_USER, principal.user) if operation.root is Root.SHARED else None
    person = as_user if operation.root is Root.SHARED else path.get("user")
    principal.check(operation.grant, tenant=path.get("tenant"), user=person)
    said = principal.caller(
        _header(request, ROLE) or principal.role, _header(request, ACTOR), _header(request, CONTEXT)
    )
    caller = check_caller(said)
    return Asked(operation, principal, caller, path, as_user)


def _header(request: Request, name: str) -> str:
    """Headers are ASCII on the wire; other text is percent-encoded UTF-8 (RFC 8187 section 3.2.1 does the same)."""
    given = request.headers.get(name)
    if given is None:
        return ""
    if not _WORD.fullmatch(given):
        raise InvalidInputError(f"the header {name} is not percent-encoded text")
    try:
        return unquote(given, errors="strict")
    except UnicodeDecodeError:
        raise InvalidInputError(f"the header {name} is not percent-encoded UTF-8") from None
