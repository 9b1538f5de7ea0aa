"""The API keys of a store, as its operator sees them, and as a daemon asks them who calls."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from typing import TypedDict, Unpack

from tiered_memory.caller import AGENT
from tiered_memory.clock import from_us, to_us
from tiered_memory.errors import InvalidInputError, NotFoundError
from tiered_memory.intake import REASON_BYTES, check_id, check_moment, check_text, check_word
from tiered_memory.metrics import timed
from tiered_memory.principals import Grant, Principal
from tiered_memory.privacy.api_keys import PREFIX, ApiKey, KeyTerms, NewApiKey, StoredKey
from tiered_memory.runtime import Parts
from tiered_memory.runtimes import Runtimes

OVERLAP_HOURS_MAX = 24 * 30
MOST_ROLES = 16
HOUR_US = 3_600_000_000
FIRST_DAY = date(1970, 1, 1)
ApiKeyList = list[ApiKey]
_ID = re.compile(r"[0-9a-f]{16}")


class Bounds(TypedDict, total=False):
    """Whom a key is bound to and how it may call; see `Principal`. One bound to a user is bound to its tenant too."""

    tenant: str | None
    user: str | None
    roles: Collection[str]
    actor: str
    expires_at: datetime | None


class ApiKeysFace:
    """The API keys of one store. They lie in its register, sealed; a secret is shown once and kept nowhere."""

    def __init__(self, runtimes: Runtimes) -> None:
        self._runtimes = runtimes

    async def create(
        self, name: str, *, grants: Collection[Grant | str], **bounds: Unpack[Bounds]
    ) -> NewApiKey:
        """Make a key for `grants`, within `bounds` (default: any tenant and user, the role "agent", no end).

        Raises:
            InvalidInputError: a value is not acceptable: no grant, a user without a tenant, an end that has passed.
            ConflictError: the store keeps as many keys as it may (10 000).
            TenantUnknownError: the policy asks for registered tenants, and this is none.
            TenantUnavailableError: the tenant is being erased, or its directory is not open.
        """
        parts = self._parts()
        terms = _terms(name, grants, bounds, parts.core.clock.now())
        with timed(parts.core.observer, "api_keys"):
            made, text = await parts.api_keys.create(terms)
        return NewApiKey(key=_shown(made, parts), secret=text)

    async def list(self) -> ApiKeyList:
        """Return the keys, oldest first: those that are good, and those that ended within the last 90 days."""
        parts = self._parts()
        return [_shown(one, parts) for one in parts.api_keys.all()]

    async def revoke(self, key_id: str, reason: str) -> ApiKey:
        """End a key at once, for good; NotFoundError when there is none. Revoking again changes nothing."""
        check_text(reason, "reason", REASON_BYTES)
        parts = self._parts()
        with timed(parts.core.observer, "api_keys"):
            return _shown(await parts.api_keys.revoke(_known(key_id), reason), parts)

    async def rotate(self, key_id: str, *, overlap_hours: float = 24) -> NewApiKey:
        """Make a successor with the same terms; the old key works for `overlap_hours` (0..720) more.

        A key that was to expire is followed by one for as long a time.

        Raises:
            NotFoundError: there is no such key.
            ConflictError: it was revoked, has expired, or has a successor already.
        """
        overlap = _overlap_us(overlap_hours)
        parts = self._parts()
        with timed(parts.core.observer, "api_keys"):
            made, text = await parts.api_keys.rotate(_known(key_id), overlap)
        return NewApiKey(key=_shown(made, parts), secret=text)

    def verify(self, presented: str) -> Principal:
        """Return who stands behind a key's text. It does not wait: it asks RAM, in a few microseconds.

        Raises:
            UnauthenticatedError: it is unknown, malformed, expired or revoked; which of these is not said.
        """
        return self._parts().api_keys.verify(presented)

    def good(self, principal: Principal) -> bool:
        """Tell whether the key that `verify` once gave `principal` for is good now; False where it was no key."""
        return self._parts().api_keys.good(principal)

    def any_made(self) -> bool:
        """Tell whether keys were ever made, even if all are gone: from the first on, the daemon asks for one."""
        return self._parts().api_keys.any_made()

    def any_in_force(self) -> bool:
        """Tell whether there is a key that is good now."""
        return self._parts().api_keys.any_in_force()

    def _parts(self) -> Parts:
        return self._runtimes.main


def _shown(one: StoredKey, parts: Parts) -> ApiKey:
    terms = one.terms
    return ApiKey(
        id=one.id,
        name=terms.name,
        prefix=f"{PREFIX}{one.id}_",
        good=one.good_at(parts.core.now_us()),
        grants=tuple(sorted(terms.grants)),
        tenant=terms.tenant,
        user=terms.user,
        roles=tuple(sorted(terms.roles)),
        actor=terms.actor,
        created_at=from_us(one.at_us),
        expires_at=_moment(terms.expires_us),
        last_used_on=None if one.used_day is None else FIRST_DAY + timedelta(days=one.used_day),
        revoked_at=_moment(one.revoked_us),
        revoked_because=one.revoked_because,
        replaced_by=one.replaced_by,
    )


def _moment(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def _known(key_id: object) -> str:
    """What is no id is nobody's; a key's whole text given by mistake must not come back in an error."""
    if not isinstance(key_id, str) or not _ID.fullmatch(key_id):
        raise NotFoundError("an API key's id is 16 lower-case hex digits, as the list shows it")
    return key_id


def _terms(name: str, grants: Collection[Grant | str], bounds: Bounds, now: datetime) -> KeyTerms:
    unknown = bounds.keys() - Bounds.__annotations__.keys()
    if unknown:
        raise InvalidInputError(f"an API key is bounded by: {', '.join(sorted(Bounds.__annotations__))}")
    tenant, user, actor = bounds.get("tenant"), bounds.get("user"), bounds.get("actor", "")
    if user is not None and tenant is None:
        raise InvalidInputError("a key that is bound to a user needs the user's tenant; nothing was made")
    return KeyTerms(
        name=check_id(name, "name"),
        grants=_grants(grants),
        tenant=None if tenant is None else check_id(tenant, "tenant"),
        user=None if user is None else check_id(user, "user"),
        roles=_roles(bounds.get("roles", (AGENT,))),
        actor="" if actor == "" else check_id(actor, "actor"),
        expires_us=_end(bounds.get("expires_at"), now),
    )


def _grants(given: object) -> frozenset[Grant]:
    if isinstance(given, str) or not isinstance(given, Collection) or not given:
        raise InvalidInputError("grants must be a collection of at least one scope, not one text")
    return frozenset(check_word(Grant, one, "grants") for one in given)


def _roles(given: object) -> frozenset[str]:
    if isinstance(given, str) or not isinstance(given, Collection) or not 1 <= len(given) <= MOST_ROLES:
        raise InvalidInputError(f"roles must be a collection of 1 to {MOST_ROLES} names, not one text")
    return frozenset(check_id(one, "role") for one in given)


def _end(given: datetime | None, now: datetime) -> int | None:
    if given is None:
        return None
    moment = check_moment(given, "expires_at", now, future=True).astimezone(UTC)
    if moment <= now:
        raise InvalidInputError("expires_at has passed already; nothing was made")
    return to_us(moment)


def _overlap_us(hours: object) -> int:
    if isinstance(hours, bool) or not isinstance(hours, (int, float)) or not 0 <= hours <= OVERLAP_HOURS_MAX:
        raise InvalidInputError(f"overlap_hours must be a number in 0..{OVERLAP_HOURS_MAX}")
    return round(hours * HOUR_US)
