"""What is asked of the state store when a memory is corrected."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.formats.leaf import AuditLeaf
from tiered_memory.state.base import Appended, Crowded, Repeated, Stale, Write, WriteBatch
from tiered_memory.state.register import EntryRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Correct(Write[Appended | Repeated | Stale | Crowded]):
    """Put a memory's corrected version in the place of the one before, in one commit; see `Append` for the answers.

    `batch` carries the version as its first revision, or none where no tier but hot has the memory; others may follow.
    What a hold covers is answered by `Stale`, and nothing is changed. The memory's older versions leave the journal; the copies that session tails have are replaced by `tail`; `mark` says that the old bytes are
    still to be removed from cold.
    """

    batch: WriteBatch
    memory_id: str
    sensitivity: str
    importance: float
    tail: bytes
    leaf: AuditLeaf
    mark: EntryRow | None = None
