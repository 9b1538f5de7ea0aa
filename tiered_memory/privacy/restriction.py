"""Restriction of processing (GDPR Art. 18): what is restricted is stored, and nothing else may happen to it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

OPEN_OPS = frozenset(
    {"about", "consent_grant", "consent_withdraw", "consents", "damaged", "erase", "export", "hold", "rights"}
)
"""Calls that serve the person's rights; every other one, and one that nobody thought of, processes."""
READING_OPS = frozenset({"context", "explain", "get", "history", "list", "search"})
"""Calls whose answer is discarded when the restriction came while they were at work: what they hand over is content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """A restriction of a user's data, as it is recorded.

    `review_at` is when somebody should look whether it still has grounds; it does not end by itself, because the
    person is to be told before it is lifted (Art. 18(3)). `lifted_at` is None while it is in force.
    """

    id: str
    reason: str
    since: datetime
    review_at: datetime | None = None
    lifted_at: datetime | None = None
    lifted_because: str | None = None


def is_frozen(op: str, *, done: bool = False) -> bool:
    """Tell whether a restriction stands in the way of a call; fails closed for words it does not know.

    `done`: it began before and has its answer: a write that was committed says so, what was read is discarded.
    """
    return op in READING_OPS if done else op not in OPEN_OPS
