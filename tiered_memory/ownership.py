"""One process owns a data directory. The lock is the operating system's, so a dead owner holds nothing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from filelock import FileLock, Timeout

from tiered_memory.errors import ConfigurationError, DataDirectoryInUseError

LOCK_NAME = "owner.lock"
OWNER_NAME = "owner.pid"
HEIR_SECONDS = 5.0
"""How long a dead owner's directory is waited for: a process it was just starting has the lock until it has begun."""


class Ownership:
    """Holds a data directory until released."""

    def __init__(self, data_dir: Path) -> None:
        self._owner = data_dir / OWNER_NAME
        self._lock = FileLock(data_dir / LOCK_NAME, mode=0o600, thread_local=False)

    def acquire(self) -> None:
        """Take the directory.

        Raises:
            DataDirectoryInUseError: names the process that has it.
            ConfigurationError: this user may not write there.
        """
        try:
            self._take()
        except Timeout:
            raise DataDirectoryInUseError(
                f"process {self._present_owner()} owns this data directory: use it there, or stop it first"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"the data directory cannot be owned ({type(error).__name__}): "
                "its files must be this user's, and on a file system that can be written"
            ) from None
        # Who it is is said for people only: a full disk must not keep the store shut.
        with contextlib.suppress(OSError):
            self._owner.write_text(f"{os.getpid()}\n", encoding="ascii")

    def release(self) -> None:
        """Give the directory up."""
        self._owner.unlink(missing_ok=True)
        self._lock.release()

    def _take(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            if _lives(self._present_owner()):
                raise
            self._lock.acquire(timeout=HEIR_SECONDS)

    def _present_owner(self) -> str:
        try:
            return self._owner.read_text(encoding="ascii").strip() or "(unknown)"
        except OSError:
            return "(unknown)"


def _lives(pid: str) -> bool:
    """Tell whether a process of this id may be there; an id that cannot be read is no proof of death."""
    if not pid.isdecimal():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
