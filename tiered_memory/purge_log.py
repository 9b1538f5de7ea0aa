"""The log of purge runs: what each forgetting cycle took, as counts per class; never content, never an id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from tiered_memory.clock import from_us
from tiered_memory.core import Core
from tiered_memory.forgetting.placement import Decision, Keep, Purge
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.hold_model import PurgeRun
from tiered_memory.metrics import PurgeRunNoted
from tiered_memory.register import Entry, Register
from tiered_memory.state.base import MemoryRow
from tiered_memory.state.register import Entries

PURGE_RUN, PURGED = "purge_run", "purged"
STORE = b""
NEWEST = 400


def counted(rows: Iterable[MemoryRow], decisions: Iterable[Decision]) -> Counter[str]:
    """Return how many memories decisions take, by what happens to them, their sensitivity and the rule."""
    levels = {row.memory_id: row.sensitivity for row in rows}
    taken = [one for one in decisions if not isinstance(one, Keep)]
    return Counter(
        f"{PURGED if isinstance(one, Purge) else 'forgotten'}/{levels[one.id]}/{one.reason}" for one in taken
    )


class PurgeLog:
    """Notes purge runs in the ledger, for good, and in the register, the newest of them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._register = Register(core)

    async def note(self, counts: Mapping[str, int]) -> None:
        """Note one run that took something; a run that took nothing is none."""
        if not counts:
            return
        now_us = self._core.now_us()
        leaf = AuditLeaf(AuditEvent.PURGE_RUN, now_us, "", "", 0, detail=dict(counts))
        entry = Entry(
            id=f"{now_us:020d}-{self._core.new_id()[:8]}",
            kind=PURGE_RUN,
            status="done",
            at_us=now_us,
            fields={"counts": dict(counts)},
        )
        await self._register.put_common(STORE, entry, leaf)
        gone = sum(count for word, count in counts.items() if word.startswith(PURGED))
        self._core.observer.observe(PurgeRunNoted(gone, sum(counts.values()) - gone))
        old = [row.entry_id for row in await self._core.state.read(Entries(STORE, PURGE_RUN))][:-NEWEST]
        if old:
            await self._register.drop(STORE, PURGE_RUN, old)

    async def runs(self) -> list[PurgeRun]:
        """Return the newest runs, oldest first."""
        entries = await self._register.common(STORE, PURGE_RUN)
        return [PurgeRun(at=from_us(one.at_us), counts=one.fields["counts"]) for one in entries]
