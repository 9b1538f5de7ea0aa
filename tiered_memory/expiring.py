"""Ends the consents whose time is over: at the first touch of a subject, and in the forgetting cycle for everybody."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack

from tiered_memory.active import ActiveSubject
from tiered_memory.announcing import Announcer
from tiered_memory.consent_records import ConsentWriter
from tiered_memory.consents import end_of, newest_opening_us
from tiered_memory.core import Core
from tiered_memory.endings import Endings
from tiered_memory.errors import StorageError, SubjectErasedError
from tiered_memory.highwater import CONSENT_ENDED
from tiered_memory.inflight import KeyedLocks
from tiered_memory.metrics import ConsentChanged
from tiered_memory.privacy.consent import ConsentAction, ConsentEvent, lapsed_consents
from tiered_memory.state import commands as c
from tiered_memory.state.base import SubjectRow
from tiered_memory.state.consents import HeldFor, LapsedConsents
from tiered_memory.subjects import SubjectDirectory

logger = logging.getLogger("tiered_memory")

LAPSED_LIMIT = 10_000
"""Expired consents that one cycle ends; what is left is the next one's."""


class Expiry:
    """Ends consents that have expired. The bytes of what rested on them go with the cycle's removals."""

    def __init__(
        self, core: Core, directory: SubjectDirectory, endings: Endings, announcer: Announcer
    ) -> None:
        self._core = core
        self._directory = directory
        self._endings = endings
        self._announcer = announcer
        self._writer = ConsentWriter(core)
        self._ending = KeyedLocks[bytes]()

    async def settle(self, active: ActiveSubject) -> None:
        """End the subject's expired consents: from here on nothing that rested on them is found, or can be read."""
        if not lapsed_consents(active.consents, self._core.now_us()):
            return
        async with self._ending.held(active.ref.pseudonym):
            for event in lapsed_consents(active.consents, self._core.now_us()):
                await self._end(active, event)

    async def cycle(self, pseudonym: bytes | None, now_us: int, *, dry_run: bool) -> list[str]:
        """End what expired, of one subject or all; return the ids of the memories that go with it.

        One subject's trouble does not keep the others waiting: it stays due. A dry run changes nothing.
        """
        lapsed = await self._core.state.read(LapsedConsents(now_us, pseudonym, LAPSED_LIMIT))
        covered: list[str] = []
        for subject in dict.fromkeys(one.subject for one in lapsed):
            purposes = [one.purpose for one in lapsed if one.subject == subject]
            ids = await self._held(subject, purposes)
            if dry_run or await self._settled(subject):
                covered += ids
        return covered

    async def _held(self, subject: bytes, purposes: Sequence[str]) -> list[str]:
        found = [await self._core.state.read(HeldFor(subject, purpose)) for purpose in purposes]
        return [memory_id for ids in found for memory_id in ids]

    async def _settled(self, subject: bytes) -> bool:
        row = await self._core.state.read(c.GetSubject(subject))
        if row is None:
            return False
        try:
            await self._settle_row(row)
        except SubjectErasedError:
            return False
        except StorageError as error:
            logger.warning("an expired consent could not be ended: %s", error)
            return False
        return True

    async def _settle_row(self, row: SubjectRow) -> None:
        """Nobody may load the subject meanwhile: the key that goes would outlive its end in RAM."""
        async with AsyncExitStack() as stack:
            active = await self._directory.peek(row)
            whose = self._announcer.subject_of(active, row)
            if whose is not None:
                await stack.enter_async_context(self._directory.alone(whose))
            active = await self._directory.peek(row)
            if self._directory.resident(row.subject) is not active:
                await self._directory.load_consents(active)
            active.users += 1
            try:
                await self.settle(active)
            finally:
                active.users -= 1

    async def _end(self, active: ActiveSubject, lapsed: ConsentEvent) -> None:
        """A consent that was renewed meanwhile is left alone: the commit looks once more."""
        written = self._writer.ended(active, ConsentAction.EXPIRED, lapsed, {})
        opened_us = newest_opening_us(active, lapsed.purpose)
        mark = self._endings.mark(active, lapsed.purpose, opened_us, CONSENT_ENDED)
        command = end_of(active, written, lapsed.event_id)

        def noted() -> None:
            active.consents.append(written.event)
            self._core.observer.observe(ConsentChanged(ConsentAction.EXPIRED.value))

        await self._endings.end(active, command, mark, noted, remove=False)
