"""Decisions that rest on memories, and when a person has to look at one (GDPR Art. 22). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tiered_memory.errors import InvalidInputError


class Effect(StrEnum):
    """What a decision does to the person (Art. 22(1))."""

    LEGAL = "legal"
    SIMILAR = "similar"
    """It affects the person in a similarly significant way."""
    NONE = "none"


class ReviewState(StrEnum):
    """Where the review by a person stands."""

    NOT_NEEDED = "not_needed"
    NEEDED = "needed"
    REQUESTED = "requested"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Basis:
    """A memory a decision used, as it was then."""

    memory_id: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a person found on looking at a decision: the outcome that holds from then on."""

    reviewer: str
    outcome: str
    note: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """A decision as it is kept. `logic` says in plain words how it came about (Art. 13(2)(f), 15(1)(h))."""

    id: str
    decision: str
    at: datetime
    automated: bool
    effect: Effect
    outcome: str | None
    logic: str | None
    used: tuple[Basis, ...]
    review: ReviewState
    reviews: tuple[Review, ...] = ()
    requested_because: str | None = None

    @property
    def needs_review(self) -> bool:
        """Whether a person has to look at it still."""
        return self.review in {ReviewState.NEEDED, ReviewState.REQUESTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedMemory:
    """A memory a decision used. `content` is what it said then; None with `gone` saying why it cannot be shown."""

    memory_id: str
    version: int
    content: str | None
    gone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionExplanation:
    """A decision with what it rested on."""

    record: DecisionRecord
    used: tuple[UsedMemory, ...]


def review_needed(effect: Effect, *, automated: bool) -> ReviewState:
    """Return whether a person has to look: where a machine alone decided what matters to the person (Art. 22(1))."""
    return ReviewState.NEEDED if automated and effect is not Effect.NONE else ReviewState.NOT_NEEDED


def check_effect(effect: object) -> Effect:
    """Return the effect a word names."""
    try:
        return Effect(effect)  # type: ignore[arg-type]
    except ValueError:
        known = ", ".join(one.value for one in Effect)
        raise InvalidInputError(f"effect must be one of {known}") from None
