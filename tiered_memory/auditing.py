"""The audit ledger, as callers see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tiered_memory.audit_export import ExportReport, export
from tiered_memory.clock import from_us
from tiered_memory.intake import check_count
from tiered_memory.metrics import timed
from tiered_memory.privacy.audit import Verdict
from tiered_memory.privacy.checkpoint import SignedCheckpoint
from tiered_memory.runtime import PartsNow


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One entry of the ledger: its index, what happened and when, and by whom as what is recorded says.

    `tenant`, `subject` and `object` (hex) are commitments that name nobody; `detail` holds reasons and counts. `leaf`
    is the entry as it is stored and hashed.
    """

    index: int
    event: str
    at: datetime
    actor: str
    tenant: str
    subject: str
    object: str
    reason: str
    detail: Mapping[str, int | str]
    leaf: str
    hash: str


class Ledger:
    """What was done to memories and consents, under commitments only; anybody can verify it."""

    def __init__(self, parts: PartsNow) -> None:
        self._parts = parts

    @property
    def public_key(self) -> bytes:
        """The Ed25519 key (32 bytes) whose signatures its checkpoints bear."""
        return self._parts().core.notary.public_key

    async def verification_key(self) -> bytes:
        """Return `public_key`; of a memory that a daemon serves it is had in this way."""
        return self.public_key

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

    async def entries(self, *, limit: int = 50, before: int | None = None) -> list[LedgerEntry]:
        """Return `limit` (1..10000) entries, the newest first; for the next page give the last one's index as `before`."""
        check_count(limit, "limit")
        if before is not None:
            check_count(before, "before", low=0, high=2**63 - 1)
        parts = self._parts()
        with timed(parts.core.observer, "ledger"):
            await parts.accesses.flush()
            return [_entry(*row) for row in await parts.core.notary.newest(limit, before)]

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


def _entry(index: int, leaf: bytes, digest: bytes) -> LedgerEntry:
    said = json.loads(leaf)
    return LedgerEntry(
        index=index,
        event=said["event"],
        at=from_us(said["at_us"]),
        actor=said["actor"],
        tenant=said["tenant"],
        subject=said["subject"],
        object=said["object"],
        reason=said["reason"],
        detail=said["detail"],
        leaf=leaf.decode(),
        hash=digest.hex(),
    )
