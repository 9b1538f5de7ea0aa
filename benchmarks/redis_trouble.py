"""Redis in trouble under the product: what its callers meet at first, while it lasts, and until it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import redis.asyncio
from redis.exceptions import RedisError

from benchmarks.fault_proxy import NONE, FaultProxy, Trouble
from benchmarks.metrics import percentile
from benchmarks.redis_process import RedisProcess, running
from benchmarks.store import fresh_folder
from benchmarks.suite import Progress, Results
from benchmarks.timing import since_ms
from tiered_memory import TieredMemory, User
from tiered_memory.clock import SystemClock, stopwatch
from tiered_memory.config import load_settings
from tiered_memory.errors import TieredMemoryError
from tiered_memory.model import TierName

PURPOSE = "personalization"
SESSION = "s1"
QUESTION = "where is the order"
TROUBLED_ROUNDS = 120
WARM_ROUNDS = 10
NEWCOMER_EVERY = 10
PAUSE_SECONDS = 0.01
BACK_WITHIN_SECONDS = 10.0
Act: TypeAlias = Callable[["Bench"], Awaitable[object] | None]


@dataclass(frozen=True, slots=True)
class Bench:
    """A server and the proxy before it."""

    server: RedisProcess
    proxy: FaultProxy


@dataclass(frozen=True, slots=True)
class Fault:
    """How a fault begins and how it ends."""

    begin: Act
    end: Act


def _proxied(trouble: Trouble) -> Fault:
    def begin(bench: Bench) -> None:
        bench.proxy.trouble = trouble

    def end(bench: Bench) -> None:
        bench.proxy.trouble = NONE

    return Fault(begin, end)


def _fill(bench: Bench) -> None:
    bench.server.configure(maxmemory_policy="noeviction", maxmemory="1")


def _make_room(bench: Bench) -> None:
    bench.server.configure(maxmemory="0")


def _follow(bench: Bench) -> None:
    """A replica whose master is nowhere serves what it has and takes no write."""
    with bench.server.admin() as client:
        client.replicaof("127.0.0.1", "1")


def _lead(bench: Bench) -> None:
    with bench.server.admin() as client:
        client.replicaof("NO", "ONE")


async def _restart(bench: Bench) -> None:
    bench.server.kill()
    await bench.server.start()


def _leave(_bench: Bench) -> None:
    """Nothing has to be ended."""


FAULTS: dict[str, Fault] = {
    "refused": Fault(lambda bench: bench.server.kill(), lambda bench: bench.server.start()),
    "frozen": Fault(lambda bench: bench.server.freeze(), lambda bench: bench.server.thaw()),
    "loading": Fault(lambda bench: bench.server.start_loading(), lambda bench: bench.server.finish_loading()),
    "read_only": Fault(_follow, _lead),
    "out_of_memory": Fault(_fill, _make_room),
    "restarted": Fault(_restart, _leave),
    "slow": _proxied(Trouble(latency_seconds=0.15)),
    "stalled": _proxied(Trouble(stall=True)),
    "reset": _proxied(Trouble(reset=True)),
    "half_closed": _proxied(Trouble(half_close=True)),
    "garbage": _proxied(Trouble(garbage=True)),
    "narrow": _proxied(Trouble(bytes_per_second=5.0)),
}


@dataclass(slots=True)
class Calls:
    """Calls of the public face: how long each took, how many raised, and whether the last write reached hot."""

    memory: TieredMemory
    user: User
    taken_ms: list[float] = field(default_factory=list)
    errors: int = 0
    in_hot: bool = False

    async def round(self, number: int) -> None:
        """Add, search and ask for a context; every so often as somebody new, in a session that is new."""
        known = number % NEWCOMER_EVERY
        who, session = (
            (self.user, SESSION) if known else (self.memory.user(f"newcomer {number}"), f"s {number}")
        )
        await self.make(self._add(who, session))
        await self.make(who.search(QUESTION))
        await self.make(who.context(QUESTION, session=session))

    async def make(self, call: Awaitable[object]) -> float:
        """Await a call and return how many milliseconds it took."""
        begun = stopwatch()
        try:
            await call
        except TieredMemoryError:
            self.errors += 1
        self.taken_ms.append(since_ms(begun))
        return self.taken_ms[-1]

    async def _add(self, who: User, session: str) -> None:
        receipt = await who.add("The order of last week is on its way.", session=session, importance=0.9)
        self.in_hot = TierName.HOT in receipt.tiers


async def run_troubles(progress: Progress, bare_seconds: float) -> Results:
    """Return the figures of every fault; the bare client is given up after `bare_seconds` (> 0)."""
    progress.stage("Redis faults", len(FAULTS))
    results: Results = {}
    for name, fault in FAULTS.items():
        async with running() as server, FaultProxy(server.port) as proxy:
            results[name] = await _troubled(Bench(server, proxy), fault, bare_seconds)
        progress.step()
    return results


async def _troubled(bench: Bench, fault: Fault, bare_seconds: float) -> Results:
    with fresh_folder() as folder:
        settings = load_settings(data_dir=folder, redis_url=bench.proxy.url)
        async with TieredMemory.open(settings) as memory:
            user = memory.user("alice")
            await user.consent.grant(PURPOSE, notice="benchmark")
            calls = Calls(memory, user)
            for number in range(WARM_ROUNDS):
                await calls.round(number)
            calls.taken_ms.clear()
            await _act(fault.begin, bench)
            first_ms = await calls.make(calls._add(memory.user("newcomer"), SESSION))  # noqa: SLF001 - one module
            bare_ms = await _bare_first_ms(bench, bare_seconds)
            for number in range(TROUBLED_ROUNDS):
                await calls.round(number)
            await _act(fault.end, bench)
            back_ms = await _back_ms(calls)
    return {
        "errors": calls.errors,
        "first_call_ms": first_ms,
        "open_p99_ms": percentile(calls.taken_ms[1:], 99),
        "back_ms": back_ms,
        "bare_client_first_ms": bare_ms,
    }


async def _act(act: Act, bench: Bench) -> None:
    pending = act(bench)
    if pending is not None:
        await pending


async def _back_ms(calls: Calls) -> float:
    """Return how long after the fault's end a write reaches hot again, whoever makes it; none in time is its limit."""
    begun, number = stopwatch(), 1
    calls.in_hot = False
    while not calls.in_hot and since_ms(begun) < BACK_WITHIN_SECONDS * 1e3:
        await calls.round(number)
        await SystemClock().sleep(PAUSE_SECONDS)
    return since_ms(begun)


async def _bare_first_ms(bench: Bench, limit_seconds: float) -> float:
    """Return how long redis-py as it comes keeps its caller waiting for one write, at most the limit."""
    client, begun = redis.asyncio.Redis.from_url(bench.proxy.url), stopwatch()
    try:
        async with asyncio.timeout(limit_seconds):
            await client.set("benchmark", "value")
    except (RedisError, OSError, ValueError, TypeError):
        pass
    taken_ms = since_ms(begun)
    await client.aclose()
    return taken_ms
