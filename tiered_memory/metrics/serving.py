"""Facts about calls: what they came to, where they went, what they asked of tiers and models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class RequestDone:
    """A call of the public face ended after `seconds` with "ok" or the name of an error class."""

    op: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Routed:
    """The router chose `target` for an interaction of `importance` (0..1), for `reason`."""

    target: str
    reason: str
    importance: float


@dataclass(frozen=True, slots=True)
class TierLookup:
    """A read asked a tier and found something (`hit`) or nothing, after `seconds` (None: not measured)."""

    tier: str
    hit: bool
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Embedded:
    """The embedder turned `texts` (a count) into vectors in `seconds`."""

    texts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ContextPacked:
    """A context of `tokens` was packed."""

    tokens: int


@dataclass(frozen=True, slots=True)
class AccessDenied:
    """The policy's access table refused a caller's role an `action`: "search", "read", "write" and the like."""

    action: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A memory was put apart, for a `reason`: "injection", "caller" and the like."""

    reason: str


@dataclass(frozen=True, slots=True)
class RecallIndexState:
    """How many users' recall indexes are in RAM, and their size in bytes."""

    users: int
    bytes: int


@dataclass(frozen=True, slots=True)
class LoopLag:
    """A task of the event loop woke `seconds` later than it asked for."""

    seconds: float


ServingFact: TypeAlias = (
    RequestDone
    | Routed
    | TierLookup
    | Embedded
    | ContextPacked
    | AccessDenied
    | Quarantined
    | RecallIndexState
    | LoopLag
)
