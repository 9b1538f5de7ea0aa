"""The files that bear the marks of `highwater.py`, beside the state store and outside every backup of it."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio.to_thread

from tiered_memory.errors import DiskFullError, RolledBackError, StorageError
from tiered_memory.highwater import (
    ErasedEntry,
    Mark,
    append_durably,
    decode_erased,
    decode_mark,
    encode_erased,
    encode_mark,
    replace_file,
)

MARK_NAME = "highwater"
ERASED_NAME = "erased.log"
RESTORED_NAME = "restored"
"""Marks a directory that was restored and not opened since; see `backup.py`."""


class Marks:
    """Reads and writes the high-water mark and the erased list of one data directory under one key (32 bytes)."""

    def __init__(self, data_dir: Path, key: bytes) -> None:
        self._mark_path = data_dir / MARK_NAME
        self._erased_path = data_dir / ERASED_NAME
        self._restored_path = data_dir / RESTORED_NAME
        self._key = key
        self._noted: Mark | None = None
        self.must_apply = True
        """Whether the store may hold what the erased list names: it is not the one that was marked last."""

    async def check(self, present: Mark, *, accept_rollback: bool) -> None:
        """Compare the store with how far it had come.

        Raises:
            RolledBackError: it is older than it was, and nobody said that this is meant.
            CorruptionError: the mark was altered.
        """
        known = await anyio.to_thread.run_sync(self._read_mark)
        self.must_apply = (
            known is None or known.incarnation != present.incarnation or present.is_behind(known)
        )
        if known is not None and present.is_behind(known) and not accept_rollback:
            raise RolledBackError

    async def note(self, present: Mark, *, durable: bool) -> None:
        """Remember how far the store has come; on disk for certain when `durable`."""
        if durable or present != self._noted:
            data = encode_mark(present, self._key)
            await _in_thread(lambda: replace_file(self._mark_path, data, durable=durable))
            self._noted = present

    async def settle(self) -> None:
        """Say that the store is what the marks say of it: a restore is finished, the list has been applied."""
        self.must_apply = False
        await _in_thread(lambda: self._restored_path.unlink(missing_ok=True))

    async def erased(self) -> list[ErasedEntry]:
        """Return everything that was erased from this directory and must not come back."""
        return await anyio.to_thread.run_sync(self._read_erased)

    async def add(self, entries: Sequence[ErasedEntry]) -> None:
        """Enter what was erased; on disk when this returns."""
        lines = b"".join(encode_erased(entry, self._key) for entry in entries)
        if lines:
            await _in_thread(lambda: append_durably(self._erased_path, lines))

    def _read_mark(self) -> Mark | None:
        if not self._mark_path.exists():
            return None
        return decode_mark(self._mark_path.read_bytes(), self._key)

    def _read_erased(self) -> list[ErasedEntry]:
        if not self._erased_path.exists():
            return []
        return decode_erased(self._erased_path.read_bytes(), self._key)


async def _in_thread(work: Callable[[], None]) -> None:
    try:
        await anyio.to_thread.run_sync(work)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError from error
        raise StorageError(f"a mark could not be written ({type(error).__name__})") from error
