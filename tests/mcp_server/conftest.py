"""Fixtures of the tests of MCP."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from mcp_house import behind_keys, serving
from support import consenting, opened

from tiered_memory import TieredMemory
from tiered_memory.testing import ManualClock

LOGGERS = ("mcp.server", "mcp.shared", "tiered_memory")


@pytest.fixture(autouse=True)
def _log_levels_are_restored() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[TieredMemory]:
    async with opened(tmp_path / "data", settings={"redis_url": "local"}, clock=ManualClock()) as memory:
        await consenting(memory, "alice")
        await consenting(memory, "bob")
        yield memory


@pytest.fixture(scope="module")
async def anywhere(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A server for tests that look at no memory: one for all of a module."""
    path = tmp_path_factory.mktemp("anywhere")
    settings = {"redis_url": "local"}
    async with opened(path / "data", settings=settings) as memory, serving(behind_keys(memory)) as where:
        yield where


@pytest.fixture
async def url(memory: TieredMemory) -> AsyncIterator[str]:
    """Where that memory is served behind keys."""
    async with serving(behind_keys(memory)) as where:
        yield where
