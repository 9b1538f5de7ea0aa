"""kill -9 right after an acknowledged add, thirty times: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from support import PURPOSE, opened, parts_of, redis_pid, until

from tiered_memory import User

pytestmark = pytest.mark.anyio

KILLS = 30
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tiered_memory.wiring", "tiered_memory.memory", "support", "lancedb"])


def _write_until_killed(data: Path, run: int, acks: Connection) -> None:
    asyncio.run(_write(data, run, acks))


async def _write(data: Path, run: int, acks: Connection) -> None:
    """Acknowledge to the parent only what the memory acknowledged."""
    settings = {"background": True, "flush_age_seconds": 0.02, "flush_max_records": 5}
    async with opened(data, settings=settings) as memory:
        acks.send(redis_pid(memory))
        alice = memory.user("alice", tenant="acme")
        if not await alice.consent.current():
            await alice.consent.grant(PURPOSE, notice="n")
        tasks = [asyncio.create_task(_speak(alice, run, lane, acks)) for lane in range(3)]
        await asyncio.gather(*tasks)


async def _speak(alice: User, run: int, lane: int, acks: Connection) -> None:
    for number in range(100_000):
        mark = f"mark{run:02}x{lane}x{number:05}"
        receipt = await alice.add(f"remember {mark}", session=f"s{lane}", importance=0.9)
        acks.send((receipt.id, mark))


async def _killed(data: Path, run: int, after: int) -> dict[str, str]:
    """Return what a writer acknowledged before it was killed right after its `after`-th acknowledgement."""
    reading, writing = CONTEXT.Pipe(duplex=False)
    writer = CONTEXT.Process(target=_write_until_killed, args=(data, run, writing), daemon=True)
    writer.start()
    writing.close()
    server = await asyncio.to_thread(reading.recv)
    acked = [await asyncio.to_thread(reading.recv) for _ in range(after)]
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    await asyncio.to_thread(writer.join)
    await until(lambda: not _runs(server))
    return dict([*acked, *_rest(reading)])


def _rest(reading: Connection) -> list[tuple[str, str]]:
    """What was sent before the kill counts as acknowledged too."""
    rest = []
    try:
        while reading.poll():
            rest.append(reading.recv())
    except EOFError:
        pass
    return rest


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def _held_once(data: Path, acked: dict[str, str]) -> None:
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        held = await alice.list(limit=10_000)
        assert acked.items() <= {one.id: one.content.removeprefix("remember ") for one in held}.items()
        assert Counter(one.id for one in held).most_common(1)[0][1] == 1
        assert Counter(one.content for one in held).most_common(1)[0][1] == 1
        await memory.drain()
        records = await parts_of(memory).core.cold.scan(parts_of(memory).directory.residents()[0].ref)
        assert Counter(record.id for record in records) == Counter(one.id for one in held)


async def _searchable(data: Path, acked: dict[str, str]) -> None:
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        for memory_id, mark in acked.items():
            assert memory_id in [hit.memory.id for hit in await alice.search(mark, limit=3)]


async def test_nothing_acknowledged_is_lost(data: Path) -> None:
    chance, acked = random.Random(7), dict[str, str]()
    for run in range(KILLS):
        fresh = await _killed(data, run, chance.randint(1, 40))
        acked |= fresh
        if run % 3 == 0:
            await _held_once(data, acked)
    await _held_once(data, acked)
    assert len(acked) > KILLS * 10
    await _searchable(data, dict(chance.sample(sorted(acked.items()), 150)))
