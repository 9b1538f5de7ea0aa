"""Who hears of forgetting: the observer and listeners after it, the application before it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import anyio
import msgpack

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import from_us, stopwatch
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import Place
from tiered_memory.crypto.keyring import SUBJECT_PURPOSE
from tiered_memory.errors import CorruptionError
from tiered_memory.events import Events
from tiered_memory.forget_model import ForgetBatch, MemoryEvent
from tiered_memory.forgetting.placement import QUOTA
from tiered_memory.metrics import HookAnswered, MemoryMoved
from tiered_memory.model import Subject
from tiered_memory.state.base import MemoryState, StateChange, SubjectRow
from tiered_memory.tiers.base import TierRecord

logger = logging.getLogger("tiered_memory")


class Announcer:
    """Tells of memories that come and go."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.events = Events()

    @property
    def asks(self) -> bool:
        """Whether the application wants to be asked before something is forgotten."""
        return self._core.before_forget is not None

    def subject_of(self, active: ActiveSubject, row: SubjectRow) -> Subject | None:
        """Return who a subject is, or None when its identity cannot be opened. One in RAM knows its own name."""
        if active.subject.user or row.identity is None:
            return active.subject if active.subject.user else None
        record = TierRecord("identity", 0, 0, row.identity)
        try:
            tenant, user = msgpack.unpackb(active.sealer(SUBJECT_PURPOSE).open(Place.SUBJECT, record))
        except CorruptionError:
            return None
        return Subject(tenant, user)

    async def ask(self, batch: ForgetBatch) -> frozenset[str] | None:
        """Return the ids that the application keeps; None when it failed or took too long: then nothing may go."""
        begun = stopwatch()
        try:
            with anyio.fail_after(self._core.limits.forget_hook_seconds):
                kept, outcome = await self._answer(batch), "ok"
        except TimeoutError:
            kept, outcome = None, "timeout"
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises, memories are kept
            kept, outcome = None, "error"
            logger.warning("before_forget failed (%s): decay takes nothing this time", type(error).__name__)
        if outcome == "timeout":
            logger.warning("before_forget did not answer in time: decay takes nothing this time")
        self._core.observer.observe(HookAnswered(outcome, len(kept or ()), stopwatch() - begun))
        return kept

    async def _answer(self, batch: ForgetBatch) -> frozenset[str]:
        hook = self._core.before_forget
        answer = None if hook is None else await hook(batch)
        kept = frozenset(answer or ())
        if isinstance(answer, str) or not all(isinstance(one, str) for one in kept):
            raise TypeError  # what is no id would keep nothing
        return kept

    def moved(self, subject: Subject | None, changes: Sequence[StateChange], now_us: int) -> None:
        """Tell that memories were forgotten, evicted or purged."""
        for change in changes:
            self._core.observer.observe(MemoryMoved(_word(change), change.deadline_rule))
        if self.events.wanted:
            self.events.tell(_event(subject, change, now_us) for change in changes)

    def restored(self, subject: Subject, memory_id: str, now_us: int) -> None:
        """Tell that a memory was brought back."""
        self._core.observer.observe(MemoryMoved("restored", "restored"))
        at = from_us(now_us)
        told = MemoryEvent(subject=subject, memory_id=memory_id, change="restored", rule="restored", at=at)
        self.events.tell([told])


def _word(change: StateChange) -> str:
    if change.state is MemoryState.REMOVING:
        return "purged"
    return "evicted" if change.deadline_rule == QUOTA else "forgotten"


def _event(subject: Subject | None, change: StateChange, now_us: int) -> MemoryEvent:
    forgotten = change.state is MemoryState.FORGOTTEN and change.deadline_us is not None
    return MemoryEvent(
        subject=subject,
        memory_id=change.memory_id,
        change=_word(change),
        rule=change.deadline_rule,
        at=from_us(now_us),
        purge_at=from_us(change.deadline_us or 0) if forgotten else None,
    )
