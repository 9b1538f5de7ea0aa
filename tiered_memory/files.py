"""Small files that are on disk when the call returns, whole or not at all. Synchronous; raises OSError only."""

from __future__ import annotations

import os
from pathlib import Path

PRIVATE_MODE = 0o600


def sync_path(path: Path) -> None:
    """Force one file or directory to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner may read; FileExistsError when there is one already."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
    try:
        _write_all(descriptor, data)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes, *, durable: bool = True, mode: int = PRIVATE_MODE) -> None:
    """Put `data` in the place of a file, whole or not at all; forced to disk when `durable`.

    It is written beside the file first, under the same name with the suffix `.new`.
    """
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        _write_all(descriptor, data)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    if durable:
        sync_path(path.parent)


def destroy_file(path: Path) -> None:
    """Write zeros over a small file and remove it; forced to disk, and no error when it is not there.

    On a disk that never writes in place the old block may outlive this until the disk reuses it.
    """
    if path.exists():
        path.chmod(PRIVATE_MODE)
        descriptor = os.open(path, os.O_WRONLY)
        try:
            os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.unlink()
    if path.parent.exists():
        sync_path(path.parent)


def extend_durably(path: Path, data: bytes, *, at: int) -> None:
    """Put `data` behind the first `at` (>= 0) bytes of a file, made if it is missing, and force it to disk.

    What lay there before is cut off: an earlier call may have left a part of its data. So may this one.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, PRIVATE_MODE)
    try:
        os.ftruncate(descriptor, at)
        os.lseek(descriptor, at, os.SEEK_SET)
        _write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_path(path.parent)


def _write_all(descriptor: int, data: bytes) -> None:
    """One call writes less than it was given when the disk fills up, and says so only in what it returns."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
