"""What the acting modules share: the engines behind their seams, and the values nobody may read twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import anyio

from tiered_memory.ballast import Ballast
from tiered_memory.clock import Clock, Entropy, to_us
from tiered_memory.crypto.envelope import Place, SealContext, SealingKey
from tiered_memory.crypto.guards import GuardFolder
from tiered_memory.crypto.keyring import Keyring, Pseudonyms
from tiered_memory.embedding.base import Embedder
from tiered_memory.forget_model import ForgetBatch
from tiered_memory.forgetting.decay import Curve
from tiered_memory.forgetting.retention import Kept, kept
from tiered_memory.highwater import Mark
from tiered_memory.marks import Marks
from tiered_memory.metrics import Observer
from tiered_memory.model import Sensitivity
from tiered_memory.notary import Notary
from tiered_memory.policy.pii_types import Span
from tiered_memory.policy.rules import Policy
from tiered_memory.privacy.holds import HoldBook
from tiered_memory.scoring.supersession import Judgement, Statement
from tiered_memory.scoring.tokens import TokenCounter
from tiered_memory.state.base import MemoryRow, StateStore
from tiered_memory.state.commands import GetSubject, Position
from tiered_memory.tenant_book import TenantBook
from tiered_memory.terms import TermsBook
from tiered_memory.tiers.base import Probe, Reveal, SubjectRef, Tier, TierRecord
from tiered_memory.tiers.session_tier import SessionTier

ForgetHook = Callable[[ForgetBatch], Awaitable[Collection[str] | None]]
"""Asked before decay takes memories of a subject: returns the ids to keep, or None to keep none.

It is not asked about ceilings, ended undo windows, quotas and rights. When it raises, or does not answer within
`forget_hook_seconds`, decay takes nothing in that run. It runs in the event loop: what blocks, blocks everything.
"""

PiiHook = Callable[[str], Awaitable[str]]
"""Given an interaction's text, returns the text to keep: the place for masking personal data."""


class PiiRecogniser(Protocol):
    """Finds personal data that needs a model (names, addresses), beside what the rules find."""

    async def find(self, text: str) -> Sequence[Span]:
        """Return spans of `text`, in any order; what overlaps a surer one, or a placeholder, is left out."""
        ...


class SupersessionHook(Protocol):
    """Judges in the rules' place what a new statement is to each of a few held ones: the place for a model."""

    async def __call__(self, new: Statement, held: Sequence[Statement]) -> Sequence[Judgement]:
        """Return one judgement per held statement, in order; a failure, or another number, leaves it to the rules."""
        ...


class ColdTier(Tier, Protocol):
    """A tier that keeps what it acknowledged and can show that nothing is left."""

    async def append(self, subject: SubjectRef, records: Sequence[TierRecord]) -> None:
        """Store records that were never given to this tier before: cheaper than `put`, which compares."""
        ...

    async def copy(self, subject: SubjectRef, folder: Path) -> None:
        """Copy what is stored of the subject into `folder`, as it is at one moment."""
        ...

    async def scrub(self, subject: SubjectRef) -> None:
        """Rewrite what is stored, so that no byte of what was replaced stays in the subject's files."""
        ...

    def exists(self, subject: SubjectRef) -> bool:
        """Tell whether anything of the subject's files is there."""
        ...


class HotTier(Tier, Protocol):
    """A tier with a TTL that also keeps session snapshots."""

    @property
    def up(self) -> bool:
        """Whether its last calls were answered."""
        ...

    async def save_snapshot(self, subject: SubjectRef, session: str, blob: bytes, ttl_seconds: float) -> None:
        """See `SnapshotStore`."""
        ...

    async def load_snapshot(self, subject: SubjectRef, session: str) -> bytes | None:
        """See `SnapshotStore`."""
        ...


