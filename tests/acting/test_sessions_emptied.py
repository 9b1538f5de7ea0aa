"""What was removed does not come back with a session that is resumed, whenever it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from support import consenting, opened, parts_of

from tiered_memory import TieredMemory, User
from tiered_memory.errors import NotFoundError
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
LOCAL: dict[str, Any] = {"redis_url": "local"}


async def shown(user: User) -> list[str]:
    return [one.content for one in (await user.context("zebra", session="s1")).items]


async def left_idle(memory: TieredMemory, clock: ManualClock) -> tuple[User, str]:
    """A session of two turns that are no memories, which left warm and can be resumed."""
    alice = await consenting(memory)
    receipt = await alice.add("ok zebra", importance=0.0, session="s1")
    clock.advance(40 * 60.0)
    await alice.add("ok lion", importance=0.0, session="s1")
    clock.advance(61 * 60.0)
    await parts_of(memory).sessions.end_idle()
    return alice, receipt.id


async def test_a_turn_is_deleted_from_a_session_that_has_left_warm(data: Path) -> None:
    clock = ManualClock()
    async with opened(data, settings=LOCAL, clock=clock) as memory:
        alice, zebra = await left_idle(memory, clock)
        await alice.delete(zebra)
        assert await shown(alice) == ["ok lion"]
        with pytest.raises(NotFoundError):
            await alice.delete(zebra)


@pytest.mark.parametrize("how", ["delete", "withdraw", "roll back"])
async def test_a_session_that_is_being_resumed_meanwhile_does_not_show_it(data: Path, how: str) -> None:
    clock = ManualClock()
    async with opened(data, settings=LOCAL, clock=clock) as memory:
        alice, zebra = await left_idle(memory, clock)
        hot, read, go_on = parts_of(memory).core.hot, anyio.Event(), anyio.Event()
        load = hot.load_snapshot

        async def slow(*given: Any) -> bytes | None:
            found = await load(*given)
            if not read.is_set():
                read.set()
                await go_on.wait()
            return found

        hot.load_snapshot = slow  # type: ignore[method-assign]
        seen: list[str] = []

        async def look() -> None:
            seen.extend(await shown(alice))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            await read.wait()
            if how == "delete":
                await alice.delete(zebra)
            elif how == "withdraw":
                await alice.consent.withdraw("personalization")
            else:
                await alice.roll_back(session="s1", reason="it was hacked")
            go_on.set()
        assert "ok zebra" not in seen
        assert "ok zebra" not in await shown(alice)
