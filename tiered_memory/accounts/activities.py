"""Records of processing activities (GDPR Art. 30(1)), made from the facts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tiered_memory.accounts.facts import Facts, PurposeFacts
from tiered_memory.plurals import counted, in_days

RIGHTS = (
    "access and portability (export)",
    "rectification (update)",
    "erasure (erase), with a certificate",
    "restriction (restrict)",
    "objection (object)",
    "withdrawal of consent (consent withdraw)",
    "review of decisions (decisions review)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One processing activity. What the configuration does not say is named in `to_complete`."""

    purpose: str
    lawful_basis: str
    documentation: str | None
    data_subjects: str
    data_categories: tuple[str, ...]
    most_sensitive: str
    recipients: tuple[str, ...]
    transfers: str
    erasure_limits: tuple[str, ...]
    subjects: int
    memories: int
    to_complete: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activities:
    """The record: the controller, the activities, and the measures of Art. 32 that hold for all."""

    at: datetime
    controller: str | None
    contact: str | None
    policy: str
    activities: tuple[Activity, ...]
    measures: tuple[str, ...]
    rights: tuple[str, ...]
    directories: int = 1
    directories_unread: int = 0
    """Tenants' own directories that are not in it; see `Facts`."""


def activities(facts: Facts) -> Activities:
    """Return the record as the configuration and the store are now."""
    return Activities(
        at=facts.at,
        controller=facts.controller,
        contact=facts.contact,
        policy=facts.policy,
        activities=tuple(_activity(one, facts) for one in facts.purposes),
        measures=tuple(_measures(facts)),
        rights=RIGHTS,
        directories=facts.directories,
        directories_unread=facts.directories_unread,
    )


def _activity(purpose: PurposeFacts, facts: Facts) -> Activity:
    missing = [
        name
        for name, value in (
            ("controller", facts.controller),
            ("contact", facts.contact),
            ("data_categories", purpose.data_categories),
            ("recipients", purpose.recipients),
            ("jurisdiction", facts.jurisdiction),
        )
        if not value
    ]
    return Activity(
        purpose=purpose.name,
        lawful_basis=purpose.lawful_basis,
        documentation=purpose.documentation,
        data_subjects="people who talk to the agent, and whoever they speak of",
        data_categories=purpose.data_categories,
        most_sensitive=purpose.max_sensitivity,
        recipients=purpose.recipients,
        transfers=f"jurisdiction: {facts.jurisdiction}" if facts.jurisdiction else "not stated",
        erasure_limits=_limits(facts),
        subjects=purpose.subjects,
        memories=purpose.memories,
        to_complete=tuple(missing),
    )


def _limits(facts: Facts) -> tuple[str, ...]:
    return tuple(
        f"{one.record_class}: "
        + ("no end" if one.ceiling_days is None else f"at most {in_days(one.ceiling_days)}")
        + (f", at least {one.floor_days:g}" if one.floor_days is not None else "")
        for one in facts.retention
    )


def _measures(facts: Facts) -> Sequence[str]:
    logged = "who read what sort of memories is logged" if facts.reads_logged else "reads are not logged"
    masked = ", ".join(f"{level}: {mode}" for level, mode in facts.pii_modes.items())
    return (
        "content and everything computed from it is sealed (AES-256-GCM-SIV), one key per person and purpose",
        f"root key from: {facts.key_provider}; {counted(facts.epochs, 'key epoch')} in use",
        "identifiers appear as keyed pseudonyms outside the seals",
        f"roles: {', '.join(facts.access) or 'none'}; {logged}",
        "a signed Merkle ledger of what was done, verified without the store",
        f"personal data in what is written: {masked}; secrets are never stored",
        "erasure destroys keys first and is certified; backups follow the erased list",
    )
