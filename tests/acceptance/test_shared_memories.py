"""A memory that several share, by every door."""

from __future__ import annotations

import pytest
from acceptance_house import Side, walks
from likeness import alike

from tiered_memory import Filter
from tiered_memory.caller import Caller
from tiered_memory.erasure import verify_certificate
from tiered_memory.errors import AccessDeniedError, ConflictError, ConsentRequiredError, InvalidInputError
from tiered_memory.model import Kind
from tiered_memory.privacy.sharing import Member, MemberKind, SharedRight
from tiered_memory.shared_face import SharedMemory

pytestmark = pytest.mark.anyio
SAID = "The kick-off is on Monday in Porto."


async def plan(side: Side) -> tuple[SharedMemory, SharedMemory, str]:
    """A shared memory as its maker and as a member see it, and its name."""
    ann, bob, name = await side.person(), await side.person(), side.house.name("plan")
    made = side.memory.shared(name, "acme", user=ann.subject.user)
    await made.create(notice="team notice", explicit=True)
    await made.grant_access(Member(bob.subject.user), {SharedRight.READ, "write"})
    return made, side.memory.shared(name, "acme", user=bob.subject.user), name


@walks(
    "shared.create",
    "shared.grant_access",
    "shared.add",
    "shared.list",
    "shared.search",
    "shared.context",
    "shared.get",
)
async def test_members_read_what_members_say(side: Side) -> None:
    ann, bob, name = await plan(side)
    receipt = await ann.add(SAID, kind=Kind.SEMANTIC, importance=0.9, operation_id="one")
    assert (await ann.add(SAID, kind=Kind.SEMANTIC, importance=0.9, operation_id="one")).repeated
    assert (await bob.get(receipt.id)).content == SAID
    assert [one.memory.id for one in await bob.search("When is the kick-off?", limit=1)] == [receipt.id]
    assert "Porto" in (await bob.context("When is the kick-off?", token_budget=100)).render()
    listed = await bob.list(where=Filter(kinds=frozenset({Kind.SEMANTIC})), limit=5)
    own = side.owner.shared(name, "acme", user=side_user(bob))
    alike(listed, await own.list(where=Filter(kinds=frozenset({Kind.SEMANTIC})), limit=5))
    with pytest.raises(ConflictError):
        await ann.create(notice="team notice", explicit=True)


def side_user(face: SharedMemory) -> str:
    """Return who looks at a shared memory."""
    link = face.__dict__.get("_link")
    return link.as_user if link is not None else face._visit.member.id


@walks("shared.members", "shared.changes", "shared.revoke_access")
async def test_members_come_and_go(side: Side) -> None:
    ann, bob, name = await plan(side)
    agent = await ann.grant_access(Member("planner", MemberKind.AGENT), ["read"])
    own = side.owner.shared(name, "acme", user=side_user(ann))
    members = await ann.members()
    assert {one.kind for one in members} == {MemberKind.USER, MemberKind.AGENT}
    alike(members, await own.members())
    as_agent = side.memory.shared(name, "acme", caller=Caller(actor="planner"))
    assert await as_agent.list() == []
    await ann.revoke_access(agent)
    await ann.revoke_access(Member(side_user(bob)))
    for gone in (as_agent, bob):
        with pytest.raises(AccessDeniedError):
            await gone.list()
    alike(await ann.changes(), await own.changes())
    with pytest.raises(InvalidInputError):
        side.memory.shared(name, "acme")


@walks("shared.delete", "shared.erase")
async def test_a_shared_memory_ends(side: Side) -> None:
    ann, bob, _ = await plan(side)
    first, second = await ann.add(SAID, importance=0.9), await bob.add("I come by train.", importance=0.9)
    await bob.delete(second.id)
    with pytest.raises(AccessDeniedError):
        await bob.delete(first.id, reason="not mine")
    certificate = await ann.erase(reason="the project ended")
    verify_certificate(certificate)
    with pytest.raises(AccessDeniedError):
        await ann.list()


@walks("shared.create")
async def test_a_shared_memory_rests_on_consent(side: Side) -> None:
    name = side.house.name()
    shared = side.memory.shared(side.house.name("plan"), "acme", user=name)
    with pytest.raises(ConsentRequiredError):
        await shared.create(notice="team notice", explicit=True)
