"""Two updates of one memory at once, and an update amid the removal of what it closes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import consenting, contents, opened, parts_of
from test_supersession_acts import DAY, NEW, OLD, WHERE, keep, said

from tiered_memory import TieredMemory, User
from tiered_memory.model import Kind
from tiered_memory.scoring.supersession import Judgement, Relation, Statement
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


@pytest.mark.parametrize(
    ("told", "details"),
    [
        (Relation.UPDATES, {"importance": 0.9}),
        (Relation.CONFLICTS, {"importance": 0.9}),
        (Relation.DUPLICATE, {}),
    ],
)
async def test_what_leaves_while_a_model_judges_it_is_neither_closed_nor_repeated(
    data: Path, clock: ManualClock, told: Relation, details: dict[str, Any]
) -> None:
    asked, removed = asyncio.Event(), asyncio.Event()

    async def judged(_new: Statement, held: Sequence[Statement]) -> Sequence[Judgement]:
        asked.set()
        await removed.wait()
        return [Judgement(told, 0.9, "told so", None) for _ in held]

    async with opened(data, clock=clock, settings={"redis_url": "local"}, supersession=judged) as memory:
        alice = await consenting(memory)
        old = await keep(alice, OLD, clock)
        adding = asyncio.ensure_future(alice.add(NEW, **details))
        await asked.wait()
        await alice.delete(old.id)
        removed.set()
        new = await alice.get((await adding).id)
        assert await contents(alice) == [NEW]
        assert (new.supersedes, new.conflicts_with, new.repeats) == ((), (), ())


async def _after(turns: int, act: Callable[[], Awaitable[object]]) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    await act()
