"""No call reaches another subject, and a group is stored whole or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from support import consenting, contents, sqlite_rows

from tiered_memory import Interaction, TieredMemory, User
from tiered_memory.errors import InvalidInputError, NotFoundError
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

COLLIDING = [("a", "b|c"), ("a|b", "c"), ("a|b|c", "d"), ("a", "b"), ("ab", "c"), ("a", "bc"), ("", "abc")]


async def test_ids_that_look_alike_are_apart(memory: TieredMemory) -> None:
    pairs = [pair for pair in COLLIDING if all(pair)]
    users = [await consenting(memory, user, tenant) for tenant, user in pairs]
    for user, pair in zip(users, pairs, strict=True):
        await user.add(f"I am {pair}", session="s1", importance=0.9, operation_id="same")
    await memory.drain()
    assert [await contents(user) for user in users] == [[f"I am {pair}"] for pair in pairs]
    assert [len((await user.context("who?", session="s1")).items) for user in users] == [1] * len(pairs)


CALLS: list[Callable[[User, str], Awaitable[object]]] = [
    lambda user, one: user.get(one),
    lambda user, one: user.delete(one),
    lambda user, one: user.explain(one),
    lambda user, one: user.restore(one),
    lambda user, one: user.pin(one),
    lambda user, one: user.unpin(one),
]


@pytest.mark.parametrize("call", CALLS, ids=["get", "delete", "explain", "restore", "pin", "unpin"])
async def test_another_s_id_is_not_found(
    memory: TieredMemory, alice: User, call: Callable[[User, str], Awaitable[object]]
) -> None:
    mine = (await alice.add("mine", importance=0.9)).id
    dull = (await alice.add("mine too", importance=0.0, session="s1")).id
    for other in (
        await consenting(memory, "bob"),
        memory.user("guest"),
        memory.user("alice", tenant="other"),
    ):
        for one in (mine, dull):
            with pytest.raises(NotFoundError):
                await call(other, one)
        assert await other.used([mine]) == 0
        assert await other.search("mine") == await other.list() == []
    assert await contents(alice) == ["mine too", "mine"]


async def test_another_s_forgotten_memory_cannot_be_restored(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    faint = (await alice.add("faint", importance=0.25)).id
    await memory.drain()
    clock.advance(timedelta(days=30))
    await memory.forget()
    bob = await consenting(memory, "bob")
    with pytest.raises(NotFoundError):
        await bob.restore(faint)
    assert await bob.forgotten() == []
    assert [one.id for one in await alice.forgotten()] == [faint]


async def test_forgetting_one_user_leaves_the_others(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    bob = await consenting(memory, "bob")
    for user in (alice, bob):
        await user.add("faint", importance=0.25)
    clock.advance(timedelta(days=30))
    await alice.forget()
    assert (await contents(alice), await contents(bob)) == ([], ["faint"])


@pytest.mark.parametrize(
    "bad", [{"content": ""}, {"content": "x", "importance": float("nan")}, {"content": 7}]
)
@pytest.mark.parametrize("at", [0, 1, 2])
async def test_a_bad_item_anywhere_stores_none(
    memory: TieredMemory, alice: User, data: object, bad: dict[str, object], at: int
) -> None:
    group = [Interaction(content=f"good {number}", session="s1", importance=0.9) for number in range(2)]
    group.insert(at, Interaction(**bad))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError):
        await alice.add_many(group)
    assert await alice.list() == []
    assert (await alice.context("good", session="s1")).items == ()
    assert sqlite_rows(data, "journal") == []  # type: ignore[arg-type]


async def test_a_group_keeps_its_order(alice: User) -> None:
    receipts = await alice.add_many([Interaction(content=f"turn {n}", importance=0.9) for n in range(30)])
    assert [one.id for one in reversed(await alice.list())] == [one.id for one in receipts]


async def test_an_empty_group_is_nothing(alice: User) -> None:
    assert await alice.add_many([]) == []
