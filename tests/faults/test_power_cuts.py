"""Power cuts at drawn points of a recorded run: what was acknowledged is there, what was removed is not."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.power_cuts import PowerCuts, Recording, recorded
from benchmarks.suite import Silent
from benchmarks.trace_reader import Call, TraceError, available, read, record
from benchmarks.traced_disk import Disk, Keep

pytestmark = pytest.mark.anyio

CUTS = 200
SCRIPT = """
import os
os.chdir({root!r})
here = os.getcwd() + '/'
def put(name, data, sync=False, flags=os.O_CREAT | os.O_WRONLY):
    descriptor = os.open(name, flags)
    os.write(descriptor, data)
    if sync: os.fsync(descriptor)
    os.close(descriptor)
def sync(name="."):
    descriptor = os.open(name, os.O_RDONLY); os.fsync(descriptor); os.close(descriptor)
{body}
"""


@pytest.fixture(scope="module", autouse=True)
def strace() -> None:
    if not available():
        pytest.skip("needs strace")


@pytest.fixture(scope="module")
def recording() -> Iterator[Recording]:
    with recorded(seed=5) as made:
        yield made


async def test_a_power_cut_loses_nothing(recording: Recording) -> None:
    outcome = await PowerCuts(recording, seed=5).run(CUTS, Silent())
    assert outcome.faults.named == []
    assert outcome.cuts == CUTS


@pytest.mark.parametrize("deaf", ["/cold", "/state.db"])
async def test_a_disk_that_lies_is_noticed(recording: Recording, deaf: str) -> None:
    """The same run on a disk that ignores some fsyncs loses memories: the harness can fail."""
    assert (await PowerCuts(recording, seed=5).at_end(deaf)).faults.lost > 0
    assert (await PowerCuts(recording, seed=5).at_end(None)).faults.named == []


def followed(folder: Path, body: str) -> tuple[Disk, Path, list[Call]]:
    """Run a script under strace and follow it; return the disk, where the script worked, and its calls."""
    root = folder.resolve() / "disk"
    root.mkdir()
    file = folder / "calls"
    record([sys.executable, "-c", SCRIPT.format(root=str(root), body=body)], file, b"", folder)
    disk = Disk(root)
    calls = [call for call in read(file) if disk.follow(call)]
    return disk, root, calls


def left(disk: Disk, folder: Path, keep: Keep, seed: int = 0) -> dict[str, bytes]:
    """Return the files that a cut leaves, by name."""
    place = folder / f"{keep.value}-{seed}"
    place.mkdir()
    disk.write_out(place, keep, random.Random(seed))
    return {str(one.relative_to(place)): one.read_bytes() for one in place.rglob("*") if one.is_file()}


def test_what_was_not_fsynced_may_be_lost(tmp_path: Path) -> None:
    body = "put('a', b'1', sync=True); sync(); put('b', b'2', sync=True); put('a', b'3')"
    disk, root, _ = followed(tmp_path, body)
    assert disk.difference(root) == []
    assert left(disk, tmp_path, Keep.NOTHING) == {"a": b"1"}
    assert left(disk, tmp_path, Keep.EVERYTHING) == {"a": b"3", "b": b"2"}
    outcomes = [left(disk, tmp_path, Keep.ANYTHING, seed) for seed in range(60)]
    assert {one["a"] for one in outcomes} == {b"1", b"3"}
    assert {one.get("b") for one in outcomes} == {None, b"2"}


def test_a_name_may_reach_the_disk_before_what_it_names(tmp_path: Path) -> None:
    disk, _, _ = followed(tmp_path, "put('new', b'bytes'); os.rename(here + 'new', here + 'name'); sync()")
    outcomes = {left(disk, tmp_path, Keep.ANYTHING, seed)["name"] for seed in range(60)}
    assert outcomes == {b"", bytes(5), b"bytes"}


def test_pages_of_one_write_survive_one_by_one(tmp_path: Path) -> None:
    body = "put('a', bytes(8192), sync=True); sync(); put('a', b'x' * 8192, flags=os.O_WRONLY)"
    disk, _, _ = followed(tmp_path, body)
    outcomes = [left(disk, tmp_path, Keep.ANYTHING, seed)["a"] for seed in range(60)]
    assert {(one[0], one[4096]) for one in outcomes} == {(0, 0), (0, 120), (120, 0), (120, 120)}
    assert all(len(set(one[:4096])) == len(set(one[4096:])) == 1 for one in outcomes)


def test_what_went_may_come_back_until_its_directory_is_fsynced(tmp_path: Path) -> None:
    body = "os.mkdir(here + 'd'); put('d/a', b'1', sync=True); sync('d'); sync(); os.unlink(here + 'd/a')"
    disk, _, _ = followed(tmp_path, body)
    assert left(disk, tmp_path, Keep.NOTHING) == {"d/a": b"1"}
    assert left(disk, tmp_path, Keep.EVERYTHING) == {}


def test_a_recording_that_does_not_tell_everything_is_noticed(tmp_path: Path) -> None:
    disk, root, _ = followed(tmp_path, "put('a', b'1'); put('b', b'2')")
    (root / "b").write_bytes(b"another hand")
    (root / "c").touch()
    assert disk.difference(root) == ["b", "c"]


def test_writing_through_memory_is_refused(tmp_path: Path) -> None:
    body = "import mmap\nput('a', bytes(8))\nmmap.mmap(os.open('a', os.O_RDWR), 8)[0:1] = b'x'"
    with pytest.raises(TraceError, match="through memory"):
        followed(tmp_path, body)


def test_a_writer_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="ended with 3"):
        record([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "calls", b"", tmp_path)
