"""The same operation id is the same write, however often and however concurrently it is asked for."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from support import consenting, contents, opened, sqlite_rows

from tiered_memory import Interaction, Receipt, TieredMemory, User
from tiered_memory.errors import ConflictError, InvalidInputError

pytestmark = pytest.mark.anyio

GROUP = [Interaction(content=f"part {number}", importance=0.9, session="s1") for number in range(3)]


async def test_a_repeated_call_answers_with_the_first_one_s_receipts(alice: User) -> None:
    first = await alice.add_many(GROUP, operation_id="op-1")
    again = await alice.add_many(GROUP, operation_id="op-1")
    assert [one.repeated for one in first + again] == [False] * 3 + [True] * 3
    assert [(one.id, one.durability) for one in first] == [(one.id, one.durability) for one in again]
    assert len(await alice.list()) == 3
    assert len((await alice.context("part", session="s1")).items) == 3


@pytest.mark.parametrize("flushed", [True, False])
async def test_across_a_restart(data: Path, *, flushed: bool) -> None:
    async with opened(data) as memory:
        first = await (await consenting(memory)).add_many(GROUP, operation_id="op-1")
        if flushed:
            await memory.drain()
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        again = await alice.add_many(GROUP, operation_id="op-1")
        assert [one.id for one in again] == [one.id for one in first]
        assert all(one.repeated for one in again)
        with pytest.raises(ConflictError):
            await alice.add("something else", operation_id="op-1")
        assert len(await alice.list()) == 3


@pytest.mark.parametrize(
    "other",
    [{"content": "other"}, {"role": "assistant"}, {"session": "s2"}, {"author": "bob"}, {"agent": "x"}],
    ids=lambda change: next(iter(change)),
)
async def test_other_content_is_a_conflict(alice: User, other: dict[str, str]) -> None:
    first = await alice.add("said once", session="s1", operation_id="op-1", importance=0.9)
    with pytest.raises(ConflictError):
        await alice.add(**{"content": "said once", "session": "s1", **other}, operation_id="op-1")  # type: ignore[arg-type]
    assert [one.id for one in await alice.list()] == [first.id]


async def _at_once(user: User, times: int) -> list[Receipt]:
    receipts: list[Receipt] = []

    async def call() -> None:
        receipts.append(await user.add("said once", session="s1", operation_id="op-1", importance=0.9))

    async with anyio.create_task_group() as tasks:
        for _ in range(times):
            tasks.start_soon(call)
    return receipts


async def test_at_once_it_is_stored_once(memory: TieredMemory, alice: User, data: Path) -> None:
    receipts = await _at_once(alice, 10)
    assert len({one.id for one in receipts}) == 1
    assert sum(not one.repeated for one in receipts) == 1
    assert await contents(alice) == ["said once"]
    assert len((await alice.context("said", session="s1")).items) == 1
    await memory.drain()
    assert len(sqlite_rows(data, "memories")) == 1


async def test_at_once_without_a_basis_it_is_held_once(memory: TieredMemory) -> None:
    guest = memory.user("guest")
    receipts = await _at_once(guest, 10)
    assert len({one.id for one in receipts}) == 1
    assert sum(not one.repeated for one in receipts) == 1
    assert await contents(guest) == ["said once"]
    assert len((await guest.context("said", session="s1")).items) == 1


async def test_other_users_may_use_the_same_id(memory: TieredMemory, alice: User) -> None:
    bob = await consenting(memory, "bob")
    receipts = [await user.add("same words", operation_id="op-1") for user in (alice, bob)]
    assert [one.repeated for one in receipts] == [False, False]
    assert receipts[0].id != receipts[1].id


async def test_a_refused_call_does_not_use_the_id_up(alice: User) -> None:
    with pytest.raises(InvalidInputError):
        await alice.add("", operation_id="op-1")
    assert not (await alice.add("now with words", operation_id="op-1")).repeated


@pytest.mark.parametrize("bad", ["", "x" * 257, "a\nb", 5, b"op", "\ud800"])
async def test_a_bad_id_is_refused(alice: User, bad: object) -> None:
    with pytest.raises(InvalidInputError, match="operation_id"):
        await alice.add("words", operation_id=bad)  # type: ignore[arg-type]
    assert await alice.list() == []
