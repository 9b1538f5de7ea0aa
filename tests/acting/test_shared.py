"""Shared memories: a store of their own, denied to everybody who is not on the list, and emptied of who is erased."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import consenting, opened, parts_of, state_pages

from tiered_memory import TieredMemory
from tiered_memory.caller import Caller
from tiered_memory.errors import (
    AccessDeniedError,
    ConflictError,
    ConsentRequiredError,
    InvalidInputError,
    NotFoundError,
    SubjectErasedError,
)
from tiered_memory.failpoints import arm
from tiered_memory.privacy.sharing import Member, MemberKind
from tiered_memory.shared import RESERVED
from tiered_memory.shared_face import SharedMemory
from tiered_memory.state import commands as c

pytestmark = pytest.mark.anyio
BOT = Caller(actor="planner-bot")
PURPOSE = "personalization"


def plan(memory: TieredMemory, user: str | None = None, caller: Caller | None = None) -> SharedMemory:
    return memory.shared("team-plan", tenant="acme", user=user, caller=caller)


async def made(memory: TieredMemory) -> SharedMemory:
    """Alice's shared memory; Bob may read and write in it, Carol may not even know of it."""
    for name in ("alice", "bob", "carol"):
        await consenting(memory, name)
    alice = plan(memory, "alice")
    await alice.create(notice="team-notice-1", explicit=True)
    await alice.grant_access(Member("bob"), {"read", "write"})
    return alice


async def leaves(memory: TieredMemory, event: str) -> list[dict[str, Any]]:
    rows = await parts_of(memory).core.state.read(c.Leaves())
    return [one for one in (json.loads(leaf) for _, leaf, _ in rows) if one["event"] == event]


async def contents(shared: SharedMemory) -> list[str]:
    return [one.content for one in await shared.list()]


async def created(shared: SharedMemory) -> None:
    await shared.create(notice="n")
    await shared.grant_access(Member("bob"), {"read"})


def every_call(shared: SharedMemory) -> list[Any]:
    return [
        shared.add("x"),
        shared.search("launch"),
        shared.list(),
        shared.context("launch"),
        shared.get("0" * 32),
        shared.delete("0" * 32),
        shared.members(),
        shared.changes(),
        shared.grant_access(Member("carol"), {"read"}),
        shared.revoke_access(Member("bob")),
        shared.erase(reason="x"),
    ]


# --- who may -------------------------------------------------------------------------------------------------


async def test_members_share_what_they_say(memory: TieredMemory) -> None:
    alice, bob = await made(memory), plan(memory, "bob")
    await alice.add("The launch of the tram app is on Monday")
    receipt = await bob.add("The tram app needs a new icon")
    assert receipt.durability == "journaled"
    assert set(await contents(alice)) == set(await contents(bob))
    [first, *_] = await bob.search("when is the launch of the tram app")
    assert first.memory.content == "The launch of the tram app is on Monday"
    assert "on Monday" in (await bob.context("when is the launch")).render()
    assert (await alice.get(receipt.id)).content == "The tram app needs a new icon"


async def test_it_is_kept_apart_from_the_members_own_memories(memory: TieredMemory) -> None:
    alice = await made(memory)
    await alice.add("The launch is on Monday")
    for name in ("alice", "bob"):
        assert await memory.user(name, tenant="acme").list() == []
        assert await memory.user(name, tenant="acme").search("launch") == []


async def test_whoever_is_not_on_the_list_is_denied_every_call(memory: TieredMemory) -> None:
    await made(memory)
    for stranger in (plan(memory, "carol"), plan(memory, "nobody"), plan(memory, caller=BOT)):
        for call in every_call(stranger):
            with pytest.raises(AccessDeniedError):
                await call


async def test_a_space_that_there_is_not_answers_like_one_that_is_closed(memory: TieredMemory) -> None:
    await made(memory)
    closed, absent = plan(memory, "carol"), memory.shared("no-such", tenant="acme", user="carol")
    elsewhere = memory.shared("team-plan", tenant="other", user="alice")
    for calls in zip(*map(every_call, (closed, absent, elsewhere)), strict=True):
        told = set()
        for call in calls:
            with pytest.raises(AccessDeniedError) as refused:
                await call
            told.add(str(refused.value))
        assert len(told) == 1


async def test_a_right_is_what_was_granted_and_no_more(memory: TieredMemory) -> None:
    alice, bob = await made(memory), plan(memory, "bob")
    receipt = await alice.add("The launch is on Monday")
    for call in (
        bob.members(),
        bob.changes(),
        bob.grant_access(Member("carol"), {"read"}),
        bob.erase(reason="x"),
    ):
        with pytest.raises(AccessDeniedError, match="manage"):
            await call
    with pytest.raises(AccessDeniedError):
        await bob.delete(receipt.id)
    await alice.grant_access(Member("bob"), {"read"})
    with pytest.raises(AccessDeniedError, match="write"):
        await bob.add("x")
    assert await contents(bob) == ["The launch is on Monday"]


