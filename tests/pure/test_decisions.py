"""A machine that alone decides what matters to a person calls for a person."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tiered_memory.errors import InvalidInputError
from tiered_memory.privacy.decisions import DecisionRecord, Effect, ReviewState, check_effect, review_needed


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("automated", [True, False])
def test_who_has_to_look(effect: Effect, *, automated: bool) -> None:
    needed = automated and effect in {Effect.LEGAL, Effect.SIMILAR}
    assert (review_needed(effect, automated=automated) is ReviewState.NEEDED) == needed


@pytest.mark.parametrize(
    ("review", "needed"),
    [
        (ReviewState.NOT_NEEDED, False),
        (ReviewState.NEEDED, True),
        (ReviewState.REQUESTED, True),
        (ReviewState.DONE, False),
    ],
)
def test_a_record_says_whether_somebody_has_to_look_still(review: ReviewState, *, needed: bool) -> None:
    record = DecisionRecord(
        id="d",
        decision="credit",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        automated=True,
        effect=Effect.LEGAL,
        outcome=None,
        logic=None,
        used=(),
        review=review,
    )
    assert record.needs_review == needed


def test_an_unknown_effect_is_refused() -> None:
    assert check_effect("similar") is Effect.SIMILAR
    with pytest.raises(InvalidInputError, match="legal, similar, none"):
        check_effect("some")
