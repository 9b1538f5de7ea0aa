"""The decisions recorded of a user, as callers see them."""

from __future__ import annotations

from collections.abc import Sequence

from tiered_memory.deciding import Decided
from tiered_memory.errors import InvalidInputError
from tiered_memory.intake import PARENTS_MAX, REASON_BYTES, check_id, check_memory_id, check_words
from tiered_memory.privacy.decisions import DecisionExplanation, DecisionRecord, Effect, check_effect
from tiered_memory.scope import Scope

WORDS_BYTES = 16 * 1024
Records = list[DecisionRecord]


class DecisionsFace:
    """Decisions that rested on a user's memories (GDPR Art. 22)."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def record(
        self,
        decision: str,
        *,
        memory_ids: Sequence[str] = (),
        automated: bool = True,
        effect: Effect | str = Effect.NONE,
        logic: str | None = None,
        outcome: str | None = None,
    ) -> DecisionRecord:
        """Record a decision and the memories it used, as they are now (at most 1000 of them).

        `effect` is "legal", "similar" (similarly significant) or "none": an automated one of the first two needs a
        person to look (`needs_review`). NotFoundError when one of the memories is not held.
        """
        ids = _checked_ids(memory_ids)
        if not isinstance(automated, bool):
            raise InvalidInputError("automated must be True or False")
        told = Decided(
            decision=check_words(decision, "decision", WORDS_BYTES),
            memory_ids=ids,
            automated=automated,
            effect=check_effect(effect),
            logic=_optional(logic, "logic"),
            outcome=_optional(outcome, "outcome"),
        )
        async with self._scope.using("decide", *ids) as (parts, active):
            return await parts.decisions.record(active, told)

    async def list(self) -> Records:
        """Return the decisions recorded of this user, oldest first."""
        async with self._scope.using("rights", called="decisions") as (parts, active):
            return await parts.decisions.all(active)

    async def explain(self, decision_id: str) -> DecisionExplanation:
        """Return a decision with what the memories it used said then; those that are gone are named as such.

        NotFoundError when no such decision is recorded of this user.
        """
        check_id(decision_id, "decision_id")
        async with self._scope.using("explain", called="decisions") as (parts, active):
            record = await parts.decisions.used_by(active, decision_id)
            await parts.pager.bring(active, [one.memory_id for one in record.used])
            return parts.decisions.explained(active, record)

    async def request_review(self, decision_id: str, *, reason: str) -> DecisionRecord:
        """Note that the person asks for somebody to look at a decision (Art. 22(3)); NotFoundError as in `explain`."""
        check_id(decision_id, "decision_id")
        reason = check_words(reason, "reason", REASON_BYTES)
        async with self._scope.using("rights", called="decisions") as (parts, active):
            return await parts.decisions.request_review(active, decision_id, reason)

    async def review(
        self, decision_id: str, *, reviewer: str, outcome: str, note: str | None = None
    ) -> DecisionRecord:
        """Record what a person found on looking at a decision; its outcome is this one from now on."""
        check_id(decision_id, "decision_id")
        given = {
            "reviewer": check_id(reviewer, "reviewer"),
            "outcome": check_words(outcome, "outcome", WORDS_BYTES),
            "note": _optional(note, "note"),
        }
        async with self._scope.using("rights", called="decisions") as (parts, active):
            return await parts.decisions.review(active, decision_id, given)


def _checked_ids(memory_ids: Sequence[str]) -> tuple[str, ...]:
    if isinstance(memory_ids, str) or len(memory_ids) > PARENTS_MAX:
        raise InvalidInputError(f"memory_ids must be a list of at most {PARENTS_MAX} ids")
    return tuple(check_memory_id(one) for one in memory_ids)


def _optional(words: str | None, what: str) -> str | None:
    return None if words is None else check_words(words, what, WORDS_BYTES)
