"""Users leave RAM when it is short: what hot can give back comes back, and what nothing can give back stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support import consenting, contents, opened, parts_of

from tiered_memory import TieredMemory, User
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

MIB = 1 << 20
BUDGET_MIB = 16


@asynccontextmanager
async def crowded(path: Path, **parts: Any) -> AsyncIterator[TieredMemory]:
    settings: dict[str, Any] = {"active_users_mib": BUDGET_MIB}
    if "clock" in parts:
        settings["redis_url"] = "local"
    async with opened(path, settings=settings, **parts) as memory:
        yield memory


async def crowd(memory: TieredMemory, budgets: int) -> None:
    """Bring another user into RAM who takes a little more than so many budgets."""
    other = await consenting(memory, "somebody")
    await other.add("we meet at ten", importance=0.9)
    [active] = [one for one in parts_of(memory).directory.residents() if one.subject == other.subject]
    active.held_bytes += budgets * BUDGET_MIB * MIB


def resident(memory: TieredMemory, user: User) -> bool:
    directory: SubjectDirectory = parts_of(memory).directory
    return any(one.subject == user.subject for one in directory.residents())


async def passing(memory: TieredMemory) -> User:
    """Return a user who said something before consenting and something after: neither is kept in cold."""
    user = memory.user("alice", tenant="acme")
    await user.add("said before the consent", importance=0.9)
    await consenting(memory)
    return user


async def test_what_hot_has_of_a_consenting_user_comes_back(data: Path) -> None:
    async with crowded(data) as memory:
        alice = await consenting(memory)
        kept = await alice.add("we meet at nine", importance=0.9)
        passed = await alice.add("hm, well", importance=0.0)
        before = await alice.list()
        await crowd(memory, 1)
        parts_of(memory).directory.trim()
        assert not resident(memory, alice)
        assert await alice.list() == before
        assert [one.id for one in before] == [passed.id, kept.id]
        assert (await alice.explain(passed.id)).state == "volatile"
        assert (await alice.search("hm, well", limit=1))[0].memory.id == passed.id


async def test_what_nothing_could_give_back_stays_in_ram(data: Path) -> None:
    """It was said before the consent: its key is in RAM only, by design."""
    async with crowded(data) as memory:
        alice = await passing(memory)
        await crowd(memory, 1)
        parts_of(memory).directory.trim()
        assert resident(memory, alice)
        assert await contents(alice) == ["said before the consent"]


async def test_beyond_twice_the_budget_it_goes_all_the_same(data: Path) -> None:
    async with crowded(data) as memory:
        alice = await passing(memory)
        await crowd(memory, 2)
        parts_of(memory).directory.trim()
        assert not resident(memory, alice)
        assert await contents(alice) == []


@pytest.mark.parametrize("consents", [True, False])
async def test_once_its_time_is_over_it_keeps_nobody_in_ram(tmp_path: Path, consents: bool) -> None:
    clock = ManualClock()
    async with crowded(tmp_path / "data", clock=clock) as memory:
        alice = await passing(memory) if consents else memory.user("alice", tenant="acme")
        await alice.add("hm, well", importance=0.0)
        clock.advance(timedelta(hours=2).total_seconds())
        await crowd(memory, 1)
        parts_of(memory).directory.trim()
        assert not resident(memory, alice)


async def test_deleting_it_frees_its_user(data: Path) -> None:
    async with crowded(data) as memory:
        alice = await passing(memory)
        await alice.delete((await alice.list())[0].id)
        await crowd(memory, 1)
        parts_of(memory).directory.trim()
        assert not resident(memory, alice)
