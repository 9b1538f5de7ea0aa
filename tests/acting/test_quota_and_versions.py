"""A user's quota beside new versions and late promotions: what makes room is not revised too, a use is never refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support import consenting, contents, parts_of, sealed_in_cold, sqlite_rows
from test_quota import bounded

from tiered_memory.errors import NotFoundError
from tiered_memory.model import Kind
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

CITY = {"kind": Kind.PROFILE, "metadata": {"key": "city"}}
DAY = timedelta(days=1)


@pytest.mark.parametrize("undo_days", [7, 0])
async def test_what_is_brought_up_to_date_does_not_make_room_for_its_update(
    data: Path, clock: ManualClock, undo_days: float
) -> None:
    """Though it would leave first: a commit does not write a version of what the same commit removes."""
    async with bounded(data, clock, "max_items = 2", undo_days=undo_days) as memory:
        alice = await consenting(memory)
        old = (await alice.add("Berlin", importance=0.3, **CITY)).id  # type: ignore[arg-type]
        other = (await alice.add("Something else.", importance=0.9)).id
        clock.advance(DAY)
        new = (await alice.add("Munich", importance=0.9, **CITY)).id  # type: ignore[arg-type]
        assert await contents(alice) == ["Munich"]
        assert (await alice.get(old)).superseded_by == new
        await memory.drain()
        await memory.forget()
        versions = {row["memory_id"]: row["record_version"] for row in sqlite_rows(data, "memories")}
        assert versions == {old: 2, new: 1} | ({other: 1} if undo_days else {})
        assert len(sealed_in_cold(data)) == len(versions)


async def test_an_update_is_closed_while_another_makes_room(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock, "max_items = 2") as memory:
        alice = await consenting(memory)
        old = (await alice.add("Berlin", importance=0.9, **CITY)).id  # type: ignore[arg-type]
        faint = (await alice.add("Something else.", importance=0.3)).id
        clock.advance(DAY)
        new = (await alice.add("Munich", importance=0.9, **CITY)).id  # type: ignore[arg-type]
        assert (await alice.get(old)).superseded_by == new
        assert [one.id for one in await alice.forgotten()] == [faint]
        await memory.drain()
        parts_of(memory).directory.forget(parts_of(memory).directory.residents()[0])
        assert await contents(alice) == ["Munich"]
        assert await alice.damaged() == []


async def test_a_repetition_needs_no_room(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock, "max_items = 1") as memory:
        alice = await consenting(memory)
        first = await alice.add("I prefer tea over coffee.")
        await alice.pin(first.id)
        clock.advance(DAY)
        assert (await alice.add("I prefer tea over coffee.")).id == first.id


async def test_a_use_is_not_refused_for_want_of_room(data: Path, clock: ManualClock) -> None:
    async with bounded(data, clock, "max_items = 1") as memory:
        alice = await consenting(memory)
        await alice.pin((await alice.add("Strong.", importance=0.9)).id)
        weak = (await alice.add("The lamp flickers.", importance=0.05)).id
        assert await alice.used([weak]) == 0
        assert (await alice.context("Does the lamp flicker?")).items
        assert (await alice.explain(weak)).state == "volatile"
        clock.advance(DAY)
        with pytest.raises(NotFoundError):
            await alice.get(weak)
