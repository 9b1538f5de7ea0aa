"""A user's consents, as callers see them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Unpack, cast

from tiered_memory.clock import to_us
from tiered_memory.consent_records import ConsentGiven, ConsentTerms
from tiered_memory.errors import InvalidInputError
from tiered_memory.intake import REASON_BYTES, check_id, check_metadata, check_moment, check_text
from tiered_memory.privacy.consent import ConsentEvent
from tiered_memory.privacy.consent_receipt import ConsentReceipt
from tiered_memory.scope import Scope

LISTS = frozenset({"recipients", "data_categories"})
MOST_NAMES = 100


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
        **terms: Unpack[ConsentTerms],
    ) -> ConsentEvent:
        """Record that the person consented to `purpose` having seen `notice`.

        `notice` is a published one ("id", its newest version, or "id@version"), or any name where the policy does not
        require it to be published. `explicit` is needed for restricted data. From now on interactions for the purpose
        may be kept, until `expires_at`: then what rests on the consent is removed. `terms` go on the receipt.

        Raises:
            InvalidInputError: the purpose does not rest on consent, the notice does not inform of it or has to be
                published, or a value is not acceptable; nothing was recorded.
        """
        given = self._given(purpose, notice, details, terms)
        expires_us = None
        if expires_at is not None:
            now = self._scope.parts().core.clock.now()
            expires_us = to_us(check_moment(expires_at, "expires_at", now, future=True))
        given = ConsentGiven(given.notice, explicit, expires_us, given.details, given.terms)
        async with self._scope.using("consent_grant") as (parts, active):
            return await parts.consents.grant(active, purpose, given)

    async def refuse(
        self,
        purpose: str,
        *,
        notice: str,
        details: Mapping[str, Any] | None = None,
        **terms: Unpack[ConsentTerms],
    ) -> ConsentEvent:
        """Record that the person refused, having seen `notice`; a consent that was given ends as by withdrawal."""
        given = self._given(purpose, notice, details, terms)
        async with self._scope.using("consent_withdraw") as (parts, active):
            return await parts.consents.refuse(active, purpose, given)

    async def withdraw(self, purpose: str, *, reason: str = "withdrawn by the person") -> int:
        """Withdraw consent: what rests on it is unreadable at once and removed. Returns how many memories."""
        check_id(purpose, "purpose")
        check_text(reason, "reason", REASON_BYTES)
        async with self._scope.using("consent_withdraw") as (parts, active):
            return await parts.consents.withdraw(active, purpose, reason)

    async def current(self) -> dict[str, ConsentEvent]:
        """Return the consents in force, by purpose."""
        async with self._scope.using("consents") as (parts, active):
            return parts.consents.current(active)

    async def history(self, purpose: str | None = None) -> list[ConsentEvent]:
        """Return every consent event in the order of recording, of one purpose or all."""
        if purpose is not None:
            check_id(purpose, "purpose")
        async with self._scope.using("consents") as (parts, active):
            return parts.consents.history(active, purpose)

    async def receipt(self, purpose: str) -> ConsentReceipt:
        """Return the signed receipt of the latest event of a purpose (ISO/IEC TS 27560), with its ledger proof.

        `verify_receipt` checks it. NotFoundError when there is no event.
        """
        check_id(purpose, "purpose")
        async with self._scope.using("consents") as (parts, active):
            return await parts.consents.receipt(active, purpose)

    def _given(
        self, purpose: str, notice: str, details: Mapping[str, Any] | None, terms: ConsentTerms
    ) -> ConsentGiven:
        check_id(purpose, "purpose")
        check_id(notice, "notice")
        return ConsentGiven(notice, details=check_metadata(details or {}), terms=checked_terms(terms))


def checked_terms(terms: ConsentTerms) -> ConsentTerms:
    """Return terms that may be recorded; raises InvalidInputError for an unknown word or a value that is none."""
    checked: dict[str, Any] = {}
    for word, value in terms.items():
        if word not in ConsentTerms.__annotations__:
            known = ", ".join(sorted(ConsentTerms.__annotations__))
            raise InvalidInputError(f"a consent has no such term; it has: {known}")
        checked[word] = checked_names(value, word) if word in LISTS else check_text(value, word, REASON_BYTES)
    return cast("ConsentTerms", checked)


def checked_names(value: object, what: str) -> tuple[str, ...]:
    """Return a list of up to 100 names; raises InvalidInputError for anything else."""
    if not isinstance(value, list | tuple) or len(value) > MOST_NAMES:
        raise InvalidInputError(f"{what} must be a list of at most {MOST_NAMES} names")
    return tuple(check_id(one, what) for one in value)
