"""For tests of one's own: a clock that moves when told, and the suites every tier must pass.

A backend proves itself in about ten lines:

    class TestMyTier(TierContract, SnapshotContract):
        capacity = 50

        @pytest.fixture
        def clock(self) -> ManualClock:
            return ManualClock()

        @pytest.fixture
        async def tier(self, clock: ManualClock) -> AsyncIterator[MyTier]:
            tier = MyTier(capacity=self.capacity, clock=clock)
            yield tier
            await tier.close()

The suites are run by pytest with anyio's plugin; this module can be imported without either.
"""

from __future__ import annotations

import hashlib
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Protocol

import anyio
import anyio.lowlevel

from tiered_memory.clock import Clock, Entropy, SeededEntropy
from tiered_memory.tiers.base import SnapshotStore, SubjectRef, Tier, TierRecord
from tiered_memory.tiers.local_tier import LocalTier

__all__ = [
    "Clock",
    "Entropy",
    "LocalTier",
    "ManualClock",
    "SeededEntropy",
    "SnapshotContract",
    "SnapshotTier",
    "TierContract",
    "record_numbered",
    "subject_named",
]


def _anyio_marks() -> list[Any]:
    try:
        import pytest
    except ImportError:
        return []
    return [pytest.mark.anyio]


class ManualClock:
    """A clock that stands still until told otherwise. It implements `Clock`.

    `start` (aware) is the first `now()`; `monotonic()` starts at 0. Raises `ValueError` for a naive `start`.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = _utc(start)
        self._monotonic = 0.0
        self._turn = count()
        self._sleepers: list[tuple[float, int, anyio.Event]] = []

    def now(self) -> datetime:
        """Return the moment the clock stands at, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return how many seconds the clock was advanced in all."""
        return self._monotonic

    @property
    def sleepers(self) -> int:
        """How many tasks are waiting for this clock."""
        return len(self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was advanced by `seconds` (>= 0)."""
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        sleeper = (self._monotonic + seconds, next(self._turn), anyio.Event())
        heapq.heappush(self._sleepers, sleeper)
        try:
            await sleeper[2].wait()
        finally:
            self._discard(sleeper)

    def set(self, moment: datetime) -> None:
        """Set the wall clock to `moment` (aware), forward or back; durations and sleepers do not notice.

        Raises `ValueError` for a naive `moment`.
        """
        self._now = _utc(moment)

    def advance(self, duration: timedelta | float) -> None:
        """Move both clocks forward (`duration` >= 0, a number is seconds); wake sleepers, earliest deadline first.

        A task that is woken and sleeps again starts from the new time: see `run_for`. Raises `ValueError` for a
        negative duration.
        """
        seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
        if seconds < 0:
            raise ValueError("time is advanced forward only; set() moves the wall clock back")
        self._move_to(self._monotonic + seconds)

    async def run_for(self, duration: timedelta | float) -> None:
        """Advance from deadline to deadline, letting every task run until it waits, so that loops turn as they would.

        Parameters and errors as in `advance`.
        """
        seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
        end = self._monotonic + seconds
        await anyio.wait_all_tasks_blocked()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._move_to(self._sleepers[0][0])
            await anyio.wait_all_tasks_blocked()
        self.advance(end - self._monotonic)

    def _move_to(self, monotonic: float) -> None:
        self._now += timedelta(seconds=monotonic - self._monotonic)
        self._monotonic = monotonic
        while self._sleepers and self._sleepers[0][0] <= monotonic:
            heapq.heappop(self._sleepers)[2].set()

    def _discard(self, sleeper: tuple[float, int, anyio.Event]) -> None:
        if sleeper in self._sleepers:
            self._sleepers.remove(sleeper)
            heapq.heapify(self._sleepers)


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("the moment must be aware")
    return moment.astimezone(UTC)


class SnapshotTier(Tier, SnapshotStore, Protocol):
    """A tier that also keeps session snapshots."""


def subject_named(name: str, *, generation: int = 0) -> SubjectRef:
    """Return a subject whose pseudonym and incarnation follow from `name`."""
    digest = hashlib.sha512(name.encode()).digest()
    return SubjectRef(digest[:32], generation, digest[32:48])


def record_numbered(order: int, *, version: int = 1, payload: bytes | None = None) -> TierRecord:
    """Return a record whose id follows from `order` (>= 0); by default the payload does, too."""
    return TierRecord(
        id=hashlib.md5(b"%d" % order, usedforsecurity=False).hexdigest(),
        order=order,
        version=version,
        payload=b"payload %d" % order if payload is None else payload,
    )


