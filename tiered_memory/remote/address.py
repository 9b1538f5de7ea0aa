"""Where a daemon is, and what admits us to it: checked before anything is sent."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tiered_memory.errors import ConfigurationError

UNIX = "unix:"
_CREDENTIAL = re.compile(r"[\x21-\x7e]{1,16384}")
NO_ADDRESS = "the daemon's address must be http:// or https:// and a host, or unix: and a socket's path"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """`timeout_seconds` bounds the making of a connection, and each pause within an answer."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 30.0

    @property
    def socket(self) -> str | None:
        """The path of the unix socket, if it is one."""
        return self.url.removeprefix(UNIX) if self.url.startswith(UNIX) else None

    @property
    def base(self) -> str:
        """What the paths of requests are appended to."""
        return "http://localhost" if self.socket is not None else self.url.rstrip("/")

    @property
    def headers(self) -> dict[str, str]:
        """What every request bears."""
        return {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}


def address_of(url: str, api_key: object, timeout_seconds: object) -> Address:
    """Return an address that can be asked.

    Raises:
        ConfigurationError: it is none, the key has characters that no key has, or the time is no number above 0.
    """
    if not (url.startswith(UNIX) and len(url) > len(UNIX)) and not _is_web_address(url):
        raise ConfigurationError(NO_ADDRESS)
    if api_key is not None and not (isinstance(api_key, str) and _CREDENTIAL.fullmatch(api_key)):
        raise ConfigurationError(
            "the API key holds what no key holds: a space, a line's end, a letter beyond ASCII"
        )
    if not isinstance(timeout_seconds, int | float) or not 0 < timeout_seconds < math.inf:
        raise ConfigurationError("timeout_seconds must be a number above 0")
    return Address(url=url, api_key=api_key, timeout_seconds=timeout_seconds)


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return parts.scheme in {"http", "https"} and named and plain
