"""A caller may give up at any moment: what it began is there in full or not at all, and the memory goes on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from support import PURPOSE, consenting, contents, opened, parts_of, sealed_in_cold, sqlite_rows

from tiered_memory import Interaction, TieredMemory, User
from tiered_memory.errors import NotFoundError

pytestmark = pytest.mark.anyio

STEPS = 40


async def _given_up(call: Callable[[], Awaitable[object]], turns: int) -> None:
    """Cancel a call after so many turns of the event loop, the asyncio way."""
    task = asyncio.ensure_future(call())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError, NotFoundError):
        await task


async def _timed_out(call: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Cancel a call after some time, the anyio way."""
    with anyio.move_on_after(seconds):
        await call()


async def _agree(memory: TieredMemory, alice: User, data: Path) -> None:
    """RAM, session, state and cold tell the same story, now and after a restart."""
    await parts_of(memory).inflight.settle()
    said = await contents(alice)
    packed = await alice.context("turn", session="s1", token_budget=100_000)
    assert sorted({item.content for item in packed.items}) == sorted(said)
    assert len(sqlite_rows(data, "memories")) == len(said)
    await memory.drain()
    assert len(sealed_in_cold(data)) == len(said)
    assert sqlite_rows(data, "journal") == []
    await memory.close()
    async with opened(data) as again:
        assert await contents(again.user("alice", tenant="acme")) == said


def _group(number: int) -> list[Interaction]:
    return [Interaction(content=f"turn {number}.{part}", session="s1", importance=0.9) for part in range(2)]


async def test_an_add_is_there_in_full_or_not_at_all(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        for number in range(STEPS):
            await _given_up(lambda number=number: alice.add_many(_group(number)), number)  # type: ignore[misc]
        await parts_of(memory).inflight.settle()
        said = await contents(alice)
        assert {s[:-1] for s in said if s.endswith("0")} == {s[:-1] for s in said if s.endswith("1")}
        await _agree(memory, alice, data)


async def test_a_timeout_is_no_different(data: Path) -> None:
    chance = random.Random(3)
    async with opened(data) as memory:
        alice = await consenting(memory)
        for number in range(STEPS):
            await _timed_out(lambda number=number: alice.add_many(_group(number)), chance.uniform(0, 0.006))  # type: ignore[misc]
        await _agree(memory, alice, data)


async def test_the_very_first_calls_can_be_given_up(data: Path) -> None:
    """Subject and keys are made by the first: half made, nobody could go on."""
    async with opened(data) as memory:
        for turns in range(STEPS):
            user = memory.user(f"user {turns}", tenant=f"tenant {turns % 7}")
            await _given_up(lambda user=user: user.consent.grant(PURPOSE, notice="n"), turns)  # type: ignore[misc]
            await user.consent.grant(PURPOSE, notice="n")
            await user.add("I am here", importance=0.9)
            assert await contents(user) == ["I am here"]
    async with opened(data) as memory:
        for turns in range(STEPS):
            assert await contents(memory.user(f"user {turns}", tenant=f"tenant {turns % 7}")) == ["I am here"]


async def test_a_deletion_given_up_is_done_or_not_begun(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        for turns in range(20):
            one = await alice.add(f"turn {turns}", session="s1", importance=0.9)
            await _given_up(lambda one=one: alice.delete(one.id), turns)  # type: ignore[misc]
        await _agree(memory, alice, data)


async def test_a_drain_given_up_harms_nothing(data: Path) -> None:
    """The engine commits all the same; cleanup must not meet it."""
    chance = random.Random(5)
    async with opened(data) as memory:
        alice = await consenting(memory)
        for number in range(12):
            await alice.add(f"turn {number}", session="s1", importance=0.9)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(memory.drain(), chance.uniform(0.0001, 0.02))
            if number % 3 == 2:
                await alice.delete((await alice.list(limit=1))[0].id)
        await _agree(memory, alice, data)


async def test_a_forgetting_given_up_leaves_no_half(data: Path) -> None:
    async with opened(data, settings={"policy": "seed"}) as memory:
        alice = await consenting(memory)
        for turns in range(20):
            await alice.add(f"turn {turns}", session="s1", importance=0.9)
            await _given_up(lambda: memory.forget(confirmed=True), turns)
        await _agree(memory, alice, data)


async def test_a_withdrawal_given_up_is_done_or_not_begun(data: Path) -> None:
    async with opened(data) as memory:
        for turns in range(12):
            user = await consenting(memory, f"user {turns}")
            await user.add("on consent", session="s1", importance=0.9)
            await _given_up(lambda user=user: user.consent.withdraw(PURPOSE), turns)  # type: ignore[misc]
            await parts_of(memory).inflight.settle()
            withdrawn = await user.consent.current() == {}
            assert await contents(user) == ([] if withdrawn else ["on consent"])


async def test_an_erasure_given_up_is_finished(data: Path) -> None:
    async with opened(data) as memory:
        for turns in range(1, 12):
            user = await consenting(memory, f"user {turns}")
            await user.add("on consent", session="s1", importance=0.9)
            await _given_up(lambda user=user: user.erase(reason="request"), turns)  # type: ignore[misc]
            await parts_of(memory).inflight.settle()
            await user.erase(reason="request")
            assert await contents(user) == []
        assert sqlite_rows(data, "data_keys") == sqlite_rows(data, "memories") == []
