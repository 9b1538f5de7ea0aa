"""The files that bear the marks of `highwater.py`, beside the state store and outside every backup of it.

The high-water mark is two files. One is forced to disk at each opening, closing and erasure and must verify. The
other is written over after every commit and before its callers hear of it, without being forced: that costs a few
microseconds and makes a log that was damaged, cut short or taken away known, down to the last commit.
SQLite by itself ends its log at the first frame that does not verify and says nothing. A power cut may tear the
second file or bring back an older one; then the first one counts.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread

from tiered_memory.erased_list import ErasedList
from tiered_memory.errors import CorruptionError, DiskFullError, RolledBackError, StorageError
from tiered_memory.failpoints import reach
from tiered_memory.files import replace_file
from tiered_memory.highwater import (
    ErasedEntry,
    Listed,
    Mark,
    decode_latest,
    decode_mark,
    encode_latest,
    encode_mark,
)

logger = logging.getLogger("tiered_memory")

MARK_NAME = "highwater"
LATEST_NAME = "highwater.latest"
ERASED_NAME = "erased.log"
RESTORED_NAME = "restored"
"""Marks a directory that was restored and not opened since; see `backup.py`."""


class Marks:
    """Reads and writes the high-water mark and the erased list of one data directory under one key (32 bytes)."""

    def __init__(self, data_dir: Path, key: bytes) -> None:
        self._mark_path = data_dir / MARK_NAME
        self._latest_path = data_dir / LATEST_NAME
        self._list = ErasedList(data_dir / ERASED_NAME, key)
        self._restored_path = data_dir / RESTORED_NAME
        self._key = key
        self._latest: int | None = None
        self._closed = False
        self._commits = 0
        self._noted: Mark | None = None
        self._noting = anyio.Lock()  # two at once would take each other's fresh file away
        self._failed = False
        self._writing = threading.Lock()
        self.must_apply = True
        """Whether the store may hold what the erased list names: it is not the one that was marked last."""
        self.checkpoints: Listed | None = None
        """How far the ledger's checkpoints had come, as the mark said when it was checked."""
        self.list_was_cut = False
        """Whether the erased list has lost entries, and that was accepted."""

    async def check(self, present: Mark, *, accept_rollback: bool) -> None:
        """Compare the store, and the erased list, with how far they had come.

        Raises:
            RolledBackError: one is older than it was, and nobody said that this is meant.
            CorruptionError: the mark, or the list, was altered.
        """
        known = await anyio.to_thread.run_sync(self._read_mark)
        latest = await anyio.to_thread.run_sync(self._read_latest)
        behind = any(one is not None and present.is_behind(one) for one in (known, latest))
        self.must_apply = known is None or known.incarnation != present.incarnation or behind
        if behind and not accept_rollback:
            raise RolledBackError
        noted = None if known is None else known.erased
        self.checkpoints = None if known is None else known.checkpoints
        self.list_was_cut = await anyio.to_thread.run_sync(
            lambda: self._list.check(noted, accept_shorter=accept_rollback)
        )

    async def note(self, present: Mark) -> None:
        """Remember how far the store and the erased list have come; on disk when this returns."""
        async with self._noting:
            if self._noted is None or not present.is_behind(self._noted):
                data = encode_mark(replace(present, erased=self._list.listed), self._key)
                await _in_thread(lambda: replace_file(self._mark_path, data))
                self._noted = present
        await anyio.to_thread.run_sync(self.note_commit, present.incarnation, present.commits)

    def note_commit(self, incarnation: str, commits: int) -> None:
        """Remember in passing how many commits there were; any thread may call it.

        A mark that cannot be written is no reason to refuse a write: it is logged once, until it works again.
        """
        with self._writing:
            self._commits = max(self._commits, commits)
            data = encode_latest(bytes.fromhex(incarnation), self._commits, self._key)
            try:
                self._overwrite(data)
                self._failed = False
            except OSError as error:
                if not self._failed:
                    logger.warning("the latest commit's mark cannot be written (%s)", type(error).__name__)
                self._failed = True

    def close(self) -> None:
        """Let go of the open file; commits after this are not marked."""
        with self._writing:
            self._closed = True
            if self._latest is not None:
                os.close(self._latest)
                self._latest = None

    def _overwrite(self, data: bytes) -> None:
        """One call: a kill cannot tear it."""
        if self._latest is None and not self._closed:
            self._latest = os.open(self._latest_path, os.O_WRONLY | os.O_CREAT, 0o600)
        if self._latest is not None:
            os.pwrite(self._latest, data, 0)

    async def settle(self) -> None:
        """Say that the store is what the marks say of it: a restore is finished, the list has been applied."""
        self.must_apply = False
        await _in_thread(lambda: self._restored_path.unlink(missing_ok=True))

    async def erased(self) -> list[ErasedEntry]:
        """Return everything that was erased from this directory and must not come back."""
        return await anyio.to_thread.run_sync(self._list.entries)

    async def add(self, entries: Sequence[ErasedEntry]) -> None:
        """Enter what was erased; on disk when this returns.

        A mark that cannot be written is no reason to refuse a right: a list longer than its mark says is sound.
        """
        if not entries:
            return
        await _in_thread(lambda: self._list.append(entries))
        reach("list.after_entry")
        if self._noted is not None:
            try:
                await self.note(self._noted)
            except StorageError as error:
                logger.warning("the erased list's length cannot be noted (%s)", type(error).__name__)

    def _read_mark(self) -> Mark | None:
        if not self._mark_path.exists():
            return None
        return decode_mark(self._mark_path.read_bytes(), self._key)

    def _read_latest(self) -> Mark | None:
        try:
            return decode_latest(self._latest_path.read_bytes(), self._key)
        except FileNotFoundError:
            return None
        except CorruptionError:
            logger.warning("the mark of the latest commit does not verify: only the mark before it counts")
            return None


async def _in_thread(work: Callable[[], None]) -> None:
    try:
        await anyio.to_thread.run_sync(work)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError from error
        raise StorageError(f"a mark could not be written ({type(error).__name__})") from error
