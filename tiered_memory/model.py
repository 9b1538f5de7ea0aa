"""The words of the runtime: small frozen values, one sense each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from tiered_memory.fencing import fenced, on_one_item


class Role(StrEnum):
    """Who speaks in an interaction."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


class Kind(StrEnum):
    """What sort of memory this is (after Tulving's division, as agent frameworks use it)."""

    SEMANTIC = "semantic"
    PROFILE = "profile"
    EPISODIC = "episodic"
    PROCEDURAL = "procedural"


class Sensitivity(StrEnum):
    """How much harm disclosure would do, least first."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"


class LawfulBasis(StrEnum):
    """The grounds of GDPR Art. 6(1)(a)-(f)."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGAL_OBLIGATION = "legal_obligation"
    VITAL_INTERESTS = "vital_interests"
    PUBLIC_TASK = "public_task"
    LEGITIMATE_INTERESTS = "legitimate_interests"


class SourceKind(StrEnum):
    """Where a memory's text came from."""

    USER = "user"
    AGENT = "agent"
    TOOL = "tool"
    DOCUMENT = "document"
    IMPORT = "import"


class Durability(StrEnum):
    """What a receipt promises, weakest first."""

    EPHEMERAL = "ephemeral"
    """In RAM and hot only, under keys that exist in RAM only: gone with the session."""
    SESSION = "session"
    """Fsynced in the session's sealed tail: outlives the process, not the session."""
    JOURNALED = "journaled"
    """Fsynced in the state store's journal: outlives the process, on its way to cold."""


class TierName(StrEnum):
    """The tiers a memory can be in."""

    HOT = "hot"
    WARM = "warm"
    COLD = "cold"


