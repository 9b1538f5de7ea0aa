"""Objections (GDPR Art. 21), carried out: no processing for the purpose from then on, and what was held for it goes.

With compelling grounds that the controller documents, what was held stays, and is not retrievable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiered_memory.active import ActiveSubject
from tiered_memory.core import Core
from tiered_memory.endings import Endings
from tiered_memory.errors import ConflictError, InvalidInputError
from tiered_memory.failpoints import reach
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.highwater import OBJECTED, OBJECTION_LIFTED, RESTRICTED
from tiered_memory.inflight import InFlight
from tiered_memory.ledger import leaf_for, said
from tiered_memory.privacy.objections import (
    OBJECTION,
    OPEN,
    Objection,
    ObjectionStatus,
    check_objectionable,
)
from tiered_memory.register import CHANGED, Entry, Register
from tiered_memory.state.consents import EndPurpose
from tiered_memory.state.register import EntryRow
from tiered_memory.subjects import SubjectDirectory


class Objecting:
    """Records objections and does what follows from them."""

    def __init__(self, core: Core, directory: SubjectDirectory, endings: Endings, inflight: InFlight) -> None:
        self._core = core
        self._directory = directory
        self._endings = endings
        self._inflight = inflight
        self._register = Register(core)

    async def object_to(
        self, active: ActiveSubject, purpose: str, reason: str, compelling_grounds: str | None
    ) -> Objection:
        """Record an objection; see `User.object_to`."""
        rule = self._core.policy.purposes.get(purpose)
        if rule is None:
            known = ", ".join(sorted(self._core.policy.purposes))
            raise InvalidInputError(f"the policy knows no such purpose; it has: {known}")
        check_objectionable(rule.lawful_basis)
        await self._directory.establish(active)
        earlier = await self._register.get(active, OBJECTION, purpose)
        covered = await self._endings.covered(active, purpose)
        status = ObjectionStatus.OBJECTED if compelling_grounds is None else ObjectionStatus.RESTRICTED
        entry = Entry(
            id=purpose,
            kind=OBJECTION,
            status=status,
            at_us=self._core.now_us(),
            fields={"reason": reason, "compelling_grounds": compelling_grounds or "", "covered": covered},
            version=0 if earlier is None else earlier.version,
        )
        if status is ObjectionStatus.OBJECTED:
            await self._end(active, entry)
        else:
            await self._inflight.complete(self._restrict(active, entry))
        return objection_of(entry)

    async def lift(self, active: ActiveSubject, purpose: str) -> bool:
        """Take an objection back; return whether there was one. What was erased stays so."""
        earlier = await self._register.get(active, OBJECTION, purpose)
        if earlier is None or earlier.status not in OPEN:
            return False
        now_us = self._core.now_us()
        entry = Entry(
            id=purpose,
            kind=OBJECTION,
            status=ObjectionStatus.LIFTED,
            at_us=now_us,
            fields=dict(earlier.fields),
            version=earlier.version,
        )
        leaf = leaf_for(active, active.ledger_key, AuditEvent.OBJECTION_LIFTED, now_us, about=purpose)
        await self._inflight.complete(self._lift(active, entry, leaf))
        return True

    async def all(self, active: ActiveSubject) -> list[Objection]:
        """Return every objection, lifted ones among them, oldest first."""
        return [objection_of(one) for one in await self._register.of(active, OBJECTION)]

    async def _end(self, active: ActiveSubject, entry: Entry) -> None:
        command = objected(active, self._register.row(active, entry), _leaf(active, entry))
        mark = self._endings.mark(active, entry.id, entry.at_us, OBJECTED)

        def committed() -> None:
            active.objections[entry.id] = ObjectionStatus.OBJECTED
            active.objection_changes += 1

        if not await self._endings.end(active, command, mark, committed):
            raise ConflictError(CHANGED)

    async def _restrict(self, active: ActiveSubject, entry: Entry) -> None:
        """Nothing is destroyed, so nothing has to outlive a restore but the objection itself."""
        mark = self._endings.mark(active, entry.id, entry.at_us, RESTRICTED)
        async with self._endings.leaving(active, entry.id):
            await self._endings.listed(mark)
            await self._barred(active, entry)
            active.objection_changes += 1
        reach("withdraw.after_commit")
        await self._endings.take_out(active, entry.id)

    async def _barred(self, active: ActiveSubject, entry: Entry) -> None:
        """Whoever writes looks into RAM last of all: what is committed after the objection must have met it there."""
        before = active.objections.get(entry.id)
        active.objections[entry.id] = ObjectionStatus.RESTRICTED
        try:
            await self._core.ballast.spend(lambda: self._register.put(active, entry, _leaf(active, entry)))
        except BaseException:
            active.objections.pop(entry.id)
            if before is not None:
                active.objections[entry.id] = before
            raise

    async def _lift(self, active: ActiveSubject, entry: Entry, leaf: AuditLeaf) -> None:
        """Listed last: until then a restored store takes the objection for one that stands."""
        await self._core.ballast.spend(lambda: self._register.put(active, entry, leaf))
        was = active.objections.pop(entry.id, None)
        active.objection_changes += 1
        await self._endings.listed(self._endings.mark(active, entry.id, entry.at_us, OBJECTION_LIFTED))
        if was is ObjectionStatus.RESTRICTED:
            await self._directory.bring_back(active, entry.id)


def objected(active: ActiveSubject, row: EntryRow, leaf: AuditLeaf) -> EndPurpose:
    """Return the change that records an objection and ends what is done for its purpose."""
    return EndPurpose(
        subject=active.ref.pseudonym,
        generation=active.ref.generation,
        purpose=row.entry_id,
        rule="objection",
        now_us=leaf.at_us,
        leaf=leaf,
        entry=row,
    )


def objection_of(entry: Entry) -> Objection:
    """Return an entry of the register as callers see it."""
    fields: Mapping[str, Any] = entry.fields
    return Objection(
        purpose=entry.id,
        status=str(entry.status),
        at_us=entry.at_us,
        reason=str(fields.get("reason", "")),
        compelling_grounds=str(fields.get("compelling_grounds", "")),
        covered=int(fields.get("covered", 0)),
    )


def _leaf(active: ActiveSubject, entry: Entry) -> AuditLeaf:
    key, fields = active.ledger_key, entry.fields
    words = f"{fields['reason']}\n{fields['compelling_grounds']}"
    return leaf_for(
        active,
        key,
        AuditEvent.OBJECTED,
        entry.at_us,
        about=entry.id,
        reason=str(entry.status),
        detail=said(key, words),
    )
