"""Who may do what in a shared memory: an explicit list, everybody else is denied. Pure.

Members are known by opaque references (32 hex digits), never by their ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from tiered_memory.errors import InvalidInputError

MOST_MEMBERS = 1000
MOST_CHANGES = 500


class SharedRight(StrEnum):
    """What a member may do."""

    READ = "read"
    WRITE = "write"
    """Add memories, and delete one's own."""
    MANAGE = "manage"
    """Say who is a member, and delete anything."""


class MemberKind(StrEnum):
    """What a member is: a person whose memory this runtime keeps, or an agent."""

    USER = "user"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Member:
    """A member as callers name one: an id of the same tenant, and whether it is a user's or an agent's."""

    id: str
    kind: MemberKind = MemberKind.USER


@dataclass(frozen=True, slots=True)
class Grant:
    """What a member may do, since when (microseconds since 1970), and who said so (a reference)."""

    kind: MemberKind
    rights: frozenset[SharedRight]
    since_us: int
    by: str


@dataclass(frozen=True, slots=True)
class Change:
    """A change: what happened, when (microseconds since 1970), who did it, and to whom or what."""

    change: str
    at_us: int
    by: str
    about: str = ""
    rights: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """Who changes the list, and when (microseconds since 1970)."""

    by: str
    at_us: int


@dataclass(frozen=True, slots=True)
class AccessList:
    """The members of a shared memory by reference, what it is for, and the newest 500 changes, oldest first."""

    purpose: str
    members: Mapping[str, Grant] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()

    @classmethod
    def created(cls, purpose: str, founder: str, kind: MemberKind, now_us: int) -> Self:
        """Return the list of a new shared memory: its founder may do everything, nobody else anything."""
        grant = Grant(kind, frozenset(SharedRight), now_us, founder)
        return cls(purpose, {founder: grant}, (Change("created", now_us, founder, founder),))

    def may(self, reference: str, right: SharedRight) -> bool:
        """Tell whether a member has a right; who is no member has none."""
        grant = self.members.get(reference)
        return grant is not None and right in grant.rights

    def granted(self, reference: str, kind: MemberKind, rights: Iterable[SharedRight], step: Step) -> Self:
        """Return the list with a member having exactly `rights`.

        Raises:
            InvalidInputError: no right is given, there are too many members, or no manager would be left.
        """
        given = frozenset(rights)
        if not given:
            raise InvalidInputError("give at least one right: read, write or manage; or revoke the access")
        if reference not in self.members and len(self.members) >= MOST_MEMBERS:
            raise InvalidInputError(f"a shared memory has at most {MOST_MEMBERS} members")
        members = {**self.members, reference: Grant(kind, given, step.at_us, step.by)}
        self._check_managed(members)
        words = tuple(sorted(given))
        return self._with(members, Change("granted", step.at_us, step.by, reference, words))

    def revoked(self, reference: str, step: Step) -> Self:
        """Return the list without a member.

        Raises:
            InvalidInputError: there is no such member, or no manager would be left.
        """
        if reference not in self.members:
            raise InvalidInputError("this shared memory has no such member")
        members = {one: grant for one, grant in self.members.items() if one != reference}
        self._check_managed(members)
        return self._with(members, Change("revoked", step.at_us, step.by, reference))

    def left(self, reference: str, now_us: int) -> Self:
        """Return the list without somebody who was erased: neither as a member nor in what is told of changes."""
        members = {
            one: replace(grant, by="" if grant.by == reference else grant.by)
            for one, grant in self.members.items()
            if one != reference
        }
        changes = tuple(_without(one, reference) for one in self.changes)
        left = Change("left", now_us, "")
        return replace(self, members=members, changes=(*changes, left)[-MOST_CHANGES:])

    def noted(self, change: str, about: str, step: Step) -> Self:
        """Return the list with one more change told of."""
        return self._with(self.members, Change(change, step.at_us, step.by, about))

    def as_fields(self) -> dict[str, Any]:
        """Return the list as the register keeps it."""
        members = {
            one: [grant.kind.value, sorted(grant.rights), grant.since_us, grant.by]
            for one, grant in self.members.items()
        }
        changes = [[one.change, one.at_us, one.by, one.about, list(one.rights)] for one in self.changes]
        return {"purpose": self.purpose, "members": members, "changes": changes}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Return the list that the register kept."""
        members = {
            one: Grant(MemberKind(kind), frozenset(map(SharedRight, rights)), since, by)
            for one, (kind, rights, since, by) in fields["members"].items()
        }
        changes = tuple(
            Change(change, at, by, about, tuple(rights))
            for change, at, by, about, rights in fields["changes"]
        )
        return cls(fields["purpose"], members, changes)

    def _with(self, members: Mapping[str, Grant], change: Change) -> Self:
        return replace(self, members=members, changes=(*self.changes, change)[-MOST_CHANGES:])

    def _check_managed(self, members: Mapping[str, Grant]) -> None:
        """A list that had no manager any more (the last was erased) may go on without one."""
        if self._managed(self.members) and not self._managed(members):
            raise InvalidInputError(
                "nobody would be left to manage it: give somebody else 'manage' first, or erase it"
            )

    @staticmethod
    def _managed(members: Mapping[str, Grant]) -> bool:
        return any(SharedRight.MANAGE in grant.rights for grant in members.values())


def _without(change: Change, reference: str) -> Change:
    by = "" if change.by == reference else change.by
    return replace(change, by=by, about="" if change.about == reference else change.about)
