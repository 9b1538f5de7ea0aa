"""The rotation benchmark on a small scale: it counts what fails, and would count it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.rotation import rotate
from benchmarks.suite import Silent
from tiered_memory.errors import StorageError
from tiered_memory.failpoints import arm

pytestmark = pytest.mark.anyio


async def test_a_small_rotation_has_no_errors(tmp_path: Path) -> None:
    found = await rotate(tmp_path / "store", 60, Silent())
    assert (found["rotation_errors"], found["errors"]) == (0, [])
    assert found["subjects"] >= 60
    assert found["keys"] >= 2 * 60
    assert found["epochs_ended"] == 1
    assert found["calls_meanwhile"] >= 8


async def test_a_call_that_fails_is_counted(tmp_path: Path) -> None:
    def refuse(point: str) -> None:
        if point == "append.before":
            raise StorageError

    try:
        found = await _with_a_refusal(tmp_path, refuse)
    finally:
        arm(None)
    assert found["rotation_errors"] > 0
    assert found["errors"] == ["StorageError"]


async def _with_a_refusal(tmp_path: Path, refuse: object) -> dict[str, object]:
    class Arming(Silent):
        """Lets appends fail as soon as everybody is there."""

        count = 0

        def step(self, count: int = 1) -> None:
            self.count += count
            if self.count == 40:
                arm(refuse)  # type: ignore[arg-type]

    return await rotate(tmp_path / "store", 40, Arming())
