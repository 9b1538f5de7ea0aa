"""A user's quarantine, as callers see it."""

from __future__ import annotations

from tiered_memory.intake import REASON_BYTES, check_memory_id, check_text
from tiered_memory.model import Memory
from tiered_memory.scope import Scope


class QuarantineFace:
    """What is kept apart of a user's memories, and by whom it is judged."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def list(self) -> list[Memory]:
        """Return the quarantined memories, newest first; the last of each one's `reasons` says why it is there."""
        async with self._scope.using("list", called="quarantine") as call:
            parts, active = call
            found = await parts.quarantine.quarantined(active)
            return call.showing(found if call.sight is None else call.sight.memories(active, found))

    async def put(self, memory_id: str, *, reason: str) -> None:
        """Keep a memory apart: stored, but found, shown and followed by nothing; what it superseded holds again."""
        check_memory_id(memory_id)
        check_text(reason, "reason", REASON_BYTES)
        async with self._scope.using("update", memory_id, called="quarantine") as (parts, active):
            await parts.quarantine.put(active, memory_id, reason)

    async def release(self, memory_id: str, *, reason: str) -> Memory:
        """Make a quarantined memory retrievable, and return it; its trust stays what it was.

        It takes no other's place by that, whatever it says. NotFoundError when it is not quarantined.
        """
        check_memory_id(memory_id)
        check_text(reason, "reason", REASON_BYTES)
        async with self._scope.using("update", memory_id, called="quarantine") as call:
            parts, active = call
            found = await parts.quarantine.release(active, memory_id, reason)
            return found if call.sight is None else call.sight.bare(active, found)
