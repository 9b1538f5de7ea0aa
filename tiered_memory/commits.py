"""One commit of new memories and new versions of held ones: sealed, made durable, shown in RAM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from tiered_memory.active import ActiveSubject
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import SealingKey
from tiered_memory.drafts import Amendment, Draft, DraftWriter
from tiered_memory.errors import ConsentRequiredError, QuotaExceededError
from tiered_memory.failpoints import reach
from tiered_memory.flusher import Flusher
from tiered_memory.guard import quarantine_leaf, told_apart
from tiered_memory.held import Tracked, state_of
from tiered_memory.leaving import Quotas
from tiered_memory.metrics import Routed
from tiered_memory.state import commands as c
from tiered_memory.state.base import JournalEntry, MemoryRow, OperationRow, Repeated, Stale, WriteBatch

WITHDRAWN = "the consent was withdrawn while this was being written; nothing was stored"


@dataclass(frozen=True, slots=True)
class Commission:
    """What is to be committed together, for one purpose, by one operation (16 bytes).

    `drafts` are said now and join their sessions; `promoted` were said before.
    """

    purpose: str
    operation: bytes
    drafts: Sequence[Draft]
    amendments: Sequence[Amendment] = ()
    promoted: Sequence[Draft] = ()
    remembered: OperationRow | None = None

    @property
    def every(self) -> list[Draft]:
        """All drafts, those said before at the end."""
        return [*self.drafts, *self.promoted]


@dataclass(frozen=True, slots=True)
class Written:
    """What a commit put down: the rows of new memories, and the key they are sealed under."""

    rows: tuple[MemoryRow, ...] = ()
    key: SealingKey | None = None


class Committer:
    """Puts commissions down. `publish` follows when it is sure that the subject is still as it was."""

    def __init__(self, core: Core, flusher: Flusher, quotas: Quotas) -> None:
        self._core = core
        self._flusher = flusher
        self._quotas = quotas
        self._writer = DraftWriter(core)

    def turn(self, active: ActiveSubject) -> AbstractAsyncContextManager[None]:
        """See `Quotas.turn`."""
        return self._quotas.turn(active)

    async def attempt(self, active: ActiveSubject, given: Commission) -> Written | Repeated | Stale | None:
        """Commit, or return None where room is lacking that what it brings up to date could make, were it left alone."""
        try:
            return await self.commit(active, given)
        except QuotaExceededError:
            if not given.amendments:
                raise
            return None

    async def commit(self, active: ActiveSubject, given: Commission) -> Written | Repeated | Stale:
        """Make a commission durable as a whole; what has no durable part is written nowhere.

        Raises:
            ConsentRequiredError: the purpose's key is gone.
            QuotaExceededError: what is protected fills the quota; nothing was stored.
        """
        said = [draft for draft in given.drafts if draft.placement.durable]
        durable = [*said, *given.promoted]
        if not durable and not given.amendments:
            return Written()
        key = active.keys.get(given.purpose)
        if key is None:
            raise ConsentRequiredError(WITHDRAWN)
        now_us, write = self._core.now_us(), self._writer
        entries = write.entries(active, durable, given.operation, now_us)
        rows = tuple(write.row(active, draft, now_us) for draft in durable if draft.placement.cold)
        revisions = write.revisions(active, given.amendments, given.purpose, given.operation, now_us)
        batch = WriteBatch(
            subject=active.ref.pseudonym,
            generation=active.ref.generation,
            entries=tuple(entries),
            memories=rows,
            revisions=tuple(revisions),
            tails=tuple(write.tails(active, said, now_us)),
            tail_turns=self._core.policy.warm.tail_turns,
            routing=Counter((one.placement.target, one.placement.reason) for one in given.every),
            operation=given.remembered,
            key_id=key.key_id,
            purpose=given.purpose,
            leaves=tuple(
                quarantine_leaf(active, one.memory, now_us) for one in durable if one.memory.quarantined
            ),
        )
        put = [*entries, *(one.entry for one in revisions)]
        reach("append.before")
        # With nothing awaited in between: who removes one of them after this commit finds it on its way.
        outcome = await self._quotas.append(
            active, batch, lambda done: self._hand_over(active, put, done.seqs), unobjected(active)
        )
        if isinstance(outcome, (Repeated, Stale)):
            return outcome
        reach("append.after")
        for draft in durable:
            if draft.memory.quarantined:
                self._core.observer.observe(told_apart(draft.memory))
        return Written(rows, key)

    def _hand_over(self, active: ActiveSubject, entries: Sequence[JournalEntry], seqs: Sequence[int]) -> None:
        if active.alive:
            numbered = [replace(e, seq=seq) for e, seq in zip(entries, seqs, strict=True)]
            self._flusher.add(active.ref, numbered)

    def publish(
        self, active: ActiveSubject, given: Commission, rows: Sequence[MemoryRow], expires_us: int
    ) -> None:
        """Make what was committed findable; what is in no cold tier ends at `expires_us`.

        What the person objected to as soon as it was committed is held, like what was there before, and not shown.
        """
        rows = () if given.purpose in active.objections else rows
        given = shown_of(active, given)
        active.release([draft.memory.id for draft in given.promoted])
        active.tracked.update({row.memory_id: Tracked(row, state_of(row)) for row in rows})
        found = [one for one in given.every if one.placement.searchable or _is_apart(one)]
        held = [draft.held(None if draft.placement.cold else expires_us) for draft in found]
        active.hold(held, [draft.turn for draft in found])
        active.claims.update({one.memory.id: one.claim for one in found if one.claim is not None})
        for amendment in given.amendments:
            self._take_up(active, amendment)
        for draft in given.every:
            routed = Routed(draft.placement.target, draft.placement.reason, draft.memory.importance)
            self._core.observer.observe(routed)

    def _take_up(self, active: ActiveSubject, amendment: Amendment) -> None:
        active.revise(amendment.held)
        tracked = active.tracked.get(amendment.held.id)
        if amendment.state is None or tracked is None:
            return
        if tracked.state == amendment.before:
            tracked.state = amendment.state
            return
        # It was used while this was on its way to the disk: the store hears of both with the next uses.
        tracked.state = self._core.curve.use(tracked.state, amendment.state.t_last_us)
        active.used.add(amendment.held.id)


def unobjected(active: ActiveSubject) -> Callable[[WriteBatch], c.Append]:
    """Return how a batch is appended: nothing is awaited between the last look at objections and its queue."""

    def append(batch: WriteBatch) -> c.Append:
        active.check_unobjected(batch.purpose)
        return c.Append(batch)

    return append


def shown_of(active: ActiveSubject, given: Commission) -> Commission:
    """Return what of a commission may be shown: nothing that is kept for a purpose objected to meanwhile."""
    if given.purpose not in active.objections:
        return given
    spoken = [draft for draft in given.drafts if not draft.placement.durable]
    return replace(given, drafts=spoken, amendments=(), promoted=())


def _is_apart(draft: Draft) -> bool:
    """Tell whether it is kept, where nothing finds it."""
    return draft.memory.quarantined and draft.placement.cold
