"""What a person is told besides what is held (GDPR Art. 13, 14, 15): notices, rights, retention, objections. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tiered_memory.model import Sensitivity
from tiered_memory.policy.rules import Policy


@dataclass(frozen=True, slots=True)
class RightOffered:
    """A right of the person, its article in the GDPR, and the call that serves it."""

    right: str
    article: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeSeen:
    """A notice the person was shown on deciding about a purpose; `details` is what else was recorded with it."""

    notice: str
    purpose: str
    action: str
    at: datetime
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionShown:
    """How long a sensitivity is kept in days from when it came; None: no bound of that sort."""

    sensitivity: str
    at_least_days: float | None
    at_most_days: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectionShown:
    """An objection (Art. 21) as it was recorded."""

    status: str
    at: datetime
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedIn:
    """A shared memory in which the person took part, for a purpose; `name` is "" for whoever is not the person.

    `reference` is what the person is called there. An access that was revoked since is among them.
    """

    name: str
    purpose: str
    reference: str
    since: datetime


RIGHTS = (
    RightOffered("to be informed", "13, 14", "user.about()"),
    RightOffered("access", "15", 'user.requests.open("access")'),
    RightOffered("rectification", "16", "user.update(id, content, reason=...)"),
    RightOffered("erasure", "17", "user.delete(id), user.erase(reason=...)"),
    RightOffered("restriction", "18", "user.rights.restrict(reason=...)"),
    RightOffered("portability", "20", 'user.requests.open("portability")'),
    RightOffered("objection", "21", 'user.requests.open("objection")'),
    RightOffered("review of automated decisions", "22", "user.decisions.request_review(id, reason=...)"),
    RightOffered("withdrawal of consent", "7(3)", "user.consent.withdraw(purpose)"),
)
"""What every user may ask for, and where."""


def retention_shown(policy: Policy) -> tuple[RetentionShown, ...]:
    """Return how long each sensitivity is kept under a policy, the least harmful first."""
    return tuple(
        RetentionShown(
            sensitivity=level.value,
            at_least_days=policy.retention[level].floor_days,
            at_most_days=policy.retention[level].ceiling_days,
        )
        for level in Sensitivity
    )


def next_leaving(deadlines: Iterable[int | None]) -> int | None:
    """Return the earliest of moments in microseconds; None when none is set."""
    return min((one for one in deadlines if one is not None), default=None)
