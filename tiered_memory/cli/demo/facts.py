"""What a demo has seen, act by act: frozen values, told by `render` and written out as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeAlias

from tiered_memory.analytics.duckdb_views import Stats
from tiered_memory.model import Certificate, Explanation, Hit, Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What was started, in `seconds`; `hot`, `state`, `cold` say where each store lives."""

    seconds: float
    conversation: str
    turns: int
    first: datetime
    last: datetime
    user: str
    data_dir: str
    temporary: bool
    hot: str
    state: str
    cold: str
    embedder: str
    dimensions: int
    policy: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeConsent:
    """An interaction without a lawful basis, the refusal to promise more, and the consent that follows."""

    content: str
    receipt: Receipt
    refusal: str
    purpose: str
    notice: str
    consented_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where one turn went. `seed_importance` and `seed_kept` are the seed's own figures for its five lines."""

    content: str
    author: str
    importance: float
    tier: str
    reasons: tuple[str, ...]
    routing: str
    seed_importance: float | None = None
    seed_kept: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A memory that was used along the way, and how long it lasts for that, in days since it was stored."""

    content: str
    importance: float
    spaced_uses: float
    lasts_days: float
    untouched_days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """The conversation as it came in; `by_tier` counts turns by the deepest tier they reached."""

    turns: int
    seconds: float
    virtual_days: int
    by_tier: Mapping[str, int]
    by_durability: Mapping[str, int]
    decisions: tuple[Decision, ...]
    forget_cycles: int
    forgotten: int
    removed: int
    contexts: int
    used: tuple[Used, ...]
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A question, what it found, and how long that took."""

    question: str
    why: str
    hits: tuple[Hit, ...]
    milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Searches:
    """Two questions."""

    searches: tuple[Search, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece of a context, or one that was left out for `reason`."""

    section: str
    tokens: int
    content: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A context within its budget, and what is not in it: the first few and all of them counted by reason."""

    question: str
    session: str | None
    tokens: int
    token_budget: int
    pieces: tuple[Piece, ...]
    left_out: tuple[Piece, ...]
    left_out_by_reason: Mapping[str, int]
    milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Faded:
    """One memory's strength at the end of each month; None once it is forgotten."""

    id: str
    content: str
    importance: float
    used: bool
    strengths: tuple[float | None, ...]
    deadline: datetime | None
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One month: how many memories were forgotten and removed, by reason, and how many are left."""

    ends: date
    forgotten: int
    removed: int
    reasons: Mapping[str, int]
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A memory that a dry run announced, with the rule and what is known of it."""

    content: str
    importance: float
    strength: float
    age_days: int
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """A forgotten memory that was restored."""

    content: str
    strength_before: float
    strength_after: float
    undo_until: datetime | None
    found_again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fading:
    """Months without conversation: a dry run, forgetting, one restored, and strengths over time."""

    months: tuple[Month, ...]
    memories: tuple[Faded, ...]
    dry_run_forgotten: int
    cycle_forgotten: int
    announced: tuple[Gone, ...]
    undone: Undone | None
    braked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Why one memory is kept."""

    explanation: Explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Statistics over everything held, and how long they took."""

    stats: Stats
    milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What lies in the stores, and how often each marker was found in it in clear, in any decoding.

    `analytics_rows` are the memories the statistics projection counts, each under a pseudonym.
    """

    files: int
    bytes: int
    cold_tables: int
    redis_keys: int
    analytics_rows: int
    values_decoded: int
    found: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """An erasure, and the search for what it may have left."""

    user: str
    markers: tuple[str, ...]
    hits_before: Mapping[str, int]
    hits_after: Mapping[str, int]
    listed_before: int
    listed_after: int
    traces_before: Traces
    traces_after: Traces
    leftovers: int
    milliseconds: float
    certificate: Certificate
    signature_verified: bool
    altered_certificate_refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """How long it all took, and the middle durations of the calls."""

    seconds: float
    virtual_days: int
    median_milliseconds: Mapping[str, float]
    calls: Mapping[str, int]


Act: TypeAlias = (
    Opening
    | BeforeConsent
    | Streaming
    | Searches
    | Packed
    | Fading
    | Explained
    | Statistics
    | Erasure
    | Closing
)
NAMES: Mapping[type, str] = {
    Opening: "opening",
    BeforeConsent: "before_consent",
    Streaming: "streaming",
    Searches: "searches",
    Packed: "context",
    Fading: "fading",
    Explained: "explain",
    Statistics: "stats",
    Erasure: "erasure",
    Closing: "closing",
}
"""What each act is called in the document."""


def document(acts: list[Act]) -> dict[str, Any]:
    """Return all acts as one document."""
    from tiered_memory.cli.output import plain
    from tiered_memory.cli.reading import stats_document

    found: dict[str, Any] = {}
    for act in acts:
        if isinstance(act, Statistics):
            found[NAMES[type(act)]] = {
                "stats": stats_document(act.stats),
                "milliseconds": act.milliseconds,
            }
        else:
            found[NAMES[type(act)]] = plain(act)
    return {"demo": 1, "acts": found}
