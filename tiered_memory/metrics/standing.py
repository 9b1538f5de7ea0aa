"""How a store stands: what a look at it found. Of each kind the newest holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class TierHeld:
    """What one tier holds: records, and their bytes as sealed. None is what the tier cannot tell cheaply."""

    records: int | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class RecordsStanding:
    """What each tier holds, and how many memories stand past their deadline."""

    tiers: Mapping[str, TierHeld]
    overdue: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "tiers", MappingProxyType(dict(self.tiers)))


@dataclass(frozen=True, slots=True)
class ConsentsStanding:
    """How many consents (one for each person and purpose) stand in each state."""

    states: Mapping[str, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "states", MappingProxyType(dict(self.states)))


@dataclass(frozen=True, slots=True)
class RequestsStanding:
    """Registered requests of people that are open, those past their due date, and seconds until the next is due.

    `next_due_seconds` is 0 when one is overdue, None when none is open.
    """

    open: int
    overdue: int
    next_due_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class HoldsStanding:
    """How many legal holds are in force."""

    active: int


@dataclass(frozen=True, slots=True)
class KeysStanding:
    """Age of the oldest key epoch that still wraps keys, and of the root key; None when there is none to tell."""

    oldest_epoch_seconds: float | None
    root_key_seconds: float | None


@dataclass(frozen=True, slots=True)
class LedgerStanding:
    """Entries in the ledger, and since when the oldest of those without a checkpoint waits: 0 when all are signed."""

    entries: int
    checkpoint_age_seconds: float | None


@dataclass(frozen=True, slots=True)
class DiskStanding:
    """The file system of the data directory: bytes free for this process, and its size."""

    free_bytes: int
    size_bytes: int


StandingFact: TypeAlias = (
    RecordsStanding
    | ConsentsStanding
    | RequestsStanding
    | HoldsStanding
    | KeysStanding
    | LedgerStanding
    | DiskStanding
)
