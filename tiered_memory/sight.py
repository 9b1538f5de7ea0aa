"""What of a subject a caller may see whose role does not reach every level: the rest might as well not be held.

Such a caller's searches run over an index of their own. In the one index of the subject a memory lends score to its
neighbours and terms to the statistics: who may not read it could ask for it and watch what rises beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from tiered_memory.active import ActiveSubject
from tiered_memory.corrections import Correction
from tiered_memory.embedding.base import Embedder
from tiered_memory.formats.record import decode_fields, vectors_of
from tiered_memory.held import HeldMemory
from tiered_memory.held_records import indexed_turn
from tiered_memory.model import Explanation, HistoryEntry, Hit, Memory, Sensitivity
from tiered_memory.scoring.packing import BufferedTurn
from tiered_memory.scoring.recall_index import RecallIndex
from tiered_memory.tiers.base import TierRecord


@dataclass(frozen=True, slots=True)
class Sight:
    """The levels that may be seen, and the authors none of whose memories are."""

    levels: frozenset[Sensitivity]
    without: frozenset[str] = frozenset()

    def _shows(self, held: HeldMemory) -> bool:
        if held.sensitivity not in self.levels:
            return False
        return not self.without or decode_fields(held.plaintext).get("author") not in self.without

    def ids(self, active: ActiveSubject) -> set[str]:
        """Return the held memories that may be seen."""
        return {one.id for one in active.held.values() if self._shows(one)}

    def known(self, active: ActiveSubject, ids: Iterable[str]) -> tuple[str, ...]:
        """Return those of `ids` that are held and may be seen: of any other not even the id is told."""
        return tuple(one for one in ids if one in active.held and self._shows(active.held[one]))

    def turns(self, active: ActiveSubject, turns: Sequence[BufferedTurn]) -> tuple[BufferedTurn, ...]:
        """Return a session's turns whose level is known and may be seen."""
        seen = self.ids(active)
        return tuple(turn for turn in turns if (turn.memory_id or turn.id) in seen)

    def memories(self, active: ActiveSubject, memories: Iterable[Memory]) -> list[Memory]:
        """Return the memories that may be seen, without the ids of those that may not."""
        return [
            self.bare(active, one)
            for one in memories
            if one.sensitivity in self.levels and one.author not in self.without
        ]

    def hits(self, active: ActiveSubject, hits: Iterable[Hit]) -> list[Hit]:
        """Return hits without the ids of what may not be seen."""
        return [
            replace(
                hit,
                memory=self.bare(active, hit.memory),
                conflicts_with=self.known(active, hit.conflicts_with),
            )
            for hit in hits
        ]

    def history(self, active: ActiveSubject, entries: Iterable[HistoryEntry]) -> list[HistoryEntry]:
        """Return the entries of memories that may be seen, without the ids of the others."""
        found = [
            (one, self.bare(active, one.memory)) for one in entries if one.memory.sensitivity in self.levels
        ]
        return [
            replace(one, memory=memory)
            if one.corrected_at is not None  # why is told of the memory itself, not of a successor
            else replace(
                one, memory=memory, superseded_by=memory.superseded_by, reason=memory.superseded_because
            )
            for one, memory in found
        ]

    def explanation(self, active: ActiveSubject, found: Explanation) -> Explanation:
        """Return the explanation of a memory that may be seen, without the ids of others."""
        return replace(found, memory=self.bare(active, found.memory))

    def correction(self, active: ActiveSubject, found: Correction) -> Correction:
        """Return a correction without the ids of what may not be seen."""
        return replace(
            found, memory=self.bare(active, found.memory), affected=self.known(active, found.affected)
        )

    def bare(self, active: ActiveSubject, memory: Memory) -> Memory:
        """Return a memory without the ids of those that may not be seen."""
        successor = self.known(active, [memory.superseded_by or ""])
        provenance = replace(
            memory.provenance, derived_from=self.known(active, memory.provenance.derived_from), merged_from=()
        )
        return replace(
            memory,
            superseded_by=successor[0] if successor else None,
            superseded_because=memory.superseded_because if successor else None,
            supersedes=self.known(active, memory.supersedes),
            conflicts_with=self.known(active, memory.conflicts_with),
            provenance=provenance,
        )

    def index(self, active: ActiveSubject, embedder: Embedder) -> RecallIndex:
        """Return an index of what may be seen alone, brought up to date."""
        versions, index = active.views.setdefault(
            self.levels | self.without, ({}, RecallIndex(embedder.dimensions))
        )
        seen = {one: active.held[one].version for one in self.ids(active)}
        if seen != versions:
            index.remove(versions.keys() - seen.keys())
            _take_in(index, active, [one for one in seen if versions.get(one) != seen[one]], embedder)
            versions.clear()
            versions.update(seen)
        return index


def index_seen(active: ActiveSubject, sight: Sight | None, embedder: Embedder) -> RecallIndex:
    """Return the subject's index, or with `sight` that of what may be seen."""
    return active.index if sight is None else sight.index(active, embedder)


def _take_in(index: RecallIndex, active: ActiveSubject, ids: Collection[str], embedder: Embedder) -> None:
    if not ids:
        return
    held = sorted((active.held[one] for one in ids), key=lambda one: one.order)
    fields = [decode_fields(one.plaintext) for one in held]
    vectors = vectors_of(fields, embedder.dimensions, embedder.name)
    records = [TierRecord(one.id, one.order, one.version, b"") for one in held]
    index.add([indexed_turn(*each) for each in zip(records, fields, vectors, strict=True)])
