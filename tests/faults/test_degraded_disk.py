"""No byte left on the disk, or on the cold tier's own: writes are refused, reading goes on, rights are fulfilled.

Each test is a cell of `docs/degraded-modes.md`. The disks are small file systems in memory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import PURPOSE, consenting, contents, opened, sealed_in_cold, sqlite_rows

from tiered_memory import Interaction, TieredMemory, User
from tiered_memory.errors import DiskFullError
from tiered_memory.metrics import RecordingObserver, RequestDone
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

SETTINGS = {"redis_url": "local", "ballast_mib": 4}
DISK_MIB, COLD_MIB = 24, 4


@contextlib.contextmanager
def mounted(folder: Path, size_mib: int) -> Iterator[Path]:
    """Mount a file system of a few MiB."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=0700", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", DISK_MIB) as disk:
        yield disk


def fill(disk: Path) -> Path:
    """Write until not one byte more fits; return the file that takes the room."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            _fill_with(file.fileno(), bytes(size))
    return filler


def _fill_with(descriptor: int, piece: bytes) -> None:
    while True:
        try:
            os.write(descriptor, piece)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return


async def _with_memories(memory: TieredMemory) -> User:
    alice = await consenting(memory)
    await alice.add("The bakery opens at six.", session="s1", importance=0.9)
    await alice.add("It has rye bread.", session="s1", importance=0.9)
    await memory.drain()
    return alice


async def _refused(alice: User) -> int:
    """Write until the disk is found full, and return how many writes were acknowledged before."""
    for number in range(2000):
        try:
            await alice.add_many([Interaction(content=f"{number} " + "x" * 4000, importance=0.9)] * 4)
        except DiskFullError:
            return number
    raise AssertionError("the disk was never found full")


# --- the disk of the store is full ---------------------------------------------------------------------------


async def test_what_does_not_fit_is_refused_whole_and_reading_goes_on(disk: Path) -> None:
    observer = RecordingObserver()
    async with opened(disk / "data", settings=SETTINGS, observer=observer) as memory:
        alice = await _with_memories(memory)
        filler = fill(disk)
        acknowledged = await _refused(alice)
        assert len(await alice.list(limit=10_000)) == 2 + 4 * acknowledged
        assert (await alice.search("when does the bakery open", limit=1))[0].memory.content == (
            "The bakery opens at six."
        )
        assert "rye" in (await alice.context("bread", session="s1")).render()
        assert "DiskFullError" in {fact.outcome for fact in observer.of(RequestDone)}
        filler.unlink()
        await alice.add("There is room again.", importance=0.9)
        await memory.drain()
    async with opened(disk / "data", settings=SETTINGS) as memory:
        said = await memory.user("alice", tenant="acme").list(limit=10_000)
        assert len(said) == 3 + 4 * acknowledged


async def test_a_consent_is_taken_or_refused_in_so_many_words(disk: Path) -> None:
    async with opened(disk / "data", settings=SETTINGS) as memory:
        alice = await _with_memories(memory)
        filler = fill(disk)
        await _refused(alice)
        before, refused = await alice.consent.current(), False
        for number in range(200):
            try:
                await alice.consent.grant(PURPOSE, notice=f"{number} " + "n" * 200)
            except DiskFullError:
                refused = True
                break
            before = await alice.consent.current()
        assert await alice.consent.current() == before
        assert refused or before[PURPOSE].details["notice"].startswith("199 ")
        assert PURPOSE in await alice.consent.current()
        filler.unlink()
        await alice.consent.grant(PURPOSE, notice="notice 2")
        assert (await alice.consent.current())[PURPOSE].details["notice"] == "notice 2"


async def test_a_withdrawal_is_carried_out(disk: Path) -> None:
    async with opened(disk / "data", settings=SETTINGS) as memory:
        alice = await _with_memories(memory)
        fill(disk)
        assert await alice.consent.withdraw(PURPOSE) == 2
        assert await contents(alice) == []
        assert await alice.consent.current() == {}
        assert sqlite_rows(disk / "data", "memories") == []
    assert sealed_in_cold(disk / "data") == []


async def test_a_deletion_is_carried_out(disk: Path) -> None:
    async with opened(disk / "data", settings=SETTINGS) as memory:
        alice = await _with_memories(memory)
        fill(disk)
        await alice.delete((await alice.list())[0].id)
        assert await contents(alice) == ["The bakery opens at six."]
    assert len(sealed_in_cold(disk / "data")) == 1


async def test_an_erasure_is_carried_out(disk: Path) -> None:
    async with opened(disk / "data", settings=SETTINGS) as memory:
        alice = await _with_memories(memory)
        fill(disk)
        assert (await alice.erase(reason="request")).verified
        assert await contents(alice) == []
    assert list((disk / "data" / "cold").iterdir()) == []


async def test_forgetting_waits_or_goes_on_and_loses_nothing(disk: Path) -> None:
    clock = ManualClock()
    async with opened(disk / "data", settings=SETTINGS, clock=clock) as memory:
        alice = await _with_memories(memory)
        await alice.add("A secret of mine.", importance=0.9, sensitivity="restricted")
        await memory.drain()
        filler = fill(disk)
        clock.advance(31 * 86_400.0)
        with contextlib.suppress(DiskFullError):
            await memory.forget()
        filler.unlink()
        await memory.forget()
        assert sorted(await contents(alice)) == ["It has rye bread.", "The bakery opens at six."]
    assert len(sealed_in_cold(disk / "data")) == 2


async def test_a_store_on_a_full_disk_opens_and_erases(disk: Path) -> None:
    async with opened(disk / "data", settings=SETTINGS) as memory:
        await _with_memories(memory)
    fill(disk)
    async with opened(disk / "data", settings=SETTINGS) as memory:
        alice = memory.user("alice", tenant="acme")
        assert len(await contents(alice)) == 2
        assert (await alice.erase(reason="request")).verified


# --- the disk of the cold tier alone is full -----------------------------------------------------------------


@pytest.fixture
def cold(tmp_path: Path) -> Iterator[Path]:
    """A store whose cold tier lies on a disk of its own."""
    with mounted(tmp_path / "data" / "cold", COLD_MIB) as cold:
        yield cold


async def test_a_full_cold_tier_costs_no_acknowledged_word(cold: Path) -> None:
    async with opened(cold.parent, settings=SETTINGS) as memory:
        alice = await _with_memories(memory)
        filler = fill(cold)
        await alice.add("said with a full cold tier", session="s1", importance=0.9)
        with pytest.raises(DiskFullError):
            await memory.drain()
        assert "said with a full cold tier" in await contents(alice)
        assert "said with a full cold tier" in (await alice.context("said", session="s1")).render()
        filler.unlink()
        await memory.drain()
        assert sqlite_rows(cold.parent, "journal") == []
    assert len(sealed_in_cold(cold.parent)) == 3


async def test_a_full_cold_tier_takes_and_ends_consents(cold: Path) -> None:
    async with opened(cold.parent, settings=SETTINGS) as memory:
        alice = await _with_memories(memory)
        filler = fill(cold)
        await alice.consent.grant(PURPOSE, notice="notice 2")
        with pytest.raises(DiskFullError):
            await alice.consent.withdraw(PURPOSE)
        assert await contents(alice) == []
        assert await alice.consent.current() == {}
        filler.unlink()
        await memory.forget()
    assert sealed_in_cold(cold.parent) == []


async def test_with_a_full_cold_tier_a_deletion_is_in_force_and_finished_later(cold: Path) -> None:
    async with opened(cold.parent, settings=SETTINGS) as memory:
        alice = await _with_memories(memory)
        filler = fill(cold)
        with pytest.raises(DiskFullError):
            await alice.delete((await alice.list())[0].id)
        assert await contents(alice) == ["The bakery opens at six."]
        filler.unlink()
        await memory.forget()
    assert len(sealed_in_cold(cold.parent)) == 1


async def test_with_a_full_cold_tier_an_erasure_is_carried_out(cold: Path) -> None:
    async with opened(cold.parent, settings=SETTINGS) as memory:
        alice = await _with_memories(memory)
        fill(cold)
        assert (await alice.erase(reason="request")).verified
    assert [one.name for one in cold.iterdir()] == ["filler"]


async def test_with_a_full_cold_tier_forgetting_goes_on(cold: Path) -> None:
    clock = ManualClock()
    async with opened(cold.parent, settings=SETTINGS, clock=clock) as memory:
        alice = await _with_memories(memory)
        faint = await alice.add("It rained a little.", importance=0.25)
        await memory.drain()
        filler = fill(cold)
        clock.advance(31 * 86_400.0)
        assert faint.id in (await memory.forget()).forgotten
        filler.unlink()
