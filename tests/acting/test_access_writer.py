"""Reads reach the ledger as counts, behind the reads; who was read is a commitment that dies with the subject's keys."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support import consenting, opened, parts_of

from tiered_memory import TieredMemory, User
from tiered_memory.access_writer import AccessWriter
from tiered_memory.errors import StateStoreError
from tiered_memory.ledger import subject_commitment
from tiered_memory.privacy.access_log import AccessCall
from tiered_memory.state import commands as c
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[TieredMemory]:
    async with opened(tmp_path / "store", settings={"redis_url": "local", "ballast_mib": 0}) as memory:
        yield memory


async def leaves_of(memory: TieredMemory) -> list[dict[str, Any]]:
    rows = await parts_of(memory).core.state.read(c.Leaves())
    return [one for one in (json.loads(leaf) for _, leaf, _ in rows) if one["event"] == "accessed"]


async def record(
    memory: TieredMemory, user: User, writer: AccessWriter, *calls: AccessCall, **said: str
) -> str:
    """Count calls; return what the subject is called in the ledger."""
    async with parts_of(memory).directory.using(user.subject) as active:
        for number, call in enumerate(calls):
            writer.record(active, call, number, **said)
        return subject_commitment(active.ledger_key, active.ref.pseudonym)


async def test_reads_within_a_window_are_one_leaf_each_sort(memory: TieredMemory) -> None:
    clock = ManualClock()
    writer = AccessWriter(parts_of(memory).core.state, clock)
    alice = await consenting(memory)
    searches = [AccessCall.SEARCH] * 3
    name = await record(memory, alice, writer, *searches, category="health", role="agent", actor="iris")
    clock.advance(10.0)
    await record(memory, alice, writer, AccessCall.GET)
    await writer.tend()
    assert await leaves_of(memory) == []
    clock.advance(50.0)
    await writer.tend()
    search, get = await leaves_of(memory)
    assert search["subject"] == get["subject"] == name
    assert search["actor"] == "iris"
    assert search["detail"] == {
        "call": "search",
        "calls": 3,
        "memories": 3,
        "category": "health",
        "role": "agent",
        "first_us": search["at_us"],
    }
    assert (get["detail"]["call"], get["actor"]) == ("get", "runtime")
    assert get["at_us"] - search["at_us"] == 10_000_000
    await writer.tend()
    assert len(await leaves_of(memory)) == 2


async def test_what_is_counted_when_the_store_closes_is_written(memory: TieredMemory) -> None:
    writer = AccessWriter(parts_of(memory).core.state, ManualClock())
    users = [await consenting(memory, f"user{number}") for number in range(3)]
    for user in users:
        await record(memory, user, writer, AccessCall.LIST)
    assert await writer.flush() == 3
    assert await writer.flush() == 0
    assert len({one["subject"] for one in await leaves_of(memory)}) == 3


async def test_calls_that_show_nothing_are_not_accesses(memory: TieredMemory) -> None:
    writer = AccessWriter(parts_of(memory).core.state, ManualClock())
    alice = await consenting(memory)
    async with parts_of(memory).directory.using(alice.subject) as active:
        for op in ("add", "search", "pin", "search", "get", "erase"):
            writer.called(active, op)
    await writer.flush()
    counted = {leaf["detail"]["call"]: leaf["detail"]["calls"] for leaf in await leaves_of(memory)}
    assert counted == {"search": 2, "get": 1}


async def test_an_ephemeral_user_leaves_nothing(memory: TieredMemory) -> None:
    writer = AccessWriter(parts_of(memory).core.state, ManualClock())
    await record(memory, memory.user("guest"), writer, AccessCall.SEARCH)
    assert await writer.flush() == 0


async def test_after_an_erasure_the_counts_belong_to_nobody(memory: TieredMemory) -> None:
    """What was counted before is written after; the commitment cannot be made again, its key is gone."""
    writer = AccessWriter(parts_of(memory).core.state, ManualClock())
    alice = await consenting(memory)
    before = await record(memory, alice, writer, AccessCall.SEARCH)
    await alice.erase(reason="request")
    assert await writer.flush() == 1
    [leaf] = await leaves_of(memory)
    assert leaf["subject"] == before
    again = await consenting(memory)
    assert await record(memory, again, writer, AccessCall.SEARCH) != before


class _Refusing:
    """A state store that refuses the first writes."""

    def __init__(self, state: Any, refusals: int) -> None:
        self._state = state
        self.refusals = refusals

    async def write(self, command: Any) -> Any:
        if self.refusals:
            self.refusals -= 1
            raise StateStoreError
        return await self._state.write(command)


async def test_what_cannot_be_written_is_kept(memory: TieredMemory) -> None:
    state: Any = _Refusing(parts_of(memory).core.state, 1)
    writer = AccessWriter(state, ManualClock())
    alice = await consenting(memory)
    await record(memory, alice, writer, AccessCall.SEARCH, AccessCall.SEARCH)
    with pytest.raises(StateStoreError):
        await writer.flush()
    await record(memory, alice, writer, AccessCall.SEARCH)
    await writer.flush()
    [leaf] = await leaves_of(memory)
    assert leaf["detail"]["calls"] == 3


async def test_more_readers_than_fit_are_counted_all_the_same(memory: TieredMemory) -> None:
    writer = AccessWriter(parts_of(memory).core.state, ManualClock(), most_keys=2)
    for number in range(5):
        await record(memory, await consenting(memory, f"user{number}"), writer, AccessCall.SEARCH)
    assert await writer.flush() == 3
    leaves = await leaves_of(memory)
    assert sum(leaf["detail"]["calls"] for leaf in leaves) == 5
    assert [leaf["actor"] for leaf in leaves if leaf["subject"] == ""] == ["many"]
