"""A user's right to have their data frozen, as callers see it."""

from __future__ import annotations

from datetime import datetime

from tiered_memory.clock import to_us
from tiered_memory.intake import REASON_BYTES, check_moment, check_words
from tiered_memory.privacy.restriction import Restriction
from tiered_memory.scope import Scope


class Rights:
    """A user's right to restriction of processing (GDPR Art. 18)."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def restrict(self, *, reason: str, until: datetime | None = None) -> Restriction:
        """Freeze everything held of this user: it is stored, and neither used, nor changed, nor forgotten.

        Every call that processes raises RestrictedError from now on; what was under way does not land. Ceilings rest
        as well: the data is kept for the person. Only what hot alone has ends with its time, and what rests on a
        consent ends with it, withdrawn or expired: Art. 18(2) lets data be stored, not kept without grounds. `until` is when somebody
        should look at it again: it does not end by itself, because the person is to be told before (Art. 18(3)).
        """
        reason = check_words(reason, "reason", REASON_BYTES)
        review_us = None
        if until is not None:
            now = self._scope.parts().core.clock.now()
            review_us = to_us(check_moment(until, "until", now, future=True))
        async with self._scope.using("rights", called="restrict") as (parts, active):
            return await parts.restrictions.restrict(active, reason, review_us)

    async def lift_restriction(self, *, reason: str) -> Restriction:
        """Free this user's data; tell the person first. What fell due meanwhile goes with the next forgetting cycle.

        NotFoundError when it is not restricted.
        """
        reason = check_words(reason, "reason", REASON_BYTES)
        async with self._scope.using("rights", called="restrict") as (parts, active):
            return await parts.restrictions.lift(active, reason)

    async def restrictions(self) -> list[Restriction]:
        """Return this user's restrictions, oldest first; one in force has no `lifted_at`."""
        async with self._scope.using("rights", called="restrict") as (parts, active):
            return await parts.restrictions.all(active)
