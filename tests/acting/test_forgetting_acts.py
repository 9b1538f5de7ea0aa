"""Months pass on a clock of one's own: what fades is forgotten, restorable for a while, then gone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support import contents, files_of, opened, parts_of, redis_bytes, sealed_in_cold, state_pages

from tiered_memory import TieredMemory, User
from tiered_memory.crypto.envelope import Place, SealContext
from tiered_memory.errors import CorruptionError, NotFoundError
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.model import Sensitivity
from tiered_memory.state import commands as c
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

WEEK = timedelta(days=7)


@pytest.fixture
def first(memory: TieredMemory) -> TieredMemory:
    """The memory that is closed before another one opens its directory."""
    return memory


async def _add(user: User, text: str, importance: float, **more: Any) -> str:
    return (await user.add(text, importance=importance, **more)).id


async def _pass(memory: TieredMemory, clock: ManualClock, days: float) -> None:
    clock.advance(timedelta(days=days))
    await memory.drain()


async def test_a_dry_run_changes_nothing_and_tells_what_the_real_run_does(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    faint = await _add(alice, "faint", 0.25)
    strong = await _add(alice, "strong", 1.0)
    secret = await _add(alice, "secret", 1.0, sensitivity="restricted")
    await _pass(memory, clock, 31)
    dry = await memory.forget(dry_run=True)
    assert await memory.forget(dry_run=True) == dry
    assert await contents(alice) == ["secret", "strong", "faint"]
    real = await memory.forget()
    assert (dry.forgotten, dry.removed, dry.kept, dry.reasons) == (
        real.forgotten, real.removed, real.kept, real.reasons
    )  # fmt: skip
    assert (real.forgotten, real.removed) == ((faint,), (secret,))
    assert [memory.id for memory in await alice.list()] == [strong]
    again = await memory.forget()
    assert (again.forgotten, again.removed) == ((), ())


async def test_what_is_forgotten_is_nowhere_to_be_found(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    faint = await _add(alice, "the faint one", 0.25, session="s1")
    await _pass(memory, clock, 30)
    await memory.forget()
    assert await alice.search("the faint one") == []
    assert await alice.list() == []
    assert (await alice.context("the faint one", session="s1")).items == ()
    with pytest.raises(NotFoundError):
        await alice.get(faint)
    assert [memory.id for memory in await alice.forgotten()] == [faint]
    assert (await alice.explain(faint)).state == "forgotten"


async def test_it_stays_forgotten_after_a_restart(
    data: Path, clock: ManualClock, alice: User, first: TieredMemory
) -> None:
    await _add(alice, "the faint one", 0.25, session="s1")
    await _pass(first, clock, 30)
    await first.forget()
    await first.close()
    async with opened(data, clock=clock) as memory:
        user = memory.user("alice", tenant="acme")
        assert await user.search("the faint one") == []
        assert (await user.context("faint", session="s1")).items == ()


async def test_within_the_undo_window_it_can_be_restored(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    faint = await _add(alice, "the faint one", 0.25)
    await _pass(memory, clock, 30)
    await memory.forget()
    clock.advance(WEEK - timedelta(seconds=1))
    await memory.forget()
    assert (await alice.restore(faint)).content == "the faint one"
    assert (await alice.search("faint"))[0].memory.id == faint
    clock.advance(WEEK)
    assert (await memory.forget()).removed == ()
    assert await contents(alice) == ["the faint one"]


async def test_after_the_undo_window_it_is_physically_gone(
    memory: TieredMemory, alice: User, clock: ManualClock, data: Path
) -> None:
    faint = await _add(alice, "the faint one", 0.25)
    await _add(alice, "the strong one", 1.0)
    await memory.drain()
    doomed = _sealed_under(memory, data, faint)
    await _pass(memory, clock, 30)
    await memory.forget()
    clock.advance(WEEK)
    assert (await memory.forget()).removed == (faint,)
    assert doomed[-64:] not in state_pages(data)
    assert len(sealed_in_cold(data)) == 1
    assert doomed not in sealed_in_cold(data)
    assert not any(doomed[-64:] in file.read_bytes() for file in files_of(data))
    with pytest.raises(NotFoundError):
        await alice.restore(faint)
    with pytest.raises(NotFoundError):
        await alice.explain(faint)
    assert await alice.forgotten() == []


def _sealed_under(memory: TieredMemory, data: Path, memory_id: str) -> bytes:
    """Return the cold payload of one memory: the one that opens as it."""
    active = parts_of(memory).directory.residents()[0]
    held = active.held[memory_id]
    sealer = active.sealer(held.memory().purpose)
    context: SealContext = sealer.context(Place.MEMORY, memory_id, order=held.order, version=held.version)
    for sealed in sealed_in_cold(data):
        try:
            sealer.key.open(sealed, context)
        except CorruptionError:
            continue
        return sealed
    raise AssertionError(memory_id)


async def test_what_is_pinned_stays_until_its_ceiling(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    faint = await _add(alice, "pinned", 0.25)
    await alice.pin(faint)
    for _ in range(5):
        await _pass(memory, clock, 72)
        await memory.forget()
    assert await contents(alice) == ["pinned"]
    await alice.unpin(faint)
    await memory.forget()
    assert await contents(alice) == []
    assert [one.id for one in await alice.forgotten()] == [faint]


async def test_a_ceiling_takes_the_pinned_too_and_knows_no_undo(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    secret = await _add(alice, "secret", 1.0, sensitivity=Sensitivity.RESTRICTED)
    await alice.pin(secret)
    await _pass(memory, clock, 30 - 0.001)
    assert (await memory.forget()).removed == ()
    clock.advance(timedelta(days=0.001))
    report = await memory.forget()
    assert (report.removed, report.forgotten) == ((secret,), ())
    with pytest.raises(NotFoundError):
        await alice.restore(secret)


async def test_what_is_used_lives_longer(memory: TieredMemory, alice: User, clock: ManualClock) -> None:
    used, unused = await _add(alice, "used", 0.25), await _add(alice, "unused", 0.25)
    for _ in range(3):
        await _pass(memory, clock, 7)
        assert await alice.used([used, used, used]) == 1
    await _pass(memory, clock, 9)
    assert (await memory.forget()).forgotten == (unused,)
    assert (await alice.explain(used)).spaced_uses > 0.5


async def test_uses_survive_a_restart(
    data: Path, clock: ManualClock, alice: User, first: TieredMemory
) -> None:
    used = await _add(alice, "used", 0.25)
    await _pass(first, clock, 7)
    await alice.used([used])
    before = await alice.explain(used)
    await first.close()
    async with opened(data, clock=clock) as memory:
        after = await memory.user("alice", tenant="acme").explain(used)
    assert (after.deadline, after.strength, after.spaced_uses) == (
        before.deadline, before.strength, before.spaced_uses
    )  # fmt: skip


async def test_the_brake_stops_and_a_confirmation_goes_on(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    bob = memory.user("bob", tenant="acme")
    await bob.consent.grant("personalization", notice="n")
    for number in range(30):
        await _add(alice, f"faint {number}", 0.25)
    await _add(bob, "faint of bob", 0.25)
    await _pass(memory, clock, 30)
    report = await memory.forget()
    assert report.stopped
    assert len(report.forgotten) == 1
    assert len(await alice.list()) == 30
    assert len((await alice.forget(confirmed=True)).forgotten) == 30
    assert await alice.list() == []


async def test_what_is_forgotten_leaves_the_session_and_hot(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    faint = await _add(alice, "the faint one", 0.25, session="s1")
    kept = await _add(alice, "the strong one", 1.0, session="s1")
    clock.set(clock.now() + timedelta(days=30))
    await memory.drain()
    assert faint.encode() in b"".join(redis_bytes(memory))
    await memory.forget()
    assert faint.encode() not in b"".join(redis_bytes(memory))
    assert kept.encode() in b"".join(redis_bytes(memory))
    assert [item.content for item in (await alice.context("x", session="s1")).items] == ["the strong one"]


async def test_each_has_its_leaf_in_the_ledger(memory: TieredMemory, alice: User, clock: ManualClock) -> None:
    faint = [await _add(alice, f"faint {number}", 0.25) for number in range(3)]
    secret = await _add(alice, "secret", 1.0, sensitivity="restricted")
    await _pass(memory, clock, 30)
    await memory.forget()
    await alice.restore(faint[0])
    clock.advance(WEEK)
    await memory.forget()
    leaves = [leaf for _, leaf, _ in await parts_of(memory).core.state.read(c.Leaves())]
    counts = {event: sum(f'"{event.value}"'.encode() in leaf for leaf in leaves) for event in AuditEvent}
    assert counts[AuditEvent.MEMORY_FORGOTTEN] == 3
    assert counts[AuditEvent.MEMORY_RESTORED] == 1
    assert counts[AuditEvent.MEMORY_PURGED] == 3
    assert not any(one.encode() in leaf for one in [*faint, secret] for leaf in leaves)


async def test_what_never_reached_cold_can_be_restored_too(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    """Nothing was flushed: the memory is in the journal only."""
    faint = await _add(alice, "the faint one", 0.25)
    clock.advance(timedelta(days=30))
    await memory.forget()
    assert [one.id for one in await alice.forgotten()] == [faint]
    assert (await alice.explain(faint)).state == "forgotten"
    assert (await alice.restore(faint)).content == "the faint one"
    assert await contents(alice) == ["the faint one"]


async def test_a_user_out_of_ram_is_forgotten_as_well(
    data: Path, clock: ManualClock, alice: User, first: TieredMemory
) -> None:
    faint = await _add(alice, "the faint one", 0.25)
    await first.close()
    clock.advance(timedelta(days=30))
    async with opened(data, clock=clock) as memory:
        assert (await memory.forget()).forgotten == (faint,)
        clock.advance(WEEK)
        assert (await memory.forget()).removed == (faint,)
        assert sealed_in_cold(data) == []
        assert parts_of(memory).directory.residents() == []
