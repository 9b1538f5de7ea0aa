"""The machine and the versions a figure was measured on."""

from __future__ import annotations

import os
import platform
import resource
import sqlite3
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("tiered-memory", "numpy", "lancedb", "pyarrow", "redis", "cryptography", "duckdb")
MIB = 1 << 20


def describe() -> dict[str, Any]:
    """Return processor, memory, system, load and versions; what cannot be found out is None."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memory_mib": _memory_mib(),
        "load_1_min": round(os.getloadavg()[0], 2),
        "versions": {name: _version(name) for name in PACKAGES} | {"sqlite": sqlite3.sqlite_version},
    }


def resident_mib() -> float:
    """Return this process's resident memory in MiB: now where /proc tells, else the most there was."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (MIB if sys.platform == "darwin" else 1024)


def folder_mib(folder: Path) -> float:
    """Return the size of all files below `folder` in MiB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MIB


def file_system(folder: Path) -> str | None:
    """Return the type of the file system `folder` is on, where /proc tells: in RAM, an fsync costs nothing."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return None
    fields = [line.split() for line in mounts.read_text().splitlines()]
    resolved = folder.resolve()
    above = [(len(f[1]), f[2]) for f in fields if resolved.is_relative_to(f[1])]
    return max(above)[1] if above else None


def _processor() -> str | None:
    told = Path("/proc/cpuinfo")
    if not told.exists():
        return platform.processor() or None
    lines = told.read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _memory_mib() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MIB


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
