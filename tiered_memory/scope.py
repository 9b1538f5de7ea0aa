"""The scope of every call: one subject of one runtime. What holds for all calls happens here, once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tiered_memory.active import ActiveSubject
from tiered_memory.metrics import timed
from tiered_memory.model import Subject
from tiered_memory.runtime import Parts, PartsNow


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memory, and in which runtime."""

    parts: PartsNow
    subject: Subject

    @asynccontextmanager
    async def using(self, op: str, *memory_ids: str) -> AsyncIterator[tuple[Parts, ActiveSubject]]:
        """Give the runtime's parts and the subject with these memories in RAM, and report the call as `op`."""
        parts = self.parts()
        with timed(parts.core.observer, op):
            async with parts.directory.using(self.subject) as active:
                # Forgetting ends what expired by itself, and its dry run changes nothing.
                if op != "forget":
                    await parts.expiry.settle(active)
                await parts.pager.bring(active, memory_ids)
                yield parts, active
                # What was read before an erasure and would be handed over after it is discarded.
                active.check_alive()
