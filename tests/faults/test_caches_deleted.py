"""Hot, warm and the analytics file are caches: without them nothing that was acknowledged is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import consenting, contents, opened, redis_of

from tiered_memory import Filter, User

pytestmark = pytest.mark.anyio

SAID = [f"decision {number} was to ship on day {number}" for number in range(12)]


async def _speak(user: User) -> None:
    for said in SAID:
        await user.add(said, session="s1", importance=0.9)
    await user.add("by the way", session="s1", importance=0.0)
    await user.add("answer briefly", session="s1", role="system")


async def _stopped(data: Path) -> None:
    """Leave a store behind; the private server's data dies with it."""
    async with opened(data) as memory:
        user = await consenting(memory)
        await _speak(user)
        await memory.stats()


async def test_nothing_acknowledged_is_lost(data: Path) -> None:
    await _stopped(data)
    (data / "analytics.duckdb").unlink()
    async with opened(data) as memory:
        user = memory.user("alice", tenant="acme")
        assert sorted(await contents(user)) == sorted(SAID)
        assert [h.memory.content for h in await user.search("decision 7 ship day 7", limit=1)] == [SAID[7]]
        assert (await memory.stats()).memories == len(SAID)


async def test_a_session_resumes_from_its_sealed_tail(data: Path) -> None:
    await _stopped(data)
    async with opened(data) as memory:
        user = memory.user("alice", tenant="acme")
        packed = await user.context("and now?", session="s1", where=Filter(sessions=frozenset({"none"})))
        assert [item.content for item in packed.items] == ["answer briefly", *SAID, "by the way"]


async def test_an_ephemeral_session_does_not_resume(data: Path) -> None:
    async with opened(data) as memory:
        await _speak(memory.user("alice", tenant="acme"))
    async with opened(data) as memory:
        user = memory.user("alice", tenant="acme")
        assert (await user.context("and now?", session="s1")).items == ()
        assert await user.list() == []


async def test_redis_emptied_while_running(data: Path) -> None:
    async with opened(data) as memory:
        user = await consenting(memory)
        await _speak(user)
        with redis_of(memory) as client:
            client.flushall()
            client.script_flush()
        assert set(SAID) <= set(await contents(user))
        await user.add("after the flood", importance=0.9)
        assert (await user.search("flood", limit=1))[0].memory.content == "after the flood"
    async with opened(data) as memory:
        assert len(await contents(memory.user("alice", tenant="acme"))) == len(SAID) + 1


async def test_the_analytics_file_is_garbage(data: Path) -> None:
    await _stopped(data)
    (data / "analytics.duckdb").write_bytes(b"\x00garbage" * 999)
    async with opened(data) as memory:
        assert len(await contents(memory.user("alice", tenant="acme"))) == len(SAID)
        assert (await memory.stats()).memories == len(SAID)
