"""Commit sections outlive their callers, and a key's lock has one holder at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support import parts_of

from tiered_memory import TieredMemory, User
from tiered_memory.errors import OutcomeUnknownError, StateStoreError
from tiered_memory.inflight import InFlight, KeyedLocks
from tiered_memory.state import commands as c

pytestmark = pytest.mark.anyio


async def test_a_lock_handed_on_is_not_forgotten() -> None:
    """Somebody who comes between the release and the next holder's first step must wait as well."""
    locks, inside, most = KeyedLocks[str](), 0, 0

    async def visit(turns: int) -> None:
        nonlocal inside, most
        for _ in range(turns):
            await asyncio.sleep(0)
        async with locks.held("key"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(visit(turns) for turns in range(40) for _ in range(2)))
    assert most == 1
    assert locks._locks == {}


async def test_keys_do_not_wait_for_each_other() -> None:
    locks = KeyedLocks[str]()
    async with locks.held("one"), locks.held("other"):
        assert len(locks._locks) == 2
    assert locks._locks == {}


async def test_a_lock_is_forgotten_after_an_error_and_a_cancellation() -> None:
    locks = KeyedLocks[str]()
    with pytest.raises(ValueError, match="inside"):
        async with locks.held("key"):
            raise ValueError("inside")
    async with locks.held("key"):
        waiting = asyncio.ensure_future(_held(locks))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert locks._locks == {}


async def _held(locks: KeyedLocks[str]) -> None:
    async with locks.held("key"):
        raise AssertionError("nobody let go of it")


async def test_a_cancelled_caller_leaves_its_section_running() -> None:
    inflight, may_end, ended = InFlight(), asyncio.Event(), asyncio.Event()

    async def section() -> None:
        await may_end.wait()
        ended.set()

    caller = asyncio.ensure_future(inflight.complete(section()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    may_end.set()
    await inflight.settle()
    assert ended.is_set()


async def test_after_the_deadline_the_outcome_is_unknown() -> None:
    inflight, may_end = InFlight(0.001), asyncio.Event()
    with pytest.raises(OutcomeUnknownError):
        await inflight.finish(may_end.wait())
    may_end.set()
    await inflight.settle()


async def test_a_value_the_store_cannot_hold_is_one_caller_s_trouble(
    memory: TieredMemory, alice: User, data: Path
) -> None:
    """It must not end the writer all others wait for."""
    state = parts_of(memory).core.state
    for value in (2**70, "\ud800", object()):
        with pytest.raises(StateStoreError, match="nothing of it was stored"):
            await state.write(c.PutMeta("name", value))  # type: ignore[arg-type]
    assert (await alice.add("others go on", importance=0.9)).id
