"""What callers give to and get from holds, retention events and purge runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldScope:
    """What a hold covers: memories to which every part that is given applies; at least one must be.

    A `user` is one of `tenant` (default "default"), `memory_ids` are that user's.
    """

    tenant: str | None = None
    user: str | None = None
    memory_ids: frozenset[str] = frozenset()
    purpose: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold: who asked for it and why, what it covers, on which ground of GDPR Art. 17(3) it outlives an erasure.

    `memories` says, where it is known, how many memories the call marked or freed; `kept` how many copies of records
    it keeps whose persons were erased, or withdrew their consent.
    """

    name: str
    scope: HoldScope
    owner: str
    reason: str
    ground: str
    placed_at: datetime
    review_at: datetime
    status: str
    released_at: datetime | None = None
    released_because: str | None = None
    memories: int | None = None
    kept: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeRun:
    """A forgetting cycle that took something: how many by what happened, sensitivity and rule. Never content."""

    at: datetime
    counts: Mapping[str, int]
