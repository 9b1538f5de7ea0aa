"""Making files that another library wrote survive a power cut."""

from __future__ import annotations

import os
import shutil
import zlib
from pathlib import Path

from tiered_memory.files import sync_path

HINT = "latest_version_hint.json"
VERSIONS = "_versions"
MARK = "on_disk"
"""Beside a table's own files: the highest version of which every byte is known to be on disk, and a checksum."""
NEWEST_FIRST = 2**64 - 1


def files_below(root: Path) -> list[Path]:
    """Return every regular file below `root`."""
    return [path for path in root.rglob("*") if path.is_file()]


def leftovers_below(root: Path) -> list[Path]:
    """Return the temporary files that a killed writer left behind; the engine never removes them."""
    return [path for path in files_below(root) if path.name.startswith(".tmp") or "#" in path.name]


def sync_files(root: Path, already: set[Path]) -> set[Path]:
    """Force the files below `root` that are not in `already`, and all directories, to disk; return those files.

    Data files and manifests are written once under fresh names; only the version hint is rewritten.
    """
    fresh = [path for path in files_below(root) if path not in already or path.name == HINT]
    for path in fresh:
        sync_path(path)
    # Every directory, because files that went must not come back either.
    for directory in [*(path for path in root.rglob("*") if path.is_dir()), root, root.parent]:
        sync_path(directory)
    return {path for path in fresh if path.name not in {HINT, MARK}}


def prepare_table(root: Path) -> None:
    """Make the folder of a table of which no version is on disk yet, and the mark that says so."""
    root.mkdir(mode=0o700, exist_ok=True)
    mark_version(root, 0)
    sync_path(root)
    sync_path(root.parent)


def mark_version(root: Path, version: int) -> None:
    """Note, on disk, that `version` of the table below `root` and all it needs is on disk."""
    if marked_version(root) == version:
        return
    text = b"%020d" % version
    descriptor = os.open(root / MARK, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        # In place: so few bytes of one sector reach the disk together.
        os.pwrite(descriptor, b"%s %08x\n" % (text, zlib.crc32(text)), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def marked_version(root: Path) -> int | None:
    """Return what `mark_version` noted last; None when there is no mark, or a damaged one."""
    try:
        text, checksum = (root / MARK).read_bytes().split()
        return int(text) if int(checksum, 16) == zlib.crc32(text) else None
    except (OSError, ValueError):
        return None


def roll_back(root: Path) -> bool:
    """Remove the versions of a table that may not be on disk whole; tell whether the table has any version.

    A power cut can leave the name of a version without the bytes it needs, and the engine would read that one. What
    such versions brought is in the journal still. A table without a mark, or without the marked version, is left
    as it is: it was written before there were marks, or is damaged.
    """
    versions = _versions(root)
    marked = marked_version(root)
    if marked is not None and (marked == 0 or marked in versions):
        for version in [one for one in versions if one > marked]:
            versions.pop(version).unlink()
            sync_path(root / VERSIONS)
    if not versions:
        shutil.rmtree(root)
        sync_path(root.parent)
    return bool(versions)


def _versions(root: Path) -> dict[int, Path]:
    """Return the manifests by version; their names count down from 2^64 - 1."""
    paths = [path for path in (root / VERSIONS).glob("*.manifest") if path.stem.isdecimal()]
    return {NEWEST_FIRST - int(path.stem): path for path in paths}
