"""Whether a call may be made, asked before anything is read; and what the ledger hears of calls and refusals."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from tiered_memory.access_writer import AccessWriter
from tiered_memory.active import ActiveSubject
from tiered_memory.caller import Caller
from tiered_memory.core import Core
from tiered_memory.errors import AccessDeniedError, NotFoundError, StorageError
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.ledger import leaf_for
from tiered_memory.metrics import AccessDenied
from tiered_memory.model import Sensitivity, Subject
from tiered_memory.privacy.access import ACTION_OF, Allowed, Refused, decide_access, decide_call
from tiered_memory.privacy.access_log import AccessCall
from tiered_memory.state import commands as c
from tiered_memory.state.base import SubjectState
from tiered_memory.state.paging import MemoryRows
from tiered_memory.subjects import SubjectDirectory

logger = logging.getLogger("tiered_memory")

ACTOR_DIGITS = 32
RUNTIME = "runtime"
_CALLS = {call.value: call for call in AccessCall}
_OPEN = frozenset({SubjectState.ACTIVE, SubjectState.RESTRICTED})


class AccessGate:
    """Lets calls through or refuses them, by the policy's access table."""

    def __init__(self, core: Core, directory: SubjectDirectory, writer: AccessWriter) -> None:
        self._core = core
        self._directory = directory
        self._writer = writer

    async def permit(
        self, subject: Subject, caller: Caller, op: str, *, names_memories: bool = False
    ) -> Allowed:
        """Return with which levels the call may deal.

        Raises:
            AccessDeniedError: with none; the refusal is in the ledger.
            AgentNotAllowedError: an agent calls that the tenant does not allow.
        """
        book = self._core.tenancy
        if caller.agent and book.entries:
            book.check_agent(self._core.names.tenant(subject.tenant), caller.agent)
        found = decide_call(self._core.policy, caller, op, names_memories=names_memories)
        if isinstance(found, Refused):
            await self.refuse(subject, caller, found)
        return found

    async def permit_levels(
        self, subject: Subject, caller: Caller, op: str, levels: Sequence[Sensitivity]
    ) -> None:
        """Refuse the call unless it may deal with each of these levels; see `permit`."""
        for level in levels:
            found = decide_access(self._core.policy, caller, ACTION_OF[op], level)
            if isinstance(found, Refused):
                await self.refuse(subject, caller, found)

    async def permit_memories(
        self, active: ActiveSubject, caller: Caller, allowed: Allowed, op: str, memory_ids: Sequence[str]
    ) -> None:
        """Refuse memories of a level that the call may not deal with.

        Raises:
            NotFoundError: as for a memory that there is not: that there is one is not told. The ledger knows.
        """
        if not allowed.limited or not memory_ids:
            return
        rows = []
        if active.durable:
            rows = await self._core.state.read(MemoryRows(active.ref.pseudonym, tuple(memory_ids)))
        levels = {row.memory_id: row.sensitivity for row in rows}
        levels |= {one: active.held[one].sensitivity for one in memory_ids if one in active.held}
        beyond = [level for level in levels.values() if level not in allowed.levels]
        if beyond:
            level = max(map(Sensitivity, beyond), key=tuple(Sensitivity).index)
            found = decide_access(self._core.policy, caller, ACTION_OF[op], level)
            if isinstance(found, Refused):
                self._core.observer.observe(AccessDenied(found.action))
                await self._enter(active, caller, found)
            raise NotFoundError

    async def refuse(
        self, subject: Subject, caller: Caller, refused: Refused, reason: str | None = None
    ) -> NoReturn:
        """Enter a refusal in the ledger, when anything is held of the subject durably, and raise it.

        Raises:
            AccessDeniedError: always.
        """
        self._core.observer.observe(AccessDenied(refused.action))
        row = await self._core.state.read(c.GetSubject(self._core.names.subject(subject)))
        if row is not None and row.state in _OPEN:
            await self._enter(await self._directory.unread(subject, row), caller, refused)
        raise AccessDeniedError(reason or refused.reason)

    def note(self, active: ActiveSubject, caller: Caller, op: str, shown: int) -> None:
        """Count a call that showed memories; it reaches the ledger behind the reads."""
        call = _CALLS.get(op)
        if call is not None and self._core.tenancy.audits(active.tenant):
            actor = self.actor_of(caller)
            self._writer.record(active, call, shown, category=caller.context, role=caller.role, actor=actor)

    def actor_of(self, caller: Caller) -> str:
        """Return what the ledger calls the caller: 32 hex digits under a key of the store."""
        if not caller.actor:
            return RUNTIME
        data = b"ledger/actor/" + caller.actor.encode()
        return self._core.names.register_key.fingerprint(data).hex()[:ACTOR_DIGITS]

    async def _enter(self, active: ActiveSubject, caller: Caller, refused: Refused) -> None:
        """A ledger that cannot be written to opens no door: the refusal stands."""
        detail = {"role": refused.role, "action": refused.action, "level": refused.level}
        if caller.context:
            detail["category"] = caller.context
        now_us = self._core.now_us()
        leaf = leaf_for(active, active.ledger_key, AuditEvent.ACCESS_REFUSED, now_us, detail=detail)
        try:
            await self._core.state.write(c.AppendLeaves((replace(leaf, actor=self.actor_of(caller)),)))
        except StorageError as error:
            logger.warning("a refused access could not be entered in the ledger: %s", error)
