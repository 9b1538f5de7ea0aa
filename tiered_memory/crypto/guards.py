"""Epoch guards: the half of every epoch key that lies outside the state store and outside its backups.

An epoch key opens with the root key *and* its guard (32 random bytes, one file each, named by a random id). Once the
guard is destroyed, nothing that is left anywhere opens what was wrapped under that epoch: not the state store, not
its backups, not the root key. Synchronous; raises OSError only.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from tiered_memory.files import destroy_file, replace_file, sync_path

SUFFIX = ".guard"
GUARD_MODE = 0o400
GUARD_BYTES = 32
CHECK_BYTES = 8


class GuardFolder:
    """The guards of one store, in a folder that nobody but its owner may enter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, guard_id: bytes) -> bytes | None:
        """Return a guard, None when it was destroyed, or was never here, or is not whole."""
        try:
            found = bytes.fromhex(self._path(guard_id).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None
        secret, check = found[:GUARD_BYTES], found[GUARD_BYTES:]
        return secret if len(secret) == GUARD_BYTES and check == _check(secret) else None

    def put(self, guard_id: bytes, secret: bytes) -> None:
        """Keep a guard; on disk when this returns."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_path(self.folder.parent)
        replace_file(
            self._path(guard_id), f"{secret.hex()}{_check(secret).hex()}\n".encode("ascii"), mode=GUARD_MODE
        )

    def destroy(self, guard_id: bytes) -> None:
        """Write zeros over a guard and remove it; on disk when this returns, and no error when it is gone."""
        path = self._path(guard_id)
        destroy_file(path.with_suffix(".new"))
        destroy_file(path)

    def every(self) -> dict[bytes, bytes]:
        """Return all guards by their ids."""
        ids = [_id_of(path) for path in sorted(self.folder.glob(f"*{SUFFIX}"))]
        found = {one: self.get(one) for one in ids if one is not None}
        return {one: secret for one, secret in found.items() if secret is not None}

    def _path(self, guard_id: bytes) -> Path:
        name = base64.b32encode(guard_id).decode("ascii").rstrip("=").lower()
        return self.folder / f"{name}{SUFFIX}"


def _check(secret: bytes) -> bytes:
    """A guard with a digit changed must not pass for another one: 8 bytes of SHA-256 tell."""
    return hashlib.sha256(secret).digest()[:CHECK_BYTES]


def _id_of(path: Path) -> bytes | None:
    text = path.stem.upper()
    try:
        return base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        return None
