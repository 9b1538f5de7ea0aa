"""Writes what `privacy/access_log.py` counted into the audit ledger, behind the reads: no read waits for it."""

from __future__ import annotations

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import Clock, to_us
from tiered_memory.errors import StorageError
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.ledger import subject_commitment
from tiered_memory.privacy.access_log import (
    MOST_KEYS,
    Access,
    AccessCall,
    AccessCounts,
    Tally,
    bounded,
    one_access,
)
from tiered_memory.state import commands as c
from tiered_memory.state.base import StateStore

WINDOW_SECONDS = 60.0
AT_ONCE = 500
_BY_NAME = {call.value: call for call in AccessCall}


class AccessWriter:
    """Counts accesses in RAM for `window_seconds` (> 0) and appends one leaf per tally.

    A kill loses the window that was not written: what is logged of reads is complete up to the last window.
    """

    def __init__(
        self,
        state: StateStore,
        clock: Clock,
        *,
        window_seconds: float = WINDOW_SECONDS,
        most_keys: int = MOST_KEYS,
    ) -> None:
        self._state = state
        self._clock = clock
        self._window_us = round(window_seconds * 1e6)
        self._counts = AccessCounts(most_keys)
        self._most = most_keys
        self._names: dict[tuple[bytes, int], str] = {}

    def record(
        self,
        active: ActiveSubject,
        call: AccessCall,
        memories: int,
        *,
        category: str = "",
        role: str = "",
        actor: str = "runtime",
    ) -> None:
        """Count one call that showed `memories` of a subject. Synchronous and cheap: a dictionary entry.

        An ephemeral subject's reads are not counted: nothing of such a subject reaches the state store.
        """
        if not active.durable:
            return
        access = Access(
            active.tenant.hex(), self._name(active), active.ref.generation, call, category, role, actor
        )
        self._counts.add(bounded(access), one_access(memories, to_us(self._clock.now())))

    def called(self, active: ActiveSubject, op: str) -> None:
        """Count a call of the public face by its name, if it is one that shows memories; how many is not known."""
        call = _BY_NAME.get(op)
        if call is not None:
            self.record(active, call, 0)

    async def tend(self) -> None:
        """Write when the window is over."""
        first_us = self._counts.first_us
        if first_us is not None and not 0 <= to_us(self._clock.now()) - first_us < self._window_us:
            await self.flush()

    async def flush(self) -> int:
        """Append what was counted to the ledger; return how many leaves.

        Raises:
            StorageError: it could not be written; it is counted still, and written at the next turn.
        """
        taken = self._counts.take()
        self._names.clear()
        for start in range(0, len(taken), AT_ONCE):
            leaves = tuple(_leaf(*one) for one in taken[start : start + AT_ONCE])
            try:
                await self._state.write(c.AppendLeaves(leaves))
            except StorageError:
                self._counts.put_back(taken[start:])
                raise
        return len(taken)

    def _name(self, active: ActiveSubject) -> str:
        """A subject's commitment is made once per window."""
        key = (active.ref.pseudonym, active.ref.generation)
        known = self._names.get(key)
        if known is None:
            known = subject_commitment(active.ledger_key, active.ref.pseudonym)
            if len(self._names) < self._most:
                self._names[key] = known
        return known


def _leaf(access: Access, tally: Tally) -> AuditLeaf:
    detail: dict[str, int | str] = {
        "call": access.call.value,
        "calls": tally.calls,
        "memories": tally.memories,
        "first_us": tally.first_us,
    }
    named = {"category": access.category, "role": access.role}
    detail.update({name: word for name, word in named.items() if word})
    return AuditLeaf(
        AuditEvent.ACCESSED,
        tally.last_us,
        access.tenant,
        access.subject,
        access.generation,
        actor=access.actor,
        detail=detail,
    )
