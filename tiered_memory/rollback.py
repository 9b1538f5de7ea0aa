"""Rollback by source: what came from somewhere, and what derives from it, leaves; what it displaced holds good again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tiered_memory.active import ActiveSubject
from tiered_memory.bulk import in_bulk
from tiered_memory.core import Core
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.formats.record import decode_fields
from tiered_memory.inflight import InFlight
from tiered_memory.ledger import leaf_for, said
from tiered_memory.metrics import Quarantined
from tiered_memory.model import SourceKind
from tiered_memory.paging import Pager
from tiered_memory.privacy.provenance_graph import Node, Origin, Tainted, tainted
from tiered_memory.quarantine import Quarantine, apart
from tiered_memory.revising import Change, Reviser
from tiered_memory.sessions import sessions_in, spoken_turns
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryState
from tiered_memory.subjects import SubjectDirectory
from tiered_memory.sweep import Sweeper

ROLLED_BACK = "quarantined: its source was rolled back"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackReport:
    """What a rollback did, or would do when `dry_run`, by memory id.

    `matched` came from the source, `derived` derive from those; `reopened` hold good again, or under another
    successor. `quarantined` tells that they were kept apart and not removed. `unreadable` counts stored memories
    that do not verify: nobody can say where they came from.
    """

    dry_run: bool
    quarantined: bool
    matched: tuple[str, ...]
    derived: tuple[str, ...]
    reopened: tuple[str, ...]
    unreadable: int = 0


@dataclass(slots=True)
class _Held:
    """What is known of a subject's memories for a rollback."""

    fields: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)
    volatile: set[str] = field(default_factory=set)
    turns: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    unreadable: int = 0


class Rollback:
    """Takes back what came from a source."""

    def __init__(
        self,
        core: Core,
        directory: SubjectDirectory,
        pager: Pager,
        sweeper: Sweeper,
        inflight: InFlight,
        *,
        reviser: Reviser,
        quarantine: Quarantine,
    ) -> None:
        self._core = core
        self._directory = directory
        self._pager = pager
        self._sweeper = sweeper
        self._inflight = inflight
        self._reviser = reviser
        self._quarantine = quarantine

    async def plan(self, active: ActiveSubject, origin: Origin) -> tuple[RollbackReport, Change]:
        """Return what rolling back `origin` by removal comes to, changing nothing."""
        held = await self._held(active)
        found = tainted([_node(one, fields) for one, fields in held.fields.items()], origin)
        plaintexts = await self._displaced(active, held, found)
        report = RollbackReport(
            dry_run=True,
            quarantined=False,
            matched=found.matched,
            derived=found.derived,
            reopened=tuple(sorted(plaintexts)),
            unreadable=held.unreadable,
        )
        return report, Change(
            plaintexts,
            [one for one in found.every if one not in held.volatile],
            spoken=[one for one in found.every if one in held.volatile],
            said_in=frozenset(sessions_in(held.turns, found.every)),
        )

    async def roll_back(
        self, active: ActiveSubject, origin: Origin, reason: str, *, quarantine: bool
    ) -> RollbackReport:
        """Carry it out in one commit; the bytes of what is removed follow, after a crash when the store opens."""
        report, change = await self.plan(active, origin)
        plaintexts, removed = dict(change.plaintexts), list(change.removed)
        put_apart: dict[str, bytes] = {}
        if quarantine:
            await self._pager.bring(active, removed)
            kept = [one for one in removed if one in active.tracked and active.known(one) is not None]
            put_apart = {one: self._apart(active, one) for one in kept if one not in active.quarantined}
            removed = [one for one in removed if one not in kept]
        leaves = self._leaves(active, report, removed, reason)
        work = replace(change, plaintexts=plaintexts | put_apart, removed=removed, leaves=leaves)
        await self._inflight.complete(self._carry_out(active, work))
        for _ in put_apart:
            self._core.observer.observe(Quarantined("rolled_back"))
        return RollbackReport(
            dry_run=False,
            quarantined=quarantine,
            matched=report.matched,
            derived=report.derived,
            reopened=report.reopened,
            unreadable=report.unreadable,
        )

    async def _carry_out(self, active: ActiveSubject, change: Change) -> None:
        """Nobody keeps what is volatile while it is being removed."""
        if not change.spoken:
            await self._commit(active, change)
            return
        async with active.moving:
            await self._commit(active, change)

    async def _commit(self, active: ActiveSubject, change: Change) -> None:
        if active.durable:
            await self._reviser.carry_out(active, change)
        else:
            await self._sweeper.take_out(active, change.spoken)

    def _apart(self, active: ActiveSubject, memory_id: str) -> bytes:
        known = active.known(memory_id)
        if known is None:
            raise active.missing(memory_id)
        return apart(known.plaintext, ROLLED_BACK)

    async def _held(self, active: ActiveSubject) -> _Held:
        """Read all that is stored, what was forgotten included: restored, it would be back."""
        held = _Held(turns=await spoken_turns(self._core, active))
        held.fields.update(held.turns)
        rows = await self._core.state.read(c.Memories(active.ref.pseudonym)) if active.durable else []
        live = {row.memory_id: row for row in rows if row.state != MemoryState.REMOVING}
        if live:
            records = [r for r in await self._directory.holdings.records(active) if r.id in live]
            opened = await in_bulk(len(records), self._directory.holdings.open_all, active, records)
            active.check_alive()
            held.fields.update({record.id: decode_fields(plaintext) for record, plaintext in opened})
            held.unreadable = len(live.keys() - held.fields.keys())
        held.volatile |= held.turns.keys() - live.keys()
        for known in active.held.values():
            if known.volatile:
                held.volatile.add(known.id)
                held.fields[known.id] = decode_fields(known.plaintext)
        held.active = {one for one, row in live.items() if row.state == MemoryState.ACTIVE}
        held.forgotten = live.keys() - held.active
        return held

    async def _displaced(self, active: ActiveSubject, held: _Held, found: Tainted) -> dict[str, bytes]:
        leaving = {one: tuple(held.fields[one].get("supersedes", ())) for one in found.every}
        await self._pager.bring(active, [one for one in leaving if one in held.active])
        return await self._quarantine.without(active, leaving)

    def _leaves(
        self, active: ActiveSubject, report: RollbackReport, removed: Sequence[str], reason: str
    ) -> tuple[AuditLeaf, ...]:
        key, now_us = active.ledger_key, self._core.now_us()
        counts: dict[str, int | str] = {
            "matched": len(report.matched),
            "derived": len(report.derived),
            "removed": len(removed),
            "reopened": len(report.reopened),
            **said(key, reason),
        }
        event, gone = AuditEvent.SOURCE_ROLLED_BACK, AuditEvent.MEMORY_DELETED
        first = leaf_for(active, key, event, now_us, detail=counts)
        return (
            first,
            *(leaf_for(active, key, gone, now_us, about=one, reason="rollback") for one in removed),
        )


def _node(memory_id: str, fields: Mapping[str, Any]) -> Node:
    provenance: Mapping[str, Any] = fields.get("provenance", {})
    return Node(
        id=memory_id,
        source=SourceKind(provenance.get("source", SourceKind.USER)),
        channel=provenance.get("channel"),
        session=fields.get("session"),
        agent=fields.get("agent"),
        model=provenance.get("model"),
        stored_us=fields["ingested"],
        parents=(*provenance.get("derived_from", ()), *provenance.get("merged_from", ())),
    )
