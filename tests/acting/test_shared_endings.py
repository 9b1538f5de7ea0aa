"""However a person's grounds for a purpose end, what the person contributed to shared memories goes with them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from shared_space import contents
from support import PURPOSE, consenting, opened, parts_of

from tiered_memory import TieredMemory
from tiered_memory.caller import Caller
from tiered_memory.errors import AgentNotAllowedError, ConsentRequiredError
from tiered_memory.failpoints import arm
from tiered_memory.privacy.sharing import Member
from tiered_memory.shared_face import SharedMemory
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)
ENDS = ["withdrawn", "refused", "expired", "touched", "objected", "restricted"]
POLICY = """
schema = 1
default_purpose = "advice"

[purposes.advice]
lawful_basis = "consent"
max_sensitivity = "restricted"

[purposes.insight]
lawful_basis = "legitimate_interests"
documentation = "balancing test 7"
max_sensitivity = "restricted"
"""


class DiedError(Exception):
    pass


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return str(path)


@pytest.fixture
async def memory(tmp_path: Path, policy: str, clock: ManualClock) -> AsyncIterator[TieredMemory]:
    async with opened(tmp_path / "data", settings={"policy": policy}, clock=clock) as memory:
        yield memory


def plan(memory: TieredMemory, purpose: str, user: str) -> SharedMemory:
    return memory.shared(f"{purpose}-plan", tenant="acme", user=user)


async def filled(memory: TieredMemory, clock: ManualClock) -> None:
    """Alice's two spaces, one of each purpose, and a contribution of Bob's to both, flushed and not."""
    for name, lasting in (("alice", None), ("bob", clock.now() + DAY)):
        user = memory.user(name, tenant="acme")
        await user.consent.grant("advice", notice="n", expires_at=lasting)
    for purpose in ("advice", "insight"):
        alice, bob = plan(memory, purpose, "alice"), plan(memory, purpose, "bob")
        await alice.create(notice="n", purpose=purpose)
        await alice.grant_access(Member("bob"), {"read", "write"})
        await alice.add("the launch is on Monday")
        await bob.add("the icon is green")
        await memory.drain()
        await bob.add("the door is blue")


def ended(how: str) -> str:
    return "insight" if how in {"objected", "restricted"} else "advice"


async def end(memory: TieredMemory, clock: ManualClock, how: str) -> None:
    bob = memory.user("bob", tenant="acme")
    match how:
        case "withdrawn":
            await bob.consent.withdraw("advice")
        case "refused":
            await bob.consent.refuse("advice", notice="n2")
        case "expired":
            clock.advance(DAY)
            await memory.forget()
        case "touched":
            clock.advance(DAY)
            await bob.list()
        case "objected":
            await bob.object_to("insight")
        case _:
            await bob.object_to("insight", compelling_grounds="claims in court, file 9")


async def nothing_left(memory: TieredMemory, how: str) -> None:
    alice = plan(memory, ended(how), "alice")
    assert await contents(alice) == ["the launch is on Monday"]
    assert not [
        hit for hit in await alice.search("green icon, blue door") if "Monday" not in hit.memory.content
    ]
    with pytest.raises(ConsentRequiredError):
        await plan(memory, ended(how), "bob").add("the roof is red")
    other = "advice" if ended(how) == "insight" else "insight"
    assert len(await contents(plan(memory, other, "alice"))) == 3


@pytest.mark.parametrize("how", ENDS)
async def test_it_is_removed_however_the_purpose_ends(
    memory: TieredMemory, clock: ManualClock, how: str
) -> None:
    await filled(memory, clock)
    await end(memory, clock, how)
    await nothing_left(memory, how)


@pytest.mark.parametrize("how", ENDS)
async def test_it_is_removed_of_somebody_who_is_not_in_ram(
    tmp_path: Path, policy: str, clock: ManualClock, how: str
) -> None:
    settings = {"policy": policy}
    async with opened(tmp_path / "data", settings=settings, clock=clock) as memory:
        await filled(memory, clock)
    async with opened(tmp_path / "data", settings=settings, clock=clock) as memory:
        await end(memory, clock, how)
        await nothing_left(memory, how)
    async with opened(tmp_path / "data", settings=settings, clock=clock) as memory:
        await nothing_left(memory, how)


@pytest.mark.parametrize("how", ENDS)
async def test_a_death_in_between_leaves_the_purpose_to_be_ended_again(
    tmp_path: Path, policy: str, clock: ManualClock, how: str
) -> None:
    """What was contributed goes first: no purpose has ended of which something is still shared."""

    def die(reached: str) -> None:
        if reached == "shared.after_leaving":
            raise DiedError

    async with opened(tmp_path / "data", settings={"policy": policy}, clock=clock) as memory:
        await filled(memory, clock)
        arm(die)
        try:
            with pytest.raises(DiedError):
                await end(memory, clock, how)
        finally:
            arm(None)
        residents = {one.subject.user: one for one in parts_of(memory).directory.residents()}
        assert [one.action for one in residents["bob"].consents] == ["given"]
        assert residents["bob"].objections == {}
    async with opened(tmp_path / "data", settings={"policy": policy}, clock=clock) as memory:
        await end(memory, clock, how)
        await nothing_left(memory, how)


async def test_nothing_is_contributed_while_the_purpose_ends(
    memory: TieredMemory, clock: ManualClock
) -> None:
    await filled(memory, clock)
    bob = plan(memory, "advice", "bob")
    withdrawing = asyncio.create_task(memory.user("bob", tenant="acme").consent.withdraw("advice"))
    adding = [asyncio.create_task(bob.add(f"late {number}")) for number in range(5)]
    await asyncio.gather(withdrawing, *adding, return_exceptions=True)
    assert withdrawing.exception() is None
    await nothing_left(memory, "withdrawn")


async def test_two_who_leave_the_same_spaces_do_not_wait_for_each_other(memory: TieredMemory) -> None:
    for name in ("alice", "bob", "carol"):
        await memory.user(name, tenant="acme").consent.grant("advice", notice="n")
    spaces = [memory.shared(name, tenant="acme", user="alice") for name in ("one", "two")]
    for number, space in enumerate(spaces):
        await space.create(notice="n", purpose="advice")
        for name in ("bob", "carol") if number else ("carol", "bob"):
            await space.grant_access(Member(name), {"write"})
            await memory.shared(("one", "two")[number], tenant="acme", user=name).add(f"{name} was here")
    leaving = [memory.user(name, tenant="acme").consent.withdraw("advice") for name in ("bob", "carol")]
    await asyncio.wait_for(asyncio.gather(*leaving), 30)
    assert [await contents(space) for space in spaces] == [[], []]


async def test_who_objects_is_not_entered(memory: TieredMemory) -> None:
    alice = memory.shared("insight-plan", tenant="acme", user="alice")
    await alice.create(notice="n", purpose="insight")
    bob = memory.user("bob", tenant="acme")
    await bob.object_to("insight")
    with pytest.raises(ConsentRequiredError, match="objected"):
        await alice.grant_access(Member("bob"), {"read"})
    await bob.lift_objection("insight")
    assert await alice.grant_access(Member("bob"), {"read"})


@pytest.mark.parametrize("how", ENDS)
async def test_an_older_backup_does_not_bring_it_back(
    tmp_path: Path, policy: str, clock: ManualClock, how: str
) -> None:
    store, archive, fresh = tmp_path / "data", tmp_path / "archive", tmp_path / "fresh"
    async with opened(store, settings={"policy": policy}, clock=clock) as memory:
        await filled(memory, clock)
        await memory.drain()
        await memory.backup(archive)
        await end(memory, clock, how)
        await memory.forget()
    await TieredMemory.restore(archive, fresh, erased_list=store / "erased.log")
    shutil.copytree(store / "keys", fresh / "keys", dirs_exist_ok=True)
    async with opened(fresh, settings={"policy": policy}, clock=clock) as memory:
        assert await contents(plan(memory, ended(how), "alice")) == ["the launch is on Monday"]


async def test_a_person_reads_what_is_shared_where_only_some_agents_are_allowed(tmp_path: Path) -> None:
    """A member is no agent: whom the tenant allows is asked of agents that are named."""
    async with opened(tmp_path) as memory:
        await memory.tenants.register("acme", allowed_agents=["planner"])
        alice = await consenting(memory, "alice")
        plan = memory.shared("plan", tenant="acme", user=alice.subject.user)
        await plan.create(notice="notice 1", purpose=PURPOSE)
        await plan.add("the launch is on Monday")
        assert [one.content for one in await plan.list()] == ["the launch is on Monday"]
        stranger = Caller(actor="stranger")
        with pytest.raises(AgentNotAllowedError):
            await memory.shared("plan", tenant="acme", user="alice", caller=stranger).list()
