"""Shared memories: each a subject of its own, with its own keys and table, and an access list that denies by default.

A space's subject has a name no caller can type: ids have no control characters. A member is known in it by a reference
under the space's key and, for a person, under the person's own key besides: with either key the reference is gone.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import NoReturn

from tiered_memory.access_gate import AccessGate
from tiered_memory.active import ActiveSubject
from tiered_memory.caller import Caller
from tiered_memory.consent_records import ConsentGiven
from tiered_memory.consents import Consents, check_takes_part
from tiered_memory.core import Core
from tiered_memory.crypto.keyring import SUBJECT_PURPOSE
from tiered_memory.errors import (
    ConflictError,
    HotTierError,
    InvalidInputError,
    NotFoundError,
    RestrictedError,
)
from tiered_memory.failpoints import reach
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.fulfil import Fulfil
from tiered_memory.inflight import KeyedLocks
from tiered_memory.intake import levels_of
from tiered_memory.ledger import leaf_for
from tiered_memory.model import (
    Certificate,
    Durability,
    Filter,
    Interaction,
    LawfulBasis,
    Memory,
    Receipt,
    Sensitivity,
    Subject,
)
from tiered_memory.paging import Pager
from tiered_memory.policy.access_rules import AccessRole
from tiered_memory.privacy.access import Refused
from tiered_memory.privacy.sharing import AccessList, Member, MemberKind, SharedRight, Step
from tiered_memory.quarantine import Quarantine
from tiered_memory.recall import Recall
from tiered_memory.register import Entry, Register
from tiered_memory.router import Router, WriteOptions
from tiered_memory.state import commands as c
from tiered_memory.state.base import SubjectState
from tiered_memory.subjects import SubjectDirectory

logger = logging.getLogger("tiered_memory")

RESERVED = "\x1fshared\x1f"
LIST, MEMBERSHIPS = "shared_acl", "memberships"
OPEN = "open"
REFERENCE_BYTES = 16
PAGE = 1000
DENIED = (
    "no access to this shared memory, or there is none of that name: ask one who manages it to grant the right "
    "'{right}'"
)
ALL = Filter(include_superseded=True)


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody at a shared memory: in which space, as whom, and in which role."""

    space: Subject
    member: Member
    caller: Caller


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a visit came to: the space, the visitor's reference in it, its access list and that list's entry."""

    active: ActiveSubject
    reference: str
    access: AccessList
    entry: Entry


People = Mapping[Member, ActiveSubject]


def space_of(tenant: str, name: str) -> Subject:
    """Return the subject of a shared memory."""
    return Subject(tenant, RESERVED + name)


@dataclass(frozen=True, slots=True)
class Acting:
    """The acting parts that work in a space as they do in a person's memory."""

    directory: SubjectDirectory
    pager: Pager
    router: Router
    recall: Recall
    fulfil: Fulfil
    consents: Consents
    gate: AccessGate
    quarantine: Quarantine


