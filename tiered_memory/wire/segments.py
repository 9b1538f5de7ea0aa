"""Ids as segments of a path: any text goes through, whatever proxies and clients do to dots and slashes.

Plain ids stand as they are. Others are written `~` and the base64url of their UTF-8 without padding (RFC 4648
section 5), because a percent-encoded slash or dot segment is decoded or removed on its way by many programs
(RFC 3986 sections 5.2.4 and 6.2.2).
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from urllib.parse import unquote_to_bytes

from tiered_memory.errors import InvalidInputError

_PLAIN = re.compile(r"[A-Za-z0-9_@:-][A-Za-z0-9._@:-]*")
_ENCODED = re.compile(r"[A-Za-z0-9_-]*")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
MARK = "~"


def to_segment(text: str) -> str:
    """Return `text` as one segment of a path.

    Raises:
        InvalidInputError: it has a lone surrogate, which no encoding has.
    """
    if _PLAIN.fullmatch(text):
        return text
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise InvalidInputError("an id must be text that UTF-8 can encode") from None
    return MARK + urlsafe_b64encode(encoded).rstrip(b"=").decode()


def from_segment(segment: str) -> str:
    """Return the text that a segment stands for; percent-encoding is understood as well.

    Raises:
        InvalidInputError: it is not well-formed.
    """
    if segment.startswith(MARK):
        return _decoded(segment[1:])
    if _PERCENT.search(segment):
        raise InvalidInputError("the path holds a percent sign that encodes nothing")
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise InvalidInputError("the path is not UTF-8") from None


def _decoded(encoded: str) -> str:
    if not _ENCODED.fullmatch(encoded):
        raise InvalidInputError("a segment that begins with ~ must be base64url without padding")
    try:
        return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (Error, UnicodeDecodeError):
        raise InvalidInputError("a segment that begins with ~ must be the base64url of UTF-8") from None