class TierContract:
    """What every tier must do. A subclass gives the fixture `tier`: an empty tier holding `capacity` records."""

    pytestmark = _anyio_marks()
    capacity: int = 50
    """How many records per subject the tier can hold at least."""

    async def test_a_record_comes_back_as_it_was_put(self, tier: Tier) -> None:
        """Every field survives, an expiry too."""
        alice = subject_named("round trip")
        record = TierRecord("0123456789abcdef" * 2, 7, 3, b"sealed", expires_at_us=1_800_000_000_000_001)
        await tier.put(alice, [record])
        assert await tier.scan(alice) == [record]

    async def test_scan_returns_the_highest_order_first(self, tier: Tier) -> None:
        """However the records came in."""
        alice = subject_named("order")
        await tier.put(alice, [record_numbered(order) for order in (2, 9, 4)])
        await tier.put(alice, [record_numbered(order) for order in (10, 1, 3)])
        assert [record.order for record in await tier.scan(alice)] == [10, 9, 4, 3, 2, 1]

    async def test_scan_returns_at_most_limit(self, tier: Tier) -> None:
        """The newest are returned; a limit beyond what is held returns all."""
        alice = subject_named("limit")
        await tier.put(alice, [record_numbered(order) for order in range(5)])
        held = [[record.order for record in await tier.scan(alice, limit=limit)] for limit in (0, 1, 3, 9)]
        assert held == [[], [4], [4, 3, 2], [4, 3, 2, 1, 0]]

    async def test_large_orders_are_told_apart(self, tier: Tier) -> None:
        """Beyond 2**53, where a double no longer counts by one."""
        alice = subject_named("large orders")
        base = 1 << 60
        await tier.put(alice, [record_numbered(base + step) for step in (1, 0, 2)])
        assert [record.order - base for record in await tier.scan(alice)] == [2, 1, 0]

    async def test_putting_twice_is_putting_once(self, tier: Tier) -> None:
        """Put is idempotent, within one call and across calls."""
        alice = subject_named("twice")
        await tier.put(alice, [record_numbered(1), record_numbered(1)])
        await tier.put(alice, [record_numbered(1)])
        assert await tier.scan(alice) == [record_numbered(1)]

    async def test_a_newer_version_replaces_an_older(self, tier: Tier) -> None:
        """A correction wins."""
        alice = subject_named("newer")
        await tier.put(alice, [record_numbered(1, version=1)])
        await tier.put(alice, [record_numbered(1, version=10, payload=b"corrected")])
        assert await tier.scan(alice) == [record_numbered(1, version=10, payload=b"corrected")]

    async def test_an_older_version_never_replaces_a_newer(self, tier: Tier) -> None:
        """A late writer loses, within one call too."""
        alice = subject_named("older")
        newest = record_numbered(1, version=10, payload=b"corrected")
        await tier.put(alice, [newest, record_numbered(1, version=9)])
        await tier.put(alice, [record_numbered(1, version=2)])
        assert await tier.scan(alice) == [newest]

    async def test_an_equal_version_replaces(self, tier: Tier) -> None:
        """The same version resealed under another key takes its place."""
        alice = subject_named("equal")
        await tier.put(alice, [record_numbered(1, payload=b"old seal")])
        await tier.put(alice, [record_numbered(1, payload=b"new seal")])
        assert await tier.scan(alice) == [record_numbered(1, payload=b"new seal")]

    async def test_a_new_version_may_move(self, tier: Tier) -> None:
        """A version with another order is found at its new place and nowhere else."""
        alice = subject_named("move")
        first = TierRecord("f" * 32, 1, 1, b"first")
        moved = TierRecord("f" * 32, 5, 2, b"moved")
        await tier.put(alice, [first, record_numbered(3)])
        await tier.put(alice, [moved])
        assert await tier.scan(alice) == [moved, record_numbered(3)]

    async def test_remove_takes_what_it_names(self, tier: Tier) -> None:
        """Unknown and repeated ids are ignored; the number says what was there."""
        alice = subject_named("remove")
        records = [record_numbered(order) for order in range(4)]
        await tier.put(alice, records)
        named = [records[1].id, records[3].id]
        assert await tier.remove(alice, [*named, records[1].id, "0" * 32]) == len(named)
        assert await tier.remove(alice, [records[1].id]) == 0
        assert await tier.scan(alice) == [records[2], records[0]]

    async def test_a_removed_record_can_come_back(self, tier: Tier) -> None:
        """Removing leaves no trace that would refuse a put."""
        alice = subject_named("come back")
        await tier.put(alice, [record_numbered(1, version=5)])
        await tier.remove(alice, [record_numbered(1).id])
        await tier.put(alice, [record_numbered(1)])
        assert await tier.scan(alice) == [record_numbered(1)]

    async def test_drop_leaves_nothing(self, tier: Tier) -> None:
        """The number says how many records there were; dropping again finds none."""
        alice = subject_named("drop")
        records = [record_numbered(order) for order in range(3)]
        await tier.put(alice, records)
        assert await tier.drop(alice) == len(records)
        assert await tier.drop(alice) == 0
        assert await tier.scan(alice) == []

    async def test_subjects_do_not_see_each_other(self, tier: Tier) -> None:
        """Not even when their pseudonyms differ in the last bit only."""
        near = [SubjectRef(b"\x00" * 31 + bytes([last]), 0, bytes(15) + bytes([last])) for last in range(3)]
        for number, subject in enumerate(near):
            await tier.put(subject, [record_numbered(1, payload=b"of %d" % number)])
        assert await tier.remove(near[0], [record_numbered(2).id]) == 0
        assert await tier.drop(near[1]) == 1
        assert await tier.scan(near[0]) == [record_numbered(1, payload=b"of 0")]
        assert await tier.scan(near[1]) == []
        assert await tier.scan(near[2]) == [record_numbered(1, payload=b"of 2")]

    async def test_nothing_in_nothing_out(self, tier: Tier) -> None:
        """Empty inputs and unknown subjects are no errors."""
        stranger = subject_named("stranger")
        await tier.put(stranger, [])
        assert await tier.scan(stranger) == []
        assert await tier.remove(stranger, []) == 0
        assert await tier.remove(stranger, ["0" * 32]) == 0
        assert await tier.drop(stranger) == 0

    async def test_payloads_are_bytes(self, tier: Tier) -> None:
        """Empty, every byte value, line ends, a mebibyte."""
        alice = subject_named("bytes")
        payloads = [b"", bytes(range(256)), b"\x00\r\n\x00", bytes(range(256)) * 4096]
        await tier.put(alice, [record_numbered(order, payload=raw) for order, raw in enumerate(payloads)])
        assert [record.payload for record in await tier.scan(alice)] == payloads[::-1]

    async def test_capacity_is_there(self, tier: Tier) -> None:
        """`capacity` records are held, put in one call or several."""
        alice = subject_named("capacity")
        records = [record_numbered(order) for order in range(self.capacity)]
        half = self.capacity // 2
        await tier.put(alice, records[half:])
        await tier.put(alice, records[:half])
        assert await tier.scan(alice) == records[::-1]

    async def test_concurrent_puts_all_arrive(self, tier: Tier) -> None:
        """Twenty tasks, each with a subject of its own and one they share."""
        shared = subject_named("shared")
        own = [subject_named(f"task {number}") for number in range(20)]

        async def write(number: int) -> None:
            await tier.put(own[number], [record_numbered(number)])
            await tier.put(shared, [record_numbered(number)])

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(write, number)
        assert [await tier.scan(subject) for subject in own] == [[record_numbered(n)] for n in range(20)]
        assert [record.order for record in await tier.scan(shared, limit=20)] == list(range(19, -1, -1))

    async def test_close_twice(self, tier: Tier) -> None:
        """Closing is idempotent."""
        await tier.put(subject_named("close"), [record_numbered(1)])
        await tier.close()
        await tier.close()