class SharedSpaces:
    """Makes spaces, says who is a member, and takes back what an erased person left there."""

    def __init__(self, core: Core, acting: Acting) -> None:
        self._core = core
        self._directory = acting.directory
        self._pager = acting.pager
        self._router = acting.router
        self._recall = acting.recall
        self._fulfil = acting.fulfil
        self._consents = acting.consents
        self._gate = acting.gate
        self._quarantine = acting.quarantine
        self._register = Register(core)
        self._locks = KeyedLocks[Subject]()

    @asynccontextmanager
    async def _people(self, visit: Visit, *members: Member) -> AsyncIterator[People]:
        """Have the people in question in RAM: the visitor, and `members`."""
        async with AsyncExitStack() as stack:
            people: dict[Member, ActiveSubject] = {}
            for one in (visit.member, *members):
                if one.kind is MemberKind.USER:
                    subject = Subject(visit.space.tenant, one.id)
                    people[one] = await stack.enter_async_context(self._directory.using(subject))
            yield people

    @asynccontextmanager
    async def _turn(self, visit: Visit, *members: Member) -> AsyncIterator[People]:
        """Be alone with the space. People first: an erasure has its person to itself, and waits for spaces."""
        async with self._people(visit, *members) as people, self._locks.held(visit.space):
            for person in people.values():
                person.check_alive()
            yield people

    async def create(self, visit: Visit, purpose: str, given: ConsentGiven) -> None:
        """Make a space for a purpose; the visitor manages it.

        Raises:
            ConflictError: there is one of this name.
            ConsentRequiredError: the visitor has not consented to the purpose.
            InvalidInputError: the policy does not know the purpose.
        """
        rule = self._core.policy.purposes.get(purpose)
        if rule is None:
            known = ", ".join(sorted(self._core.policy.purposes))
            raise InvalidInputError(f"the policy knows no such purpose; it has: {known}")
        async with self._turn(visit) as people, self._directory.using(visit.space) as active:
            if active.durable and await self._entry(active) is not None:
                raise ConflictError("there is a shared memory of this name already")
            check_takes_part(self._core, people.get(visit.member), purpose, [Sensitivity.PUBLIC])
            if rule.lawful_basis is LawfulBasis.CONSENT:
                await self._consents.grant(active, purpose, given)
            else:
                await self._directory.establish(active)
                await self._directory.key_for(active, purpose)
            reach("shared.after_establish")
            reference = await self._joined(visit.space, active, visit.member, people, purpose)
            now_us = self._core.now_us()
            access = AccessList.created(purpose, reference, visit.member.kind, now_us)
            entry = Entry(id=LIST, kind=LIST, status=OPEN, at_us=now_us, fields={})
            await self._put(Admitted(active, reference, access, entry), access)

    @asynccontextmanager
    async def admitted(self, visit: Visit, right: SharedRight) -> AsyncIterator[Admitted]:
        """Let a member in who has `right`.

        Raises:
            AccessDeniedError: whoever has not, or there is no such space: which of the two is not told.
        """
        async with self._people(visit) as people, self._let_in(visit, people, right) as found:
            yield found

    @asynccontextmanager
    async def _let_in(self, visit: Visit, people: People, right: SharedRight) -> AsyncIterator[Admitted]:
        async with self._directory.using(visit.space) as active:
            found = await self._found(active, visit, people)
            if found is None or not _may(found, visit, right):
                await self._refuse(visit, right)
            yield found
            active.check_alive()

    async def grant(self, visit: Visit, member: Member, rights: Sequence[SharedRight]) -> str:
        """Give a member exactly these rights; return the member's reference.

        Raises:
            ConsentRequiredError: a user who has not consented to the space's purpose cannot be entered.
        """
        async with (
            self._turn(visit, member) as people,
            self._let_in(visit, people, SharedRight.MANAGE) as admitted,
        ):
            purpose = admitted.access.purpose
            check_takes_part(self._core, people.get(member), purpose, [Sensitivity.PUBLIC])
            reference = await self._joined(visit.space, admitted.active, member, people, purpose)
            reach("shared.after_membership")
            step = Step(admitted.reference, self._core.now_us())
            await self._put(admitted, admitted.access.granted(reference, member.kind, rights, step))
            return reference

    async def revoke(self, visit: Visit, member: Member | str) -> None:
        """Take a member's access away, at once; a member is named, or given by reference.

        What the member contributed stays, until it is deleted or the member erased.
        """
        named = () if isinstance(member, str) else (member,)
        async with (
            self._turn(visit, *named) as people,
            self._let_in(visit, people, SharedRight.MANAGE) as admitted,
        ):
            reference = member if isinstance(member, str) else _reference(admitted.active, member, people)
            step = Step(admitted.reference, self._core.now_us())
            await self._put(admitted, admitted.access.revoked(reference, step))

    async def erase(self, visit: Visit, reason: str) -> Certificate:
        """Erase a whole space and return the proof."""
        async with self.admitted(visit, SharedRight.MANAGE):
            pass
        return await self._fulfil.erase(visit.space, reason)

    async def add(self, visit: Visit, given: Interaction, operation_id: str | None) -> Receipt:
        """Keep what a member says, under the member's reference, durably or not at all.

        Raises:
            ConsentRequiredError: the contributing user's consent to the space's purpose is not open.
        """
        async with (
            self._turn(visit) as people,
            self._let_in(visit, people, SharedRight.WRITE) as admitted,
        ):
            purpose, active, reference = admitted.access.purpose, admitted.active, admitted.reference
            check_takes_part(self._core, people.get(visit.member), purpose, levels_of([given]))
            name = None if operation_id is None else f"{reference}/{operation_id}"
            options = WriteOptions(purpose, name, Durability.JOURNALED)
            receipts = await self._router.add(active, [replace(given, author=reference)], options)
            leaf = self._leaf(active, "added", reference)
            await self._core.state.write(c.AppendLeaves((leaf,)))
            return receipts[0]

    async def delete(self, visit: Visit, memory_id: str, reason: str, frozen: frozenset[str]) -> None:
        """Delete a memory for good: one's own, or any for one who manages; none of the authors who are `frozen`."""
        async with self._turn(visit) as people, self._let_in(visit, people, SharedRight.WRITE) as admitted:
            await self._pager.bring(admitted.active, [memory_id])
            author = self._recall.get(admitted.active, memory_id).author
            own = author == admitted.reference
            if author in frozen:
                raise RestrictedError if own else NotFoundError
            if not own and not admitted.access.may(admitted.reference, SharedRight.MANAGE):
                await self._refuse(visit, SharedRight.MANAGE)
            await self._fulfil.delete(admitted.active, memory_id, reason)
            step = Step(admitted.reference, self._core.now_us())
            await self._put(admitted, admitted.access.noted("deleted", memory_id, step))

    async def leave_all(self, person: ActiveSubject) -> None:
        """Take a person who is being erased out of every space, and remove what they contributed.

        Done before the person's keys go: who is killed in between erases again, and finds the list still there.
        """
        if SUBJECT_PURPOSE in person.damaged_keys:
            logger.warning("the key of an erased user is damaged: what the user shared cannot be found")
        for joined in await self._register.of(person, MEMBERSHIPS):
            async with self._locks.held(_space(joined)):
                await self._take_back(joined, leaving=True)
            reach("shared.after_leaving")

    @asynccontextmanager
    async def leaving(self, person: ActiveSubject, purpose: str) -> AsyncIterator[None]:
        """Remove what a person contributed for a purpose that ends meanwhile: before, so that a crash has it ended again."""
        joined = await self._joined_for(person, purpose)
        async with AsyncExitStack() as stack:
            # In one order: two people may leave the same two spaces.
            for space in sorted({_space(one) for one in joined}, key=lambda one: (one.tenant, one.user)):
                await stack.enter_async_context(self._locks.held(space))
            for one in joined:
                await self._take_back(one, leaving=False)
            reach("shared.after_leaving")
            yield
        for late in [one for one in await self._joined_for(person, purpose) if one not in joined]:
            async with self._locks.held(_space(late)):
                await self._take_back(late, leaving=False)

    async def _joined_for(self, person: ActiveSubject, purpose: str) -> list[Entry]:
        every = await self._register.of(person, MEMBERSHIPS) if person.durable else []
        return [one for one in every if one.fields["purpose"] == purpose]

    async def _take_back(self, joined: Entry, *, leaving: bool) -> None:
        space, reference = _space(joined), joined.fields["reference"]
        row = await self._core.state.read(c.GetSubject(self._core.names.subject(space)))
        if row is None or row.state != SubjectState.ACTIVE:
            return
        async with self._directory.using(space) as active:
            for memory in await self._by(active, reference):
                # It is gone but for a sealed copy in hot, which goes when hot is back.
                with suppress(HotTierError):
                    await self._fulfil.delete(active, memory.id, "its author was erased, or may not share it")
            entry = await self._entry(active)
            if entry is not None and leaving:
                access = AccessList.of(entry.fields)
                left = access.left(reference, self._core.now_us())
                await self._core.ballast.spend(lambda: self._put(Admitted(active, "", access, entry), left))

    async def _by(self, active: ActiveSubject, reference: str) -> list[Memory]:
        """Return everything held that a member contributed, what faded or is kept apart as well."""
        found, before = await self._recall.forgotten(active), None
        found += await self._quarantine.quarantined(active)
        while page := await self._recall.page(active, ALL, PAGE, before):
            found += page
            before = page[-1].order
        return [one for one in found if one.author == reference]

    async def _joined(
        self, space: Subject, active: ActiveSubject, member: Member, people: People, purpose: str
    ) -> str:
        """Enter the space in the person's own list, which outlives a revocation, and return the reference."""
        person = people.get(member)
        if person is not None:
            await self._directory.establish(person)
        reference = _reference(active, member, people)
        if person is None:
            return reference
        known = await self._register.of(person, MEMBERSHIPS)
        if all(one.fields["reference"] != reference for one in known):
            fields = {"tenant": space.tenant, "space": space.user, "reference": reference, "purpose": purpose}
            now_us = self._core.now_us()
            entry = Entry(id=self._core.new_id(), kind=MEMBERSHIPS, status=OPEN, at_us=now_us, fields=fields)
            await self._register.put(person, entry)
        return reference

    async def _found(self, active: ActiveSubject, visit: Visit, people: People) -> Admitted | None:
        entry = await self._entry(active) if active.durable else None
        if entry is None:
            return None
        reference = _reference(active, visit.member, people)
        return Admitted(active, reference, AccessList.of(entry.fields), entry)

    async def _entry(self, active: ActiveSubject) -> Entry | None:
        return await self._register.get(active, LIST, LIST)

    async def _refuse(self, visit: Visit, right: SharedRight) -> NoReturn:
        role = visit.caller.role if visit.caller.role in {one.value for one in AccessRole} else "unknown"
        refused = Refused(role, right.value, "shared", LIST)
        await self._gate.refuse(visit.space, visit.caller, refused, DENIED.format(right=right.value))

    async def _put(self, admitted: Admitted, changed: AccessList) -> None:
        """One change of the list is one commit with its leaf."""
        active, newest = admitted.active, changed.changes[-1]
        entry = Entry(
            id=LIST,
            kind=LIST,
            status=OPEN,
            at_us=newest.at_us,
            fields=changed.as_fields(),
            version=admitted.entry.version,
        )
        await self._register.put(active, entry, self._leaf(active, newest.change, newest.about))

    def _leaf(self, active: ActiveSubject, change: str, about: str, count: int = 1) -> AuditLeaf:
        detail: dict[str, int | str] = {"change": change, "count": count}
        key, now_us = active.ledger_key, self._core.now_us()
        return leaf_for(active, key, AuditEvent.SHARED_CHANGED, now_us, about=about, detail=detail)


def _space(joined: Entry) -> Subject:
    return Subject(joined.fields["tenant"], joined.fields["space"])


def _may(found: Admitted, visit: Visit, right: SharedRight) -> bool:
    """An administrator may say who is a member of any space: its last manager may be gone."""
    if found.access.may(found.reference, right):
        return True
    return right is SharedRight.MANAGE and visit.caller.role == AccessRole.ADMIN


def _reference(space: ActiveSubject, member: Member, people: People) -> str:
    """Return a member's reference, "" for a person of whom nothing is held.

    A person's is under both keys: erasing the person, too, makes it a number that nobody can compute again.
    """
    name = b"shared/agent/" + member.id.encode()
    if member.kind is MemberKind.USER:
        person = people[member]
        if not person.durable:
            return ""
        name = b"shared/user/" + person.own_key().fingerprint(b"shared/space/" + space.ref.pseudonym)
    return space.own_key().fingerprint(name)[:REFERENCE_BYTES].hex()
