"""The tier in memory: the contract, its bounds, and the clock the suites are driven by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.clock import Clock
from tiered_memory.errors import ClosedError, ConfigurationError
from tiered_memory.testing import (
    LocalTier,
    ManualClock,
    SnapshotContract,
    TierContract,
    record_numbered,
    subject_named,
)
from tiered_memory.tiers.base import SnapshotStore, Tier, TierRecord
from tiered_memory.tiers.local_tier import MOST_SESSIONS

pytestmark = pytest.mark.anyio

ALICE, BOB, CAROL = (subject_named(name) for name in ("alice", "bob", "carol"))


class TestLocalTier(TierContract, SnapshotContract):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    async def tier(self, clock: ManualClock) -> AsyncIterator[LocalTier]:
        tier = LocalTier(capacity=self.capacity, clock=clock)
        yield tier
        await tier.close()


def test_it_is_a_tier_with_snapshots() -> None:
    tier = LocalTier(clock=ManualClock())
    assert isinstance(tier, Tier)
    assert isinstance(tier, SnapshotStore)
    assert tier.name == "local"


async def test_the_lowest_order_goes_when_it_is_full() -> None:
    tier = LocalTier("hot", 3, clock=ManualClock())
    await tier.put(ALICE, [record_numbered(order) for order in (5, 1, 4, 2, 3)])
    await tier.put(ALICE, [record_numbered(0)])
    assert [record.order for record in await tier.scan(ALICE)] == [5, 4, 3]


async def test_without_a_capacity_it_keeps_everything() -> None:
    tier = LocalTier(clock=ManualClock())
    await tier.put(ALICE, [record_numbered(order) for order in range(1000)])
    assert len(await tier.scan(ALICE)) == 1000


def test_a_capacity_below_one_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        LocalTier(capacity=0, clock=ManualClock())


async def test_idle_subjects_leave_after_their_time() -> None:
    clock = ManualClock()
    tier = LocalTier(clock=clock, ttl_seconds=60.0)
    await tier.put(ALICE, [record_numbered(1)])
    await tier.put(BOB, [record_numbered(1)])
    clock.advance(40.0)
    await tier.put(ALICE, [record_numbered(2)])
    clock.advance(20.0)
    assert [record.order for record in await tier.scan(ALICE)] == [2, 1]
    assert await tier.scan(BOB) == []


async def test_a_snapshot_may_outlive_the_records() -> None:
    clock = ManualClock()
    tier = LocalTier(clock=clock, ttl_seconds=60.0)
    await tier.put(ALICE, [record_numbered(1)])
    await tier.save_snapshot(ALICE, "s1", b"blob", 200.0)
    for _ in range(3):
        clock.advance(60.0)
        assert await tier.scan(ALICE) == []
        assert await tier.load_snapshot(ALICE, "s1") == b"blob"
    clock.advance(20.0)
    assert await tier.load_snapshot(ALICE, "s1") is None


async def test_the_subject_written_to_longest_ago_makes_room() -> None:
    tier = LocalTier(clock=ManualClock(), most_subjects=2)
    for subject in (ALICE, BOB, ALICE, CAROL):
        await tier.put(subject, [record_numbered(1)])
    assert [len(await tier.scan(subject)) for subject in (ALICE, BOB, CAROL)] == [1, 0, 1]


async def test_sessions_are_bounded() -> None:
    tier = LocalTier(clock=ManualClock())
    for number in range(MOST_SESSIONS + 1):
        await tier.save_snapshot(ALICE, f"s{number}", b"blob", 60.0 + number)
    assert await tier.load_snapshot(ALICE, "s0") is None
    assert await tier.load_snapshot(ALICE, "s1") == b"blob"


async def test_a_closed_tier_says_so() -> None:
    tier = LocalTier(clock=ManualClock())
    await tier.close()
    with pytest.raises(ClosedError):
        await tier.scan(ALICE)


_RECORDS = st.lists(
    st.builds(
        TierRecord,
        id=st.sampled_from(["a" * 32, "b" * 32, "c" * 32, "d" * 32]),
        order=st.integers(0, 6),
        version=st.integers(1, 4),
        payload=st.binary(max_size=3),
    ),
    max_size=12,
)


@given(_RECORDS)
async def test_the_last_of_the_highest_version_wins(records: list[TierRecord]) -> None:
    tier = LocalTier(clock=ManualClock())
    for record in records:
        await tier.put(ALICE, [record])
    held = await tier.scan(ALICE)
    for found in held:
        of_same_id = [record for record in records if record.id == found.id]
        top = max(record.version for record in of_same_id)
        assert found == [record for record in of_same_id if record.version == top][-1]
    assert {record.id for record in held} == {record.id for record in records}
    assert [record.order for record in held] == sorted((record.order for record in held), reverse=True)


def test_the_manual_clock_is_a_clock() -> None:
    assert isinstance(ManualClock(), Clock)


def test_time_stands_still_until_it_is_advanced() -> None:
    start = datetime(2026, 3, 29, 1, 30, tzinfo=timezone(timedelta(hours=1)))
    clock = ManualClock(start)
    clock.advance(timedelta(days=2))
    clock.advance(0.5)
    assert clock.now() == start + timedelta(days=2, seconds=0.5)
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() == 2 * 86400 + 0.5


def test_the_wall_clock_may_go_back_alone() -> None:
    clock = ManualClock()
    clock.advance(10.0)
    clock.set(datetime(2020, 2, 29, tzinfo=UTC))
    assert clock.now() == datetime(2020, 2, 29, tzinfo=UTC)
    assert clock.monotonic() == 10.0


@pytest.mark.parametrize("use", [ManualClock, ManualClock().set])
def test_naive_moments_are_refused(use: type[ManualClock]) -> None:
    with pytest.raises(ValueError, match="aware"):
        use(datetime(2026, 1, 1))  # noqa: DTZ001 - a naive moment is the point


def test_time_is_not_advanced_backwards() -> None:
    with pytest.raises(ValueError, match="forward"):
        ManualClock().advance(-1.0)


async def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    clock, woken = ManualClock(), []

    async def sleep(seconds: float, name: str) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    async with anyio.create_task_group() as tasks:
        for seconds, name in ((3.0, "late"), (1.0, "first"), (1.0, "second"), (9.0, "never")):
            tasks.start_soon(sleep, seconds, name)
        await anyio.wait_all_tasks_blocked()
        assert clock.sleepers == 4
        clock.advance(2.999)
        await anyio.wait_all_tasks_blocked()
        assert woken == ["first", "second"]
        clock.advance(0.001)
        await anyio.wait_all_tasks_blocked()
        assert woken == ["first", "second", "late"]
        tasks.cancel_scope.cancel()
    assert clock.sleepers == 0


async def test_run_for_turns_loops() -> None:
    clock, beats = ManualClock(), []

    async def beat() -> None:
        while True:
            await clock.sleep(10.0)
            beats.append(clock.monotonic())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        await clock.run_for(timedelta(seconds=35))
        tasks.cancel_scope.cancel()
    assert beats == [10.0, 20.0, 30.0]
    assert clock.monotonic() == 35.0


async def test_sleeping_for_nothing_does_not_wait() -> None:
    with anyio.fail_after(1.0):
        await ManualClock().sleep(0.0)
