"""The file of signed checkpoints, beside the state store and outside every backup of it; it only grows.

How long it was, and a digest of that much, stands in the high-water mark, so that entries taken away are known. An entry
is on disk before the mark that counts it: what follows the last ended entry and was not counted is what a crash left of
one, and is cut off at the next. Synchronous; raises OSError.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tiered_memory.files import extend_durably
from tiered_memory.highwater import Listed
from tiered_memory.privacy.checkpoint import CheckpointLog, SignedCheckpoint, encode_entry, parse_log

CHECKPOINTS_NAME = "checkpoints.log"
REJECTED_NAME = "checkpoints.rejected"


class CheckpointFile:
    """Reads and extends the log in `data_dir` (format 1, `tests/golden/checkpoint_v1.json`)."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / CHECKPOINTS_NAME
        self._rejected = data_dir / REJECTED_NAME
        self._begin(b"")

    def read(self) -> CheckpointLog:
        """Return what the log holds; it is extended behind that."""
        data = self.raw()
        log = parse_log(data)
        self._begin(data[: log.whole_bytes])
        return log

    def holds(self, noted: Listed) -> bool:
        """Tell whether the log still begins with what was noted of it."""
        data = self.raw()[: noted.bytes]
        return len(data) == noted.bytes and hashlib.sha256(data).hexdigest() == noted.sha256

    def raw(self) -> bytes:
        """Return the log's bytes."""
        return self._path.read_bytes() if self._path.exists() else b""

    def append(self, signed: SignedCheckpoint) -> None:
        """Enter a checkpoint; on disk when this returns."""
        entry = encode_entry(signed)
        extend_durably(self._path, entry, at=self.listed.bytes)
        self._count(entry)

    def set_aside(self) -> None:
        """Begin a new log; the one that was is kept beside it."""
        self._path.replace(self._rejected)
        self._begin(b"")

    def _begin(self, whole: bytes) -> None:
        self._digest = hashlib.sha256()
        self.listed = Listed(0, "")
        """How long the log is."""
        self._count(whole)

    def _count(self, data: bytes) -> None:
        self._digest.update(data)
        self.listed = Listed(self.listed.bytes + len(data), self._digest.hexdigest())
