"""The wall clock jumps, back and forward, by hours and years: nothing goes before its date, nothing breaks.

What was removed while the clock stood in the future is gone when it is set back: its date had come.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support import PURPOSE, consenting, contents, opened, parts_of, sealed_in_cold, until

from tiered_memory import TieredMemory, User
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

LOCAL = {"redis_url": "local"}
JUMPS = [timedelta(hours=1), timedelta(hours=30), timedelta(days=400), timedelta(days=3652)]
BACK_AND_FORTH = [*JUMPS, *(-one for one in JUMPS)]


async def _everything(user: User) -> None:
    """Touch whatever reads the clock."""
    await user.add("and then", session="s1", importance=0.9)
    await user.add("hm", session="s1", importance=0.0)
    await user.search("what then")
    await user.context("what then", session="s1")
    for memory in await user.list():
        assert 0.0 <= (await user.explain(memory.id)).strength <= 1.0
    await user.used([memory.id for memory in await user.list()])
    await user.consent.current()


@pytest.mark.parametrize("jump", BACK_AND_FORTH, ids=str)
async def test_nothing_breaks(tmp_path: Path, jump: timedelta) -> None:
    clock = ManualClock()
    async with opened(tmp_path / "data", settings=LOCAL, clock=clock) as memory:
        alice = await consenting(memory)
        for moment in (clock.now(), clock.now() + jump, clock.now()):
            clock.set(moment)
            await _everything(alice)
            await memory.forget()
            await memory.stats()
            await memory.drain()
    async with opened(tmp_path / "data", settings=LOCAL, clock=clock) as memory:
        await _everything(memory.user("alice", tenant="acme"))


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_a_jump_back_ends_nothing_early(tmp_path: Path, jump: timedelta) -> None:
    clock = ManualClock()
    async with opened(tmp_path / "data", settings=LOCAL, clock=clock) as memory:
        alice = await consenting(memory)
        await alice.add("strong", importance=1.0)
        await alice.add("faint", importance=0.25)
        await alice.add("a secret", importance=0.9, sensitivity="restricted")
        await memory.drain()
        start = clock.now()
        due = {one.content: (await alice.explain(one.id)).deadline for one in await alice.list()}
        clock.set(start - jump)
        await _used(alice)
        report = await memory.forget()
        assert (report.forgotten, report.removed) == ((), ())
        assert len(await contents(alice)) == 3
        clock.set(start)
        await memory.forget()
        assert len(await contents(alice)) == 3
        for one in await alice.list():
            explained = await alice.explain(one.id)
            assert explained.deadline is not None
            assert explained.deadline >= (due[one.content] or start)


async def _used(user: User) -> None:
    await user.used([memory.id for memory in await user.list()])


async def test_ten_years_forward_and_back(tmp_path: Path) -> None:
    """What the forgetting of the future removed is gone; what it never saw is as it was."""
    clock = ManualClock()
    async with opened(tmp_path / "data", settings=LOCAL, clock=clock) as memory:
        alice, bob = await consenting(memory), await consenting(memory, "bob")
        await alice.add("strong", importance=1.0)
        await bob.add("bob's", importance=1.0)
        await memory.drain()
        start = clock.now()
        clock.set(start + timedelta(days=3652))
        report = await alice.forget()
        assert len(report.removed) == 1
        clock.set(start)
        assert await contents(alice) == []
        assert await contents(bob) == ["bob's"]
        assert len(sealed_in_cold(tmp_path / "data")) == 1
        await alice.add("after the jump", importance=1.0)
        assert await contents(alice) == ["after the jump"]
    async with opened(tmp_path / "data", settings=LOCAL, clock=clock) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == ["after the jump"]


async def test_written_in_the_future_kept_by_its_own_date(tmp_path: Path) -> None:
    """A memory of a clock that ran ahead is kept, however long that makes it, and ordered as it came."""
    clock = ManualClock()
    async with opened(tmp_path / "data", settings=LOCAL, clock=clock) as memory:
        alice = await consenting(memory)
        start = clock.now()
        clock.set(start + timedelta(days=400))
        await alice.add("from the future", importance=0.9)
        clock.set(start)
        await alice.add("from today", importance=0.9)
        await memory.forget()
        assert await contents(alice) == ["from today", "from the future"]


async def test_a_consent_s_expiry_follows_the_wall_clock(tmp_path: Path) -> None:
    """Once its date was seen to have come it has ended: setting the clock back does not give it again."""
    clock = ManualClock()
    async with opened(tmp_path / "data", settings=LOCAL, clock=clock) as memory:
        alice, start = memory.user("alice", tenant="acme"), clock.now()
        await alice.consent.grant(PURPOSE, notice="n1", expires_at=start + timedelta(days=30))
        for days, open_ in ((0, True), (-400, True), (29, True), (31, False), (0, False), (-400, False)):
            clock.set(start + timedelta(days=days))
            assert (PURPOSE in await alice.consent.current()) == open_


@pytest.mark.parametrize("jump", BACK_AND_FORTH, ids=str)
async def test_durations_do_not_notice(tmp_path: Path, jump: timedelta) -> None:
    """Background work keeps its pace: it follows the monotonic clock."""
    clock = ManualClock()
    async with opened(tmp_path / "data", settings={**LOCAL, "background": True}, clock=clock) as memory:
        alice = await consenting(memory)
        clock.set(clock.now() + jump)
        await alice.add("said around the jump", importance=0.9)
        clock.set(clock.now() - jump)
        await _flushed(memory, clock)
        assert len(sealed_in_cold(tmp_path / "data")) == 1


async def _flushed(memory: TieredMemory, clock: ManualClock) -> None:
    for _ in range(20):
        await clock.run_for(0.5)
    await until(lambda: parts_of(memory).flusher.size().records == 0)
