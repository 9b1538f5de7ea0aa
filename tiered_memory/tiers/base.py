"""The narrow waist of the tiers: five verbs over opaque payloads, scoped to one subject."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tiered_memory.metrics import TierHeld


@dataclass(frozen=True, slots=True)
class SubjectRef:
    """What a tier may know of a subject.

    `pseudonym` is a keyed HMAC (32 bytes) and never an id; `generation` rises with each erasure; `incarnation`
    (16 random bytes) names the subject's cold table and is never used twice.
    """

    pseudonym: bytes
    generation: int
    incarnation: bytes


@dataclass(frozen=True, slots=True)
class TierRecord:
    """One record as a tier sees it.

    `id` is opaque (32 hex digits), `order` rises with each record of a subject, `version` with each correction
    of one record. `payload` is sealed wherever it may leave this process. `expires_at_us` (microseconds since
    1970) is judged by the reader against its own clock; tiers may drop a record earlier by their own TTL.
    """

    id: str
    order: int
    version: int
    payload: bytes
    expires_at_us: int | None = None


@runtime_checkable
class Tier(Protocol):
    """What every tier can do. Subjects never see each other's records.

    All methods are idempotent. Errors of the engine surface as this tier's `StorageError`.
    """

    @property
    def name(self) -> str:
        """Short name for metrics and receipts."""
        ...

    async def put(self, subject: SubjectRef, records: Sequence[TierRecord]) -> None:
        """Store records; the same id replaces an older or equal `version` and never a newer one."""
        ...

    async def scan(self, subject: SubjectRef, *, limit: int | None = None) -> list[TierRecord]:
        """Return what is held, highest `order` first, at most `limit` (>= 0) records."""
        ...

    async def remove(self, subject: SubjectRef, ids: Sequence[str]) -> int:
        """Remove records by id; unknown ids are ignored. Return how many were there."""
        ...

    async def drop(self, subject: SubjectRef) -> int:
        """Remove everything held for the subject; return how many records that was."""
        ...

    async def close(self) -> None:
        """Release what the tier holds; safe to call twice."""
        ...


@runtime_checkable
class SnapshotStore(Protocol):
    """An optional ability: keep one opaque blob per session, for a while."""

    async def save_snapshot(self, subject: SubjectRef, session: str, blob: bytes, ttl_seconds: float) -> None:
        """Keep `blob` under the session's pseudonym for `ttl_seconds` (> 0), replacing an older one."""
        ...

    async def load_snapshot(self, subject: SubjectRef, session: str) -> bytes | None:
        """Return the blob, or None when there is none or its time has passed."""
        ...


@runtime_checkable
class Measured(Protocol):
    """An optional ability: tell what is held, of all subjects, without reading it."""

    async def measure(self) -> TierHeld:
        """Return records and bytes; None for what cannot be told cheaply."""
        ...


@runtime_checkable
class Compacting(Protocol):
    """An optional ability: put together what many small writes have left in pieces."""

    async def compact_worn(self, most: int) -> int:
        """Compact up to `most` (>= 1) of what was written since it was compacted last; return how many.

        One that fails keeps no other waiting; it is raised at the end, and tried again by a later call.
        """
        ...


@dataclass(frozen=True, slots=True)
class Revealed:
    """What is stored of a record in clear: `vector` float32 of shape (d,), `tokens` one per occurrence of a term."""

    vector: NDArray[np.float32]
    tokens: tuple[str, ...]


Reveal = Callable[[SubjectRef, Sequence[TierRecord]], Awaitable[Sequence[Revealed]]]
"""Given a subject's sealed records returns what to store of each in clear, in order."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A question as the engine's indexes take it; each arm nominates `limit` (>= 1) rows."""

    vector: NDArray[np.float32]
    tokens: Collection[str]
    limit: int
