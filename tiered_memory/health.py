"""Whether a runtime should be given work: what stands, and what stands in the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tiered_memory.errors import StorageError
from tiered_memory.runtime import Parts
from tiered_memory.state import commands as c

OK, DOWN, FULL = "ok", "down", "full"
NEEDED = frozenset({"state", "journal"})
"""Without these nothing can be acknowledged; without the hot tier everything works, slower."""


@dataclass(frozen=True, slots=True)
class Health:
    """`checks` says of each part "ok", "down" or "full"; `ready` whether requests should be sent here."""

    ready: bool
    checks: Mapping[str, str]


async def health_of(parts: Parts) -> Health:
    """Return how the runtime stands now; cheap enough to be asked every second."""
    checks = {
        "state": await _state(parts),
        "journal": OK if parts.flusher.has_room else FULL,
        "hot": OK if parts.core.hot.up else DOWN,
    }
    return Health(all(checks[name] == OK for name in NEEDED), checks)


async def _state(parts: Parts) -> str:
    try:
        await parts.core.state.read(c.GetMeta("store_id"))
    except StorageError:
        return DOWN
    return OK
