"""What headers of a request may hold: ASCII as RFC 9110 section 5.5 has it, other text percent-encoded."""

from __future__ import annotations

WORD = "^([A-Za-z0-9._~-]|%[0-9A-Fa-f]{2}){1,768}$"
"""Text of up to 256 characters, percent-encoded UTF-8 but for the unreserved ones (RFC 3986 section 2.3)."""
KEY = "^[!-~]([ -~]{0,254}[!-~])?$"
"""An idempotency key: 1 to 256 ASCII characters, taken as they are."""
ANYTHING = "^.*$"
"""Anything: a version that was never there is simply not the present one (RFC 9110 section 13.1.2)."""
