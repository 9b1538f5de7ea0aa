"""What is asked of the state store when a subject's processing is restricted, or the restriction is lifted."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.formats.leaf import AuditLeaf
from tiered_memory.state.base import Write
from tiered_memory.state.register import EntryRow


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRestricted(Write[bool]):
    """Restrict a subject, or lift it, with the entry that says why; answer False, changing nothing, when it is so already.

    From this commit on the subject's memories cannot be changed by writes that were under way.
    """

    subject: bytes
    generation: int
    restricted: bool
    entry: EntryRow
    leaf: AuditLeaf
