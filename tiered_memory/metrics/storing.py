"""Facts about the tiers and the journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class TierUp:
    """A tier became reachable (`up`) or stopped being so."""

    tier: str
    up: bool


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """The breaker before a tier is now "closed", "open" or "half_open"."""

    tier: str
    state: str


@dataclass(frozen=True, slots=True)
class JournalState:
    """What waits in the journal: its records, their bytes, and the age of the oldest (0 when empty)."""

    records: int
    bytes: int
    oldest_unapplied_seconds: float


@dataclass(frozen=True, slots=True)
class JournalCommitted:
    """One group commit made `records` durable in `seconds`, fsync included."""

    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Flushed:
    """`records` of the journal reached the cold tier in `seconds`."""

    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Recovered:
    """Opening replayed `records` of the journal in `seconds`."""

    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CorruptionDetected:
    """Bytes of `store` did not verify."""

    store: str


StoringFact: TypeAlias = (
    TierUp | BreakerChanged | JournalState | JournalCommitted | Flushed | Recovered | CorruptionDetected
)