class Candidates(Protocol):
    """What indexed mode asks of the cold tier besides; `reveal` says what it may keep in clear."""

    reveal: Reveal

    async def probe(self, subject: SubjectRef, probe: Probe) -> list[TierRecord]:
        """Return the records that the engine's indexes nominate, and those next to them."""
        ...

    async def fetch(self, subject: SubjectRef, ids: Sequence[str]) -> list[TierRecord]:
        """Return the records of these ids, those that there are."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds the operator may set; units last in the names."""

    max_content_bytes: int
    active_users_mib: int
    journal_records: int
    flush_age_seconds: float
    flush_records: int
    commit_deadline_seconds: float
    idempotency_hours: float
    strength_weight: float
    indexed_above: int | None = None
    forget_hook_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The engines and rules one runtime works with."""

    state: StateStore
    cold: ColdTier
    hot: HotTier
    warm: SessionTier
    embedder: Embedder
    policy: Policy
    policy_version: str
    curve: Curve
    clock: Clock
    entropy: Entropy
    observer: Observer
    keyring: Keyring
    guards: GuardFolder
    names: Pseudonyms
    count_tokens: TokenCounter
    limits: Limits
    ballast: Ballast
    marks: Marks
    notary: Notary
    incarnation: str
    indexed: Candidates | None = None
    pii: PiiHook | None = None
    recogniser: PiiRecogniser | None = None
    before_forget: ForgetHook | None = None
    supersession: SupersessionHook | None = None
    holds: HoldBook = field(default_factory=HoldBook)
    terms: TermsBook = field(default_factory=TermsBook)
    holding: anyio.Lock = field(default_factory=anyio.Lock)
    """Held while holds change, and while keys end of which holds may need copies: neither sees the other half done."""

    rooting: anyio.Lock = field(default_factory=anyio.Lock)
    """Held while what the root key wraps is wrapped anew, and while an archive is made of it."""

    def kept_of(self, row: MemoryRow) -> Kept:
        """Return how long a memory is kept at least and at most, and by which rules."""
        return kept(
            self.policy,
            sensitivity=Sensitivity(row.sensitivity),
            kind=row.kind,
            purpose=row.purpose,
            ingested_us=row.ingested_us,
            terms=self.terms.of(row.subject),
        )

    tenancy: TenantBook = field(default_factory=TenantBook)
    hot_address: str = "local"

    def now_us(self) -> int:
        """Return the clock's moment in microseconds since 1970; read once per operation."""
        return to_us(self.clock.now())

    async def mark(self) -> None:
        """Note outside the state store how far it has come; on disk when this returns."""
        position = await self.state.read(Position())
        await self.marks.note(Mark(self.incarnation, *position, checkpoints=self.notary.listed))

    async def learn_tenants(self, subjects: Iterable[bytes]) -> None:
        """See to it that the terms of these persons can be told: where a tenant has a ceiling of its own."""
        for subject in subjects:
            if not self.terms.knows_tenant_of(subject):
                row = await self.state.read(GetSubject(subject))
                if row is not None:
                    self.terms.belongs(subject, row.tenant)

    def new_id(self) -> str:
        """Return an opaque id: 32 hex digits of chance."""
        return self.entropy.token(16).hex()


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals and opens the records of one subject under one key."""

    tenant: bytes
    ref: SubjectRef
    purpose: str
    key: SealingKey

    def context(self, place: Place, record_id: str, *, order: int = 0, version: int = 0) -> SealContext:
        """Return where a value of this subject belongs."""
        return SealContext(
            self.tenant,
            self.ref.pseudonym,
            place,
            record_id,
            self.purpose,
            generation=self.ref.generation,
            order=order,
            version=version,
        )

    def open(self, place: Place, record: TierRecord) -> bytes:
        """Return a record's plaintext; raises CorruptionError when it does not verify."""
        return self.key.open(
            record.payload, self.context(place, record.id, order=record.order, version=record.version)
        )


def chunks(items: Sequence[str], size: int) -> list[Sequence[str]]:
    """Return `items` in runs of at most `size`."""
    return [items[i : i + size] for i in range(0, len(items), size)]
