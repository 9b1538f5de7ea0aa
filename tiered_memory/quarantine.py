"""Quarantine by hand: what is kept apart is listed, put there, and released, each with its leaf in the ledger."""

from __future__ import annotations

from tiered_memory.active import ActiveSubject
from tiered_memory.bulk import in_bulk
from tiered_memory.core import Core
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.formats.record import amended, closed, decode_fields, memory_of, reopened
from tiered_memory.inflight import InFlight
from tiered_memory.ledger import leaf_for, said
from tiered_memory.metrics import Quarantined
from tiered_memory.model import Memory
from tiered_memory.paging import Pager
from tiered_memory.privacy.provenance_graph import heirs_without
from tiered_memory.revising import Change, Reviser
from tiered_memory.subjects import SubjectDirectory

BY_CALLER = "quarantined: by the caller"
RELEASED = "released from quarantine"


class Quarantine:
    """Puts memories apart and takes them back."""

    def __init__(
        self, core: Core, directory: SubjectDirectory, pager: Pager, reviser: Reviser, inflight: InFlight
    ) -> None:
        self._core = core
        self._directory = directory
        self._pager = pager
        self._reviser = reviser
        self._inflight = inflight

    async def quarantined(self, active: ActiveSubject) -> list[Memory]:
        """Return what is quarantined, newest first. Of a subject too large for RAM everything stored is read."""
        if active.paged:
            found = await self._stored(active)
        else:
            found = [one.memory() for one in active.quarantined.values()]
        return sorted(found, key=lambda one: one.order, reverse=True)

    async def _stored(self, active: ActiveSubject) -> list[Memory]:
        records = await self._directory.holdings.records(active)
        opened = await in_bulk(len(records), self._directory.holdings.open_all, active, records)
        active.check_alive()
        fields = [(record, decode_fields(plaintext)) for record, plaintext in opened]
        return [
            memory_of(one, record_id=record.id, order=record.order, version=record.version)
            for record, one in fields
            if one.get("quarantined")
        ]

    async def put(self, active: ActiveSubject, memory_id: str, reason: str) -> None:
        """Keep a memory apart from now on; what it took the place of holds good again."""
        if memory_id in active.quarantined:
            return
        held = active.held.get(memory_id)
        if held is None or held.volatile:
            raise active.missing(memory_id)
        plaintexts = {memory_id: apart(held.plaintext, BY_CALLER)}
        plaintexts |= await self.without(active, {memory_id: held.memory().supersedes})
        key, now_us = active.ledger_key, self._core.now_us()
        leaf = leaf_for(
            active,
            key,
            AuditEvent.QUARANTINED,
            now_us,
            about=memory_id,
            reason="caller",
            detail=said(key, reason),
        )
        await self._inflight.complete(self._reviser.carry_out(active, Change(plaintexts, leaves=(leaf,))))
        self._core.observer.observe(Quarantined("caller"))

    async def release(self, active: ActiveSubject, memory_id: str, reason: str) -> Memory:
        """Make a quarantined memory one like the others. It takes nobody's place by that; its trust stays."""
        held = active.quarantined.get(memory_id)
        if held is None:
            raise active.missing(memory_id)
        fields = decode_fields(held.plaintext)
        changes = {"quarantined": False, "reasons": [*fields["reasons"], RELEASED]}
        key, now_us = active.ledger_key, self._core.now_us()
        event, detail = AuditEvent.QUARANTINE_LIFTED, said(key, reason)
        leaf = leaf_for(active, key, event, now_us, about=memory_id, detail=detail)
        change = Change({memory_id: amended(held.plaintext, changes)}, leaves=(leaf,))
        await self._inflight.complete(self._reviser.carry_out(active, change))
        return active.held[memory_id].memory()

    async def without(self, active: ActiveSubject, leaving: dict[str, tuple[str, ...]]) -> dict[str, bytes]:
        """Return the next plaintexts of what memories took the place of (`leaving`, by their ids) once these are gone."""
        olds = {old for each in leaving.values() for old in each}
        await self._pager.bring(active, olds)
        links = {one: str(active.held[one].superseded_by) for one in active.superseded}
        for memory_id in leaving:
            known = active.known(memory_id)
            if known is not None and known.superseded_by is not None:
                links[memory_id] = known.superseded_by
        anew = heirs_without(links, leaving.keys())
        durable = {one: heir for one, heir in anew.items() if one in active.tracked}
        return {one: _under(active.held[one].plaintext, heir) for one, heir in durable.items()}


def apart(plaintext: bytes, because: str) -> bytes:
    """Return the plaintext of a memory that is quarantined from now on."""
    reasons = decode_fields(plaintext)["reasons"]
    return amended(plaintext, {"quarantined": True, "reasons": [*reasons, because]})


def _under(plaintext: bytes, heir: str | None) -> bytes:
    """Return the plaintext of a memory that `heir` took the place of at the time it was closed; None: nothing did."""
    if heir is None:
        return reopened(plaintext)
    fields = decode_fields(plaintext)
    return closed(plaintext, heir, fields["valid_to"], fields["because"])
