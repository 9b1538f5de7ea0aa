"""Fulfilling rights with nothing left on the disk: a small file system in memory, filled to the last byte."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.remains import cold_values, hits
from benchmarks.store import NOTICE, PURPOSE, fresh_folder
from tiered_memory import TieredMemory, User
from tiered_memory.config import load_settings
from tiered_memory.erasure import verify_certificate
from tiered_memory.errors import TieredMemoryError

DISK_MIB = 160
MEMORIES = 40
CHUNK_BYTES = 1 << 20

Right = Callable[[User, list[str]], Awaitable[list[str]]]
"""Fulfils a right of a person with memories of the given ids; returns the ids of those that have to be gone."""


async def full_disk_ok() -> tuple[bool | None, str]:
    """Return whether rights can be fulfilled at 0 bytes free, and what was wrong; None where none can be made."""
    wrong: list[str] = []
    for name, right in RIGHTS.items():
        with fresh_folder() as folder, _small_disk(folder) as disk:
            if disk is None:
                return None, "needs root, to mount a small file system"
            try:
                wrong += [f"{name}: {one}" for one in await _fulfil(disk, right)]
            except TieredMemoryError as error:
                wrong.append(f"{name}: {type(error).__name__}: {error}")
    return not wrong, "; ".join(wrong)


async def _fulfil(disk: Path, right: Right) -> list[str]:
    """Return what was wrong when one person's right was fulfilled on the full disk."""
    data = disk / "data"
    settings = load_settings(data_dir=data, redis_url="local", background=False)
    async with TieredMemory.open(settings) as memory:
        person, neighbour = [await _filled(memory, name) for name in ("person", "neighbour")]
        await memory.drain()
        await person.add("still on its way to cold when the disk is full", importance=0.9)
        ids = [one.id for one in await person.list(limit=2 * MEMORIES)]
        _fill(disk)
        gone = await right(person, ids)
        (disk / "filler").unlink()
        stayed = [len(await face.list(limit=2 * MEMORIES)) for face in (person, neighbour)]
    found = hits({"rows": [one.encode() for one in gone]}, cold_values(data))
    return [
        *([f"{found} values are left in cold"] if found else []),
        *([f"{stayed} memories are left"] if stayed != [len(ids) - len(gone), MEMORIES] else []),
    ]


async def _erase(person: User, ids: list[str]) -> list[str]:
    certificate = await person.erase(reason="asked for it")
    verify_certificate(certificate)
    return ids if certificate.verified else []


async def _delete(person: User, ids: list[str]) -> list[str]:
    for one in ids[:2]:
        await person.delete(one)
    return ids[:2]


async def _withdraw(person: User, ids: list[str]) -> list[str]:
    await person.consent.withdraw(PURPOSE)
    return ids


RIGHTS: dict[str, Right] = {"erase": _erase, "delete": _delete, "withdraw": _withdraw}


async def _filled(memory: TieredMemory, name: str) -> User:
    face = memory.user(name, tenant="full disk")
    await face.consent.grant(PURPOSE, notice=NOTICE)
    for number in range(MEMORIES):
        await face.add(f"{name} noted matter {number} at some length", importance=0.9)
    return face


def _fill(disk: Path) -> None:
    """Write until not one byte more fits."""
    with (disk / "filler").open("ab", buffering=0) as file:
        for size in (CHUNK_BYTES, 4096, 1):
            _write_all(file.fileno(), size)


def _write_all(descriptor: int, size: int) -> None:
    piece = bytes(size)
    while True:
        try:
            os.write(descriptor, piece)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    """Mount a small file system in memory, where that is allowed."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0  # noqa: S603 - fixed words
    except FileNotFoundError:
        mounted = False
    try:
        yield disk if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(disk)], capture_output=True, check=False)  # noqa: S603, S607
