"""Decoded records as they are held in RAM and as the recall index takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tiered_memory.formats.record import passages_of
from tiered_memory.held import HeldMemory
from tiered_memory.scoring import text
from tiered_memory.scoring.passages import Passage
from tiered_memory.scoring.recall_index import IndexedTurn
from tiered_memory.scoring.signs import signs_of
from tiered_memory.state.base import MemoryRow
from tiered_memory.tiers.base import TierRecord


def held_memory(record: TierRecord, plaintext: bytes, fields: dict[str, Any]) -> HeldMemory:
    """Return a decoded record as it is held in RAM."""
    return HeldMemory(
        record.id,
        record.order,
        record.version,
        plaintext,
        fields["kind"],
        fields["role"],
        fields.get("session"),
        fields.get("agent"),
        fields["occurred"][0],
        fields["importance"],
        record.expires_at_us,
        valid_from_us=fields.get("valid_from"),
        valid_to_us=fields.get("valid_to"),
        superseded_by=fields.get("superseded_by"),
        conflicts=tuple(fields.get("conflicts", ())),
        settled_order=fields.get("settled", 0),
        sensitivity=fields["sensitivity"],
        trust=fields.get("trust", 1.0),
        quarantined=fields.get("quarantined", False),
    )


def _passages(fields: Mapping[str, Any], vector: Any) -> list[Passage]:
    """Return a record's passages; one whose vector is another embedder's, or none, is found as a whole."""
    return [Passage(*one) for one in passages_of(fields)] if vector.any() else []


def indexed_turn(record: TierRecord, fields: dict[str, Any], vector: Any) -> IndexedTurn:
    """Return a decoded record as the recall index takes it; terms of another analyzer are made anew."""
    content = fields["content"]
    fresh = fields["analyzer"] == text.ANALYZER
    return IndexedTurn(
        id=record.id,
        order=record.order,
        session=fields.get("session"),
        author=fields.get("author"),
        occurred_at_us=fields["occurred"][0],
        characters=len(content),
        terms=fields["terms"] if fresh else text.analyze(content).terms,
        vector=vector,
        question=text.is_question(content),
        signs=fields.get("signs", ()) if fresh else signs_of(content),
        zone_minutes=fields["occurred"][1],
        importance=fields["importance"],
        passages=_passages(fields, vector) if fresh and "passages" in fields else (),
    )


def is_current(row: MemoryRow, stored: Mapping[str, TierRecord]) -> bool:
    """Tell whether a memory's record is there, and none older than its row says."""
    record = stored.get(row.memory_id)
    return record is not None and record.version >= row.version


def lasting(record: TierRecord) -> TierRecord:
    """What is in cold has no expiry of its own; damage that looks like one must not end a memory."""
    return record if record.expires_at_us is None else replace(record, expires_at_us=None)
