"""A user's quota: what would leave first makes room, what is protected stays, and nothing is ever beyond it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import consenting, contents, opened, parts_of, redis_bytes, sealed_in_cold

from tiered_memory import Interaction, TieredMemory, User
from tiered_memory.errors import NotFoundError, QuotaExceededError
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.metrics import MemoryMoved, RecordingObserver
from tiered_memory.model import Durability
from tiered_memory.state import commands as c
from tiered_memory.state.base import Totals
from tiered_memory.state.forgetting import TotalsOf
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

POLICY = """
schema = 1
name = "bounded"
[quota]
{quota}
[decay]
use_boost = 0.3
use_slowdown = 1
[forgetting]
undo_days = {undo_days}
[retention.confidential]
floor_days = {floor_days}
"""


@asynccontextmanager
async def bounded(
    data: Path,
    clock: ManualClock,
    quota: str = "max_items = 3",
    undo_days: float = 7,
    floor_days: float = 0,
    **parts: Any,
) -> AsyncIterator[TieredMemory]:
    path = data.parent / "bounded.toml"
    path.write_text(POLICY.format(quota=quota, undo_days=undo_days, floor_days=floor_days))
    async with opened(data, clock=clock, settings={"policy": str(path)}, **parts) as memory:
        yield memory


async def add(user: User, text: str, importance: float = 0.5, **more: Any) -> str:
    return (await user.add(text, importance=importance, **more)).id


async def totals(memory: TieredMemory, user: User) -> Totals:
    active = await parts_of(memory).directory.touch(user.subject)
    return await parts_of(memory).core.state.read(TotalsOf(active.ref.pseudonym))


async def test_what_would_leave_first_makes_room(data: Path, clock: ManualClock) -> None:
    heard = RecordingObserver()
    async with bounded(data, clock, observer=heard) as memory:
        alice = await consenting(memory)
        await add(alice, "middling", 0.6)
        faint = await add(alice, "the faint one", 0.3, session="s1")
        await add(alice, "strong", 0.9)
        receipt = await alice.add("newest", importance=0.4)
        assert receipt.durability is Durability.JOURNALED
        assert await contents(alice) == ["newest", "strong", "middling"]
        assert [one.id for one in await alice.forgotten()] == [faint]
        assert await alice.search("the faint one", limit=1) != []
        assert all(hit.memory.id != faint for hit in await alice.search("the faint one"))
        assert all(item.memory_id != faint for item in (await alice.context("faint", session="s1")).items)
        assert faint.encode() not in b"".join(redis_bytes(memory))
        told = await alice.explain(faint)
        assert (told.state, told.deadline_rule) == ("forgotten", "quota")
        assert told.deadline == clock.now() + timedelta(days=7)
        assert heard.of(MemoryMoved) == [MemoryMoved("evicted", "quota")]


async def test_a_use_decides_who_leaves(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock) as memory:
        alice = await consenting(memory)
        used, unused = await add(alice, "used", 0.4), await add(alice, "unused", 0.4)
        await add(alice, "strong", 0.9)
        clock.advance(timedelta(days=5))
        await alice.used([used])
        await add(alice, "new")
        assert [one.id for one in await alice.forgotten()] == [unused]


async def test_each_eviction_has_its_leaf_and_none_names_it(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock, "max_items = 1") as memory:
        alice = await consenting(memory)
        ids = [await add(alice, f"number {n}") for n in range(4)]
        leaves = [leaf for _, leaf, _ in await parts_of(memory).core.state.read(c.Leaves())]
        forgotten = [leaf for leaf in leaves if AuditEvent.MEMORY_FORGOTTEN.value.encode() in leaf]
        assert len(forgotten) == 3
        assert all(b'"reason":"quota"' in leaf for leaf in forgotten)
        assert not any(one.encode() in leaf for one in ids for leaf in leaves)


@pytest.mark.parametrize("protection", ["pin", "floor"])
async def test_what_is_protected_is_never_dropped_the_write_is_refused(
    data: Path, clock: ManualClock, protection: str
) -> None:
    async with bounded(data, clock, "max_items = 2", floor_days=10) as memory:
        alice = await consenting(memory)
        for number in range(2):
            one = await add(alice, f"kept {number}", 0.25, sensitivity="confidential")
            if protection == "pin":
                await alice.pin(one)
                clock.advance(timedelta(days=11))
        before = (
            await alice.list(),
            await alice.forgotten(),
            redis_bytes(memory),
            await totals(memory, alice),
        )
        with pytest.raises(QuotaExceededError, match="pinned, held, or under its floor"):
            await add(alice, "one too many", 0.9)
        after = (
            await alice.list(),
            await alice.forgotten(),
            redis_bytes(memory),
            await totals(memory, alice),
        )
        assert before == after
        if protection == "pin":
            await alice.unpin(before[0][0].id)
        else:
            clock.advance(timedelta(days=10))
        await add(alice, "now there is room", 0.9)
        assert len(await alice.list()) == 2


async def test_a_write_larger_than_the_quota_is_refused_whole(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock) as memory:
        alice = await consenting(memory)
        await add(alice, "there already")
        with pytest.raises(QuotaExceededError, match="alone is larger"):
            await alice.add_many([Interaction(content=f"w{n}", importance=0.9) for n in range(4)])
        assert await contents(alice) == ["there already"]
        await alice.add_many([Interaction(content=f"w{n}", importance=0.9) for n in range(3)])
        assert await contents(alice) == ["w2", "w1", "w0"]


async def test_what_is_not_kept_for_good_takes_no_room(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock, "max_items = 1") as memory:
        alice = await consenting(memory)
        await alice.pin(await add(alice, "the one"))
        assert (await alice.add("small talk", importance=0.1)).durability is not Durability.JOURNALED
        assert await contents(alice) == ["small talk", "the one"]


async def test_bytes_are_bounded_too(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock, "max_mib = 0.02") as memory:
        alice = await consenting(memory)
        for number in range(12):
            await add(alice, f"{number} " + "words " * 500, 0.5)
            assert (await totals(memory, alice)).bytes <= round(0.02 * (1 << 20))
        listed = await alice.list()
        assert listed[0].content.startswith("11 ")
        assert 0 < len(listed) < 12
        with pytest.raises(QuotaExceededError):
            await add(alice, "words " * 4000, 0.5)


async def test_restoring_makes_room_as_writing_does(data: Path, clock: ManualClock) -> None:
    heard = RecordingObserver()
    async with bounded(data, clock, "max_items = 2", observer=heard) as memory:
        alice = await consenting(memory)
        first = await add(alice, "first", 0.3)
        second, third = await add(alice, "second", 0.4), await add(alice, "third", 0.5)
        assert [one.id for one in await alice.forgotten()] == [first]
        await alice.restore(first)
        assert {one.id for one in await alice.list()} == {first, third}
        assert [one.id for one in await alice.forgotten()] == [second]
        assert [fact.change for fact in heard.of(MemoryMoved)] == ["evicted", "evicted", "restored"]
        for one in (first, third):
            await alice.pin(one)
        with pytest.raises(QuotaExceededError):
            await alice.restore(second)
        assert [one.id for one in await alice.forgotten()] == [second]


async def test_after_the_undo_window_its_bytes_are_gone(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock, "max_items = 1") as memory:
        alice = await consenting(memory)
        first = await add(alice, "first")
        await add(alice, "second")
        await memory.drain()
        assert len(sealed_in_cold(data)) == 2
        clock.advance(timedelta(days=7))
        assert (await memory.forget()).removed == (first,)
        assert len(sealed_in_cold(data)) == 1
        with pytest.raises(NotFoundError):
            await alice.restore(first)


async def test_without_an_undo_window_it_cannot_come_back(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock, "max_items = 1", undo_days=0) as memory:
        alice = await consenting(memory)
        first = await add(alice, "first")
        await add(alice, "second")
        assert await alice.forgotten() == []
        with pytest.raises(NotFoundError):
            await alice.restore(first)
        await memory.forget()
        await memory.drain()
        assert len(sealed_in_cold(data)) == 1


async def test_a_repeated_operation_displaces_nothing(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock, "max_items = 1") as memory:
        alice = await consenting(memory)
        given = await alice.add("once", importance=0.9, operation_id="op")
        again = await alice.add("once", importance=0.9, operation_id="op")
        assert (again.id, again.repeated) == (given.id, True)
        assert await alice.forgotten() == []


async def test_many_writers_at_once_never_exceed_it(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock, "max_items = 5") as memory:
        alice = await consenting(memory)
        refused: list[Exception] = []

        async def write(number: int) -> None:
            try:
                await add(alice, f"number {number}", 0.3 + number / 100)
            except QuotaExceededError as error:
                refused.append(error)
            assert (await totals(memory, alice)).items <= 5

        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(write, number)
        listed, forgotten = await alice.list(), await alice.forgotten()
        assert len(listed) == 5 == (await totals(memory, alice)).items
        assert len(listed) + len(forgotten) + len(refused) == 30


async def test_a_quota_that_was_lowered_is_met_by_the_next_write(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock, "max_items = 9") as memory:
        alice = await consenting(memory)
        for number in range(9):
            await add(alice, f"number {number}", 0.3 + number / 20)
    async with bounded(data, clock, "max_items = 4") as memory:
        alice = memory.user("alice", tenant="acme")
        assert len(await alice.list()) == 9
        await add(alice, "new", 0.9)
        assert await contents(alice) == ["new", "number 8", "number 7", "number 6"]


async def test_one_users_quota_is_not_anothers(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock, "max_items = 1") as memory:
        alice, bob = await consenting(memory), await consenting(memory, "bob")
        await add(alice, "of alice")
        await add(bob, "of bob")
        assert (await contents(alice), await contents(bob)) == (["of alice"], ["of bob"])


async def test_whoever_reads_is_not_troubled_by_a_full_quota(data: Path, clock: ManualClock) -> None:
    """Small talk that turns out to be of use would be kept after all; without room it stays what it was."""
    async with bounded(data, clock, "max_items = 1") as memory:
        alice = await consenting(memory)
        await alice.pin(await add(alice, "the one that is kept"))
        talk = await add(alice, "hello there small talk", 0.1)
        assert await alice.used([talk]) == 0
        context = await alice.context("hello there small talk")
        assert talk in {item.memory_id for item in context.items}
        assert (await alice.explain(talk)).state == "volatile"
        assert (await totals(memory, alice)).items == 1


async def test_what_is_used_after_all_makes_room_like_a_write(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock, "max_items = 1") as memory:
        alice = await consenting(memory)
        first = await add(alice, "the one that was kept")
        talk = await add(alice, "hello there small talk", 0.1)
        await alice.used([talk])
        assert (await alice.explain(talk)).state == "active"
        assert [one.id for one in await alice.forgotten()] == [first]
        assert (await totals(memory, alice)).items == 1


async def test_what_a_write_brings_up_to_date_does_not_make_room_for_it(
    data: Path, clock: ManualClock
) -> None:
    async with bounded(data, clock, "max_items = 2") as memory:
        alice = await consenting(memory)
        await add(alice, "My favourite colour is blue", 0.25)
        strong = await add(alice, "My sister's wedding is on the 4th of May in Oslo", 0.9)
        await add(alice, "My favourite colour is green now", 0.9)
        assert (await totals(memory, alice)).items <= 2
        gone = {one.id for one in await alice.forgotten()}
        listed = {one.id for one in await alice.list()}
        assert not gone & listed
        assert len(gone | listed) == 3
        assert strong in gone | listed
