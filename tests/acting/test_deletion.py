"""What is deleted is unreadable at once, its bytes are gone, and nothing brings it back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support import (
    consenting,
    contents,
    files_of,
    log_bytes,
    opened,
    parts_of,
    redis_bytes,
    sealed_in_cold,
    sqlite_rows,
    state_pages,
)

from tiered_memory import TieredMemory, User
from tiered_memory.crypto.envelope import Place
from tiered_memory.errors import NotFoundError
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryState, StateChange
from tiered_memory.testing import ManualClock
from tiered_memory.tiers.base import TierRecord

pytestmark = pytest.mark.anyio


async def _three(user: User) -> list[str]:
    texts = ("the first", "the doomed", "the last")
    return [(await user.add(text, session="s1", importance=0.9)).id for text in texts]


async def test_the_bytes_are_in_no_file(memory: TieredMemory, alice: User, data: Path) -> None:
    """Neither in the table, nor in the database, nor in its log: the journal had the same bytes."""
    _, doomed, _ = await _three(alice)
    sealed = next(row["sealed"] for row in sqlite_rows(data, "journal") if row["memory_id"] == doomed)
    await memory.drain()
    assert sealed in sealed_in_cold(data)
    assert log_bytes(data) > 0
    await alice.delete(doomed)
    assert log_bytes(data) == 0
    assert sealed[-64:] not in state_pages(data)
    assert len(sealed_in_cold(data)) == 2
    assert sealed not in sealed_in_cold(data)
    assert [file.name for file in files_of(data) if sealed[-64:] in file.read_bytes()] == []


async def test_it_is_unreadable_everywhere(memory: TieredMemory, alice: User, data: Path) -> None:
    first, doomed, last = await _three(alice)
    await memory.drain()
    await alice.delete(doomed)
    assert "the doomed" not in [hit.memory.content for hit in await alice.search("the doomed")]
    assert await contents(alice) == ["the last", "the first"]
    items = (await alice.context("doomed", session="s1")).items
    assert sorted(item.content for item in items) == ["the first", "the last"]
    assert doomed.encode() not in b"".join(redis_bytes(memory))
    for call in (alice.get, alice.explain, alice.restore, alice.delete, alice.pin, alice.unpin):
        with pytest.raises(NotFoundError):
            await call(doomed)
    assert await alice.used([doomed]) == 0
    assert {row["memory_id"] for row in sqlite_rows(data, "memories")} == {first, last}
    assert [row["memory_id"] for row in sqlite_rows(data, "tombstones")] == [doomed]


async def test_it_does_not_come_back_after_a_restart(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        _, doomed, _ = await _three(alice)
        await memory.drain()
        await alice.delete(doomed)
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        assert await contents(alice) == ["the last", "the first"]
        assert "doomed" not in (await alice.context("doomed", session="s1")).render()
        assert await alice.forgotten() == []


@pytest.mark.parametrize("pending", [True, False])
async def test_what_was_dull_is_deleted_from_its_session_too(data: Path, *, pending: bool) -> None:
    """Below the gate it is in no table, but in the session's tail, in hot, and in the session's snapshot."""
    async with opened(data) as memory:
        alice = await consenting(memory)
        await alice.add("a keeper", session="s1", importance=0.9)
        doomed = (await alice.add("the doomed", session="s1", importance=0.0)).id
        if pending:
            await parts_of(memory).sessions.snapshot_all()
        await alice.delete(doomed)
        assert "doomed" not in (await alice.context("doomed", session="s1")).render()
        assert doomed not in {row["record_id"] for row in sqlite_rows(data, "session_tail")}
        await parts_of(memory).core.warm.drop(parts_of(memory).directory.residents()[0].ref)
        parts_of(memory).directory.residents()[0].sessions.clear()
        assert "doomed" not in (await alice.context("doomed", session="s1")).render()
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        assert "doomed" not in (await alice.context("doomed", session="s1")).render()


async def test_a_snapshot_in_hot_does_not_keep_it(memory: TieredMemory, alice: User) -> None:
    _, doomed, _ = await _three(alice)
    await parts_of(memory).sessions.snapshot_all()
    assert b"the doomed" in await _snapshot(memory)
    await alice.delete(doomed)
    assert b"the doomed" not in await _snapshot(memory)


async def _snapshot(memory: TieredMemory) -> bytes:
    core, active = parts_of(memory).core, parts_of(memory).directory.residents()[0]
    name = core.names.session(active.ref.pseudonym, "s1").hex()
    sealed = await core.hot.load_snapshot(active.ref, name)
    if sealed is None:
        return b""
    return active.sealer_for(sealed).open(Place.SNAPSHOT, TierRecord(name, 0, len(active.consents), sealed))


async def test_what_waits_in_the_journal_does_not_come_back(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        _, doomed, _ = await _three(alice)
        await alice.delete(doomed)
        assert parts_of(memory).flusher.size().records == 2
        await memory.drain()
        assert len(sealed_in_cold(data)) == 2
    async with opened(data) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == ["the last", "the first"]


async def test_a_deletion_interrupted_by_a_crash_is_finished_on_opening(data: Path) -> None:
    """The journal still had the record when the process died right after the deletion was committed."""
    async with opened(data) as memory:
        alice = await consenting(memory)
        _, doomed, _ = await _three(alice)
        await memory.drain()
        await _mark_only(memory, doomed)
    async with opened(data) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == ["the last", "the first"]
        assert len(sealed_in_cold(data)) == 2
        assert [row["memory_id"] for row in sqlite_rows(data, "tombstones")] == [doomed]


async def _mark_only(memory: TieredMemory, memory_id: str) -> None:
    ref = parts_of(memory).directory.residents()[0].ref
    change = StateChange(memory_id, MemoryState.REMOVING, 0, "deleted")
    await parts_of(memory).core.state.write(c.ChangeStates(ref.pseudonym, ref.generation, (change,), ()))


async def test_an_ephemeral_memory_is_deleted(memory: TieredMemory) -> None:
    guest = memory.user("guest")
    doomed = (await guest.add("the doomed", session="s1")).id
    await guest.delete(doomed)
    assert await guest.search("doomed") == []
    assert (await guest.context("doomed", session="s1")).items == ()
    assert doomed.encode() not in b"".join(redis_bytes(memory))
    with pytest.raises(NotFoundError):
        await guest.delete(doomed)


async def test_the_last_memory_of_a_user_is_deleted(memory: TieredMemory, alice: User, data: Path) -> None:
    only = (await alice.add("the only one", importance=0.9)).id
    await memory.drain()
    await alice.delete(only)
    assert sealed_in_cold(data) == []
    await alice.add("another", importance=0.9)
    await memory.drain()
    assert await contents(alice) == ["another"]
    assert len(sealed_in_cold(data)) == 1


async def test_a_turn_that_only_its_session_still_has_can_be_deleted(tmp_path: Path) -> None:
    """It is not worth keeping and its time in hot has passed, but the session goes on and shows it."""
    clock, dull = ManualClock(), "nothing of note, honestly"
    async with opened(tmp_path, clock=clock) as memory:
        alice = await consenting(memory)
        doomed = await alice.add(dull, session="s", importance=0.1)
        for _ in range(5):
            clock.advance(timedelta(minutes=20))
            await alice.add("still talking", session="s", importance=0.1)
        assert dull in (await alice.context("what was said?", session="s", token_budget=500)).render()
        await alice.delete(doomed.id)
        assert dull not in (await alice.context("what was said?", session="s", token_budget=500)).render()
        with pytest.raises(NotFoundError):
            await alice.delete(doomed.id)
    async with opened(tmp_path, clock=clock) as memory:
        alice = memory.user("alice", tenant="acme")
        packed = await alice.context("what was said?", session="s", token_budget=500)
        assert dull not in packed.render()
        assert "still talking" in packed.render()
