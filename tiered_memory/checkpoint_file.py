"""The file of signed checkpoints, beside the state store and outside every backup of it; it only grows.

An entry is on disk before anybody builds on it. What follows the last ended entry is what a crash left of one: it is
cut off at the next. Synchronous; raises OSError.
"""

from __future__ import annotations

from pathlib import Path

from tiered_memory.files import extend_durably
from tiered_memory.privacy.checkpoint import CheckpointLog, SignedCheckpoint, encode_entry, parse_log

CHECKPOINTS_NAME = "checkpoints.log"
REJECTED_NAME = "checkpoints.rejected"


class CheckpointFile:
    """Reads and extends the log in `data_dir` (format 1, `tests/golden/checkpoint_v1.json`)."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / CHECKPOINTS_NAME
        self._rejected = data_dir / REJECTED_NAME
        self._bytes = 0

    def read(self) -> CheckpointLog:
        """Return what the log holds; it is extended behind that."""
        log = parse_log(self.raw())
        self._bytes = log.whole_bytes
        return log

    def raw(self) -> bytes:
        """Return the log's bytes."""
        return self._path.read_bytes() if self._path.exists() else b""

    def append(self, signed: SignedCheckpoint) -> None:
        """Enter a checkpoint; on disk when this returns."""
        entry = encode_entry(signed)
        extend_durably(self._path, entry, at=self._bytes)
        self._bytes += len(entry)

    def set_aside(self) -> None:
        """Begin a new log; the one that was is kept beside it."""
        self._path.replace(self._rejected)
        self._bytes = 0
