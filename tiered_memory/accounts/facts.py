"""What an account of the processing is made from: the live configuration and the ledger, as frozen values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PurposeFacts:
    """A purpose of the policy and what is held for it now. Days are None where nothing bounds them."""

    name: str
    lawful_basis: str
    documentation: str | None
    max_sensitivity: str
    data_categories: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    subjects: int = 0
    memories: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionFacts:
    """How long one class of records is kept, in days, and the rules that say so."""

    record_class: str
    floor_days: float | None
    ceiling_days: float | None
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """What the ledger recorded in the period, and whether all of it verifies."""

    sound: bool
    problems: tuple[str, ...]
    entries: int
    covered: int
    events: Mapping[str, int] = field(default_factory=dict)
    """Entries of the period by event."""
    people: int = 0
    """Distinct subjects (commitments) in the period."""
    actors: int = 0
    """Distinct actors (commitments) in the period; one who acted in two directories counts in each."""
    agents: int = 0
    first: datetime | None = None
    last: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything a judgement goes by, at one moment. Counts are of now, `ledger` is of the period."""

    at: datetime
    since: datetime
    until: datetime
    policy: str
    controller: str | None
    contact: str | None
    jurisdiction: str | None
    purposes: tuple[PurposeFacts, ...]
    retention: tuple[RetentionFacts, ...]
    undo_days: float
    pii_modes: Mapping[str, str]
    card_mode: str
    access: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Role to action to the levels it covers."""
    reads_logged: bool
    notices: int
    require_notice: bool
    requests_open: int
    requests_overdue: int
    holds: int
    holds_to_review: int
    erasures_unfinished: int
    oldest_removal_overdue_seconds: float
    key_provider: str
    epochs: int
    oldest_epoch_days: float | None
    hot_is_encrypted_in_transit: bool
    tenants: int
    indexed_above: int | None
    guard_on: bool
    ledger: LedgerFacts
    directories: int = 1
    """How many data directories it is about: the store's, and those that tenants have of their own."""
    directories_unread: int = 0
    """How many tenants' own directories are not in it: they are not open."""

    def event(self, name: str) -> int:
        """Return how often the ledger recorded an event in the period."""
        return self.ledger.events.get(name, 0)
