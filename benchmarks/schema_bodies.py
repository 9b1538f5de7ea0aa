"""Bodies that schemathesis has no words for: lines of JSON, and archives."""

from __future__ import annotations

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Return a list's items a line each, and anything else as one line."""
    if isinstance(value, bytes):
        return value
    items = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(one).encode() + b"\n" for one in items)


@schemathesis.serializer("application/zip")
def archive(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Return bytes as they are, and anything else as its JSON."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()
