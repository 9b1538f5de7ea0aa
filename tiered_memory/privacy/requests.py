"""A person's request to exercise a right: what it is about, until when it is to be answered, what became of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tiered_memory.errors import InvalidInputError
from tiered_memory.privacy.deadlines import MONTHS, MOST_EXTENSION, due_at


class Right(StrEnum):
    """The rights a request may exercise, with their articles of the GDPR."""

    ACCESS = "access"
    """Art. 15."""
    RECTIFICATION = "rectification"
    """Art. 16."""
    ERASURE = "erasure"
    """Art. 17."""
    RESTRICTION = "restriction"
    """Art. 18."""
    PORTABILITY = "portability"
    """Art. 20."""
    OBJECTION = "objection"
    """Art. 21."""
    REVIEW = "review"
    """Art. 22(3): a person looks at an automated decision."""


class Outcome(StrEnum):
    """What became of a request. A refusal needs its reason (Art. 12(4))."""

    FULFILLED = "fulfilled"
    PARTLY = "partly_fulfilled"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it is kept. `due_at` is when its last day has passed; `months` is 1 and what it was extended by.

    `evidence` names what shows that it was fulfilled: a certificate's or an archive's id.
    """

    id: str
    right: Right
    received_at: datetime
    due_at: datetime
    months: int = MONTHS
    channel: str | None = None
    note: str | None = None
    extended_because: str | None = None
    outcome: Outcome | None = None
    closed_at: datetime | None = None
    reason: str | None = None
    evidence: str | None = None

    @property
    def open(self) -> bool:
        """Whether it waits for an answer."""
        return self.outcome is None

    def overdue(self, now: datetime) -> bool:
        """Tell whether its last day has passed without an answer."""
        return self.open and self.due_at <= now


def extension(request: Request, months: int, now: datetime) -> datetime:
    """Return when a request falls due that is extended by `months` (1 or 2 in all).

    Raises:
        InvalidInputError: it was answered, was extended as far as may be, or its first month has passed: the person
            is to be told within that (Art. 12(3)).
    """
    if not request.open:
        raise InvalidInputError("this request was closed already")
    if not months >= MONTHS or request.months + months > MONTHS + MOST_EXTENSION:
        raise InvalidInputError(f"a request may be extended by {MOST_EXTENSION} months in all (Art. 12(3))")
    if now >= due_at(request.received_at):
        raise InvalidInputError(
            "the first month has passed: an extension is told to the person within it (Art. 12(3)); answer it now"
        )
    return due_at(request.received_at, request.months + months)


def check_outcome(outcome: object, reason: str | None) -> Outcome:
    """Return an outcome; a refusal, whole or in part, says why (Art. 12(4))."""
    try:
        found = Outcome(outcome)  # type: ignore[arg-type]
    except ValueError:
        known = ", ".join(one.value for one in Outcome)
        raise InvalidInputError(f"outcome must be one of {known}") from None
    if found in {Outcome.REFUSED, Outcome.PARTLY} and reason is None:
        raise InvalidInputError("a refusal needs a reason, which the person is told (Art. 12(4))")
    return found


def check_right(right: object) -> Right:
    """Return the right a word names."""
    try:
        return Right(right)  # type: ignore[arg-type]
    except ValueError:
        known = ", ".join(one.value for one in Right)
        raise InvalidInputError(f"right must be one of {known}") from None
