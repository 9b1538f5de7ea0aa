"""The file that names what was erased, one line each, beside the state store and outside every backup of it.

It only grows. How long it was, and a digest of that much, stands in the high-water mark, so that lines cut from its
end are known. A line is on disk before the mark that counts it: whatever lies behind the counted part and does not
verify was being written when the process or the power went, and nobody was told that it is there.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from tiered_memory.errors import CorruptionError, RolledBackError
from tiered_memory.files import extend_durably
from tiered_memory.highwater import ErasedEntry, Listed, decode_erased, encode_erased

logger = logging.getLogger("tiered_memory")

SHORTER = (
    "the list of what was erased (erased.log) is shorter than it was: put its newest copy back; without one, open "
    "with accept_rollback, which enters again what the state store knows of"
)
ALTERED = (
    "the list of what was erased (erased.log) was altered: put its newest copy back; without one, take the file away "
    "and open with accept_rollback, which enters again what the state store knows of"
)


class ErasedList:
    """Reads and extends the list in the file `path`, authenticated under `key` (32 bytes). Synchronous."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._key = key
        self._digest = hashlib.sha256()
        self._writing = threading.Lock()
        self.listed = Listed(0, self._digest.hexdigest())
        """How long the list is."""

    def check(self, noted: Listed | None, *, accept_shorter: bool) -> bool:
        """Compare the list with what a mark noted of it; return whether lines are missing and that is accepted.

        Raises:
            RolledBackError: lines are missing, and nobody said that this is meant.
            CorruptionError: the part that was noted is not what it was.
        """
        data = self._read()
        shorter = noted is not None and len(data) < noted.bytes
        if shorter and not accept_shorter:
            raise RolledBackError(SHORTER)
        whole = data[: data.rfind(b"\n") + 1]
        if noted is not None and not shorter:
            if hashlib.sha256(data[: noted.bytes]).hexdigest() != noted.sha256:
                raise CorruptionError(ALTERED)
            whole = data[: noted.bytes] + self._verifying(data[noted.bytes :])
        if len(whole) < len(data):
            logger.warning(
                "the erased list ends in what a crash left of a line: it is cut off at the next entry"
            )
        self._count(whole)
        return shorter

    def entries(self) -> list[ErasedEntry]:
        """Return what is listed; raises CorruptionError when a line of it was altered."""
        return decode_erased(self._read()[: self.listed.bytes], self._key)

    def append(self, entries: Sequence[ErasedEntry]) -> None:
        """Enter what was erased; on disk when this returns. Any thread may call it."""
        lines = b"".join(encode_erased(entry, self._key) for entry in entries)
        with self._writing:
            extend_durably(self._path, lines, at=self.listed.bytes)
            self._count(lines)

    def _count(self, lines: bytes) -> None:
        self._digest.update(lines)
        self.listed = Listed(self.listed.bytes + len(lines), self._digest.hexdigest())

    def _verifying(self, tail: bytes) -> bytes:
        """Return the lines up to the first that does not verify: the lines behind it were written together with it."""
        good = b""
        for line in tail.split(b"\n")[:-1]:
            try:
                decode_erased(line + b"\n", self._key)
            except CorruptionError:
                break
            good += line + b"\n"
        return good

    def _read(self) -> bytes:
        return self._path.read_bytes() if self._path.exists() else b""