async def test_who_is_revoked_is_refused_at_once(memory: TieredMemory) -> None:
    alice, bob = await made(memory), plan(memory, "bob")
    await bob.add("The tram app needs a new icon")
    await alice.revoke_access(Member("bob"))
    for call in every_call(bob):
        with pytest.raises(AccessDeniedError):
            await call
    assert await contents(alice) == ["The tram app needs a new icon"]


async def test_a_member_is_revoked_by_reference_as_well(memory: TieredMemory) -> None:
    alice = await made(memory)
    reference = await alice.grant_access(Member("planner-bot", MemberKind.AGENT), {"read"})
    assert await plan(memory, caller=BOT).list() == []
    await alice.revoke_access(reference)
    with pytest.raises(AccessDeniedError):
        await plan(memory, caller=BOT).list()


async def test_an_agent_and_a_user_of_one_name_are_two(memory: TieredMemory) -> None:
    alice = await made(memory)
    named = await alice.grant_access(Member("bob", MemberKind.AGENT), {"read"})
    assert named != next(
        one.reference for one in await alice.members() if "write" in one.rights and "manage" not in one.rights
    )
    with pytest.raises(AccessDeniedError):
        await plan(memory, caller=Caller(actor="bob")).add("x")


async def test_the_access_list_outlives_the_process(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        alice = await made(memory)
        await alice.add("The launch is on Monday")
    async with opened(tmp_path) as memory:
        assert await contents(plan(memory, "bob")) == ["The launch is on Monday"]
        with pytest.raises(AccessDeniedError):
            await plan(memory, "carol").list()
        with pytest.raises(ConflictError):
            await plan(memory, "carol").create(notice="again")


async def test_an_administrator_says_who_is_a_member_and_reads_nothing(memory: TieredMemory) -> None:
    await made(memory)
    await memory.user("alice", tenant="acme").erase(reason="request")
    admin = plan(memory, caller=Caller(role="admin", actor="ops"))
    await admin.grant_access(Member("bob"), {"read", "write", "manage"})
    assert len(await plan(memory, "bob").members()) == 1
    with pytest.raises(AccessDeniedError):
        await admin.list()


async def test_roles_hold_in_a_shared_memory_too(memory: TieredMemory) -> None:
    alice = await made(memory)
    await alice.add("The launch is on Monday")
    secret = await alice.add("The launch is sponsored by Quill", sensitivity="restricted")
    support = plan(memory, "alice", Caller(role="support"))
    assert await contents(support) == ["The launch is on Monday"]
    with pytest.raises(NotFoundError):
        await support.get(secret.id)
    for call in (support.add("x"), support.members(), support.delete(secret.id)):
        with pytest.raises(AccessDeniedError, match=r"\[access.support\]"):
            await call


# --- who they are --------------------------------------------------------------------------------------------


async def test_people_are_opaque_references(memory: TieredMemory) -> None:
    alice = await made(memory)
    await alice.add("The launch is on Monday")
    members = await alice.members()
    [said] = await alice.list()
    assert said.author in {one.reference for one in members}
    shown = repr([members, await alice.changes(), said])
    assert not any(name in shown for name in ("alice", "bob"))
    assert {one.rights for one in members} == {("manage", "read", "write"), ("read", "write")}


async def test_one_person_has_another_reference_in_every_space(memory: TieredMemory) -> None:
    alice = await made(memory)
    other = memory.shared("other-plan", tenant="acme", user="alice")
    await other.create(notice="n")
    assert {one.reference for one in await alice.members()}.isdisjoint(
        one.reference for one in await other.members()
    )


async def test_nothing_of_it_is_readable_on_the_disk(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        alice = await made(memory)
        await alice.add("zanzibarlaunch")
        await memory.drain()
        references = [one.reference for one in await alice.members()]
    pages = state_pages(tmp_path)
    assert not any(word.encode() in pages for word in ("zanzibarlaunch", "team-plan", RESERVED, *references))


async def test_no_user_id_reaches_a_space(memory: TieredMemory) -> None:
    await made(memory)
    with pytest.raises(InvalidInputError):
        memory.user(RESERVED + "team-plan", tenant="acme")
    with pytest.raises(InvalidInputError):
        plan(memory, RESERVED + "team-plan")
    for wrong in ("", "a\x1fb", 7):
        with pytest.raises(InvalidInputError):
            memory.shared(wrong, user="alice")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="who asks"):
        memory.shared("team-plan")


@pytest.mark.parametrize(
    ("member", "rights"),
    [
        (Member(""), {"read"}),
        (Member("bob", "robot"), {"read"}),  # type: ignore[arg-type]
        ("bob", {"read"}),
        (Member("bob"), set()),
        (Member("bob"), {"own"}),
        (Member("bob"), "read"),
    ],
)
async def test_what_is_no_member_or_no_right_is_refused(
    memory: TieredMemory, member: Any, rights: Any
) -> None:
    alice = await made(memory)
    before = await alice.members()
    with pytest.raises(InvalidInputError):
        await alice.grant_access(member, rights)
    assert await alice.members() == before


# --- on which grounds ----------------------------------------------------------------------------------------


async def test_who_has_not_consented_takes_no_part(memory: TieredMemory) -> None:
    alice = await made(memory)
    with pytest.raises(ConsentRequiredError):
        await alice.grant_access(Member("dora"), {"read"})
    with pytest.raises(ConsentRequiredError):
        await memory.shared("doras", tenant="acme", user="dora").create(notice="n")
    assert len(await alice.members()) == 2
    assert await memory.user("dora", tenant="acme").consent.current() == {}


async def test_withdrawing_takes_back_what_was_contributed_and_ends_contributing(
    memory: TieredMemory,
) -> None:
    alice, bob = await made(memory), plan(memory, "bob")
    await alice.add("The launch is on Monday")
    await bob.add("The tram app needs a new icon")
    await memory.user("bob", tenant="acme").consent.withdraw(PURPOSE)
    assert await contents(alice) == ["The launch is on Monday"]
    with pytest.raises(ConsentRequiredError):
        await bob.add("The icon should be green")
    assert await contents(bob) == ["The launch is on Monday"]


async def test_restricted_things_need_the_contributors_explicit_consent(memory: TieredMemory) -> None:
    alice = await made(memory)
    await memory.user("dora", tenant="acme").consent.grant(PURPOSE, notice="n")
    await alice.grant_access(Member("dora"), {"write"})
    dora = plan(memory, "dora")
    with pytest.raises(ConsentRequiredError):
        await dora.add("Quill is ill", sensitivity="restricted")
    await dora.add("Quill is on leave")
    assert await contents(alice) == ["Quill is on leave"]


# --- what is told of it --------------------------------------------------------------------------------------


async def test_changes_are_told_and_entered_in_the_ledger(memory: TieredMemory) -> None:
    alice, bob = await made(memory), plan(memory, "bob")
    receipt = await bob.add("The tram app needs a new icon")
    await bob.delete(receipt.id)
    await alice.revoke_access(Member("bob"))
    changes = await alice.changes()
    assert [one.change for one in changes] == ["created", "granted", "deleted", "revoked"]
    assert changes[1].rights == ("read", "write")
    assert (changes[2].about, changes[2].by) == (receipt.id, changes[1].about)
    told = await leaves(memory, "shared_changed")
    assert [one["detail"]["change"] for one in told] == ["created", "granted", "added", "deleted", "revoked"]
    known = [changes[1].about, receipt.id, "alice", "bob", "team-plan"]
    assert not any(word in json.dumps(told) for word in known)
    assert (await memory.ledger.verify()).sound


async def test_reads_and_refusals_are_logged(memory: TieredMemory) -> None:
    alice, bob = await made(memory), plan(memory, "bob")
    await alice.add("The launch is on Monday")
    await alice.list()
    await bob.search("launch")
    with pytest.raises(AccessDeniedError):
        await plan(memory, "carol").list()
    await memory.ledger.verify()
    read = await leaves(memory, "accessed")
    assert sorted((one["detail"]["call"], one["detail"]["memories"]) for one in read) == [
        ("list", 1),
        ("search", 1),
    ]
    assert len({one["actor"] for one in read}) == 2
    [refused] = await leaves(memory, "access_refused")
    assert (refused["detail"]["action"], refused["subject"]) == ("read", read[0]["subject"])


# --- erasure -------------------------------------------------------------------------------------------------


async def test_an_erased_person_is_gone_from_every_space(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        alice, bob = await made(memory), plan(memory, "bob")
        other = memory.shared("other-plan", tenant="acme", user="bob")
        await other.create(notice="n")
        await other.add("zanzibarother")
        await alice.add("The launch is on Monday")
        await bob.add("zanzibaricon")
        reference = next(one.reference for one in await alice.members() if "manage" not in one.rights)
        certificate = await memory.user("bob", tenant="acme").erase(reason="request")
        assert certificate.verified
        assert await contents(alice) == ["The launch is on Monday"]
        assert len(await alice.members()) == 1
        assert reference not in repr([await alice.members(), await alice.changes()])
        with pytest.raises(AccessDeniedError):
            await bob.list()
        admin = memory.shared("other-plan", tenant="acme", caller=Caller(role="admin", actor="ops"))
        assert await admin.members() == []
    async with opened(tmp_path) as memory:
        await consenting(memory, "bob")
        with pytest.raises(AccessDeniedError):
            await plan(memory, "bob").list()
        await plan(memory, "alice").grant_access(Member("bob"), {"read"})
        assert reference not in {one.reference for one in await plan(memory, "alice").members()}


async def test_who_was_revoked_is_found_by_an_erasure_too(memory: TieredMemory) -> None:
    alice, bob = await made(memory), plan(memory, "bob")
    await bob.add("The tram app needs a new icon")
    await alice.revoke_access(Member("bob"))
    await memory.user("bob", tenant="acme").erase(reason="request")
    assert await contents(alice) == []


@pytest.mark.parametrize(
    "point", ["shared.after_leaving", "erase.before_fence", "erase.after_fence", "remove.after_mark"]
)
async def test_an_erasure_that_dies_on_the_way_is_finished_by_the_next(tmp_path: Path, point: str) -> None:
    class DiedError(Exception):
        pass

    def die(reached: str) -> None:
        if reached == point:
            raise DiedError

    async with opened(tmp_path) as memory:
        alice, bob = await made(memory), plan(memory, "bob")
        other = memory.shared("other-plan", tenant="acme", user="bob")
        await other.create(notice="n")
        await other.grant_access(Member("alice"), {"read", "manage"})
        await alice.add("The launch is on Monday")
        await other.add("Ours")
        await bob.add("The tram app needs a new icon")
        arm(die)
        try:
            with pytest.raises(DiedError):
                await memory.user("bob", tenant="acme").erase(reason="request")
        finally:
            arm(None)
    async with opened(tmp_path) as memory:
        assert (await memory.user("bob", tenant="acme").erase(reason="request")).verified
        assert await contents(plan(memory, "alice")) == ["The launch is on Monday"]
        assert await contents(memory.shared("other-plan", tenant="acme", user="alice")) == []


@pytest.mark.parametrize("point", ["shared.after_establish", "shared.after_membership"])
async def test_a_space_or_a_grant_that_dies_on_the_way_can_be_made_again(tmp_path: Path, point: str) -> None:
    class DiedError(Exception):
        pass

    def die(reached: str) -> None:
        if reached == point:
            raise DiedError

    async with opened(tmp_path) as memory:
        for name in ("alice", "bob"):
            await consenting(memory, name)
        arm(die)
        try:
            with pytest.raises(DiedError):
                await created(plan(memory, "alice"))
        finally:
            arm(None)
    async with opened(tmp_path) as memory:
        alice = plan(memory, "alice")
        if point == "shared.after_establish":
            await alice.create(notice="n")
        with pytest.raises(AccessDeniedError):
            await plan(memory, "bob").list()
        await alice.grant_access(Member("bob"), {"read"})
        assert await plan(memory, "bob").list() == []


async def test_a_contribution_that_races_an_erasure_does_not_stay(memory: TieredMemory) -> None:
    alice, bob = await made(memory), plan(memory, "bob")

    async def contribute() -> None:
        for number in range(20):
            try:
                await bob.add(f"The tram app needs icon number {number}")
            except (SubjectErasedError, AccessDeniedError, ConsentRequiredError):
                return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(contribute)
        await anyio.lowlevel.checkpoint()
        await memory.user("bob", tenant="acme").erase(reason="request")
    assert await contents(alice) == []


async def test_a_whole_space_is_erased_by_who_manages_it(memory: TieredMemory) -> None:
    alice = await made(memory)
    await alice.add("The launch is on Monday")
    certificate = await alice.erase(reason="over")
    assert certificate.verified
    with pytest.raises(AccessDeniedError):
        await alice.list()
    assert (await memory.user("bob", tenant="acme").erase(reason="request")).verified
    await alice.create(notice="n2")
    assert await alice.list() == []


async def test_a_repeated_contribution_is_one(memory: TieredMemory) -> None:
    alice, bob = await made(memory), plan(memory, "bob")
    first = await alice.add("The launch is on Monday", operation_id="op-1")
    again = await alice.add("The launch is on Monday", operation_id="op-1")
    other = await bob.add("The icon is green", operation_id="op-1")
    assert (again.id, again.repeated) == (first.id, True)
    assert not other.repeated
