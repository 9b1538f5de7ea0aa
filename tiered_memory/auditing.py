"""The audit ledger, as callers see it."""

from __future__ import annotations

from pathlib import Path

from tiered_memory.audit_export import ExportReport, export
from tiered_memory.metrics import timed
from tiered_memory.privacy.audit import Verdict
from tiered_memory.privacy.checkpoint import SignedCheckpoint
from tiered_memory.runtime import PartsNow


class Ledger:
    """What was done to memories and consents, under commitments only; anybody can verify it."""

    def __init__(self, parts: PartsNow) -> None:
        self._parts = parts

    @property
    def public_key(self) -> bytes:
        """The Ed25519 key (32 bytes) whose signatures its checkpoints bear."""
        return self._parts().core.notary.public_key

    async def checkpoint(self) -> SignedCheckpoint | None:
        """Return its newest signed head, None while it is empty; kept elsewhere it finds out a later rollback."""
        core = self._parts().core
        with timed(core.observer, "ledger"):
            return await core.notary.note()

    async def verify(self, known: tuple[SignedCheckpoint, ...] = ()) -> Verdict:
        """Look for any edit, drop, swap, truncation or fork, also against checkpoints `known` from earlier."""
        parts = self._parts()
        with timed(parts.core.observer, "ledger"):
            await parts.accesses.flush()
            return await parts.core.notary.verify(known)

    async def export(self, target: str | Path) -> ExportReport:
        """Write it into an empty or new directory, with the program that verifies it.

        Raises:
            InvalidInputError: the directory is not empty.
            StorageError: it could not be written.
        """
        parts = self._parts()
        with timed(parts.core.observer, "ledger"):
            await parts.accesses.flush()
            return await export(parts.core.notary, parts.core.clock, Path(target))