@dataclass(frozen=True, slots=True)
class Subject:
    """The person (or thing) a memory is about and belongs to: the scope of every call."""

    tenant: str
    user: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a memory came from and what it was derived from.

    Of an import, `origin_id` is the id it had where it was exported, and `origin_source` where it came from there.
    """

    source: SourceKind = SourceKind.USER
    channel: str | None = None
    model: str | None = None
    derived_from: tuple[str, ...] = ()
    merged_from: tuple[str, ...] = ()
    origin_id: str | None = None
    origin_source: SourceKind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One message given to the runtime.

    `occurred_at` is aware; its offset is kept, because "yesterday" is a word of the speaker's time zone.
    `importance` (0..1) overrides the scorer when given.
    """

    content: str
    role: Role = Role.USER
    author: str | None = None
    session: str | None = None
    agent: str | None = None
    occurred_at: datetime | None = None
    kind: Kind = Kind.EPISODIC
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    importance: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True)
class Repeat:
    """Another time that the same was said: `id` and `order` are those of the interaction that was merged."""

    id: str
    order: int
    occurred_at: datetime
    session: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is kept of an interaction. `importance` is 0..1; times are aware; `id` is opaque.

    It was so from `valid_from` (else `occurred_at`) until `valid_to` (exclusive; None: it still is), when
    `superseded_by` took its place for the reason `superseded_because`; `supersedes` and `conflicts_with` name older
    memories. `repeats` are the newest 50 times it was said again.
    """

    id: str
    order: int
    version: int
    content: str
    role: Role
    kind: Kind
    importance: float
    reasons: tuple[str, ...]
    sensitivity: Sensitivity
    purpose: str
    lawful_basis: LawfulBasis | None
    occurred_at: datetime
    ingested_at: datetime
    author: str | None = None
    session: str | None = None
    agent: str | None = None
    data_category: str = "conversation"
    language: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    superseded_by: str | None = None
    superseded_because: str | None = None
    supersedes: tuple[str, ...] = ()
    conflicts_with: tuple[str, ...] = ()
    repeats: tuple[Repeat, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    trust: float = 1.0
    quarantined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Narrows a search or a listing; every given field must match.

    `sessions`, `since` (inclusive) and `until` (exclusive) must hold together for one of the times it was said,
    first or again; `metadata` entries must be equal. What is superseded does not match, unless `include_superseded`; with `as_of`, what held good at that moment matches.
    What is quarantined is listed with `include_quarantined` alone; a search finds it never.
    """

    kinds: frozenset[Kind] | None = None
    roles: frozenset[Role] | None = None
    sessions: frozenset[str] | None = None
    agents: frozenset[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    min_importance: float | None = None
    as_of: datetime | None = None
    include_superseded: bool = False
    include_quarantined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a write returns: where the interaction went, how durable it is, and why."""

    id: str
    operation_id: str
    importance: float
    reasons: tuple[str, ...]
    tiers: tuple[TierName, ...]
    durability: Durability
    routing: str
    repeated: bool = False
    quarantined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One search result: `score` is comparable within one search; `terms` add up to it.

    `conflicts_with` names memories that say otherwise, older or newer; in one list the newer stands above the older.
    """

    memory: Memory
    score: float
    terms: Mapping[str, float]
    strength: float
    tier: TierName
    conflicts_with: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One of the memories that took each other's place, with the time it held good and why that ended.

    A corrected memory has an entry per version: `corrected_at` (None: the present one), `reason` and `corrected_by`
    say how a former one ended; its text is empty where `text_kept` is False.
    """

    memory: Memory
    valid_from: datetime
    valid_to: datetime | None
    superseded_by: str | None
    reason: str | None
    corrected_at: datetime | None = None
    corrected_by: str | None = None
    text_kept: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextItem:
    """One piece of a packed context. `source` names where a text came from that is to be read as data only."""

    section: str
    content: str
    role: Role
    tokens: int
    occurred_at: datetime | None
    author: str | None = None
    memory_id: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What did not fit, and why."""

    section: str
    memory_id: str | None
    tokens: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Text for a prompt: `tokens` never exceeds `token_budget`."""

    items: tuple[ContextItem, ...]
    left_out: tuple[LeftOut, ...]
    tokens: int
    token_budget: int

    def render(self) -> str:
        """Return the context as plain text, each item from a line of its own on, oldest section first."""
        return "\n".join(_line(item) for item in self.items)

    def messages(self) -> list[dict[str, str]]:
        """Return the context as role/content messages in order."""
        return [
            {"role": item.role.value, "content": fenced(item.content, item.source)} for item in self.items
        ]


def _line(item: ContextItem) -> str:
    when = f"[{item.occurred_at:%Y-%m-%d}] " if item.section == "recalled" and item.occurred_at else ""
    return f"{when}{item.author or item.role.value}: {on_one_item(fenced(item.content, item.source))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a memory is kept and until when. `strength` is 0..1 now; `forget_at` is where it crosses the threshold.

    Where a floor or a ceiling decides, `retention_rule` is the policy's rule that set it, `retention_basis` what that
    rests on, if the rule says so.
    """

    memory: Memory
    strength: float
    forget_at: datetime | None
    deadline: datetime | None
    deadline_rule: str
    half_life_days: float
    spaced_uses: float
    last_used_at: datetime
    state: str
    tiers: tuple[TierName, ...]
    policy: str
    retention_rule: str | None = None
    retention_basis: str | None = None


@dataclass(frozen=True, slots=True)
class TierErasure:
    """What erasure found and removed in one tier."""

    tier: str
    records: int
    method: str
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Proof of an erasure. It holds no content and no raw id.

    `subject_commitment` is an HMAC-SHA-256 of the subject under `salt`; only the receiver of this certificate
    has the salt. From `format` 2 on `ledger_path` (hex) proves that `ledger_entry`, the ledger's leaf of this
    erasure at index `ledger_leaf`, is in the ledger whose head `ledger_checkpoint` signs; empty where nothing
    durable was held, or where the ledger could not be read.
    """

    id: str
    requested_at: datetime
    finished_at: datetime
    reason: str
    generation: int
    subject_commitment: str
    salt: str
    keys_destroyed: int
    tiers: tuple[TierErasure, ...]
    retained: tuple[str, ...]
    verified: bool
    software_version: str
    ledger_leaf: str
    public_key: str
    signature: str
    format: int = 1
    ledger_entry: str = ""
    ledger_path: tuple[str, ...] = ()
    ledger_checkpoint: str = ""
