"""kill -9 while a memory is corrected: one of its texts holds, and the old one's bytes are gone after the next opening."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from pathlib import Path

import pytest
from support import PURPOSE, opened, parts_of, sealed_in_cold, sqlite_rows

from tiered_memory import failpoints
from tiered_memory.errors import ColdTierError
from tiered_memory.memory import TieredMemory

pytestmark = pytest.mark.anyio

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tiered_memory.wiring", "tiered_memory.memory", "support", "lancedb"])
SETTINGS = {"redis_url": "local"}
OLD, NEW = "My doctor is called Zebulon Quark", "My doctor is called Ottilie Brandt"
POINTS = (*failpoints.CORRECTION_POINTS, "append.before", "flush.after_put", "cold.after_rewrite")


def _correct_and_die(data: Path, point: str, flushed: bool) -> None:
    asyncio.run(_correct(data, point, flushed=flushed))


async def _correct(data: Path, point: str, *, flushed: bool) -> None:
    async with opened(data, settings=SETTINGS) as memory:
        alice = memory.user("alice", tenant="acme")
        await alice.consent.grant(PURPOSE, notice="n")
        one = await alice.add(OLD, session="s", importance=0.9)
        if flushed:
            await memory.drain()
        failpoints.arm(failpoints.killing(point))
        await alice.update(one.id, NEW, reason="misheard")
        await alice.add("another fact", importance=0.9)
        await memory.drain()


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("point", POINTS)
async def test_one_text_holds_and_the_old_bytes_go(tmp_path: Path, point: str, flushed: bool) -> None:
    """`flushed`: the first version is in cold when the second is written."""
    data = tmp_path / "data"
    writer = CONTEXT.Process(target=_correct_and_die, args=(data, point, flushed), daemon=True)
    writer.start()
    await asyncio.to_thread(writer.join)
    assert writer.exitcode == -signal.SIGKILL
    for _ in range(2):
        async with opened(data, settings=SETTINGS) as memory:
            alice = memory.user("alice", tenant="acme")
            [kept] = [one for one in await alice.list() if one.content != "another fact"]
            committed = point != "correct.before"
            assert (kept.content, kept.version) == ((NEW, 2) if committed else (OLD, 1))
            assert [entry.memory.content for entry in await alice.history(kept.id)] == (
                [OLD] if committed else []
            ) + [kept.content]
            assert kept.content in (await alice.context("doctor", session="s")).render()
            assert await alice.damaged() == []
            assert sqlite_rows(data, "register") == []
            await memory.drain()
            assert len(sealed_in_cold(data)) == len(await alice.list())


class Refusing:
    """A cold tier that cannot rewrite."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def scrub(self, _subject: object) -> None:
        raise ColdTierError


async def test_a_cold_tier_that_fails_delays_the_removal_and_not_the_correction(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with opened(data, settings=SETTINGS) as memory:
        alice = memory.user("alice", tenant="acme")
        await alice.consent.grant(PURPOSE, notice="n")
        one = await alice.add(OLD, importance=0.9)
        await memory.drain()
        [sealed] = sealed_in_cold(data)
        _refuse(memory)
        assert (await alice.update(one.id, NEW, reason="misheard")).memory.content == NEW
        assert [row["kind"] for row in sqlite_rows(data, "register")] == ["overwritten"]
        assert _is_in_files(sealed, data)
    async with opened(data, settings=SETTINGS) as memory:
        assert sqlite_rows(data, "register") == []
        assert not _is_in_files(sealed, data)
        assert [memory.content for memory in await memory.user("alice", tenant="acme").list()] == [NEW]


def _refuse(memory: TieredMemory) -> None:
    core = parts_of(memory).core
    object.__setattr__(core, "cold", Refusing(core.cold))


def _is_in_files(sealed: bytes, data: Path) -> bool:
    return any(sealed[-64:] in file.read_bytes() for file in (data / "cold").rglob("*") if file.is_file())
