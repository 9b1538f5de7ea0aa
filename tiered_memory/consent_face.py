"""A user's consents, as callers see them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tiered_memory.clock import to_us
from tiered_memory.fulfil import ConsentGiven
from tiered_memory.intake import REASON_BYTES, check_id, check_metadata, check_moment, check_text
from tiered_memory.privacy.consent import ConsentEvent
from tiered_memory.scope import Scope


class Consent:
    """A user's consents."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def grant(
        self,
        purpose: str,
        *,
        notice: str,
        explicit: bool = False,
        expires_at: datetime | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> ConsentEvent:
        """Record that the person consented to `purpose` having seen `notice` (its id or version).

        `explicit` is needed for restricted data. From now on interactions for the purpose may be kept.
        """
        check_id(purpose, "purpose")
        check_id(notice, "notice")
        expires_us = None
        if expires_at is not None:
            now = self._scope.parts().core.clock.now()
            expires_us = to_us(check_moment(expires_at, "expires_at", now, future=True))
        given = ConsentGiven(notice, explicit, expires_us, check_metadata(details or {}))
        async with self._scope.using("consent_grant") as (parts, active):
            return await parts.fulfil.grant(active, purpose, given)

    async def withdraw(self, purpose: str, *, reason: str = "withdrawn by the person") -> int:
        """Withdraw consent: what rests on it is unreadable at once and removed. Returns how many memories."""
        check_id(purpose, "purpose")
        check_text(reason, "reason", REASON_BYTES)
        async with self._scope.using("consent_withdraw") as (parts, active):
            # Before, so that a crash leaves the consent to be withdrawn again; after, for what came in between.
            await parts.shared.withdrawn(active, purpose)
            removed = await parts.fulfil.withdraw(active, purpose, reason)
            await parts.shared.withdrawn(active, purpose)
            return removed

    async def current(self) -> dict[str, ConsentEvent]:
        """Return the consents in force, by purpose."""
        async with self._scope.using("consents") as (parts, active):
            return await parts.fulfil.consents(active)
