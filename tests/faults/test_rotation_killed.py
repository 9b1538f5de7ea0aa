"""kill -9 at each step of a rotation: whoever opens the store next finishes it, and no guard is lost or left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import consenting, contents, opened, parts_of, sqlite_rows, until

from tiered_memory.errors import StorageError
from tiered_memory.failpoints import KEY_POINTS, VARIABLE, arm

pytestmark = pytest.mark.anyio

LOCAL: dict[str, Any] = {"redis_url": "local"}
USERS = ("alice", "bob", "carol")
BESIDE_THE_TESTS = Path(__file__).parents[2]
BEGUN_NOT_ENDED = ("keys.after_begin", "keys.after_batch", "keys.before_end")
ENDED_NOT_BURIED = ("keys.after_end", "keys.after_destroy", "keys.after_checkpoint")


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    async with opened(tmp_path / "data", settings=LOCAL) as memory:
        for name in USERS:
            user = await consenting(memory, name)
            await user.add(f"{name} decided on the blue plan", session="s", importance=0.9)
    return tmp_path / "data"


def _rotate(store: Path, point: str | None) -> int:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TIERED_MEMORY_")}
    if point is not None:
        environment[VARIABLE] = point
    command = [sys.executable, "-m", "tiered_memory", "keys", "rotate", "--data", str(store), "--json"]
    done = subprocess.run(command, env=environment, cwd=BESIDE_THE_TESTS, capture_output=True, check=False)
    return done.returncode


def _guards(store: Path) -> set[Path]:
    return set((store / "keys" / "epochs").iterdir())


async def _all_readable(store: Path, *, background: bool) -> None:
    async with opened(store, settings={**LOCAL, "background": background}) as memory:
        if background:
            await until(lambda: len(sqlite_rows(store, "epoch_keys")) == 1)
        for name in USERS:
            user = memory.user(name, tenant="acme")
            assert await contents(user) == [f"{name} decided on the blue plan"]
            assert await user.damaged() == []


async def test_every_place_is_passed(store: Path) -> None:
    assert {*BEGUN_NOT_ENDED, *ENDED_NOT_BURIED, "keys.after_guard"} == set(KEY_POINTS)
    assert _rotate(store, None) == 0


@pytest.mark.parametrize("point", KEY_POINTS)
async def test_a_rotation_that_was_killed_is_finished(store: Path, point: str) -> None:
    first = _guards(store)
    assert _rotate(store, point) == -signal.SIGKILL
    await _all_readable(store, background=False)
    await _all_readable(store, background=True)
    if point == "keys.after_guard":
        assert first < _guards(store)  # an orphan: nothing was ever wrapped under it
    else:
        assert len(_guards(store)) == 1
        assert not _guards(store) & first
        assert {row["epoch"] for row in sqlite_rows(store, "data_keys")} == {2}
    assert _rotate(store, None) == 0
    await _all_readable(store, background=False)
    assert len(sqlite_rows(store, "epoch_keys")) == 1
    assert not _guards(store) & first


@pytest.mark.parametrize("point", ENDED_NOT_BURIED[:1])
async def test_an_ended_epoch_is_buried_before_anybody_uses_the_store(store: Path, point: str) -> None:
    first = _guards(store)
    _rotate(store, point)
    assert first < _guards(store)
    async with opened(store, settings=LOCAL) as memory:
        assert not first & _guards(store)
        assert [one.state for one in await memory.keys.status()] == ["ended", "current"]


async def test_a_rotation_that_an_engine_refused_goes_on_at_the_next_call(store: Path) -> None:
    def refuse(point: str) -> None:
        if point == "keys.after_batch":
            raise StorageError

    async with opened(store, settings=LOCAL) as memory:
        arm(refuse)
        try:
            with pytest.raises(StorageError):
                await memory.keys.rotate()
        finally:
            arm(None)
        assert [one.state for one in await memory.keys.status()] == ["leaving", "current"]
        assert (await memory.keys.rotate()).epochs_ended == 2
        assert len(parts_of(memory).core.guards.every()) == len(_guards(store)) == 1
    await _all_readable(store, background=False)
