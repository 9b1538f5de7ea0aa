"""A daemon under load until a signal ends it, and a look at what is left of what it acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from benchmarks.crash_book import Faults
from benchmarks.daemon_process import START_SECONDS, DaemonError, daemon
from benchmarks.store import NOTICE, PAGE, PURPOSE
from benchmarks.timing import since_ms
from tiered_memory import TieredMemory, User
from tiered_memory.clock import stopwatch
from tiered_memory.config import load_settings
from tiered_memory.embedding.base import Embedder
from tiered_memory.errors import ClosedError, InvalidInputError, TieredMemoryError
from tiered_memory.model import Durability

TENANT, USERS = "acme", ("alice", "bob")
LANES = 6
BEFORE_SIGNAL_S = (0.05, 1.2)
EXIT_SECONDS = 60.0


@dataclass(slots=True)
class Said:
    """What the daemon acknowledged, and what it was asked without an answer, each by operation id, per user."""

    acked: dict[str, dict[str, str]] = field(default_factory=lambda: {user: {} for user in USERS})
    """Memory ids."""
    asked: dict[str, set[str]] = field(default_factory=lambda: {user: set() for user in USERS})


@dataclass(slots=True)
class Outcome:
    """What the lives of a daemon came to. Exits are in milliseconds, from the signal to the end of the process."""

    cycles: int = 0
    acked: int = 0
    unanswered: int = 0
    refused: int = 0
    wrong_status: int = 0
    faults: Faults = field(default_factory=Faults)
    exits_ms: list[float] = field(default_factory=list)


def text_of(operation_id: str) -> str:
    """Return the content that an operation adds: nobody else adds the same."""
    return f"remember {operation_id}"


class Life:
    """One daemon over `data`, loaded and then ended by `how`."""

    def __init__(self, data: Path, number: int, how: signal.Signals, seed: int) -> None:
        self._data = data
        self._number = number
        self._how = how
        self._draw = Random(f"{seed}/{number}")
        self._said: Said = Said()

    async def run(self, said: Said, outcome: Outcome) -> None:
        """Start it, ask it, end it; note what it said."""
        self._said, ready = said, asyncio.Event()
        async with daemon(self._data) as running:
            lanes = asyncio.create_task(self._lanes(running.address, ready, outcome))
            await asyncio.wait_for(ready.wait(), START_SECONDS)
            await asyncio.sleep(self._draw.uniform(*BEFORE_SIGNAL_S))
            begun = stopwatch()
            running.process.send_signal(self._how)
            status = await asyncio.wait_for(running.process.wait(), EXIT_SECONDS)
            outcome.exits_ms.append(since_ms(begun))
            await lanes
        wanted = 0 if self._how is signal.SIGTERM else -signal.SIGKILL
        outcome.wrong_status += status != wanted

    async def _lanes(self, address: str, ready: asyncio.Event, outcome: Outcome) -> None:
        async with (
            TieredMemory.open(address, timeout_seconds=START_SECONDS) as memory,
            asyncio.TaskGroup() as tasks,
        ):
            await _opened(memory)
            for lane in range(LANES):
                face = memory.user(USERS[lane % len(USERS)], tenant=TENANT)
                tasks.create_task(self._lane(face, f"{self._number}x{lane}", outcome))
            tasks.create_task(_listen(memory))
            ready.set()

    async def _lane(self, face: User, name: str, outcome: Outcome) -> None:
        """Add until no answer comes. What was refused by name was not kept, and says so."""
        user, number = face.subject.user, 0
        while True:
            number += 1
            operation_id = f"{name}x{number}"
            try:
                receipt = await face.add(text_of(operation_id), importance=0.9, operation_id=operation_id)
            except TieredMemoryError as error:
                outcome.refused += isinstance(error, InvalidInputError)
                self._said.asked[user].add(operation_id)
                outcome.unanswered += 1
                return
            if receipt.durability is Durability.EPHEMERAL:
                raise DaemonError("there is no consent: nothing would be kept")
            self._said.acked[user][operation_id] = receipt.id
            outcome.acked += 1


async def _opened(memory: TieredMemory) -> None:
    """It listens before it has opened the memory, and says so meanwhile."""
    while True:
        with contextlib.suppress(ClosedError):
            await memory.health()
            return


async def _listen(memory: TieredMemory) -> None:
    """Keep a stream open that has no end of its own: it must not hold the daemon."""
    with contextlib.suppress(TieredMemoryError):
        async for _ in memory.events():
            pass


async def look(data: Path, said: Said, outcome: Outcome, embedder: Embedder) -> None:
    """Open the directory and compare; then ask again for what got no answer, twice, and compare again."""
    settings = load_settings(data_dir=data, redis_url="local", background=False)
    async with TieredMemory.open(settings, embedder=embedder) as memory:
        for user in USERS:
            face = memory.user(user, tenant=TENANT)
            compare(await _contents(face), said, user, outcome.faults)
            for operation_id in sorted(said.asked[user]):
                again = [
                    await face.add(text_of(operation_id), importance=0.9, operation_id=operation_id)
                    for _ in range(2)
                ]
                if again[0].id != again[1].id:
                    outcome.faults.add("duplicated", f"{operation_id} has two ids")
                said.acked[user][operation_id] = again[1].id
            said.asked[user].clear()
            compare(await _contents(face), said, user, outcome.faults)


def compare(found: list[tuple[str, str]], said: Said, user: str, faults: Faults) -> None:
    """Count what was acknowledged and is not as it was given, and what is there more than once."""
    ids = dict(found)
    for operation_id, memory_id in said.acked[user].items():
        if ids.get(memory_id) != text_of(operation_id):
            faults.add("lost", f"{operation_id} of {user}")
    for content, count in Counter(content for _, content in found).items():
        if count > 1:
            faults.add("duplicated", f"{content} is there {count} times")


async def _contents(face: User) -> list[tuple[str, str]]:
    found, before = list[tuple[str, str]](), None
    while page := await face.list(limit=PAGE, before=before):
        found += [(one.id, one.content) for one in page]
        before = page[-1].order
    return found


async def prepare(data: Path, embedder: Embedder) -> None:
    """Make a store in which everybody has consented."""
    settings = load_settings(data_dir=data, redis_url="local", background=False)
    async with TieredMemory.open(settings, embedder=embedder) as memory:
        for user in USERS:
            await memory.user(user, tenant=TENANT).consent.grant(PURPOSE, notice=NOTICE)
