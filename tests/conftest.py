"""Fixtures shared by every test."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tiered_memory.testing")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
