"""The reserve on disk: held, given up once, taken again as far as there is room."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiered_memory.ballast import MIB, Ballast
from tiered_memory.errors import DiskFullError, StateStoreError

pytestmark = pytest.mark.anyio


def test_it_takes_what_it_says(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast.bin", 2)
    assert ballast.take()
    assert ballast.held_bytes == 2 * MIB
    assert ballast.take()
    assert ballast.release()
    assert not ballast.release()
    assert ballast.held_bytes == 0


def test_none_is_kept_when_none_is_asked_for(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast.bin", 0)
    assert not ballast.take()
    assert list(tmp_path.iterdir()) == []


async def test_a_full_disk_is_tried_again_without_the_reserve(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast.bin", 1)
    ballast.take()

    async def work() -> int:
        if ballast.held_bytes:
            raise DiskFullError
        return 7

    async with ballast.retaken():
        assert await ballast.spend(work) == 7
        assert ballast.held_bytes == 0
    assert ballast.held_bytes == MIB


async def test_without_a_reserve_the_disk_stays_full(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast.bin", 1)

    async def work() -> None:
        raise DiskFullError

    with pytest.raises(DiskFullError):
        await ballast.spend(work)


async def test_other_troubles_leave_the_reserve_alone(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast.bin", 1)
    ballast.take()

    async def work() -> None:
        raise StateStoreError

    with pytest.raises(StateStoreError):
        await ballast.spend(work)
    assert ballast.held_bytes == MIB
