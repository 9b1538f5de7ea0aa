"""The public keys of a token issuer (a JWK set, RFC 7517): fetched, kept for a while, fetched again within bounds."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import jwt

from tiered_memory.clock import Clock
from tiered_memory.daemon.claims import TokenRules
from tiered_memory.errors import ConfigurationError, IssuerUnavailableError

logger = logging.getLogger("tiered_memory")

Fetch = Callable[[], Awaitable[bytes]]
"""Returns the JWK set as it is published; raises OSError when it cannot be had."""
MOST_BYTES = 1 << 20
MOST_KEYS = 100
RSA_BITS = 2048
"""The least that NIST SP 800-131A allows."""
OK = 200


class KeySet:
    """Keys by their ids. Whoever presents unknown ids makes it ask the issuer no oftener than the rules say."""

    def __init__(self, rules: TokenRules, clock: Clock, fetch: Fetch | None = None) -> None:
        self._rules, self._clock = rules, clock
        self._fetch = fetch or fetch_of(rules)
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched: float | None = None
        self._tried: float | None = None
        self._fetching = anyio.Lock()

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """Return the key of an id, None when the issuer has none; without an id, the issuer's only key.

        Raises:
            IssuerUnavailableError: no keys are known, or they are too old, and none can be fetched.
        """
        if self._older_than(self._rules.keys_seconds):
            await self._refresh()
        if self._older_than(self._rules.stale_seconds):
            raise IssuerUnavailableError
        if self._chosen(key_id) is None:
            await self._refresh()
        return self._chosen(key_id)

    def _chosen(self, key_id: str | None) -> jwt.PyJWK | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    def _older_than(self, seconds: float) -> bool:
        return self._fetched is None or self._clock.monotonic() - self._fetched >= seconds

    async def _refresh(self) -> None:
        """One fetches; who has keys meanwhile goes on with those."""
        if self._keys and self._fetching.statistics().locked:
            return
        async with self._fetching:
            now = self._clock.monotonic()
            if self._tried is not None and now - self._tried < self._rules.refetch_seconds:
                return
            self._tried = now
            try:
                self._keys = keys_in(await self._fetch(), self._rules.algorithms)
                self._fetched = now
            except (OSError, ValueError) as error:
                logger.warning("the token issuer's keys cannot be fetched (%s)", type(error).__name__)


def keys_in(document: bytes, algorithms: tuple[str, ...]) -> dict[str | None, jwt.PyJWK]:
    """Return the keys of a JWK set that may verify signatures with the allowed algorithms, by their ids.

    Raises:
        ValueError: it is no JWK set, or has no such key.
    """
    try:
        found = json.loads(document)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or len(keys) > MOST_KEYS:
        raise ValueError("not a JWK set")
    usable = [key for one in keys if (key := _usable(one, algorithms)) is not None]
    if not usable:
        raise ValueError("no key of an allowed algorithm")
    return {key.key_id: key for key in usable}


def _usable(one: Any, algorithms: tuple[str, ...]) -> jwt.PyJWK | None:
    """A secret (`oct`), a private key, a weak one or one for encryption is none that verifies anything."""
    if not isinstance(one, dict) or one.get("use", "sig") != "sig" or "d" in one:
        return None
    try:
        key = jwt.PyJWK(one)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    weak = one.get("kty") == "RSA" and getattr(key.key, "key_size", 0) < RSA_BITS
    named = key.key_id is None or isinstance(key.key_id, str)
    return key if named and not weak and key.algorithm_name in algorithms else None


def fetch_of(rules: TokenRules) -> Fetch:
    """Return how the rules say the keys are had.

    Raises:
        ConfigurationError: they are behind a URL, and the package for that is missing.
    """
    if rules.jwks_file is not None:
        return _reading(Path(rules.jwks_file))
    try:
        import httpx2
    except ImportError:
        raise ConfigurationError(
            "keys behind a URL need a package: pip install 'tiered-memory[server]'"
        ) from None
    url = rules.jwks_url or ""

    async def fetch() -> bytes:
        """Nothing is followed elsewhere, and nothing is read beyond a bound."""
        try:
            with anyio.fail_after(rules.fetch_seconds):
                async with httpx2.AsyncClient() as client, client.stream("GET", url) as answer:
                    return await _body(answer)
        except httpx2.HTTPError as error:
            raise OSError(type(error).__name__) from None

    return fetch


async def _body(answer: Any) -> bytes:
    if answer.status_code != OK:
        raise OSError(f"status {answer.status_code}")
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > MOST_BYTES:
            raise OSError("too large")
    return bytes(body)


def _reading(path: Path) -> Fetch:
    def read() -> bytes:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)

    async def fetch() -> bytes:
        return await anyio.to_thread.run_sync(read)

    return fetch
