"""What indexed mode asks of the state store: some of a subject's memories, never all of them."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.state.base import MemoryRow, Read


@dataclass(frozen=True, slots=True)
class MemoryRows(Read[list[MemoryRow]]):
    """The rows of these memories, of those that there are, in any state."""

    subject: bytes
    memory_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A memory's id and its order."""

    memory_id: str
    order: int


@dataclass(frozen=True, slots=True)
class MemoryPage(Read[list[Placed]]):
    """Up to `limit` active memories of an order below `before`, highest first."""

    subject: bytes
    before: int
    limit: int


@dataclass(frozen=True, slots=True)
class ResidentRows(Read[list[MemoryRow]]):
    """A subject's active memories that stay in RAM: confidential, restricted, or of a profile."""

    subject: bytes


@dataclass(frozen=True, slots=True)
class Importances(Read[list[float]]):
    """The importance of each of a subject's memories, in any state and order."""

    subject: bytes
