"""Restriction of processing (GDPR Art. 18), carried out: a user's data is frozen with one commit, and freed with one."""

from __future__ import annotations

from dataclasses import replace

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import from_us
from tiered_memory.core import Core
from tiered_memory.errors import NotFoundError
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.inflight import InFlight
from tiered_memory.ledger import leaf_for, said
from tiered_memory.privacy.restriction import Restriction
from tiered_memory.register import Entry, Register
from tiered_memory.state.restriction import SetRestricted
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.sweep import Sweeper

KIND = "restriction"
IN_FORCE, LIFTED = "in_force", "lifted"
NONE = "the processing of this user's data is not restricted"


class Restrictions:
    """Restricts users and lifts it."""

    def __init__(self, core: Core, directory: SubjectDirectory, sweeper: Sweeper, inflight: InFlight) -> None:
        self._core = core
        self._directory = directory
        self._sweeper = sweeper
        self._inflight = inflight
        self._register = Register(core)

    async def restrict(self, active: ActiveSubject, reason: str, review_us: int | None) -> Restriction:
        """Freeze a user's data; one that is frozen already stays as it is, and its restriction is returned."""
        await self._directory.establish(active)
        await self._sweeper.write_uses_of(active)
        now_us = self._core.now_us()
        entry = Entry(
            id=self._core.new_id(),
            kind=KIND,
            status=IN_FORCE,
            at_us=now_us,
            fields={"reason": reason},
            due_us=review_us,
        )
        command = self._command(active, entry, AuditEvent.RESTRICTED, reason)
        await self._inflight.complete(self._set(active, command))
        return await self._in_force(active)

    async def lift(self, active: ActiveSubject, reason: str) -> Restriction:
        """Free a user's data; what fell due meanwhile goes with the next cycle. NotFoundError when it is not frozen."""
        entry = await self._entry(active)
        now_us = self._core.now_us()
        fields = {**entry.fields, "lifted": now_us, "because": reason}
        done = replace(entry, status=LIFTED, due_us=None, fields=fields)
        command = self._command(active, done, AuditEvent.RESTRICTION_LIFTED, reason)
        await self._inflight.complete(self._set(active, command))
        return _restriction(done)

    async def all(self, active: ActiveSubject) -> list[Restriction]:
        """Return a user's restrictions, oldest first, lifted ones too."""
        if not active.durable:
            return []
        return [_restriction(one) for one in await self._register.of(active, KIND)]

    def _command(self, active: ActiveSubject, entry: Entry, event: AuditEvent, reason: str) -> SetRestricted:
        key = active.ledger_key
        detail = said(key, reason)
        return SetRestricted(
            subject=active.ref.pseudonym,
            generation=active.ref.generation,
            restricted=event is AuditEvent.RESTRICTED,
            entry=self._register.row(active, entry),
            leaf=leaf_for(active, key, event, self._core.now_us(), about=entry.id, detail=detail),
        )

    async def _set(self, active: ActiveSubject, command: SetRestricted) -> None:
        await self._core.ballast.spend(lambda: self._core.state.write(command))
        active.restricted = command.restricted

    async def _in_force(self, active: ActiveSubject) -> Restriction:
        return _restriction(await self._entry(active))

    async def _entry(self, active: ActiveSubject) -> Entry:
        entries = [] if not active.durable else await self._register.of(active, KIND)
        found = next((one for one in reversed(entries) if one.status == IN_FORCE), None)
        if found is None:
            raise NotFoundError(NONE)
        return found


def _restriction(entry: Entry) -> Restriction:
    lifted_us = entry.fields.get("lifted")
    return Restriction(
        id=entry.id,
        reason=entry.fields["reason"],
        since=from_us(entry.at_us),
        review_at=None if entry.due_us is None else from_us(entry.due_us),
        lifted_at=None if lifted_us is None else from_us(lifted_us),
        lifted_because=entry.fields.get("because"),
    )
