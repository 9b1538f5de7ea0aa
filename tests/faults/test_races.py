"""Erasure, deletion, withdrawal and forgetting against everything else at once, seeded and many times over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from support import (
    PURPOSE,
    consenting,
    contents,
    opened,
    parts_of,
    redis_bytes,
    sealed_in_cold,
    sqlite_rows,
)

from tiered_memory import TieredMemory, User
from tiered_memory.errors import ConsentRequiredError, HotTierError, NotFoundError, SubjectErasedError
from tiered_memory.model import Durability
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

TABLES = ("memories", "journal", "session_tail", "data_keys", "consent_events", "operations", "tombstones")
ROUNDS, CROWDS = 25, 10


class _Crowd:
    """Callers that go on until told to stop; what ends them is a typed error, or nothing."""

    def __init__(self, memory: TieredMemory, user: User, seed: int) -> None:
        self._memory = memory
        self._user = user
        self._chance = random.Random(seed)
        self.over = False
        self.added: dict[str, str] = {}

    async def run(self, work: Callable[[], Awaitable[object]]) -> None:
        while not self.over:
            for _ in range(self._chance.randrange(12)):
                await asyncio.sleep(0)
            try:
                await work()
            except (SubjectErasedError, NotFoundError, ConsentRequiredError, HotTierError):
                # On a busy machine Redis may be left alone for a moment: a deletion then says so.
                continue

    async def add(self) -> None:
        said = f"old word {self._chance.getrandbits(60)}"
        receipt = await self._user.add(said, session="s1", importance=self._chance.choice([0.0, 0.9]))
        self.added[receipt.id] = said

    async def search(self) -> None:
        await self._user.search("old word")

    async def context(self) -> None:
        await self._user.context("old word", session="s1")

    async def delete(self) -> None:
        held = await self._user.list(limit=3)
        if held:
            await self._user.delete(self._chance.choice(held).id)

    async def reload(self) -> None:
        """Put the user out of RAM as an eviction would, when nobody is using it."""
        directory = parts_of(self._memory).directory
        for active in directory.residents():
            if not active.users and not active.used:
                directory._active.pop(active.subject)
                directory._by_pseudonym.pop(active.ref.pseudonym)
        await self._user.list(limit=1)

    def works(self) -> list[Callable[[], Awaitable[object]]]:
        drains = [self._memory.drain, self._memory.forget]
        return [self.add, self.add, self.search, self.context, self.delete, self.reload, *drains]


async def _amid(crowd: _Crowd, turns: int, act: Callable[[], Awaitable[object]]) -> object:
    async with anyio.create_task_group() as tasks:
        for work in crowd.works():
            tasks.start_soon(crowd.run, work)
        for _ in range(turns):
            await asyncio.sleep(0)
        try:
            return await act()
        finally:
            crowd.over = True


async def test_an_erasure_wins_against_everything(data: Path) -> None:
    chance = random.Random(11)
    async with opened(data) as memory:
        for number in range(CROWDS):
            user = await consenting(memory, f"user {number}")
            await user.add("old word at first", session="s1", importance=0.9)
            crowd = _Crowd(memory, user, number)
            await _amid(crowd, chance.randrange(400), lambda user=user: user.erase(reason="request"))  # type: ignore[misc]
            left = {memory.content for memory in await user.list(limit=1000)}
            assert "old word at first" not in left
            await user.erase(reason="again")
            await _nothing_left(memory, user, data)
    async with opened(data) as memory:
        for number in range(CROWDS):
            assert await contents(memory.user(f"user {number}", tenant="acme")) == []


async def _nothing_left(memory: TieredMemory, user: User, data: Path) -> None:
    await parts_of(memory).inflight.settle()
    await memory.drain()
    assert await contents(user) == []
    assert (await user.context("old word", session="s1")).items == ()
    assert {table: len(sqlite_rows(data, table)) for table in TABLES} == dict.fromkeys(TABLES, 0)
    assert sealed_in_cold(data) == []
    assert not any(b"old word" in value for value in redis_bytes(memory))


async def test_what_an_erasure_met_is_not_readable_afterwards(data: Path) -> None:
    """Everything acknowledged before the erasure ended is gone; nobody keeps a view of the old generation."""
    async with opened(data) as memory:
        for number in range(ROUNDS):
            user = await consenting(memory, f"user {number}")
            for part in range(4):
                await user.add(f"old word {part}", session="s1", importance=0.9)
            await parts_of(memory).sessions.snapshot_all()
            _out_of_ram(memory)
            calls = [
                user.search("old word"),
                user.list(),
                user.context("old word", session="s1"),
                user.list(),
            ]
            late = [asyncio.ensure_future(_later(call, turns)) for turns, call in enumerate(calls)]
            for _ in range(number % 9):
                await asyncio.sleep(0)
            await user.erase(reason="request")
            await asyncio.gather(*late, return_exceptions=True)
            assert await user.search("old word") == await user.list() == []
            assert (await user.context("old word", session="s1")).items == ()


async def _later(call: Awaitable[object], turns: int) -> object:
    for _ in range(turns * 3):
        await asyncio.sleep(0)
    return await call


def _out_of_ram(memory: TieredMemory) -> None:
    directory = parts_of(memory).directory
    directory._active.clear()
    directory._by_pseudonym.clear()


async def test_two_erasures_at_once(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        await alice.add("old word", importance=0.9)
        first, second = await asyncio.gather(*(alice.erase(reason=f"request {n}") for n in range(2)))
        assert {first.keys_destroyed, second.keys_destroyed} == {2, 0}
        assert first.verified
        assert second.verified


async def test_deletions_amid_flushes_and_loads_do_not_come_back(data: Path) -> None:
    chance = random.Random(13)
    async with opened(data) as memory:
        alice = await consenting(memory)
        gone: list[str] = []
        for number in range(ROUNDS):
            ids = [(await alice.add(f"word {number}.{part}", importance=0.9)).id for part in range(3)]
            doomed = ids[chance.randrange(3)]
            turns = chance.randrange(30)
            works = [memory.drain(), _later(alice.delete(doomed), turns), memory.drain(), memory.forget()]
            await asyncio.gather(*works, memory.drain(), alice.search("word"))
            gone.append(doomed)
        await memory.drain()
        held = {one.id for one in await alice.list(limit=1000)}
        assert len(held) == 2 * ROUNDS
        assert held & set(gone) == set()
        active = parts_of(memory).directory.residents()[0]
        assert {record.id for record in await parts_of(memory).core.cold.scan(active.ref)} == held
    async with opened(data) as memory:
        assert {one.id for one in await memory.user("alice", tenant="acme").list(limit=1000)} == held


async def test_a_withdrawal_amid_adds_leaves_nothing_under_its_purpose(data: Path) -> None:
    async with opened(data) as memory:
        for number in range(ROUNDS):
            user = await consenting(memory, f"user {number}")
            adds = [_later(user.add(f"word {part}", session="s1", importance=0.9), part) for part in range(6)]
            tasks = [asyncio.ensure_future(add) for add in adds]
            for _ in range(number * 2):
                await asyncio.sleep(0)
            await user.consent.withdraw(PURPOSE)
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, ConsentRequiredError) or one.id for one in outcomes)  # type: ignore[union-attr]
            kept = {
                o.id
                for o in outcomes
                if not isinstance(o, BaseException) and o.durability is Durability.EPHEMERAL
            }  # type: ignore[attr-defined]
            assert {one.id for one in await user.list()} <= kept
            await memory.drain()
            assert sqlite_rows(data, "memories") == sqlite_rows(data, "journal") == []
            assert {row["purpose"] for row in sqlite_rows(data, "data_keys")} == {"_subject"}
        assert sealed_in_cold(data) == []


async def test_forgetting_amid_first_touches(data: Path) -> None:
    """A user who is being loaded while the cycle forgets does not keep what was forgotten."""
    clock = ManualClock()
    async with opened(data, clock=clock) as memory:
        alice = await consenting(memory)
        for number in range(ROUNDS):
            faint = (await alice.add(f"faint {number}", importance=0.25)).id
            await memory.drain()
            clock.advance(timedelta(days=40))
            _out_of_ram(memory)
            await asyncio.gather(_later(alice.list(), number % 5), _later(memory.forget(), number % 7))
            assert await contents(alice) == []
            assert faint in [one.id for one in await alice.forgotten()]
            clock.advance(timedelta(days=7))
            await asyncio.gather(memory.forget(), alice.search("faint"), memory.drain())
        assert await alice.forgotten() == []
        assert sealed_in_cold(data) == []


async def test_new_users_of_one_new_tenant_at_once(data: Path) -> None:
    """They share a wrapping key that none of them found."""
    async with opened(data) as memory:
        users = [memory.user(f"user {number}", tenant="new") for number in range(20)]
        await asyncio.gather(*(user.consent.grant(PURPOSE, notice="n") for user in users))
        await asyncio.gather(*(user.add("here", importance=0.9) for user in users))
        assert len(sqlite_rows(data, "epoch_keys")) == 1
    async with opened(data) as memory:
        for number in range(20):
            assert await contents(memory.user(f"user {number}", tenant="new")) == ["here"]


async def test_a_crowd_on_one_new_user(data: Path) -> None:
    async with opened(data) as memory:
        alice = memory.user("alice")
        await asyncio.gather(*(alice.consent.grant(PURPOSE, notice=f"n{number}") for number in range(10)))
        assert len(sqlite_rows(data, "data_keys")) == 2
        assert len(sqlite_rows(data, "consent_events")) == 10


async def test_removal_finds_its_moment_amid_a_flood_of_writes(data: Path) -> None:
    """The log is truncated between two commits; there is never a pause to wait for."""
    async with opened(data) as memory:
        alice, others = await consenting(memory), [await consenting(memory, f"user {n}") for n in range(16)]
        ids = [(await alice.add(f"word {number}", importance=0.9)).id for number in range(12)]
        over = asyncio.Event()
        flood = [asyncio.ensure_future(_flood(user, over)) for user in others]
        for one in ids:
            await alice.delete(one)
        assert (await alice.erase(reason="request")).verified
        over.set()
        assert min(await asyncio.gather(*flood)) > 0


async def _flood(user: User, over: asyncio.Event) -> int:
    count = 0
    while not over.is_set():
        await user.add(f"word {count}", importance=0.9)
        count += 1
    return count
