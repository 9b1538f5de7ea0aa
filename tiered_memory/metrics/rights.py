"""Facts about forgetting and about people's rights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class ForgetCycle:
    """One forgetting run: how many memories it looked at, hid, removed for good, and left as protected, by why."""

    evaluated: int
    forgotten: int
    purged: int
    protected: Mapping[str, int]
    seconds: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "protected", MappingProxyType(dict(self.protected)))


@dataclass(frozen=True, slots=True)
class MemoryMoved:
    """One memory was "forgotten", "evicted" (forgotten for its user's quota), "purged" or "restored", by a rule."""

    change: str
    rule: str


@dataclass(frozen=True, slots=True)
class HookAnswered:
    """The application was asked before forgetting: "ok", "timeout" or "error"; it kept `vetoed` memories."""

    outcome: str
    vetoed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Reindexed:
    """After a policy change `records` deadlines were computed anew; `remaining` still follow another policy."""

    records: int
    remaining: int


@dataclass(frozen=True, slots=True)
class ErasureDone:
    """An erasure ended as "verified", "incomplete" or "failed"; `phases` gives the seconds of each of its phases.

    They are "fence" (the keys are destroyed, nobody writes any more), "tiers" (emptied, and looked at again), "close"
    (the ledger), "certificate" (its proof), and "all".
    """

    outcome: str
    phases: Mapping[str, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", MappingProxyType(dict(self.phases)))


@dataclass(frozen=True, slots=True)
class ConsentChanged:
    """A consent event was recorded: "given", "refused", "withdrawn", "expired" or "renewed"."""

    state: str


@dataclass(frozen=True, slots=True)
class StrengthsSeen:
    """How strong (0..1) the memories were that a forgetting run looked at: a part of them, of one person."""

    strengths: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PurgeRunNoted:
    """A forgetting run that took something was noted in the ledger: how many memories went for good or are hidden."""

    purged: int
    forgotten: int


@dataclass(frozen=True, slots=True)
class DsarDone:
    """A person's right was answered after `seconds`: an "export", an "about", or a registered "request" (its age)."""

    kind: str
    seconds: float


@dataclass(frozen=True, slots=True)
class OldestOverdueDeletion:
    """How long the oldest deletion is overdue, in seconds; 0 when none is."""

    seconds: float


ForgettingFact: TypeAlias = (
    ForgetCycle
    | StrengthsSeen
    | PurgeRunNoted
    | MemoryMoved
    | HookAnswered
    | Reindexed
    | OldestOverdueDeletion
)
RightsFact: TypeAlias = ErasureDone | ConsentChanged | DsarDone
