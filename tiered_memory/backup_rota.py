"""Backups in a series: each in a directory of its own, named by its time; the newest stay, half-made ones never count.

An archive is written, and one that leaves is removed, under a name with the suffix `.partial`: what bears a plain name
is whole, wherever the process was killed.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread

from tiered_memory.backup import Backup
from tiered_memory.clock import Clock
from tiered_memory.errors import StorageError
from tiered_memory.failpoints import reach
from tiered_memory.files import sync_path
from tiered_memory.schedule import (
    ArchiveName,
    archive_named,
    archives_of,
    archives_to_drop,
    next_archive,
    wait_for_archive,
)

PARTIAL = ".partial"


class BackupRota:
    """Keeps the newest `keep` (>= 1) archives of one store in `folder`, one every `every_seconds` (> 0)."""

    def __init__(
        self, backup: Backup, clock: Clock, folder: Path, *, every_seconds: float, keep: int
    ) -> None:
        self._backup = backup
        self._clock = clock
        self._folder = folder
        self._every_seconds = every_seconds
        self._keep = keep

    async def wait(self) -> float:
        """Return the seconds until the next archive is due; a folder that cannot be read holds none."""
        try:
            held = await anyio.to_thread.run_sync(self._held)
        except OSError:
            return 0.0
        return wait_for_archive(held, self._clock.now(), self._every_seconds)

    async def take(self) -> Path:
        """Write an archive, then remove those that are too many; return where it is.

        Raises:
            StorageError: it could not be written, or an old one not removed; nothing half-made bears an archive's name.
        """
        try:
            return await self._take()
        except OSError as error:
            raise StorageError(
                f"the backup folder could not be written ({type(error).__name__}): look at `backup_dir`"
            ) from None

    async def _take(self) -> Path:
        held = await anyio.to_thread.run_sync(self._prepare)
        fresh = next_archive(self._clock.now(), held)
        await self._backup.take(self._partial(fresh))
        reach("backup.before_name")
        await anyio.to_thread.run_sync(self._name, fresh)
        reach("backup.after_name")
        await anyio.to_thread.run_sync(
            self._drop, archives_to_drop([*held, fresh], self._keep, fresh), abandon_on_cancel=True
        )
        return self._folder / str(fresh)

    def _prepare(self) -> list[ArchiveName]:
        """What an earlier run left half-made goes; what is not ours stays."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._folder.glob(f"*{PARTIAL}"):
            if archive_named(path.name.removesuffix(PARTIAL)) is not None:
                shutil.rmtree(path)
        return self._held()

    def _held(self) -> list[ArchiveName]:
        if not self._folder.exists():
            return []
        return archives_of(path.name for path in self._folder.iterdir() if path.is_dir())

    def _partial(self, archive: ArchiveName) -> Path:
        return self._folder / f"{archive}{PARTIAL}"

    def _name(self, fresh: ArchiveName) -> None:
        self._partial(fresh).rename(self._folder / str(fresh))
        sync_path(self._folder)

    def _drop(self, leaving: Sequence[ArchiveName]) -> None:
        for one in leaving:
            (self._folder / str(one)).rename(self._partial(one))
            sync_path(self._folder)
            reach("backup.after_retire")
            shutil.rmtree(self._partial(one))
