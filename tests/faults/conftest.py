"""Fixtures of the tests in which something breaks while the whole runtime works."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support import consenting, opened

from tiered_memory import TieredMemory, User
from tiered_memory.tiers.redis_server import find_redis_server


@pytest.fixture
def data(tmp_path: Path) -> Path:
    if find_redis_server() is None and "CI" not in os.environ:
        pytest.skip("needs redis-server")
    return tmp_path / "data"


@pytest.fixture
async def memory(data: Path) -> AsyncIterator[TieredMemory]:
    async with opened(data) as memory:
        yield memory


@pytest.fixture
async def alice(memory: TieredMemory) -> User:
    return await consenting(memory)
