"""Durable adds: one after the other, and from many callers at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, cycle

import anyio

from benchmarks.latency_reads import TENANT, session_of
from benchmarks.store import NOTICE, PURPOSE
from benchmarks.suite import Progress, Request, Results
from benchmarks.synthetic import Writer
from benchmarks.timing import since_ms, spread
from tiered_memory import TieredMemory, User
from tiered_memory.clock import stopwatch
from tiered_memory.config import Settings
from tiered_memory.model import Durability

TEXTS = 50_000
TEXTS_PER_SECOND = 4_000
WARM_UP = 50


@dataclass(frozen=True, slots=True)
class Writes:
    """`adds` one after the other, then `callers` at once over `users` for `seconds`."""

    adds: int
    seconds: float
    users: int
    callers: int


@dataclass(slots=True)
class _Load:
    """What all callers share: whom to write for, what, until when, and what came of it."""

    users: Sequence[User]
    texts: Iterator[str]
    until: float
    progress: Progress
    turns: Iterator[int] = field(default_factory=count)
    taken_ms: list[float] = field(default_factory=list)
    durable: int = 0

    async def call(self) -> None:
        """Add as fast as answers come."""
        while (begun := stopwatch()) < self.until:
            turn, position = divmod(next(self.turns), len(self.users))
            receipt = await self.users[position].add(next(self.texts), session=session_of(turn))
            self.taken_ms.append(since_ms(begun))
            self.durable += receipt.durability is Durability.JOURNALED
            self.progress.step()


async def measure_writes(settings: Settings, writes: Writes, request: Request) -> Results:
    """Return the contract's `add`; only adds that are durable count."""
    async with TieredMemory.open(settings) as memory:
        results = await _sequential(memory, writes, request)
        await memory.drain()
        results.update(await _concurrent(memory, writes, request))
    return results


async def _sequential(memory: TieredMemory, writes: Writes, request: Request) -> Results:
    user, writer = memory.user("one caller", tenant=TENANT), Writer(request.seed)
    await user.consent.grant(PURPOSE, notice=NOTICE)
    for text in writer.messages(WARM_UP):
        await user.add(text, session="warming up")
    request.progress.stage("durable adds", writes.adds)
    taken_ms = []
    for turn, text in enumerate(writer.messages(writes.adds)):
        begun = stopwatch()
        receipt = await user.add(text, session=session_of(turn))
        if receipt.durability is Durability.JOURNALED:
            taken_ms.append(since_ms(begun))
        request.progress.step()
    return {**spread(taken_ms), "durable_ratio": len(taken_ms) / writes.adds}


async def _concurrent(memory: TieredMemory, writes: Writes, request: Request) -> Results:
    users = [memory.user(f"user {number}", tenant=TENANT) for number in range(writes.users)]
    for user in users:
        await user.consent.grant(PURPOSE, notice=NOTICE)
    texts = Writer(request.seed + 1).messages(min(TEXTS, round(writes.seconds * TEXTS_PER_SECOND)))
    request.progress.stage("load", round(writes.seconds * TEXTS_PER_SECOND))
    begun = stopwatch()
    load = _Load(users, cycle(texts), begun + writes.seconds, request.progress)
    async with anyio.create_task_group() as tasks:
        for _ in range(writes.callers):
            tasks.start_soon(load.call)
    ended = stopwatch()
    await memory.drain()
    return {
        "per_second_32_callers": load.durable / (ended - begun),
        "seconds": ended - begun,
        "backlog_drained_s": stopwatch() - ended,
        "callers": writes.callers,
        "under_load": spread(load.taken_ms),
    }
