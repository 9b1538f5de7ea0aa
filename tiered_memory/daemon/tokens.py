"""Access tokens (JWT, RFC 7519): signature and claims verified, and turned into a principal.

After RFC 8725 (best current practices): algorithms by an allow-list that has signatures only, the algorithm taken from
the key and never from the token alone, issuer, audience and expiry required.
"""

from __future__ import annotations

from typing import Any

import jwt

from tiered_memory.clock import Clock
from tiered_memory.daemon.claims import TokenRules, principal_of
from tiered_memory.daemon.key_set import Fetch, KeySet
from tiered_memory.errors import UnauthenticatedError
from tiered_memory.principals import Principal

MOST_CHARACTERS = 16 * 1024
PARTS = 3
REQUIRED = ("exp", "iss", "aud", "sub")
OWN_CHECKS = ("verify_exp", "verify_nbf", "verify_iat")
"""Times are judged by the runtime's clock; see `principal_of`."""
MALFORMED = (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError)


class Tokens:
    """Verifies tokens by one issuer's rules."""

    def __init__(self, rules: TokenRules, clock: Clock, fetch: Fetch | None = None) -> None:
        self._rules, self._clock = rules, clock
        self._keys = KeySet(rules, clock, fetch)

    async def verify(self, presented: object) -> Principal:
        """Return who stands behind a token. It waits only when the issuer's keys have to be fetched.

        Raises:
            UnauthenticatedError: it is malformed, forged, expired, or not for this service; which is not said.
            IssuerUnavailableError: the issuer's keys cannot be had.
        """
        token, header = _opened(presented)
        algorithm = header.get("alg")
        if algorithm not in self._rules.algorithms or "crit" in header:
            raise UnauthenticatedError
        key = await self._keys.find(header.get("kid"))
        if key is None or key.algorithm_name != algorithm:
            raise UnauthenticatedError
        claims = self._verified(token, key)
        return principal_of(claims, self._rules, self._clock.now().timestamp())

    def _verified(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        options: Any = {"require": list(REQUIRED), **dict.fromkeys(OWN_CHECKS, False)}
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._rules.audience,
                issuer=self._rules.issuer,
                options=options,
            )
        except MALFORMED:
            raise UnauthenticatedError from None


def looks_like_token(presented: str) -> bool:
    """Tell whether a credential has a token's three parts: an API key has none, and goes to `api_keys.verify`."""
    return presented.count(".") == PARTS - 1


def _opened(presented: object) -> tuple[str, dict[str, Any]]:
    """Return a token and its header, which nobody vouches for."""
    if not isinstance(presented, str) or len(presented) > MOST_CHARACTERS:
        raise UnauthenticatedError
    try:
        return presented, jwt.get_unverified_header(presented)
    except MALFORMED:
        raise UnauthenticatedError from None
