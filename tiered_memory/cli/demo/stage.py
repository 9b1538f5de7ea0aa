"""The stage of a demo: the real engines in a directory, a clock that is moved by hand, and what was seen so far."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from tiered_memory.cli.demo.source import Conversation
from tiered_memory.config import Settings, load_settings
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.memory import TieredMemory
from tiered_memory.metrics import RecordingObserver
from tiered_memory.model import Filter, Interaction, Memory, Receipt
from tiered_memory.policy.rules import Policy
from tiered_memory.testing import ManualClock
from tiered_memory.tiers.redis_server import PrivateRedis, find_redis_server
from tiered_memory.user import User
from tiered_memory.wiring import load_policy

PRIVATE, LOCAL = "private", "local"
FACTS_KEPT = 200_000
BEFORE_THE_FIRST_WORD = timedelta(minutes=10)


class Watch(Protocol):
    """Hears how far a long act has come."""

    def progress(self, done: int, total: int, now: datetime) -> None:
        """Take note: `done` of `total` steps, at `now` on the virtual clock."""
        ...


class Quiet:
    """Watches nothing."""

    def progress(self, done: int, total: int, now: datetime) -> None:
        """Let it go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What was asked for: a new or empty directory (None: a temporary one) and a settings file."""

    data: Path | None = None
    config: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where a demo plays: its settings, whether the directory is thrown away, and Redis, if there is any."""

    settings: Settings
    temporary: bool
    redis_url: str | None
    hot: str


@dataclass(slots=True, kw_only=True)
class Stage:
    """What every act works with. `said` has the turns and receipts in the order they came."""

    where: Where
    memory: TieredMemory
    user: User
    clock: ManualClock
    policy: Policy
    embedder: StaticEmbedder
    observer: RecordingObserver
    conversation: Conversation
    watch: Watch
    warnings: list[str]
    said: list[tuple[Interaction, Receipt]] = field(default_factory=list)

    def advance_to(self, moment: datetime) -> None:
        """Move the clock forward to `moment`; it never goes back."""
        self.clock.advance(max(timedelta(), moment - self.clock.now()))

    async def held(self) -> list[Memory]:
        """Return everything the person's memory holds, what was superseded as well, newest first."""
        return await self.user.list(where=Filter(include_superseded=True), limit=10_000)

    @property
    def virtual_days(self) -> int:
        """How many days have passed on the clock."""
        return round(self.clock.monotonic() / 86_400)


class _Collected(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


@asynccontextmanager
async def staged(ground: Ground, conversation: Conversation, watch: Watch) -> AsyncIterator[Stage]:
    """Open the engines and yield a stage; everything temporary is removed in the end."""
    async with _place(ground) as where:
        clock = ManualClock(conversation.times[0] - BEFORE_THE_FIRST_WORD)
        observer, embedder = RecordingObserver(FACTS_KEPT), StaticEmbedder()
        memory = TieredMemory.open(where.settings, clock=clock, observer=observer, embedder=embedder)
        with collected_warnings() as messages:
            async with memory:
                yield Stage(
                    where=where,
                    memory=memory,
                    user=memory.user(conversation.user),
                    clock=clock,
                    policy=load_policy(where.settings.policy),
                    embedder=embedder,
                    observer=observer,
                    conversation=conversation,
                    watch=watch,
                    warnings=messages,
                )


@asynccontextmanager
async def _place(ground: Ground) -> AsyncIterator[Where]:
    directory = ground.data or Path(tempfile.mkdtemp(prefix="tiered-memory-demo-"))
    try:
        # Virtual months pass in seconds: what else runs by the clock is driven by the script instead.
        settings = load_settings(ground.config, data_dir=directory, background=False)
        async with _hot(settings) as (url, described):
            played = settings.model_copy(update={"redis_url": url})
            reachable = None if url == LOCAL else url
            yield Where(settings=played, temporary=ground.data is None, redis_url=reachable, hot=described)
    finally:
        if ground.data is None:
            shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def _hot(settings: Settings) -> AsyncIterator[tuple[str, str]]:
    """Yield Redis's address: a server of the demo's own, so that the demo can look into it."""
    if settings.redis_url != PRIVATE:
        yield (
            settings.redis_url,
            "in this process" if settings.redis_url == LOCAL else "the Redis of the settings",
        )
    elif find_redis_server(settings.redis_binary) is None:
        yield LOCAL, "in this process (no redis-server found)"
    else:
        server = PrivateRedis(maxmemory_mib=settings.redis_maxmemory_mib, binary=settings.redis_binary)
        async with server:
            yield server.url, f"a private redis-server (pid {server.pid}), unix socket, no persistence"


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collect what the runtime warns of, in place of showing it: the opening tells it."""
    messages: list[str] = []
    logger = logging.getLogger("tiered_memory")
    others, logger.handlers = logger.handlers, [_Collected(messages)]
    try:
        yield messages
    finally:
        logger.handlers = others
