"""Nothing is kept past its date, nothing is lost before it, nothing comes back: for a year, whatever fails."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from year import Year

pytestmark = pytest.mark.anyio

FULL = bool(os.environ.get("TIERED_MEMORY_FULL"))
USERS, SEEDS = (200, range(5)) if FULL else (40, range(1, 2))
HAPPENED = [
    "_add",
    "_use",
    "_pin",
    "_delete",
    "_restore",
    "_withdraw",
    "_erase",
    "reopened",
    "clock jumped",
    "evicted",
    "refused",
    "policy changed",
]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_year_goes_by(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    year = Year(seed, USERS, tmp_path)
    await year.run()
    with capsys.disabled():
        sys.stdout.write(f" {dict(year.done)} {sum(year.raised.values())} faults ")
    assert all(year.done[what] >= 5 for what in HAPPENED)
    assert {"cold.remove", "cold.drop", "hot.put", "hot.remove", "hot.drop"} <= set(year.raised)
