"""New versions of memories, and the removal of others, as one change of the state store."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.formats.leaf import AuditLeaf
from tiered_memory.state.base import StateChange, Write, WriteBatch


@dataclass(frozen=True, slots=True)
class Revise(Write[tuple[int, ...]]):
    """Write every batch's revisions, and move memories to other states, in one commit or not at all.

    Answers the journal numbers of the revisions in their order. Raises `ConflictError` when one of the memories is
    not the version its revision takes it to be, and `SubjectErasedError` for a generation that has passed.
    """

    subject: bytes
    generation: int
    batches: tuple[WriteBatch, ...] = ()
    changes: tuple[StateChange, ...] = ()
    leaves: tuple[AuditLeaf, ...] = ()
