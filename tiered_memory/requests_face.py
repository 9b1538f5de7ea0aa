"""Requests to exercise a right, as callers see them: one user's, and what is due in the whole store."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import date, datetime

from tiered_memory.errors import InvalidInputError
from tiered_memory.intake import REASON_BYTES, check_count, check_id, check_moment, check_text
from tiered_memory.metrics import timed
from tiered_memory.plurals import counted
from tiered_memory.privacy.requests import Outcome, Request, Right, check_outcome, check_right
from tiered_memory.requesting import DUE_LIMIT, DueRequest, ErasureRecord
from tiered_memory.runtime import Parts
from tiered_memory.runtimes import Runtimes
from tiered_memory.scope import Scope

logger = logging.getLogger("tiered_memory")

MOST_DAYS = 3650
Requested = list[Request]


class UserRequests:
    """A user's requests, each with the day by which it is to be answered (GDPR Art. 12(3))."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def open(
        self,
        right: Right | str,
        *,
        received_at: datetime | None = None,
        channel: str | None = None,
        note: str | None = None,
        holidays: Collection[date] = (),
    ) -> Request:
        """Keep a request received now, or at `received_at` (aware; its zone is the one that days are counted in).

        It is due at the end of the day a calendar month later, or of the next working day when that is a Saturday, a
        Sunday or one of `holidays` (Regulation 1182/71).
        """
        now = self._scope.parts().core.clock.now()
        received = now if received_at is None else check_moment(received_at, "received_at", now)
        request = Request(
            id="",
            right=check_right(right),
            received_at=received,
            due_at=received,
            channel=None if channel is None else check_id(channel, "channel"),
            note=_optional(note, "note"),
        )
        if not all(isinstance(one, date) for one in holidays):
            raise InvalidInputError("holidays must be dates")
        async with self._scope.using("rights", called="request") as (parts, active):
            return await parts.requests.open(active, request, holidays)

    async def extend(self, request_id: str, *, months: int, reason: str) -> Request:
        """Give an open request up to two more months in all; tell the person, and why, within the first (Art. 12(3))."""
        check_id(request_id, "request_id")
        check_count(months, "months", high=2)
        check_text(reason, "reason", REASON_BYTES)
        async with self._scope.using("rights", called="request") as (parts, active):
            return await parts.requests.extend(active, request_id, months, reason)

    async def close(
        self,
        request_id: str,
        *,
        outcome: Outcome | str = Outcome.FULFILLED,
        reason: str | None = None,
        evidence: str | None = None,
    ) -> Request:
        """Note what became of a request: "fulfilled", "partly_fulfilled", "refused" (say why) or "withdrawn".

        `evidence` is the id of what shows it, a certificate or an archive. One that is closed stays as it is.
        """
        check_id(request_id, "request_id")
        found = check_outcome(outcome, _optional(reason, "reason"))
        shown = None if evidence is None else check_id(evidence, "evidence")
        async with self._scope.using("rights", called="request") as (parts, active):
            given = {"reason": reason, "evidence": shown}
            return await parts.requests.close(active, request_id, found, given)

    async def list(self) -> Requested:
        """Return this user's requests, oldest first, answered ones too."""
        async with self._scope.using("rights", called="request") as (parts, active):
            return await parts.requests.all(active)


class StoreRequests:
    """What a privacy officer has to see to: the open requests of every user, in every tenant's directory."""

    def __init__(self, runtimes: Runtimes) -> None:
        self._runtimes = runtimes

    async def due(self, *, within_days: int = 7) -> list[DueRequest]:
        """Return the open requests that fall due within days (0..3650) or are overdue, the longest overdue first.

        At most 1000. Those of a tenant whose own directory is not open are missing, which is logged.
        """
        check_count(within_days, "within_days", low=0, high=MOST_DAYS)
        with timed(self._runtimes.main.core.observer, "requests_due"):
            found = [one for parts in self._every() for one in await parts.requests.due(within_days)]
        return sorted(found, key=lambda one: one.request.due_at)[:DUE_LIMIT]

    async def overdue(self) -> list[DueRequest]:
        """Return those whose last day has passed."""
        return [one for one in await self.due(within_days=0) if one.overdue]

    async def erasures(self) -> list[ErasureRecord]:
        """Return what is kept of erasures that were carried out, oldest first: nothing in it is personal."""
        with timed(self._runtimes.main.core.observer, "requests_due"):
            found = [one for parts in self._every() for one in await parts.requests.erasures()]
        return sorted(found, key=lambda one: one.finished_at)

    def _every(self) -> list[Parts]:
        missing = self._runtimes.unavailable
        if missing:
            many = counted(missing, "directory of a tenant's own", "directories of tenants' own")
            logger.warning("%s not open: what is in there is missing", many)
        return self._runtimes.every()


def _optional(words: str | None, what: str) -> str | None:
    return None if words is None else check_text(words, what, REASON_BYTES)
