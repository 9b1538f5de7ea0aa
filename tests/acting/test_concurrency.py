"""Many tasks, many users, one process: every count is exact, then and after reopening."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest
from support import consenting, opened, parts_of, sealed_in_cold, sqlite_rows

from tiered_memory import User

pytestmark = pytest.mark.anyio

TASKS, ADDS, USERS = 50, 20, 10


async def _speak(user: User, task: int, chance: random.Random) -> list[str]:
    """Add and read; return the ids that were acknowledged."""
    acked = []
    for number in range(ADDS):
        said = f"I decided on option t{task}n{number}"
        acked.append((await user.add(said, session=f"s{task % 3}", importance=0.9)).id)
        if chance.random() < 0.3:
            assert said in [hit.memory.content for hit in await user.search(said, limit=3)]
        if chance.random() < 0.05:
            await user.context(said, session=f"s{task % 3}")
    return acked


@pytest.mark.parametrize("background", [True, False])
async def test_every_add_is_held_once(data: Path, *, background: bool) -> None:
    settings = {"background": background, "flush_age_seconds": 0.05, "flush_max_records": 20}
    chance = random.Random(17)
    async with opened(data, settings=settings) as memory:
        users = [await consenting(memory, f"user {number}") for number in range(USERS)]
        works = [_speak(users[task % USERS], task, chance) for task in range(TASKS)]
        acked = [one for ids in await asyncio.gather(*works) for one in ids]
        assert len(set(acked)) == TASKS * ADDS
        for user in users:
            assert len(await user.list(limit=1000)) == TASKS * ADDS // USERS
        await memory.drain()
        assert parts_of(memory).flusher.size().records == 0
        assert sqlite_rows(data, "journal") == []
        assert len(sealed_in_cold(data)) == TASKS * ADDS
    async with opened(data, settings=settings) as memory:
        held = [
            one
            for number in range(USERS)
            for one in await memory.user(f"user {number}", tenant="acme").list(limit=1000)
        ]
        assert Counter(one.id for one in held) == Counter(acked)
        assert Counter((one.content, one.session) for one in held).most_common(1)[0][1] == 1
        assert len({(one.session, one.order) for one in held}) <= TASKS * ADDS


async def test_orders_never_repeat_within_a_user(data: Path) -> None:
    for _ in range(3):
        async with opened(data) as memory:
            user = await consenting(memory)
            await asyncio.gather(
                *(user.add(f"turn {number}", session="s1", importance=0.9) for number in range(30))
            )
            await user.add("hm", session="s1", importance=0.0)
            orders = [one.order for one in await user.list(limit=1000)]
            assert len(set(orders)) == len(orders)
            assert orders == sorted(orders, reverse=True)


async def test_users_beyond_the_budget_of_ram_lose_nothing(data: Path) -> None:
    """Sixteen MiB hold two of these users; the others come and go while they write."""
    settings = {"active_users_mib": 16, "max_content_bytes": 1 << 20}
    long = "x" * 900_000
    async with opened(data, settings=settings) as memory:
        users = [await consenting(memory, f"user {number}") for number in range(6)]
        directory = parts_of(memory).directory
        for turn in range(4):
            receipts = [user.add(f"{turn} {long}", session="s1", importance=0.9) for user in users]
            await asyncio.gather(*receipts, memory.drain())
            directory.trim()
        assert len(directory.residents()) < len(users)
        for user in users:
            assert len(await user.list()) == 4
            directory.trim()
