"""Power cuts: a writer's system calls are recorded once, then the disk is cut at many points of the recording."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.crash_book import Book, Faults
from benchmarks.store import fresh_folder
from benchmarks.suite import Progress
from benchmarks.trace_reader import Call, TraceError, read, record
from benchmarks.traced_disk import Disk, Keep
from tiered_memory import TieredMemory
from tiered_memory.config import load_settings
from tiered_memory.embedding.base import Embedder
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.errors import TieredMemoryError

ROUNDS = (24, 12)
"""How many calls each lane makes, in the writer that begins the store and in the one that opens it again."""
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - the usual place of a file system in memory; another one serves as well


@dataclass(slots=True)
class Cuts:
    """What the cuts came to. `unopened` counts stores that could not be opened any more."""

    cuts: int = 0
    unopened: int = 0
    faults: Faults = field(default_factory=Faults)

    def take(self, other: Cuts) -> None:
        """Count another's too."""
        self.cuts += other.cuts
        self.unopened += other.unopened
        self.faults.take(other.faults)


@dataclass(frozen=True, slots=True)
class Recording:
    """The recordings of the writers, one after the other, of what they did below `root`."""

    root: Path
    files: tuple[Path, ...]

    def calls(self, disk: Disk, book: Book) -> Iterator[tuple[Call, bool]]:
        """Give every call with whether it touched the disk, after the disk and the book have taken it in."""
        for file in self.files:
            disk.begin_recording()
            for call in read(file):
                if call.name == "write" and call.fd(0) == 1:
                    if call.ended < 0:
                        book.take(json.loads(call.data(1)))
                    continue
                yield call, disk.follow(call)


@contextmanager
def recorded(seed: int, rounds: tuple[int, ...] = ROUNDS) -> Iterator[Recording]:
    """Record writers, one after the other on one store, and check that the recordings tell everything.

    Raises:
        TraceError: the calls do not lead to what is on disk, byte for byte.
    """
    with fresh_folder() as folder:
        root, files = folder.resolve() / "disk", list[Path]()
        root.mkdir()
        for run, count in enumerate(rounds):
            files.append(folder / f"calls-{run}")
            command = [
                sys.executable,
                "-m",
                "benchmarks.crash_writer",
                str(root / "data"),
                "--redis",
                "local",
            ]
            command += ["--run", str(run), "--seed", str(seed), "--rounds", str(count)]
            record(command, files[-1], b"{}\n", Path(__file__).resolve().parents[1])
        recording = Recording(root, tuple(files))
        check_end(recording)
        yield recording


def check_end(recording: Recording) -> None:
    """Refuse a recording that does not lead to what is on disk."""
    disk, book = Disk(recording.root), Book()
    for _ in recording.calls(disk, book):
        pass
    wrong = disk.difference(recording.root)
    if wrong or not book.acked:
        raise TraceError(f"the recording does not lead to what is on disk: {wrong[:5]}")


class PowerCuts:
    """Cuts the power at points of a recording and opens what is left."""

    def __init__(self, recording: Recording, seed: int) -> None:
        self._recording = recording
        self._seed = seed
        self._embedder: Embedder = StaticEmbedder()

    async def run(self, count: int, progress: Progress, *, deaf: str | None = None) -> Cuts:
        """Cut `count` times at drawn points; `deaf` is for `Disk`."""
        progress.stage("power cuts", count)
        draw, outcome = random.Random(self._seed), Cuts()
        touching = sum(touches for _, touches in self._recording.calls(Disk(self._recording.root), Book()))
        chosen = sorted(draw.randrange(touching) for _ in range(count))
        disk, book, passed, at = Disk(self._recording.root, deaf), Book(), 0, 0
        for _, touches in self._recording.calls(disk, book):
            if not touches:
                continue
            while at < count and chosen[at] == passed:
                await self._cut(disk, book, draw, outcome)
                progress.step()
                at += 1
            passed += 1
        return outcome

    async def at_end(self, deaf: str | None) -> Cuts:
        """Cut once, at the very end, with nothing left that was not fsynced."""
        disk, book, outcome = Disk(self._recording.root, deaf), Book(), Cuts()
        for _ in self._recording.calls(disk, book):
            pass
        with _quiet() if deaf else nullcontext():
            await self._look(disk, book, Keep.NOTHING, random.Random(self._seed), outcome)
        return outcome

    async def _cut(self, disk: Disk, book: Book, draw: random.Random, outcome: Cuts) -> None:
        keep = draw.choices(tuple(Keep), weights=(2, 1, 7))[0]
        await self._look(disk, book, keep, draw, outcome)

    async def _look(self, disk: Disk, book: Book, keep: Keep, draw: random.Random, outcome: Cuts) -> None:
        outcome.cuts += 1
        with _place() as folder:
            disk.write_out(folder, keep, draw)
            for mark in bytes_back(folder / "data" / "cold", book):
                outcome.faults.add("half", f"cut {outcome.cuts}: the bytes of {mark} are back in cold")
            settings = load_settings(
                data_dir=folder / "data", redis_url="local", background=False, ballast_mib=0
            )
            try:
                async with TieredMemory.open(settings, embedder=self._embedder) as memory:
                    outcome.faults.take(await book.check(memory))
            except TieredMemoryError as error:
                if any(account.held for account in book.accounts.values()):
                    outcome.unopened += 1
                    outcome.faults.add("lost", f"cut {outcome.cuts}: {type(error).__name__}: {error}")


def bytes_back(cold: Path, book: Book) -> list[str]:
    """Return the marks of memories whose removal was acknowledged and whose rows lie in `cold` all the same.

    A row is known by its id, in the files of rows: the engine's log of deletions may name what it deleted.
    """
    joined = b"\n".join(path.read_bytes() for path in cold.glob("*/data/*"))
    gone = [pair for account in book.accounts.values() for pair in account.gone.items()]
    return [mark for mark, memory_id in gone if memory_id.encode() in joined]


@contextmanager
def _quiet() -> Iterator[None]:
    """Say nothing of damage that is meant."""
    logger = logging.getLogger("tiered_memory")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _place() -> Iterator[Path]:
    """Give a folder in memory where there is one: what is opened there was cut already."""
    parent = IN_MEMORY if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="tiered-memory-cut-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