class SnapshotContract:
    """What a tier with snapshots must do. A subclass gives the fixtures `tier` and `clock` (the tier's own)."""

    pytestmark = _anyio_marks()

    async def test_a_snapshot_comes_back(self, tier: SnapshotTier) -> None:
        """As bytes, and the newest only."""
        alice = subject_named("snapshot")
        await tier.save_snapshot(alice, "s1", b"first", 60.0)
        await tier.save_snapshot(alice, "s1", bytes(range(256)), 60.0)
        assert await tier.load_snapshot(alice, "s1") == bytes(range(256))

    async def test_there_is_no_snapshot_of_a_stranger(self, tier: SnapshotTier) -> None:
        """Sessions and subjects are apart."""
        alice, bob = subject_named("snapshot alice"), subject_named("snapshot bob")
        await tier.save_snapshot(alice, "s1", b"of alice", 60.0)
        assert await tier.load_snapshot(alice, "s2") is None
        assert await tier.load_snapshot(bob, "s1") is None

    async def test_a_snapshot_ends_with_its_time(self, tier: SnapshotTier, clock: ManualClock) -> None:
        """On the tier's own clock; another session's time is its own."""
        alice = subject_named("snapshot time")
        await tier.save_snapshot(alice, "short", b"short", 10.0)
        await tier.save_snapshot(alice, "long", b"long", 30.0)
        clock.advance(9.999)
        assert await tier.load_snapshot(alice, "short") == b"short"
        clock.advance(0.001)
        assert await tier.load_snapshot(alice, "short") is None
        assert await tier.load_snapshot(alice, "long") == b"long"

    async def test_snapshots_are_no_records(self, tier: SnapshotTier) -> None:
        """Neither shows among the other, nor in the number `drop` returns; `drop` takes both."""
        alice = subject_named("snapshot drop")
        await tier.save_snapshot(alice, "s1", b"blob", 60.0)
        assert await tier.scan(alice) == []
        await tier.put(alice, [record_numbered(1)])
        assert await tier.drop(alice) == 1
        assert await tier.load_snapshot(alice, "s1") is None
