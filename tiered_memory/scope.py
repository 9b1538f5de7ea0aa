"""The scope of every call: one subject of one runtime. What holds for all calls happens here, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence, Sized
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self, TypeVar

from tiered_memory.active import ActiveSubject
from tiered_memory.caller import Caller
from tiered_memory.metrics import timed
from tiered_memory.model import Sensitivity, Subject
from tiered_memory.privacy.access import Allowed
from tiered_memory.runtime import Parts, PartsNow
from tiered_memory.sight import Sight

S = TypeVar("S", bound=Sized)


class Call(tuple[Parts, ActiveSubject]):  # noqa: SLOT001 - a tuple has room for no slots, and calls note what they show
    """The runtime's parts and the subject, for the time of a call; and what the call may see."""

    sight: Sight | None
    """None when it reaches every level."""
    shown: int

    @classmethod
    def of(
        cls, parts: Parts, active: ActiveSubject, allowed: Allowed, shown: int, without: frozenset[str]
    ) -> Self:
        """Return the call; it shows `shown` memories unless it says otherwise, and none of the authors `without`."""
        found = cls((parts, active))
        found.sight = Sight(allowed.levels, without) if allowed.limited or without else None
        found.shown = shown
        return found

    def showing(self, found: S) -> S:
        """Note how many memories the caller is shown, for the ledger, and return them."""
        self.shown = len(found)
        return found


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memory, in which runtime, and who asks; memories of the authors `without` are not shown."""

    parts: PartsNow
    subject: Subject
    caller: Caller = field(default_factory=Caller)
    without: frozenset[str] = frozenset()

    @asynccontextmanager
    async def using(self, op: str, *memory_ids: str, called: str = "") -> AsyncIterator[Call]:
        """Give the runtime's parts and the subject with these memories in RAM, and report the call.

        `op` says what kind of call it is to whoever decides on access; `called` is its name in the metrics, where that
        is another.

        Raises:
            AccessDeniedError: the caller's role may not do this.
            NotFoundError: one of the memories is of a level that the role does not reach.
        """
        parts = self.parts()
        with timed(parts.core.observer, called or op):
            named = bool(memory_ids)
            allowed = await parts.access.permit(self.subject, self.caller, op, names_memories=named)
            async with parts.directory.using(self.subject) as active:
                active.check_usable(op)
                active.check_readable()
                # Forgetting ends what expired by itself, and its dry run changes nothing.
                if op != "forget":
                    await parts.expiry.settle(active)
                await parts.pager.bring(active, memory_ids)
                await parts.access.permit_memories(active, self.caller, allowed, op, memory_ids)
                call = Call.of(parts, active, allowed, len(memory_ids), self.without)
                yield call
                # What was read before an erasure or a restriction and would be handed over after it is discarded.
                active.check_usable(op, done=True)
                parts.access.note(active, self.caller, op, call.shown)

    async def permit(self, op: str, levels: Sequence[Sensitivity] = ()) -> None:
        """Refuse `op` unless the caller may make it, and with memories of each of `levels`; see `using`."""
        await self.parts().access.permit(self.subject, self.caller, op)
        await self.permit_levels(op, levels)

    async def permit_levels(self, op: str, levels: Sequence[Sensitivity]) -> None:
        """Refuse `op` unless the caller may make it with memories of each of `levels`."""
        await self.parts().access.permit_levels(self.subject, self.caller, op, levels)
