"""One process owns a data directory. The lock is the operating system's, so a dead owner holds nothing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from filelock import FileLock, Timeout

from tiered_memory.errors import DataDirectoryInUseError

LOCK_NAME = "owner.lock"
OWNER_NAME = "owner.pid"


class Ownership:
    """Holds a data directory until released."""

    def __init__(self, data_dir: Path) -> None:
        self._owner = data_dir / OWNER_NAME
        self._lock = FileLock(data_dir / LOCK_NAME, mode=0o600, thread_local=False)

    def acquire(self) -> None:
        """Take the directory.

        Raises:
            DataDirectoryInUseError: names the process that has it.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise DataDirectoryInUseError(
                f"process {self._present_owner()} owns this data directory: use it there, or stop it first"
            ) from None
        # Who it is is said for people only: a full disk must not keep the store shut.
        with contextlib.suppress(OSError):
            self._owner.write_text(f"{os.getpid()}\n", encoding="ascii")

    def release(self) -> None:
        """Give the directory up."""
        self._owner.unlink(missing_ok=True)
        self._lock.release()

    def _present_owner(self) -> str:
        try:
            return self._owner.read_text(encoding="ascii").strip() or "(unknown)"
        except OSError:
            return "(unknown)"
