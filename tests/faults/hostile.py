"""What hostile clients say to a daemon, and what every one of its refusals must be like."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

CANARY = f"mk{secrets.token_hex(9)}"
"""In ids, contents, headers and keys of hostile requests: it must never come back or be logged."""
HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n"
JSON = b"Content-Type: application/json\r\n"
MEMORIES = f"/v1/tenants/acme/users/{CANARY}/memories".encode()
PROBLEM = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it stood on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """Its problem details; fails for an answer that is none."""
        assert self.headers["content-type"] == PROBLEM
        told: dict[str, Any] = json.loads(self.body)
        assert told["status"] == self.status
        return told


def answers(raw: bytes) -> list[Answer]:
    """Return the answers on the wire, one after the other; fails when they are not framed."""
    found = []
    while raw:
        head, parted, rest = raw.partition(b"\r\n\r\n")
        assert parted, raw
        lines = head.decode("ascii").split("\r\n")
        pairs = (line.split(":", 1) for line in lines[1:])
        headers = {name.lower(): text.strip() for name, text in pairs}
        size = int(headers["content-length"])
        assert len(rest) >= size, raw
        found.append(Answer(int(lines[0].split(" ")[1]), headers, rest[:size]))
        raw = rest[size:]
    return found


def request(
    verb: bytes = b"GET",
    target: bytes = b"/v1/health",
    *,
    more: bytes = b"",
    body: bytes = b"",
    host: bytes = HOST,
) -> bytes:
    """Return a request that closes its connection; `more` are whole header lines."""
    return verb + b" " + target + b" HTTP/1.1\r\n" + host + CLOSE + more + b"\r\n" + body


def posted(body: bytes, more: bytes = JSON, target: bytes = MEMORIES) -> bytes:
    """Return a POST of a body with its right length."""
    return request(b"POST", target, more=more + b"Content-Length: %d\r\n" % len(body), body=body)


def chunked(pieces: bytes, more: bytes = b"", version: bytes = b"1.1") -> bytes:
    """Return a POST whose body is these bytes, which say they are chunks."""
    head = b"POST " + MEMORIES + b" HTTP/" + version + b"\r\n" + HOST + CLOSE + JSON + more
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces
