"""The hot tier with somebody looking on: the same tier to its callers, and facts about it as they change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from tiered_memory.errors import HotTierError
from tiered_memory.metrics import BreakerChanged, RecordingObserver, TierUp
from tiered_memory.testing import (
    LocalTier,
    ManualClock,
    SnapshotContract,
    TierContract,
    record_numbered,
    subject_named,
)
from tiered_memory.tiers.base import SnapshotStore, SubjectRef, Tier, TierRecord
from tiered_memory.tiers.observed_tier import ObservedHot

pytestmark = pytest.mark.anyio

ALICE = subject_named("alice")
RECORDS = [record_numbered(1)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()


@pytest.fixture
async def tier(clock: ManualClock, observer: RecordingObserver) -> AsyncIterator[ObservedHot]:
    tier = ObservedHot(LocalTier("hot", clock=clock), observer)
    yield tier
    await tier.close()


class TestObservedHot(TierContract, SnapshotContract):
    """The module's fixtures give the tier."""


class MoodyTier(LocalTier):
    """A tier that refuses the calls named in `refused`, and has a breaker in `state`."""

    def __init__(self) -> None:
        super().__init__("hot", clock=ManualClock())
        self.refused: set[str] = set()
        self.state = "closed"

    def _refuse(self, call: str) -> None:
        if call in self.refused or "everything" in self.refused:
            raise HotTierError

    async def put(self, subject: SubjectRef, records: Sequence[TierRecord]) -> None:
        self._refuse("put")
        await super().put(subject, records)

    async def scan(self, subject: SubjectRef, *, limit: int | None = None) -> list[TierRecord]:
        self._refuse("scan")
        return await super().scan(subject, limit=limit)

    async def drop(self, subject: SubjectRef) -> int:
        self._refuse("drop")
        return await super().drop(subject)


@pytest.fixture
def moody() -> MoodyTier:
    return MoodyTier()


@pytest.fixture
def observed(moody: MoodyTier, observer: RecordingObserver) -> ObservedHot:
    return ObservedHot(moody, observer, breaker=lambda: moody.state)


async def _refused(tier: ObservedHot, *calls: str) -> None:
    for call in calls:
        with pytest.raises(HotTierError):
            await (tier.put(ALICE, RECORDS) if call == "put" else getattr(tier, call)(ALICE))


def _ups(observer: RecordingObserver) -> list[bool]:
    return [fact.up for fact in observer.of(TierUp)]


def test_it_is_a_tier_with_snapshots(observed: ObservedHot) -> None:
    assert isinstance(observed, Tier)
    assert isinstance(observed, SnapshotStore)


async def test_it_begins_up_and_says_so_once(observed: ObservedHot, observer: RecordingObserver) -> None:
    for _ in range(3):
        await observed.put(ALICE, RECORDS)
        await observed.scan(ALICE)
    assert observer.facts == (TierUp("hot", up=True), BreakerChanged("hot", "closed"))
    assert observed.up


async def test_down_and_up_are_told_once_each(
    observed: ObservedHot, moody: MoodyTier, observer: RecordingObserver
) -> None:
    moody.refused = {"everything"}
    await _refused(observed, "put", "scan", "put", "drop")
    assert not observed.up
    moody.refused = set()
    await observed.put(ALICE, RECORDS)
    assert _ups(observer) == [True, False, True]


async def test_out_of_memory_is_down_until_something_can_be_put(
    observed: ObservedHot, moody: MoodyTier, observer: RecordingObserver
) -> None:
    moody.refused = {"put"}
    await _refused(observed, "put")
    await observed.scan(ALICE)
    await observed.drop(ALICE)
    await _refused(observed, "put")
    assert _ups(observer) == [True, False]
    moody.refused = set()
    await observed.put(ALICE, RECORDS)
    assert _ups(observer) == [True, False, True]


async def test_what_asks_nothing_of_the_engine_says_nothing_of_it(
    observed: ObservedHot, moody: MoodyTier, observer: RecordingObserver
) -> None:
    moody.refused = {"everything"}
    await _refused(observed, "put")
    moody.refused = set()
    await observed.put(ALICE, [])
    await observed.remove(ALICE, [])
    await observed.scan(ALICE, limit=0)
    assert not observed.up
    assert _ups(observer) == [True, False]


async def test_each_state_of_the_breaker_is_told_once(
    observed: ObservedHot, moody: MoodyTier, observer: RecordingObserver
) -> None:
    moody.refused, moody.state = {"everything"}, "open"
    await _refused(observed, "put", "put")
    moody.refused, moody.state = set(), "closed"
    await observed.put(ALICE, RECORDS)
    assert [fact.state for fact in observer.of(BreakerChanged)] == ["closed", "open", "closed"]
