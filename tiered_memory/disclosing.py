"""Everything a person is told about the data held of them, in one call (GDPR Art. 13, 14, 15)."""

from __future__ import annotations

from dataclasses import replace

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import from_us
from tiered_memory.dossier import Dossier, dossier
from tiered_memory.privacy.consent import ConsentEvent
from tiered_memory.privacy.disclosure import (
    RIGHTS,
    NoticeSeen,
    ObjectionShown,
    SharedIn,
    next_leaving,
    retention_shown,
)
from tiered_memory.register import Register
from tiered_memory.runtime import Parts
from tiered_memory.shared import MEMBERSHIPS, RESERVED
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryState

OBJECTION = "objection"
NOTICE = "notice"


async def disclosed(parts: Parts, active: ActiveSubject, *, named: bool) -> Dossier:
    """Return the dossier of a user with notices, rights, retention, requests, and what stands in the way.

    `named`: shared memories are told by name.
    """
    core = parts.core
    rows = await core.state.read(c.Memories(active.ref.pseudonym))
    leaving = next_leaving(row.deadline_us for row in rows if row.state != MemoryState.REMOVING)
    restrictions = await parts.restrictions.all(active)
    return replace(
        await dossier(core, active),
        notices=tuple(_notice(event) for event in active.consents if event.details.get(NOTICE)),
        rights=RIGHTS,
        retention=retention_shown(core.policy),
        requests=tuple(await parts.requests.all(active)),
        decisions=tuple(await parts.decisions.all(active)),
        restriction=next((one for one in reversed(restrictions) if one.lifted_at is None), None),
        objections=await _objections(parts, active),
        next_leaving=None if leaving is None or active.restricted else from_us(leaving),
        quarantined=len(await parts.quarantine.quarantined(active)),
        on_hold=sum(row.held for row in rows),
        shared=await _shared(parts, active, named=named),
    )


def _notice(event: ConsentEvent) -> NoticeSeen:
    return NoticeSeen(
        notice=str(event.details[NOTICE]),
        purpose=event.purpose,
        action=event.action.value,
        at=from_us(event.at_us),
        details={key: value for key, value in event.details.items() if key != NOTICE},
    )


async def _shared(parts: Parts, active: ActiveSubject, *, named: bool) -> tuple[SharedIn, ...]:
    entries = await Register(parts.core).of(active, MEMBERSHIPS) if active.durable else []
    return tuple(
        SharedIn(
            name=one.fields["space"].removeprefix(RESERVED) if named else "",
            purpose=one.fields["purpose"],
            reference=one.fields["reference"],
            since=from_us(one.at_us),
        )
        for one in entries
    )


async def _objections(parts: Parts, active: ActiveSubject) -> tuple[ObjectionShown, ...]:
    entries = await Register(parts.core).of(active, OBJECTION) if active.durable else []
    return tuple(
        ObjectionShown(status=one.status, at=from_us(one.at_us), details=one.fields) for one in entries
    )
