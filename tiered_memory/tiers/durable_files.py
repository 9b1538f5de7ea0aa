"""Making files that another library wrote survive a power cut."""

from __future__ import annotations

import os
from pathlib import Path

HINT = "latest_version_hint.json"


def files_below(root: Path) -> list[Path]:
    """Return every regular file below `root`."""
    return [path for path in root.rglob("*") if path.is_file()]


def leftovers_below(root: Path) -> list[Path]:
    """Return the temporary files that a killed writer left behind; the engine never removes them."""
    return [path for path in files_below(root) if path.name.startswith(".tmp") or "#" in path.name]


def sync_path(path: Path) -> None:
    """Force one file or directory to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(root: Path, already: set[Path]) -> set[Path]:
    """Force the files below `root` that are not in `already`, and their directories, to disk; return them.

    Data files and manifests are written once under fresh names; only the version hint is rewritten in place.
    """
    fresh = [path for path in files_below(root) if path not in already or path.name == HINT]
    for path in fresh:
        sync_path(path)
    for directory in {path.parent for path in fresh} | {root, root.parent}:
        sync_path(directory)
    return {path for path in fresh if path.name != HINT}
