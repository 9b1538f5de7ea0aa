"""API keys: what one looks like, what is kept of it, and when it is good. Pure.

A key is `tm_<id>_<secret>`: the id is 16 hex digits and public; the secret is 256 random bits as 43 characters of
base64url (RFC 4648 section 5, no padding). Kept is HMAC-SHA-256 of the whole text under a key of the store, and no
slow password hash: that is for secrets of less than 112 bits (NIST SP 800-63B section 5.1.2.2), which can be guessed.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from tiered_memory.principals import Grant, Principal

KIND = "api_key"
ACTIVE, REVOKED = "active", "revoked"
PREFIX = "tm_"
ID_BYTES, SECRET_BYTES = 8, 32
DAY_US = 86_400_000_000
REMEMBERED_DAYS = 90
"""How long a key that is good no more is still listed."""
_SHAPE = re.compile(r"tm_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key as its operator sees it: everything but the secret.

    `prefix` is how the key's text begins; `good` tells whether it is accepted now. `tenant` and `user` bound it (None: any). `last_used_on` is a day in UTC.
    One that was rotated names its successor in `replaced_by` and expires when their overlap ends.
    """

    id: str
    name: str
    prefix: str
    good: bool
    grants: tuple[Grant, ...]
    tenant: str | None
    user: str | None
    roles: tuple[str, ...]
    actor: str
    created_at: datetime
    expires_at: datetime | None
    last_used_on: date | None
    revoked_at: datetime | None
    revoked_because: str
    replaced_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """A key that was just made. `secret` is its whole text: shown now and never again."""

    key: ApiKey
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTerms:
    """What a key is for, whom it is bound to, and until when (microseconds since 1970; None: no end)."""

    name: str
    grants: frozenset[Grant]
    tenant: str | None = None
    user: str | None = None
    roles: frozenset[str]
    actor: str = ""
    expires_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """What is kept of a key. `digest` (32 bytes) is of its text; times are microseconds, `used_day` days since 1970.

    `tenant_generation` and `user_generation` are the lives of the tenant and the person it was made in: each erasure
    begins another, in which this key means nothing.
    """

    id: str
    terms: KeyTerms
    digest: bytes = field(repr=False)
    at_us: int
    tenant_generation: int = 0
    user_generation: int = 0
    revoked_us: int | None = None
    revoked_because: str = ""
    replaced_by: str | None = None
    used_day: int | None = None
    version: int = 0

    @property
    def ended_us(self) -> int | None:
        """When it ends, or ended; None: not as far as is known."""
        ends = [one for one in (self.revoked_us, self.terms.expires_us) if one is not None]
        return min(ends, default=None)

    @property
    def status(self) -> str:
        """How the register files it."""
        return ACTIVE if self.revoked_us is None else REVOKED

    def good_at(self, now_us: int) -> bool:
        """Tell whether it is accepted at a moment."""
        return self.ended_us is None or now_us < self.ended_us

    def forgotten_at(self, now_us: int) -> bool:
        """Tell whether it ended so long ago that it is not listed any more."""
        return self.ended_us is not None and now_us >= self.ended_us + REMEMBERED_DAYS * DAY_US

    def principal(self) -> Principal:
        """Return who stands behind it."""
        terms = self.terms
        return Principal(
            name=self.id,
            grants=terms.grants,
            tenant=terms.tenant,
            user=terms.user,
            roles=terms.roles,
            actor=terms.actor,
        )

    def fields(self) -> dict[str, Any]:
        """Return what the register seals of it."""
        terms = self.terms
        return {
            "name": terms.name,
            "grants": sorted(terms.grants),
            "tenant": terms.tenant,
            "user": terms.user,
            "roles": sorted(terms.roles),
            "actor": terms.actor,
            "expires_us": terms.expires_us,
            "digest": self.digest,
            "tenant_generation": self.tenant_generation,
            "user_generation": self.user_generation,
            "revoked_us": self.revoked_us,
            "revoked_because": self.revoked_because,
            "replaced_by": self.replaced_by,
            "used_day": self.used_day,
        }


def stored_key(key_id: str, at_us: int, version: int, fields: Mapping[str, Any]) -> StoredKey:
    """Return the key that the register sealed; a grant that this release does not know grants nothing."""
    terms = KeyTerms(
        name=fields["name"],
        grants=frozenset(one for one in Grant if one.value in fields["grants"]),
        tenant=fields["tenant"],
        user=fields["user"],
        roles=frozenset(fields["roles"]),
        actor=fields["actor"],
        expires_us=fields["expires_us"],
    )
    return StoredKey(
        id=key_id,
        terms=terms,
        digest=fields["digest"],
        at_us=at_us,
        tenant_generation=fields["tenant_generation"],
        user_generation=fields["user_generation"],
        revoked_us=fields["revoked_us"],
        revoked_because=fields["revoked_because"],
        replaced_by=fields["replaced_by"],
        used_day=fields["used_day"],
        version=version,
    )


def key_text(key_id: str, secret: bytes) -> str:
    """Return a key's text from its id (16 hex digits) and its secret (32 bytes)."""
    return f"{PREFIX}{key_id}_{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"


def digested(text: str) -> bytes:
    """Return what the digest of a key's text is over; the prefix parts it from other uses of the same MAC key."""
    return b"api_key/secret/" + text.encode()


def id_in(presented: object) -> str | None:
    """Return the id in what is presented as a key's text; None when that has not the form of one."""
    found = _SHAPE.fullmatch(presented) if isinstance(presented, str) else None
    return None if found is None else found[1]


def day_of(now_us: int) -> int:
    """Return the day (UTC, counted from 1970) of a moment in microseconds since 1970."""
    return now_us // DAY_US
