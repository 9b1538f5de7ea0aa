"""Two updates of one memory at once, and an update amid the removal of what it closes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support import parts_of
from test_supersession_acts import DAY, NEW, OLD, WHERE, keep, said

from tiered_memory import TieredMemory, User
from tiered_memory.model import Kind
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio


async def test_of_two_updates_at_once_one_closes_and_both_are_kept(alice: User, clock: ManualClock) -> None:
    for number in range(10):
        key = {"key": f"city {number}"}
        old = await keep(alice, "Berlin", clock, kind=Kind.PROFILE, metadata=key)
        clock.advance(DAY)
        both = await asyncio.gather(
            *(alice.add(word, importance=0.9, kind=Kind.PROFILE, metadata=key) for word in ("Munich", "Ulm"))
        )
        closed = await alice.get(old.id)
        assert closed.version == 2
        assert closed.superseded_by in {receipt.id for receipt in both}
        held = [await alice.get(receipt.id) for receipt in both]
        assert {one.content for one in held} == {"Munich", "Ulm"}
        assert sum(old.id in one.supersedes for one in held) == 1


async def test_an_update_amid_the_removal_of_what_it_closes(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    for turns in range(12):
        old = await keep(alice, OLD, clock)
        deleting = asyncio.ensure_future(_after(turns, lambda old=old: alice.delete(old.id)))  # type: ignore[misc]
        new = await keep(alice, NEW, clock)
        await deleting
        await memory.drain()
        active = parts_of(memory).directory.residents()[0]
        stored = {record.id for record in await parts_of(memory).core.cold.scan(active.ref)}
        assert old.id not in stored
        assert said(await alice.search(WHERE, include_superseded=True)) == [NEW]
        await alice.delete(new.id)


async def _after(turns: int, act: Callable[[], Awaitable[object]]) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    await act()
