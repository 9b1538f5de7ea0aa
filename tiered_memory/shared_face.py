"""A shared memory as one of its members sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypedDict, Unpack

from tiered_memory.caller import MEMBER
from tiered_memory.clock import from_us
from tiered_memory.consent_records import ConsentGiven
from tiered_memory.errors import InvalidInputError, NotFoundError
from tiered_memory.intake import REASON_BYTES, check_id, check_memory_id, check_text, levels_of
from tiered_memory.metrics import timed
from tiered_memory.model import (
    Certificate,
    Context,
    Filter,
    Hit,
    Interaction,
    Kind,
    Memory,
    Receipt,
    Role,
    Sensitivity,
)
from tiered_memory.privacy.sharing import Change, Member, MemberKind, SharedRight
from tiered_memory.scope import Scope
from tiered_memory.shared import Admitted, Visit
from tiered_memory.shared_frozen import SharedFrozen
from tiered_memory.user import User

Rights = Collection[SharedRight | str]
Memories = list[Memory]
Hits = list[Hit]


class SharedDetails(TypedDict, total=False):
    """What may be said of a contribution besides its content; see `Interaction`."""

    role: Role | str
    occurred_at: datetime | None
    kind: Kind | str
    sensitivity: Sensitivity | str
    importance: float | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMember:
    """A member, by opaque reference: what it is, what it may do, since when, and who said so (a reference)."""

    reference: str
    kind: MemberKind
    rights: tuple[SharedRight, ...]
    since: datetime
    granted_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedChange:
    """A change: "created", "granted", "revoked", "left" or "deleted"; by whom, and to whom or what."""

    change: str
    at: datetime
    by: str
    about: str
    rights: tuple[str, ...]


class SharedMemory:
    """A memory that several people and agents share. Whoever is not on its access list is denied everything.

    What members say carries their opaque reference as its author, never their id. Every call raises AccessDeniedError
    for whoever lacks the right, and for a space that there is not: which of the two is not told. What somebody
    contributed whose processing is restricted (GDPR Art. 18) is as good as absent until that is lifted.
    """

    def __init__(self, scope: Scope, member: Member) -> None:
        self._scope = scope
        self._visit = Visit(scope.subject, member, scope.caller)

    async def create(self, *, notice: str, purpose: str | None = None, explicit: bool = False) -> None:
        """Make this shared memory; whoever calls manages it.

        `notice` (id or version) is what members are told of it; `purpose` is one of the policy's (its default when
        None). A user needs an open consent to the purpose. `explicit` is needed for restricted data.

        Raises:
            ConflictError: there is one of this name.
        """
        check_id(notice, "notice")
        parts = self._scope.parts()
        chosen = parts.core.policy.default_purpose if purpose is None else check_id(purpose, "purpose")
        with timed(parts.core.observer, "shared"):
            await self._scope.permit("rights")
            await parts.shared.create(self._visit, chosen, ConsentGiven(notice, explicit))

    async def grant_access(self, member: Member, rights: Rights) -> str:
        """Give a member exactly `rights` (read, write, manage); return the member's opaque reference.

        A user can be entered whose consent to the space's purpose is open; else it is a ConsentRequiredError.
        """
        checked, given = check_member(member), [_right(one) for one in _collection(rights)]
        parts = self._scope.parts()
        with timed(parts.core.observer, "shared"):
            await self._scope.permit("rights")
            return await parts.shared.grant(self._visit, checked, given)

    async def revoke_access(self, member: Member | str) -> None:
        """Take a member's access away, at once; `member` may be given by its reference."""
        checked = check_memory_id(member) if isinstance(member, str) else check_member(member)
        parts = self._scope.parts()
        with timed(parts.core.observer, "shared"):
            await self._scope.permit("rights")
            await parts.shared.revoke(self._visit, checked)

    async def members(self) -> list[SharedMember]:
        """Return who is a member, by reference; for whoever manages."""
        async with self._told(), self._admitted("rights", SharedRight.MANAGE) as admitted:
            found = admitted.access.members.items()
            return [
                SharedMember(
                    reference=one,
                    kind=grant.kind,
                    rights=tuple(sorted(grant.rights)),
                    since=from_us(grant.since_us),
                    granted_by=grant.by,
                )
                for one, grant in sorted(found, key=lambda pair: (pair[1].since_us, pair[0]))
            ]

    async def changes(self) -> list[SharedChange]:
        """Return the newest 500 changes of members, and deletions, oldest first; for whoever manages."""
        async with self._told(), self._admitted("rights", SharedRight.MANAGE) as admitted:
            return [_change(one) for one in admitted.access.changes]

    async def add(
        self, content: str, *, operation_id: str | None = None, **details: Unpack[SharedDetails]
    ) -> Receipt:
        """Contribute something; it is kept durably, or not at all.

        Raises:
            ConsentRequiredError: the contributing user's consent to the space's purpose is not open.
        """
        given = Interaction(content=content, **details)  # type: ignore[arg-type]  # words are checked on intake
        operation = None if operation_id is None else check_id(operation_id, "operation_id")
        parts = self._scope.parts()
        with timed(parts.core.observer, "add"):
            await self._scope.permit("add", levels_of([given]))
            return await parts.shared.add(self._visit, given, operation)

    async def search(self, question: str, *, limit: int = 5, where: Filter | None = None) -> Hits:
        """Return what answers `question` best; see `User.search`."""
        async with self._reading("search") as user:
            return await user.search(question, limit=limit, where=where)

    async def context(
        self, question: str, *, token_budget: int = 1500, where: Filter | None = None
    ) -> Context:
        """Return memories for a prompt, within `token_budget` tokens; what gets in grows stronger. See `User.context`."""
        async with self._reading("context") as user:
            return await user.context(question, token_budget=token_budget, where=where)

    async def list(
        self, *, where: Filter | None = None, limit: int = 100, before: int | None = None
    ) -> Memories:
        """Return memories newest first; see `User.list`."""
        async with self._reading("list") as user:
            return await user.list(where=where, limit=limit, before=before)

    async def get(self, memory_id: str) -> Memory:
        """Return one memory; see `User.get`."""
        check_memory_id(memory_id)
        async with self._reading("list") as user:
            found = await user.get(memory_id)
            if found.author in await self._frozen():
                raise NotFoundError
            return found

    async def delete(self, memory_id: str, *, reason: str = "deleted by a member") -> None:
        """Remove a memory for good: one's own contribution, or any for whoever manages."""
        check_memory_id(memory_id)
        check_text(reason, "reason", REASON_BYTES)
        parts = self._scope.parts()
        with timed(parts.core.observer, "delete"):
            await self._scope.permit("delete")
            await parts.shared.delete(self._visit, memory_id, reason, await self._frozen())

    async def erase(self, *, reason: str) -> Certificate:
        """Erase the whole shared memory, in every tier, and return the proof; for whoever manages."""
        check_text(reason, "reason", REASON_BYTES)
        parts = self._scope.parts()
        with timed(parts.core.observer, "erase"):
            await self._scope.permit("erase")
            return await parts.shared.erase(self._visit, reason)

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        with timed(self._scope.parts().core.observer, "shared"):
            yield

    @asynccontextmanager
    async def _admitted(self, op: str, right: SharedRight) -> AsyncIterator[Admitted]:
        await self._scope.permit(op)
        async with self._scope.parts().shared.admitted(self._visit, right) as admitted:
            yield admitted

    @asynccontextmanager
    async def _reading(self, op: str) -> AsyncIterator[User]:
        """The ledger hears of a read under the member's reference, unless the caller says who it is."""
        async with self._admitted(op, SharedRight.READ) as admitted:
            caller = self._scope.caller
            if not caller.actor:
                caller = replace(caller, actor=MEMBER + admitted.reference)
            without = await self._frozen()
            yield User(replace(self._scope, caller=caller, without=without))

    async def _frozen(self) -> frozenset[str]:
        parts = self._scope.parts()
        return await SharedFrozen(parts.core, parts.directory).authors(self._scope.subject)


def check_member(value: object) -> Member:
    """Return a member whose id may be one."""
    if not isinstance(value, Member):
        raise InvalidInputError(f"member must be a Member, got {type(value).__name__}")
    return Member(check_id(value.id, "a member's id"), _kind(value.kind))


def _collection(rights: object) -> Sequence[object]:
    if isinstance(rights, str) or not isinstance(rights, Collection):
        raise InvalidInputError('rights must be a collection, e.g. {"read", "write"}')
    return list(rights)


def _right(value: object) -> SharedRight:
    found = next((right for right in SharedRight if right.value == value), None)
    if found is None:
        raise InvalidInputError(f"rights must be of {', '.join(SharedRight)}")
    return found


def _kind(value: object) -> MemberKind:
    found = next((kind for kind in MemberKind if kind.value == value), None)
    if found is None:
        raise InvalidInputError(f"a member's kind must be one of {', '.join(MemberKind)}")
    return found


def _change(one: Change) -> SharedChange:
    return SharedChange(
        change=one.change, at=from_us(one.at_us), by=one.by, about=one.about, rights=one.rights
    )
