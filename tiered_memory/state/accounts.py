"""What reports ask of the state store."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.state.base import Read


@dataclass(frozen=True, slots=True)
class PurposeTotals:
    """How many memories are held for a purpose, of how many people."""

    purpose: str
    subjects: int
    memories: int


@dataclass(frozen=True, slots=True)
class HeldByPurpose(Read[list[PurposeTotals]]):
    """Every purpose that anything is held for, in any state."""
