"""What becomes of a shared memory when a member is erased, when something dies on the way, and at its end."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from shared_space import PURPOSE, contents, made, plan
from support import consenting, opened, parts_of

from tiered_memory import TieredMemory
from tiered_memory.caller import Caller
from tiered_memory.errors import (
    AccessDeniedError,
    ConsentRequiredError,
    InvalidInputError,
    RestrictedError,
    SubjectErasedError,
)
from tiered_memory.failpoints import arm
from tiered_memory.privacy.sharing import Member
from tiered_memory.shared import space_of
from tiered_memory.shared_face import SharedMemory
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio


async def created(shared: SharedMemory) -> None:
    await shared.create(notice="n")
    await shared.grant_access(Member("bob"), {"read"})


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


# --- other ends ----------------------------------------------------------------------------------------------

INTEREST = """
schema = 1
default_purpose = "planning"
[purposes.planning]
lawful_basis = "legitimate_interests"
documentation = "the balancing test"
max_sensitivity = "restricted"
"""


async def test_refusing_takes_back_what_was_contributed(memory: TieredMemory) -> None:
    alice, bob = await made(memory), plan(memory, "bob")
    await alice.add("The launch is on Monday")
    await bob.add("The tram app needs a new icon")
    await memory.user("bob", tenant="acme").consent.refuse(PURPOSE, notice="n")
    assert await contents(alice) == ["The launch is on Monday"]


async def test_a_refusal_that_is_not_accepted_takes_nothing_back(memory: TieredMemory) -> None:
    alice, bob = await made(memory), plan(memory, "bob")
    await bob.add("The tram app needs a new icon")
    with pytest.raises(InvalidInputError):
        await memory.user("bob", tenant="acme").consent.refuse(PURPOSE, notice="n", details={"record": 1})
    assert await contents(alice) == ["The tram app needs a new icon"]


@pytest.mark.parametrize("touched", [True, False])
async def test_a_consent_that_expires_takes_back_what_was_contributed(
    tmp_path: Path, *, touched: bool
) -> None:
    clock = ManualClock()
    async with opened(tmp_path, settings={"redis_url": "local"}, clock=clock) as memory:
        alice, bob = await made(memory), plan(memory, "bob")
        tomorrow = clock.now() + timedelta(days=1)
        user = memory.user("bob", tenant="acme")
        await user.consent.grant(PURPOSE, notice="n", expires_at=tomorrow)
        await bob.add("The tram app needs a new icon")
        clock.advance(2 * 86_400.0)
        await (user.list() if touched else memory.forget())
        assert await contents(alice) == []


async def test_objecting_takes_back_what_was_contributed_and_ends_contributing(tmp_path: Path) -> None:
    policy = tmp_path / "interest.toml"
    policy.write_text(INTEREST)
    async with opened(tmp_path / "data", settings={"policy": str(policy)}) as memory:
        alice, bob = plan(memory, "alice"), plan(memory, "bob")
        await alice.create(notice="n")
        await alice.grant_access(Member("bob"), {"read", "write"})
        await bob.add("The tram app needs a new icon")
        await memory.user("bob", tenant="acme").object_to("planning")
        assert await contents(alice) == []
        with pytest.raises(ConsentRequiredError):
            await bob.add("The icon should be green")


async def test_who_is_restricted_contributes_nothing(memory: TieredMemory) -> None:
    alice, bob = await made(memory), plan(memory, "bob")
    user = memory.user("bob", tenant="acme")
    await user.rights.restrict(reason="contested")
    with pytest.raises(RestrictedError):
        await bob.add("The tram app needs a new icon")
    await user.rights.lift_restriction(reason="settled")
    await bob.add("The tram app needs a new icon")
    assert await contents(alice) == ["The tram app needs a new icon"]


async def test_a_contribution_that_is_kept_apart_goes_with_its_author(memory: TieredMemory) -> None:
    alice, bob = await made(memory), plan(memory, "bob")
    receipt = await bob.add("The tram app needs a new icon")
    parts = parts_of(memory)
    async with parts.directory.using(space_of("acme", "team-plan")) as active:
        await parts.quarantine.put(active, receipt.id, "odd")
        assert [one.id for one in await parts.quarantine.quarantined(active)] == [receipt.id]
        await memory.user("bob", tenant="acme").erase(reason="request")
        assert await parts.quarantine.quarantined(active) == []
    assert await contents(alice) == []
