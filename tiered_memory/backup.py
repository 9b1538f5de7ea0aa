"""Backups: taken while the store runs, restored to an empty directory, never bringing the erased back.

An archive is a directory: the state store as of one moment, its wrapped page key, the cold tables, and a manifest
with the SHA-256 of each file. Everything in it is sealed; the root key and the epochs' guards are not in it, and
neither are the erased list and the high-water mark, which must outlive every backup. Records that were on their way to cold at that
moment are in the archive's journal; those that arrived there meanwhile are in both, which does no harm.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread

from tiered_memory.core import Core
from tiered_memory.errors import (
    ConfigurationError,
    CorruptionError,
    DiskFullError,
    InvalidInputError,
    StorageError,
)
from tiered_memory.files import replace_file, sync_path
from tiered_memory.marks import ERASED_NAME, RESTORED_NAME
from tiered_memory.state import commands as c
from tiered_memory.state.base import SubjectState
from tiered_memory.tiers.base import SubjectRef
from tiered_memory.tiers.durable_files import files_below, sync_files

ARCHIVE_FORMAT = 1
MANIFEST = "manifest.json"
STATE, STATE_KEY, COLD = "state.db", "state.key", "cold"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What an archive holds: users, files, and their bytes."""

    users: int
    files: int
    bytes: int


class Backup:
    """Takes archives of a running store."""

    def __init__(self, core: Core, data_dir: Path) -> None:
        self._core = core
        self._data_dir = data_dir

    async def take(self, archive: Path, progress: Progress | None = None) -> BackupReport:
        """Write an archive into the directory `archive`, which must not exist or be empty.

        Raises:
            InvalidInputError: something is there already, or no directory can be made there.
            StorageError: it could not be written; what was written so far is removed.
        """
        await anyio.to_thread.run_sync(_claim, archive)
        taken_at = self._core.clock.now().isoformat()
        try:
            users = await self._copy(archive, progress)
            files = await anyio.to_thread.run_sync(_seal_archive, archive, taken_at, abandon_on_cancel=True)
        except OSError as error:
            shutil.rmtree(archive, ignore_errors=True)
            raise _unwritten(error, "the archive could not be written; nothing of it is left") from None
        except BaseException:
            shutil.rmtree(archive, ignore_errors=True)
            raise
        return BackupReport(users, len(files), sum(size for _, size in files.values()))

    async def _copy(self, archive: Path, progress: Progress | None) -> int:
        """The state first: whatever reaches cold later is in its journal still."""
        async with self._core.rooting:
            await self._core.state.snapshot(archive / STATE)
            await anyio.to_thread.run_sync(shutil.copyfile, self._data_dir / STATE_KEY, archive / STATE_KEY)
        rows = [
            *await self._core.state.read(c.SubjectsInState(SubjectState.ACTIVE)),
            *await self._core.state.read(c.SubjectsInState(SubjectState.RESTRICTED)),
        ]
        for done, row in enumerate(rows, start=1):
            ref = SubjectRef(row.subject, row.generation, row.incarnation)
            await self._core.cold.copy(ref, archive / COLD)
            if progress is not None:
                progress(done, len(rows))
        return len(rows)


def verify_archive(archive: Path) -> dict[str, Any]:
    """Return an archive's manifest after comparing every file with it.

    Raises:
        CorruptionError: a file is missing, was added, or differs.
    """
    try:
        manifest: dict[str, Any] = json.loads((archive / MANIFEST).read_bytes())
        listed = manifest["files"] if manifest["format"] == ARCHIVE_FORMAT else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptionError("this is no complete archive: its manifest is missing or damaged") from error
    if listed is None:
        raise CorruptionError("the archive has a format this version does not know: use a newer one")
    if listed != {name: list(facts) for name, facts in _digests(archive).items()}:
        raise CorruptionError(
            "the archive is damaged: a file is missing, was added, or differs from the manifest"
        )
    return manifest


def restore_archive(archive: Path, data_dir: Path, erased_list: Path | None = None) -> str | None:
    """Put an archive's files into `data_dir`, which must not hold a store; opening it finishes the restore.

    `erased_list` is the `erased.log` of the store the archive was taken from: whom it names is erased again when
    the store is opened. Without it, erasures after the backup are unknown to the restored store. Returns when the
    backup was begun (ISO 8601), if the archive says so.

    Raises:
        CorruptionError: the archive is damaged; nothing was written.
        ConfigurationError: the directory holds a store already, or the list cannot be read; nothing was written.
        StorageError: not everything could be written; what stands there is no store that opens.
    """
    taken_at: str | None = verify_archive(archive).get("taken_at")
    if (data_dir / STATE).exists() or (data_dir / COLD).exists():
        raise ConfigurationError("the directory holds a store: restore into an empty one")
    listed = None if erased_list is None else _read_list(erased_list)
    try:
        _put(archive, data_dir, listed)
    except OSError as error:
        raise _unwritten(
            error, "the archive could not be put there; restore into another, empty directory"
        ) from None
    return taken_at


def _put(archive: Path, data_dir: Path, listed: bytes | None) -> None:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The marker comes first: a restore that a crash cut short is no store that may be opened as it was.
    replace_file(data_dir / RESTORED_NAME, b"restoring\n")
    if listed is not None:
        replace_file(data_dir / ERASED_NAME, listed)
    if (archive / COLD).exists():
        shutil.copytree(archive / COLD, data_dir / COLD)
    shutil.copyfile(archive / STATE_KEY, data_dir / STATE_KEY)
    shutil.copyfile(archive / STATE, data_dir / STATE)
    sync_files(data_dir, set())
    replace_file(data_dir / RESTORED_NAME, b"restored\n")
    sync_path(data_dir)


def _unwritten(error: OSError, what: str) -> StorageError:
    kind = DiskFullError if error.errno == errno.ENOSPC else StorageError
    return kind(f"{what} ({type(error).__name__})")


def _read_list(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"the erased list cannot be read ({type(error).__name__}); nothing was written"
        ) from None


def _claim(archive: Path) -> None:
    try:
        taken = archive.exists() and any(archive.iterdir())
        if not taken:
            archive.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        taken = True
    except OSError as error:
        raise InvalidInputError(f"the archive's directory cannot be made ({type(error).__name__})") from None
    if taken:
        raise InvalidInputError("the archive's directory must not exist yet, or be empty")


def _seal_archive(archive: Path, taken_at: str) -> dict[str, tuple[str, int]]:
    """The manifest comes last, after every file is on disk: an archive with one is complete."""
    files = _digests(archive)
    sync_files(archive, set())
    manifest = {"format": ARCHIVE_FORMAT, "taken_at": taken_at, "files": files}
    replace_file(archive / MANIFEST, json.dumps(manifest, sort_keys=True, indent=1).encode())
    sync_path(archive)
    return files


def _digests(archive: Path) -> dict[str, tuple[str, int]]:
    paths = sorted(path for path in files_below(archive) if path.name != MANIFEST)
    return {str(path.relative_to(archive)): (_sha256(path), path.stat().st_size) for path in paths}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
