"""After a change of the policy: deadlines are computed anew, a batch a cycle, while everything goes on.

The index of deadlines may fire early, never late: a longer life would need nothing, a shorter one does. Strengths
are not touched, so that a policy which is taken back leaves every deadline as if it had never been.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tiered_memory.core import Core
from tiered_memory.leaving import deadline_anew
from tiered_memory.metrics import Reindexed
from tiered_memory.state.base import DeadlineUpdate, MemoryRow, SubjectState
from tiered_memory.state.commands import SubjectsInState
from tiered_memory.state.forgetting import CountOfOtherPolicies, OfOtherPolicies, Reindex

COMMITTED = 500
"""Deadlines in one commit: nobody's write waits longer for the writer."""


class Reindexer:
    """Brings the index of deadlines to the present policy, step by step; what is done stays done over restarts."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._done = False

    async def step(self) -> int:
        """Compute the next batch anew; return how many it was, 0 when all follow the present policy."""
        rows = await self._of_other_policies()
        self._done = not rows
        await self.enter([deadline_anew(self._core, row) for row in rows])
        if rows:
            full = len(rows) == self._core.policy.forgetting.reindex_batch
            count = CountOfOtherPolicies(self._core.policy_version)
            remaining = await self._core.state.read(count) if full else 0
            self._core.observer.observe(Reindexed(len(rows), remaining))
        return len(rows)

    def reopen(self) -> None:
        """Look again: deadlines were marked to be computed anew under the same policy."""
        self._done = False

    async def overlooked(self, now_us: int, pseudonym: bytes | None) -> list[MemoryRow]:
        """Return what the next step would find to be due by now, of one subject or all."""
        rows = await self._of_other_policies()
        restricted = await self._core.state.read(SubjectsInState(SubjectState.RESTRICTED)) if rows else []
        frozen = {one.subject for one in restricted}
        chosen = [row for row in rows if pseudonym in {None, row.subject} and row.subject not in frozen]
        return [row for row in chosen if _is_new(deadline_anew(self._core, row), now_us)]

    async def enter(self, updates: Sequence[DeadlineUpdate]) -> None:
        """Write deadlines; rows that changed since they were read are left as they are."""
        for start in range(0, len(updates), COMMITTED):
            await self._core.state.write(Reindex(tuple(updates[start : start + COMMITTED])))

    async def _of_other_policies(self) -> list[MemoryRow]:
        if self._done:
            return []
        batch = self._core.policy.forgetting.reindex_batch
        rows = await self._core.state.read(OfOtherPolicies(self._core.policy_version, batch))
        await self._core.learn_tenants({row.subject for row in rows})
        return rows


def _is_new(update: DeadlineUpdate, now_us: int) -> bool:
    """Tell whether a deadline has passed that the index still has in the future."""
    before_us = update.row.deadline_us
    due = update.deadline_us is not None and update.deadline_us <= now_us
    return due and (before_us is None or before_us > now_us)


def by_subject(rows: Iterable[MemoryRow]) -> dict[bytes, list[MemoryRow]]:
    """Return rows by their subject."""
    grouped: dict[bytes, list[MemoryRow]] = {}
    for row in rows:
        grouped.setdefault(row.subject, []).append(row)
    return grouped
