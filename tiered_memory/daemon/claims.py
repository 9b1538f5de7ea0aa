"""What a token must say, and who then stands behind it. Pure: signatures are `tokens.py`'s, `now` is an argument."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tiered_memory.caller import AGENT
from tiered_memory.errors import ConfigurationError, InvalidInputError, UnauthenticatedError
from tiered_memory.intake import check_id
from tiered_memory.principals import EVERY_ROLE, Grant, Principal

ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""Those that may be allowed: signatures only (RFC 8725 section 3.1), never `none` and no shared secret."""
LEEWAY_MAX_SECONDS = 300.0
MOST_ROLES = 16
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """Whose tokens are accepted, and what their claims mean. The keys are in one file, or behind one URL.

    `tenant_claim` names the claim with the tenant (without one every token is bound to `tenant`), `user_claim` that
    with the person (None: bound to nobody, for services). `roles_claim` and `actor_claim` are read only if named.
    Keys older than `keys_seconds` are fetched again, never more often than every `refetch_seconds`; when that fails,
    the old ones are good for `stale_seconds` in all.
    """

    issuer: str
    audience: str
    jwks_file: str | None = None
    jwks_url: str | None = None
    algorithms: tuple[str, ...] = ALGORITHMS
    leeway_seconds: float = 30.0
    tenant: str = "default"
    tenant_claim: str | None = None
    user_claim: str | None = "sub"
    scope_claim: str = "scope"
    roles_claim: str | None = None
    actor_claim: str | None = None
    keys_seconds: float = 600.0
    refetch_seconds: float = 10.0
    stale_seconds: float = 86_400.0
    fetch_seconds: float = 5.0

    def __post_init__(self) -> None:
        if not (self.issuer and self.audience):
            raise ConfigurationError("tokens need the issuer and the audience they must name")
        if (self.jwks_file is None) == (self.jwks_url is None):
            raise ConfigurationError("the issuer's keys are in a file or behind a URL: give one of the two")
        if self.jwks_url is not None and not _is_safe(self.jwks_url):
            raise ConfigurationError("the URL of the issuer's keys must begin with https://")
        if not self.algorithms or not set(self.algorithms) <= set(ALGORITHMS):
            raise ConfigurationError(
                f"tokens are signed with one of {', '.join(ALGORITHMS)}; allow no others"
            )
        if not 0 <= self.leeway_seconds <= LEEWAY_MAX_SECONDS:
            raise ConfigurationError(f"a token's leeway must lie in 0..{LEEWAY_MAX_SECONDS:g} seconds")
        if not 0 < self.refetch_seconds <= self.keys_seconds <= self.stale_seconds:
            raise ConfigurationError(
                "refetch_seconds <= keys_seconds <= stale_seconds must hold, all above 0"
            )


def principal_of(claims: Mapping[str, Any], rules: TokenRules, now: float) -> Principal:
    """Return who stands behind verified claims at `now` (seconds since 1970).

    Raises:
        UnauthenticatedError: it is not good now, or lacks what the rules read. What is wrong is not said.
    """
    _check_times(claims, rules.leeway_seconds, now)
    try:
        return Principal(
            name=check_id(claims.get("sub"), "sub"),
            grants=_grants(claims.get(rules.scope_claim)),
            tenant=rules.tenant if rules.tenant_claim is None else _id(claims, rules.tenant_claim),
            user=None if rules.user_claim is None else _id(claims, rules.user_claim),
            roles=frozenset({AGENT}) if rules.roles_claim is None else _roles(claims.get(rules.roles_claim)),
            actor="" if rules.actor_claim is None else _id(claims, rules.actor_claim),
        )
    except InvalidInputError:
        raise UnauthenticatedError from None


def _check_times(claims: Mapping[str, Any], leeway: float, now: float) -> None:
    """RFC 7519 section 4.1: before `exp`, which must be there; not before `nbf`; `iat` has passed."""
    exp = _seconds(claims.get("exp"))
    begun = [_seconds(claims[name]) for name in ("nbf", "iat") if name in claims]
    if now >= exp + leeway or any(now < one - leeway for one in begun):
        raise UnauthenticatedError


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UnauthenticatedError
    return value


def _id(claims: Mapping[str, Any], name: str) -> str:
    return check_id(claims.get(name), name)


def _grants(value: object) -> frozenset[Grant]:
    """Return the scopes that are ours, of a text with spaces (RFC 8693 section 4.2) or a list; others are for others."""
    given = value.split(" ") if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset(one for one in Grant if one.value in given)


def _roles(value: object) -> frozenset[str]:
    """A token names its roles one by one: what means every role to an API key means nothing here."""
    given = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    if len(given) > MOST_ROLES:
        raise UnauthenticatedError
    return frozenset(one for one in given if isinstance(one, str) and one not in {"", EVERY_ROLE})


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    plain = parts.scheme == "http" and parts.hostname in LOOPBACK
    return bool(parts.hostname) and (parts.scheme == "https" or plain)
