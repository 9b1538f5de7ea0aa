"""Ends what is done for a purpose: listed outside the store, committed, taken out of RAM, removed from the tiers.

The list comes first: a store that is restored from an older backup must know of the end, and nobody was told of it
before it was listed. What is listed and not committed, because the process went in between, harms nobody: it ends,
after a restore, what somebody asked to end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tiered_memory.active import ActiveSubject
from tiered_memory.core import Core
from tiered_memory.failpoints import reach
from tiered_memory.held_vault import Vault
from tiered_memory.highwater import ErasedEntry
from tiered_memory.inflight import InFlight
from tiered_memory.receipts import disremember
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryState
from tiered_memory.state.consents import EndPurpose
from tiered_memory.sweep import Sweeper


class Endings:
    """Carries out the end of a purpose for one subject."""

    def __init__(self, core: Core, sweeper: Sweeper, inflight: InFlight, vault: Vault) -> None:
        self._core = core
        self._sweeper = sweeper
        self._inflight = inflight
        self._vault = vault
        self.leaving: Callable[[ActiveSubject, str], AbstractAsyncContextManager[None]] = _nowhere
        """Takes out what a person contributed elsewhere for a purpose, while that ends."""

    def mark(self, active: ActiveSubject, purpose: str, at_us: int, cause: str) -> ErasedEntry:
        """Return the line of the erased list that says so."""
        pseudonym = active.ref.pseudonym
        named = self._core.names.purpose(pseudonym, purpose).hex()
        return ErasedEntry(pseudonym.hex(), active.ref.generation, at_us, purpose=named, cause=cause)

    async def covered(self, active: ActiveSubject, purpose: str) -> int:
        """Return how many active memories are kept for a purpose."""
        if not active.paged:
            return sum(tracked.row.purpose == purpose for tracked in active.tracked.values())
        rows = await self._core.state.read(c.Memories(active.ref.pseudonym))
        return sum(row.purpose == purpose and row.state == MemoryState.ACTIVE for row in rows)

    async def end(
        self,
        active: ActiveSubject,
        command: EndPurpose,
        mark: ErasedEntry,
        committed: Callable[[], None],
        *,
        remove: bool = True,
    ) -> bool:
        """End a purpose; `committed` is called as soon as it is. Without `remove` the bytes go with the next cycle.

        Returns False, and changed nothing in the store, when the commit found that something else came before.
        """
        return await self._inflight.complete(self._end(active, command, mark, committed, remove=remove))

    async def listed(self, entry: ErasedEntry) -> None:
        """Enter a line in the list; on disk when this returns."""
        await self._core.ballast.spend(lambda: self._core.marks.add([entry]))

    async def _end(
        self,
        active: ActiveSubject,
        command: EndPurpose,
        mark: ErasedEntry,
        committed: Callable[[], None],
        *,
        remove: bool,
    ) -> bool:
        """RAM first: what the disk still has cannot be read any more, whatever fails from here on."""
        async with self.leaving(active, command.purpose):
            await self.listed(mark)
            if not await self._core.ballast.spend(lambda: self._vault.write(active, command)):
                return False
            committed()
            active.keys.pop(command.purpose, None)
            active.damaged_keys.discard(command.purpose)
        reach("withdraw.after_commit")
        await self.take_out(active, command.purpose)
        await self._core.state.checkpoint()
        reach("withdraw.after_checkpoint")
        if remove:
            await self._sweeper.remove_pending(active.ref.pseudonym)
            reach("withdraw.after_removal")
        return True

    async def take_out(self, active: ActiveSubject, purpose: str) -> None:
        """Make what is held for a purpose unfindable.

        Sessions and hot mix purposes: they are caches, so all of the subject's goes.
        """
        every = (*active.held.values(), *active.quarantined.values())
        covered = [one.id for one in every if one.memory().purpose == purpose]
        await self._sweeper.take_out(active, covered)
        await self._core.warm.drop(active.ref)
        active.sessions.clear()
        disremember(active, purpose)
        # What hot keeps when it cannot be reached does not open any more: a snapshot's edition passed.
        await self._sweeper.drop_hot(active)


@asynccontextmanager
async def _nowhere(_active: ActiveSubject, _purpose: str) -> AsyncIterator[None]:
    yield
