"""Facts about the daemon: its jobs, its HTTP face, its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class JobRun:
    """A background `job` ended after `seconds`: "ok", "failed", "skipped" (it was paused) or "cancelled".

    Jobs: flush, uses, forget, purge, sessions, compact, key_epoch, checkpoint, backup, gauges.
    """

    job: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class JobPaused:
    """A background `job` was paused, or goes on."""

    job: str
    paused: bool


@dataclass(frozen=True, slots=True)
class HttpDone:
    """A request to a `group` of routes was answered with `status` (100..599) after `seconds`.

    Groups: memories, search, context, rights, operate, ui, mcp, health.
    """

    group: str
    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class HttpInFlight:
    """How many HTTP requests are being answered now."""

    requests: int


@dataclass(frozen=True, slots=True)
class HttpRejected:
    """An HTTP request was turned away before it reached the memory.

    Reasons: rate_limited, body_too_large, unauthenticated, forbidden, overloaded, timeout.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class ApiKeyEvent:
    """An API key was "created", "rotated" or "revoked"; or one was presented that is "unknown" or has "ended"."""

    event: str


DaemonFact: TypeAlias = JobRun | JobPaused | HttpDone | HttpInFlight | HttpRejected | ApiKeyEvent
