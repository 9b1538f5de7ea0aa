"""Backups in a series: whole or not there, wherever the process is killed; the newest stay."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import consenting, contents, opened, parts_of, until

from tiered_memory import TieredMemory
from tiered_memory.backup import MANIFEST, verify_archive
from tiered_memory.errors import ClosedError, StorageError
from tiered_memory.failpoints import BACKUP_POINTS, VARIABLE, arm
from tiered_memory.job_model import JobOutcome, JobStatus
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

HOUR = 3_600.0
BESIDE_THE_TESTS = Path(__file__).parent


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "redis_url": "local",
        "backup_dir": folder,
        "backup_keep": 2,
        "backup_interval_hours": 1.0,
        **more,
    }


def archives(folder: Path) -> list[str]:
    """Return what bears an archive's name; each of them must be whole."""
    found = sorted(one.name for one in folder.iterdir() if not one.name.endswith(".partial"))
    for name in found:
        assert verify_archive(folder / name)["files"]
    return found


def standing(memory: TieredMemory) -> JobStatus:
    assert memory._runtime is not None
    return memory._runtime.jobs.status("backup")


async def remembering(memory: TieredMemory, text: str) -> None:
    alice = await consenting(memory)
    await alice.add(text, importance=0.9)


async def test_an_archive_of_the_series_can_be_restored(store: Path, folder: Path, tmp_path: Path) -> None:
    async with opened(store, settings=settings(folder)) as memory:
        await remembering(memory, "The boat is called Petrel.")
        told = await memory.jobs.run("backup")
        assert (told.last_outcome, told.runs, told.failures_in_a_row) == (JobOutcome.OK, 1, 0)
    [name] = archives(folder)
    await TieredMemory.restore(folder / name, tmp_path / "restored")
    shutil.copytree(store / "keys", tmp_path / "restored" / "keys")
    async with opened(tmp_path / "restored", settings={"redis_url": "local"}) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == ["The boat is called Petrel."]


async def test_only_the_newest_stay_and_what_is_not_ours_is_left_alone(store: Path, folder: Path) -> None:
    clock = ManualClock()
    (folder / "lost+found").mkdir(parents=True)
    (folder / "20200101T000000Z").mkdir()
    (folder / "mine.partial").mkdir()
    (folder / "20200101T000000Z" / MANIFEST).write_bytes(b"{}")
    async with opened(store, settings=settings(folder), clock=clock) as memory:
        for _ in range(4):
            await memory.jobs.run("backup")
            clock.advance(HOUR)
        await memory.jobs.run("backup")
        await memory.jobs.run("backup")  # within the same second
    assert sorted(one.name for one in folder.iterdir()) == [
        "20260101T040000Z",
        "20260101T040000Z-1",
        "lost+found",
        "mine.partial",
    ]


async def test_a_clock_that_was_set_back_does_not_cost_the_fresh_archive(store: Path, folder: Path) -> None:
    clock = ManualClock()
    async with opened(store, settings=settings(folder, backup_keep=1), clock=clock) as memory:
        await memory.jobs.run("backup")
        clock.set(clock.now().replace(year=2025))
        await memory.jobs.run("backup")
    assert archives(folder) == ["20250101T000000Z"]


async def test_the_series_goes_on_where_an_earlier_process_left_it(store: Path, folder: Path) -> None:
    clock = ManualClock()
    running = settings(folder, background=True, job_jitter_share=0.0)
    async with opened(store, settings=running, clock=clock) as memory:
        await until(lambda: standing(memory).next_due is not None)
        assert not folder.exists()  # a process that is over within a minute begins none
        clock.advance(61.0)
        await until(lambda: standing(memory).runs == 1)
        due = (await memory.jobs.get("backup")).next_due
        assert due is not None
        assert HOUR - 2.0 <= (due - clock.now()).total_seconds() <= HOUR
    clock.advance(HOUR / 2)
    async with opened(store, settings=running, clock=clock) as memory:
        await until(lambda: standing(memory).next_due is not None)
        told = standing(memory)
        assert told.runs == 0
        assert told.next_due is not None
        assert HOUR / 2 - 2.0 <= (told.next_due - clock.now()).total_seconds() <= HOUR / 2


async def test_a_folder_that_cannot_be_written_is_an_outcome(
    store: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("a file is in the way")
    async with opened(store, settings=settings(folder)) as memory:
        told = await memory.jobs.run("backup")
        assert (told.last_outcome, told.last_error) == (JobOutcome.ERROR, "StorageError")
        assert "look at `backup_dir`" in caplog.text
        assert str(folder) not in caplog.text
        folder.unlink()
        assert (await memory.jobs.run("backup")).failures_in_a_row == 0
    assert len(archives(folder)) == 1


@pytest.mark.parametrize("point", BACKUP_POINTS)
async def test_a_refusal_anywhere_leaves_no_half_archive(store: Path, folder: Path, point: str) -> None:
    def refuse(reached: str) -> None:
        if reached == point:
            raise StorageError

    clock = ManualClock()
    async with opened(store, settings=settings(folder, backup_keep=1), clock=clock) as memory:
        await memory.jobs.run("backup")
        clock.advance(HOUR)
        arm(refuse)
        try:
            assert (await memory.jobs.run("backup")).last_outcome == JobOutcome.ERROR
        finally:
            arm(None)
        assert len(archives(folder)) in {1, 2}
        clock.advance(HOUR)
        assert (await memory.jobs.run("backup")).last_outcome == JobOutcome.OK
        assert [one.name for one in folder.iterdir()] == ["20260101T020000Z"]


def run_backup(store: Path, folder: Path, point: str | None) -> int:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TIERED_MEMORY_")}
    environment |= {"TIERED_MEMORY_BACKUP_DIR": str(folder), "TIERED_MEMORY_BACKUP_KEEP": "1"}
    if point is not None:
        environment[VARIABLE] = point
    command = [sys.executable, "-m", "tiered_memory", "jobs", "run", "backup", "--data", str(store), "--json"]
    done = subprocess.run(command, env=environment, cwd=BESIDE_THE_TESTS, capture_output=True, check=False)
    return done.returncode


@pytest.mark.parametrize("point", BACKUP_POINTS)
async def test_a_kill_anywhere_leaves_no_half_archive_that_looks_whole(
    store: Path, folder: Path, tmp_path: Path, point: str
) -> None:
    async with opened(store, settings=settings(folder)) as memory:
        await remembering(memory, "The boat is called Petrel.")
    assert run_backup(store, folder, None) == 0
    [first] = archives(folder)
    assert run_backup(store, folder, point) == -signal.SIGKILL
    left = archives(folder)
    assert left
    assert (first in left) == (point != "backup.after_retire")
    assert run_backup(store, folder, None) == 0
    assert len(archives(folder)) == 1
    assert [one.name for one in folder.iterdir()] == archives(folder)
    await TieredMemory.restore(folder / archives(folder)[0], tmp_path / "restored")


async def test_closing_amid_a_backup_gives_the_archive_up(store: Path, folder: Path) -> None:
    """Nobody waits for a large archive's checksums when the process is told to end."""
    async with opened(store, settings=settings(folder)) as memory:
        await remembering(memory, "The boat is called Petrel.")
        outcomes: list[str] = []

        async def ask() -> None:
            try:
                await memory.jobs.run("backup")
            except ClosedError:
                outcomes.append("closed")

        # What the archive waits for keeps it half made until the end.
        async with parts_of(memory).core.rooting, anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: any(folder.glob("*.partial")))
            with anyio.fail_after(5.0):
                await memory.close()
    assert outcomes == ["closed"]
    assert archives(folder) == []
    async with opened(store, settings=settings(folder)) as memory:
        assert (await memory.jobs.run("backup")).last_outcome == JobOutcome.OK
    assert [one.name for one in folder.iterdir()] == archives(folder)
