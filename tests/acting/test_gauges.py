"""A look at how the store stands tells what is true, names nobody, and harms nothing."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from support import PURPOSE, consenting, opened, parts_of, until

from tiered_memory import TieredMemory, User
from tiered_memory.errors import StateStoreError
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf, leaf_time_us
from tiered_memory.gauges import REST, Gauges, Places, watch_loop
from tiered_memory.hold_model import HoldScope
from tiered_memory.metrics import (
    ConsentsStanding,
    DiskStanding,
    HoldsStanding,
    KeysStanding,
    LedgerStanding,
    LoopLag,
    RecordingObserver,
    RecordsStanding,
    RequestsStanding,
    TierHeld,
    TierUp,
)
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
LOCAL = {"redis_url": "local"}
DAY = timedelta(days=1)


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()


@pytest.fixture
async def memory(tmp_path: Path, clock: ManualClock, observer: RecordingObserver) -> TieredMemory:  # type: ignore[misc]
    async with opened(tmp_path, clock=clock, observer=observer, settings=LOCAL) as memory:
        yield memory


async def look(memory: TieredMemory, clock: ManualClock) -> None:
    """Look once more: what is counted over everybody has rested by now."""
    clock.advance(timedelta(minutes=5))
    await parts_of(memory).gauges.look()


async def test_consents_stand_in_the_state_of_their_newest_event(
    memory: TieredMemory, clock: ManualClock, observer: RecordingObserver
) -> None:
    people = [await consenting(memory, f"person-{number}") for number in range(4)]
    await people[0].consent.withdraw(PURPOSE)
    await people[1].consent.refuse(PURPOSE, notice="notice 1")
    await people[2].consent.grant(PURPOSE, notice="notice 1", expires_at=clock.now() + DAY)
    await look(memory, clock)
    assert observer.of(ConsentsStanding)[-1].states == {"withdrawn": 1, "refused": 1, "open": 2}
    clock.advance(2 * DAY)
    await look(memory, clock)
    assert observer.of(ConsentsStanding)[-1].states == {"withdrawn": 1, "refused": 1, "open": 1, "expired": 1}
    await people[3].erase(reason="moved away")
    await look(memory, clock)
    assert observer.of(ConsentsStanding)[-1].states == {"withdrawn": 1, "refused": 1, "expired": 1}


@pytest.mark.parametrize("page", [1, 2, 7, 100])
async def test_pages_of_people_add_up(
    memory: TieredMemory, observer: RecordingObserver, page: int, tmp_path: Path
) -> None:
    for number in range(7):
        user = await consenting(memory, f"person-{number}")
        await user.add(f"plan {number} is green", importance=0.9)
    await memory.drain()
    await Gauges(parts_of(memory).core, Places(tmp_path), page).look()
    assert observer.of(ConsentsStanding)[-1].states == {"open": 7}
    cold = observer.of(RecordsStanding)[-1].tiers["cold"]
    totals = await memory.stats()
    assert (cold.records, cold.bytes) == (7, totals.bytes)


async def test_memories_past_their_deadline_are_told_until_they_are_forgotten(
    memory: TieredMemory, alice: User, clock: ManualClock, observer: RecordingObserver
) -> None:
    await alice.add("faint", importance=0.25)
    await memory.drain()
    await look(memory, clock)
    assert observer.of(RecordsStanding)[-1].overdue == 0
    clock.advance(34 * DAY)
    await look(memory, clock)
    assert observer.of(RecordsStanding)[-1].overdue == 1
    await memory.forget()
    await look(memory, clock)
    assert observer.of(RecordsStanding)[-1].overdue == 0


async def test_what_tiers_hold_is_told(
    memory: TieredMemory, alice: User, clock: ManualClock, observer: RecordingObserver
) -> None:
    await alice.add("the plan is green", importance=0.9, session="s1")
    await alice.add("weather", importance=0.0)
    await memory.drain()
    await look(memory, clock)
    tiers = observer.of(RecordsStanding)[-1].tiers
    assert tiers["warm"].records == 1
    assert tiers["cold"].records == 1
    assert (tiers["hot"].records or 0) >= 1
    assert (tiers["state"].bytes or 0) > 4096
    assert tiers["state"].records is None


async def test_a_server_tells_the_memory_it_uses(data: Path, observer: RecordingObserver) -> None:
    async with opened(data, observer=observer) as memory:
        await (await consenting(memory)).add("weather", importance=0.0)
        await parts_of(memory).gauges.look()
    hot = observer.of(RecordsStanding)[-1].tiers["hot"]
    assert hot.records is None
    assert 100_000 < (hot.bytes or 0) < 1 << 30


async def test_requests_are_told_until_they_are_answered(
    memory: TieredMemory, alice: User, clock: ManualClock, observer: RecordingObserver
) -> None:
    await look(memory, clock)
    assert observer.of(RequestsStanding)[-1] == RequestsStanding(0, 0, None)
    request = await alice.requests.open("access")
    await look(memory, clock)
    standing = observer.of(RequestsStanding)[-1]
    assert (standing.open, standing.overdue) == (1, 0)
    assert standing.next_due_seconds == (request.due_at - clock.now()).total_seconds()
    clock.advance(60 * DAY)
    await look(memory, clock)
    assert observer.of(RequestsStanding)[-1] == RequestsStanding(1, 1, 0.0)
    await alice.requests.close(request.id)
    await look(memory, clock)
    assert observer.of(RequestsStanding)[-1] == RequestsStanding(0, 0, None)


async def test_entries_without_a_checkpoint_age(
    memory: TieredMemory, alice: User, clock: ManualClock, observer: RecordingObserver
) -> None:
    await memory.ledger.checkpoint()
    await look(memory, clock)
    signed = observer.of(LedgerStanding)[-1]
    assert signed.checkpoint_age_seconds == 0
    await alice.consent.withdraw(PURPOSE)
    clock.advance(2 * DAY)
    await look(memory, clock)
    waiting = observer.of(LedgerStanding)[-1]
    assert waiting.entries > signed.entries
    assert waiting.checkpoint_age_seconds == pytest.approx((2 * DAY).total_seconds(), abs=600)
    await memory.ledger.checkpoint()
    await look(memory, clock)
    assert observer.of(LedgerStanding)[-1].checkpoint_age_seconds == 0


async def test_keys_age_until_they_are_changed(
    memory: TieredMemory, alice: User, clock: ManualClock, observer: RecordingObserver
) -> None:
    await alice.add("the plan is green", importance=0.9)
    clock.advance(40 * DAY)
    await look(memory, clock)
    assert (observer.of(KeysStanding)[-1].oldest_epoch_seconds or 0) > (39 * DAY).total_seconds()
    await memory.keys.rotate()
    await look(memory, clock)
    assert (observer.of(KeysStanding)[-1].oldest_epoch_seconds or 0) < DAY.total_seconds()


async def test_the_root_keys_age_is_its_files(tmp_path: Path, observer: RecordingObserver) -> None:
    async with opened(tmp_path / "store", observer=observer, settings=LOCAL) as memory:
        file = tmp_path / "store" / "keys" / "root.key"
        old = parts_of(memory).core.clock.now().timestamp() - 1_000
        os.utime(file, (old, old))
        await parts_of(memory).gauges.look()
    assert observer.of(KeysStanding)[-1].root_key_seconds == pytest.approx(1_000, abs=60)


async def test_a_root_key_from_outside_has_no_age(tmp_path: Path, observer: RecordingObserver) -> None:
    settings = {**LOCAL, "root_key": "ab" * 32}
    async with opened(tmp_path, observer=observer, settings=settings) as memory:
        await parts_of(memory).gauges.look()
    assert observer.of(KeysStanding)[-1] == KeysStanding(None, None)


async def test_holds_in_force_are_told(
    memory: TieredMemory, clock: ManualClock, observer: RecordingObserver
) -> None:
    review = clock.now() + 90 * DAY
    scope = HoldScope(tenant="acme", user="alice")
    await memory.holds.place("case-7", scope=scope, owner="counsel", reason="dispute", review_at=review)
    await look(memory, clock)
    await memory.holds.release("case-7", "settled")
    await look(memory, clock)
    assert [fact.active for fact in observer.of(HoldsStanding)[-2:]] == [1, 0]


async def test_a_directory_that_cannot_be_looked_at_is_left_out(
    memory: TieredMemory, observer: RecordingObserver, tmp_path: Path
) -> None:
    await Gauges(parts_of(memory).core, Places(tmp_path / "nowhere")).look()
    assert observer.of(DiskStanding) == []
    assert "state" not in observer.of(RecordsStanding)[-1].tiers


async def test_a_state_store_that_fails_is_down_until_it_answers(
    memory: TieredMemory, clock: ManualClock, observer: RecordingObserver
) -> None:
    await look(memory, clock)
    state = parts_of(memory).core.state
    reader, state._reader = state._reader, _Failing()  # type: ignore[attr-defined]
    with pytest.raises(StateStoreError):
        await parts_of(memory).gauges.look()
    state._reader = reader  # type: ignore[attr-defined]
    await parts_of(memory).gauges.look()
    assert [one.up for one in observer.of(TierUp) if one.tier == "state"] == [True, False, True]


class _Failing:
    def execute(self, *_: object) -> object:
        import apsw

        raise apsw.IOError("the disk is gone")

    def close(self) -> None:
        pass


async def test_what_is_counted_over_everybody_rests_in_between(
    memory: TieredMemory, clock: ManualClock, observer: RecordingObserver
) -> None:
    await look(memory, clock)
    await consenting(memory)
    await parts_of(memory).gauges.look()
    assert observer.of(ConsentsStanding)[-1].states == {}
    clock.advance(timedelta(seconds=REST))
    await parts_of(memory).gauges.look()
    assert observer.of(ConsentsStanding)[-1].states == {"open": 1}


async def test_a_loop_that_is_held_up_is_told(clock: ManualClock) -> None:
    import anyio

    observer = RecordingObserver()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch_loop, clock, observer)
        for late in (0.0, 0.25):
            await until(lambda: clock.sleepers == 1)
            clock.advance(timedelta(seconds=0.5 + late))
            expected = len(observer.facts) + 1
            await until(lambda expected=expected: len(observer.facts) == expected)  # type: ignore[misc]
        tasks.cancel_scope.cancel()
    assert observer.facts == (LoopLag(0.0), LoopLag(0.25))


def test_a_leaf_tells_its_time() -> None:
    leaf = AuditLeaf(AuditEvent.STORE_CREATED, 1_234, "", "", 0)
    assert leaf_time_us(leaf.encode()) == 1_234
    assert [leaf_time_us(one) for one in (b"", b"\xff", b"[]", b"{}", b'{"at_us": "x"}')] == [None] * 5


def test_what_a_tier_cannot_tell_is_none() -> None:
    assert TierHeld(None, None) != TierHeld(0, 0)
