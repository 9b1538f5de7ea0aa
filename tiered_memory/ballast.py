"""A file that can be given up, so that a right can be fulfilled on a full disk.

Destroying a key and rewriting a table need a few pages more before they need less. The ballast holds that space;
it is released when a removal runs out of room, and taken again once there is room.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio.to_thread

from tiered_memory.errors import DiskFullError

T = TypeVar("T")
MIB = 1 << 20
OPENING_BYTES = MIB


class Ballast:
    """Keeps `size_mib` of disk in reserve in the file `path`."""

    def __init__(self, path: Path, size_mib: int) -> None:
        self._path = path
        self._bytes = size_mib * MIB

    @property
    def held_bytes(self) -> int:
        """How much is in reserve now."""
        return self._path.stat().st_size if self._path.exists() else 0

    def lend(self) -> None:
        """Give up a little of the reserve when there is no room for the files that opening a store needs."""
        held, disk = self.held_bytes, os.statvfs(self._path.parent)
        if held and disk.f_bavail * disk.f_frsize < OPENING_BYTES:
            os.truncate(self._path, max(0, held - OPENING_BYTES))

    def take(self) -> bool:
        """Take the reserve, or as much of it as there is room for; return whether any is held."""
        size = self._bytes
        while size >= min(self._bytes, MIB) and self.held_bytes < size:
            if self._allocate(size):
                break
            size //= 2
        return self.held_bytes > 0

    def _allocate(self, size: int) -> bool:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
            os.fsync(descriptor)
        except OSError:
            self._path.unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)
        return True

    def release(self) -> bool:
        """Give the reserve up; return whether there was one."""
        if not self._path.exists():
            return False
        self._path.unlink()
        return True

    async def spend(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`; if the disk is full, give the reserve up and do it once more.

        Raises:
            DiskFullError: there is no room even so.
        """
        try:
            return await work()
        except DiskFullError:
            if not await anyio.to_thread.run_sync(self.release):
                raise
        return await work()

    @asynccontextmanager
    async def retaken(self) -> AsyncIterator[None]:
        """Take the reserve again after the body, whatever became of it, if there is room."""
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(self.take)
