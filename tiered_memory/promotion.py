"""Late promotion: what stayed below the gate and is used after all goes to cold, as long as hot still has it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from tiered_memory.active import ActiveSubject
from tiered_memory.commits import Commission, Committer, Written
from tiered_memory.core import Core
from tiered_memory.drafts import Draft, DraftWriter, promoted
from tiered_memory.errors import (
    BacklogFullError,
    ConsentRequiredError,
    HotTierError,
    QuotaExceededError,
    StorageError,
    SubjectErasedError,
)
from tiered_memory.flusher import Flusher
from tiered_memory.inflight import InFlight

logger = logging.getLogger("tiered_memory")


class Promoter:
    """Keeps volatile memories that were used."""

    def __init__(self, core: Core, flusher: Flusher, committer: Committer, inflight: InFlight) -> None:
        self._core = core
        self._flusher = flusher
        self._committer = committer
        self._writer = DraftWriter(core)
        self._inflight = inflight

    async def promote(self, active: ActiveSubject, memory_ids: Sequence[str]) -> int:
        """Keep those of the memories that are volatile and may be kept; return how many.

        Whoever used them has had them already: an engine that fails leaves them as they were, until their time in
        hot has passed.
        """
        if not any(one in active.held and active.held[one].volatile for one in memory_ids):
            return 0
        try:
            return await self._inflight.complete(self._promote(active, memory_ids))
        except (ConsentRequiredError, QuotaExceededError, SubjectErasedError):
            return 0
        except StorageError as error:
            logger.warning("a used memory could not be promoted: %s", error)
            return 0

    async def _promote(self, active: ActiveSubject, memory_ids: Sequence[str]) -> int:
        """What is looked at under the lock is neither promoted twice nor removed meanwhile."""
        active.users += 1
        try:
            async with self._committer.turn(active), active.moving:
                return sum([await self._commit(active, *group) for group in self._drafts(active, memory_ids)])
        finally:
            active.users -= 1

    def _drafts(self, active: ActiveSubject, memory_ids: Sequence[str]) -> list[tuple[str, list[Draft]]]:
        now_us, by_purpose = self._core.now_us(), dict[str, list[Draft]]()
        for memory_id in dict.fromkeys(memory_ids):
            held = active.held.get(memory_id)
            draft = None if held is None else promoted(self._core, active, held, now_us)
            if draft is not None:
                by_purpose.setdefault(draft.memory.purpose, []).append(draft)
        return list(by_purpose.items())

    async def _commit(self, active: ActiveSubject, purpose: str, drafts: list[Draft]) -> int:
        given = Commission(purpose, self._core.entropy.token(16), (), promoted=drafts)
        try:
            self._flusher.check_room(len(drafts))
            outcome = await self._committer.commit(active, given)
        except (BacklogFullError, QuotaExceededError):
            return 0
        active.check_alive()
        if not isinstance(outcome, Written) or active.keys.get(purpose) is not outcome.key:
            return 0
        expires_us = self._core.now_us() + round(self._core.policy.hot.ttl_seconds * 1_000_000)
        self._committer.publish(active, given, outcome.rows, expires_us)
        with contextlib.suppress(HotTierError):
            await self._core.hot.put(active.ref, self._writer.hot_records(active, drafts, expires_us))
        return len(drafts)
