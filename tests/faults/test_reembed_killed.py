"""kill -9 at each step of a move to another embedder: the next run goes on, and nothing is lost, doubled or left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from other_embedders import embedders_in, rotated_model
from support import consenting, everything_at_rest, opened, sqlite_rows, state_pages

from tiered_memory import TieredMemory
from tiered_memory.config import load_settings
from tiered_memory.embedding.load import load_embedder
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.errors import EmbedderMismatchError, ReembeddingUnfinishedError
from tiered_memory.failpoints import REEMBED_POINTS, VARIABLE
from tiered_memory.model import Memory

pytestmark = pytest.mark.anyio

LOCAL: dict[str, Any] = {"redis_url": "local"}
USERS = ("alice", "bob", "carol")
EACH = 6
SHIPPED = StaticEmbedder().name
BESIDE_THE_TESTS = Path(__file__).parents[2]
WHILE_MOVING = [f"{point}:2" for point in REEMBED_POINTS if not point.endswith("_end")]
WHILE_MOVING += ["cold.after_merge:2", "cold.after_sync:2", "reembed.after_drop:3", "reembed.before_end:1"]
Held = dict[str, list[Memory]]


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(rotated_model(tmp_path_factory.mktemp("models") / "rotated"))


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    async with opened(tmp_path / "data", settings=LOCAL) as memory:
        for user in USERS:
            face = await consenting(memory, user)
            for number in range(EACH):
                await face.add(f"{user} decided on option {number}", session="s", importance=0.9)
            await face.add("hmm, okay then", session="s", importance=0.0)
    return tmp_path / "data"


def _run(store: Path, to: str, point: str | None) -> int:
    """Run the command in a process of its own, killed at `point`; return its exit code."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TIERED_MEMORY_")}
    if point is not None:
        environment[VARIABLE] = point
    command = [sys.executable, "-m", "tiered_memory", "reembed", "--to", to, "--data", str(store)]
    done = subprocess.run(command, env=environment, cwd=BESIDE_THE_TESTS, capture_output=True, check=False)
    return done.returncode


async def _held(store: Path, embedder: str) -> Held:
    async with opened(store, settings={**LOCAL, "embedder": embedder}) as memory:
        return {user: await memory.user(user, tenant="acme").list() for user in USERS}


def _rows(store: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "bytes"} for row in sqlite_rows(store, "memories")]


async def _is_whole(store: Path, embedder: str, held: Held) -> None:
    """Everything is there once, under one embedder, in one table a user, and nothing of the other is."""
    assert await _held(store, embedder) == held
    async with opened(store, settings={**LOCAL, "embedder": embedder}) as memory:
        for user in USERS:
            face = memory.user(user, tenant="acme")
            assert await face.damaged() == []
            question = f"{user} option 4"
            assert (await face.search(question, limit=1))[0].memory.content == f"{user} decided on option 4"
        found = await embedders_in(memory)
    assert found == {load_embedder(embedder).name: len(USERS) * (EACH + 1)}
    assert len(list((store / "cold").glob("*.lance"))) == len(USERS)
    other = next(one for one in (SHIPPED, "rotated-") if not load_embedder(embedder).name.startswith(one))
    assert not any(other.encode() in place for place in [*everything_at_rest(store), state_pages(store)])


async def _opens_for_nobody(store: Path, to: str) -> None:
    """A mixture is never served: neither embedder opens it, and the refusal says what to run."""
    for embedder in ("static", to):
        with pytest.raises(ReembeddingUnfinishedError) as refused:
            await _held(store, embedder)
        assert f"tiered-memory reembed --to {to}" in str(refused.value)


@pytest.mark.parametrize("point", WHILE_MOVING)
async def test_the_next_run_goes_on(store: Path, rotated: str, point: str) -> None:
    held, rows = await _held(store, "static"), _rows(store)
    assert _run(store, rotated, point) == -signal.SIGKILL
    await _opens_for_nobody(store, rotated)
    await TieredMemory.reembed(load_settings(data_dir=store, **LOCAL), rotated)
    assert _rows(store) == rows
    await _is_whole(store, rotated, held)


async def test_killed_at_the_very_end_it_is_through(store: Path, rotated: str) -> None:
    held = await _held(store, "static")
    assert _run(store, rotated, "reembed.after_end") == -signal.SIGKILL
    with pytest.raises(EmbedderMismatchError, match="open the store with that embedder"):
        await _held(store, "static")
    await _is_whole(store, rotated, held)


@pytest.mark.parametrize("point", ["reembed.before_move:2", "reembed.after_move:2"])
async def test_or_goes_back(store: Path, rotated: str, point: str) -> None:
    held, rows = await _held(store, "static"), _rows(store)
    assert _run(store, rotated, point) == -signal.SIGKILL
    await TieredMemory.reembed(load_settings(data_dir=store, **LOCAL), "static")
    assert _rows(store) == rows
    await _is_whole(store, "static", held)


async def test_killed_at_every_step_in_turn_it_still_gets_there(store: Path, rotated: str) -> None:
    """Each run is killed at the first place of its kind: some get a user further, some do not."""
    held, killed = await _held(store, "static"), 0
    for point in REEMBED_POINTS:
        killed += _run(store, rotated, f"{point}:1") == -signal.SIGKILL
    assert killed == len(REEMBED_POINTS)
    assert _run(store, rotated, None) == 0
    await _is_whole(store, rotated, held)


async def test_a_kill_while_going_on_or_going_back(store: Path, rotated: str) -> None:
    held = await _held(store, "static")
    for to, point in (
        (rotated, "reembed.before_move:2"),
        ("static", "reembed.after_mark:1"),
        (rotated, "reembed.after_move:2"),
        ("static", "reembed.after_batch:1"),
    ):
        assert _run(store, to, point) == -signal.SIGKILL
    assert _run(store, "static", None) == 0
    await _is_whole(store, "static", held)


INTERRUPTED = """
import os, signal
from tiered_memory import failpoints
from tiered_memory.cli.app import run
pressed = []
def press_once(point):
    if point == "reembed.after_batch" and not pressed:
        pressed.append(point)
        os.kill(os.getpid(), signal.SIGINT)
failpoints.arm(press_once)
run()
"""


def _interrupted(store: Path, to: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", INTERRUPTED, "reembed", "--to", to, "--data", str(store)]
    return subprocess.run(command, cwd=BESIDE_THE_TESTS, capture_output=True, text=True, check=False)


async def test_an_interrupt_from_the_keyboard_is_no_different(store: Path, rotated: str) -> None:
    """The command ends in its own time and says so, and the next run goes on."""
    held = await _held(store, "static")
    done = _interrupted(store, rotated)
    if done.returncode == 0:  # heard when there was nothing left to interrupt
        await _is_whole(store, rotated, held)
        return
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stderr
    await _opens_for_nobody(store, rotated)
    assert _run(store, rotated, None) == 0
    await _is_whole(store, rotated, held)
