"""Decisions that rested on memories: recorded, explained, and looked at by a person (GDPR Art. 22)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import from_us
from tiered_memory.core import Core
from tiered_memory.errors import NotFoundError
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.ledger import leaf_for
from tiered_memory.past_versions import former_versions
from tiered_memory.privacy.decisions import (
    Basis,
    DecisionExplanation,
    DecisionRecord,
    Effect,
    Review,
    ReviewState,
    UsedMemory,
    review_needed,
)
from tiered_memory.register import Entry, Register
from tiered_memory.subjects import SubjectDirectory

KIND = "decision"
UNKNOWN = "no such decision is recorded of this user"
GONE = "forgotten or erased since"
NOT_KEPT = "corrected since, and the text of that time was not kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision as it was told."""

    decision: str
    memory_ids: Sequence[str]
    automated: bool
    effect: Effect
    logic: str | None
    outcome: str | None


class Decisions:
    """Keeps decision records, sealed under the person's own key."""

    def __init__(self, core: Core, directory: SubjectDirectory) -> None:
        self._core = core
        self._directory = directory
        self._register = Register(core)

    async def record(self, active: ActiveSubject, told: Decided) -> DecisionRecord:
        """Keep a decision with the memories it used as they are now; NotFoundError when one is not held."""
        used = [(one, _version(active, one)) for one in dict.fromkeys(told.memory_ids)]
        await self._directory.establish(active)
        review = review_needed(told.effect, automated=told.automated)
        fields = {
            "decision": told.decision,
            "automated": told.automated,
            "effect": told.effect.value,
            "logic": told.logic,
            "outcome": told.outcome,
            "used": used,
            "reviews": [],
        }
        entry = Entry(
            id=self._core.new_id(), kind=KIND, status=review.value, at_us=self._core.now_us(), fields=fields
        )
        return await self._put(active, entry, AuditEvent.DECISION_RECORDED)

    async def all(self, active: ActiveSubject) -> list[DecisionRecord]:
        """Return the decisions recorded of a user, oldest first."""
        return [_record(one) for one in await self._register.of(active, KIND)] if active.durable else []

    async def used_by(self, active: ActiveSubject, decision_id: str) -> DecisionRecord:
        """Return one of them; NotFoundError when there is none of that id."""
        return _record(await self._entry(active, decision_id))

    def explained(self, active: ActiveSubject, record: DecisionRecord) -> DecisionExplanation:
        """Return a decision with what the memories it used said then, as far as they are in RAM."""
        return DecisionExplanation(record=record, used=tuple(_as_used(active, one) for one in record.used))

    async def request_review(self, active: ActiveSubject, decision_id: str, reason: str) -> DecisionRecord:
        """Note that the person asks for somebody to look, whether it was needed or not."""
        entry = await self._entry(active, decision_id)
        fields = {**entry.fields, "asked": reason}
        changed = replace(entry, status=ReviewState.REQUESTED.value, fields=fields)
        return await self._put(active, changed, AuditEvent.DECISION_REVIEWED)

    async def review(
        self, active: ActiveSubject, decision_id: str, given: Mapping[str, str | None]
    ) -> DecisionRecord:
        """Note what a person found: `reviewer`, `outcome`, `note`."""
        entry = await self._entry(active, decision_id)
        found = {**given, "at": self._core.now_us()}
        fields = {**entry.fields, "outcome": given["outcome"], "reviews": [*entry.fields["reviews"], found]}
        changed = replace(entry, status=ReviewState.DONE.value, fields=fields)
        return await self._put(active, changed, AuditEvent.DECISION_REVIEWED)

    async def _put(self, active: ActiveSubject, entry: Entry, event: AuditEvent) -> DecisionRecord:
        now_us = self._core.now_us()
        leaf = leaf_for(active, active.own_key(), event, now_us, about=entry.id, reason=entry.status)
        return _record(await self._register.put(active, entry, leaf))

    async def _entry(self, active: ActiveSubject, decision_id: str) -> Entry:
        entry = await self._register.get(active, KIND, decision_id) if active.durable else None
        if entry is None:
            raise NotFoundError(UNKNOWN)
        return entry


def _version(active: ActiveSubject, memory_id: str) -> int:
    held = active.held.get(memory_id)
    if held is None:
        raise active.missing(memory_id)
    return held.version


def _as_used(active: ActiveSubject, basis: Basis) -> UsedMemory:
    """What a memory said at a version, quarantined since or not: only corrections change the text."""
    held = active.known(basis.memory_id)
    if held is None:
        return UsedMemory(memory_id=basis.memory_id, version=basis.version, content=None, gone=GONE)
    later = [one for one in former_versions(held) if one.version >= basis.version]
    content = later[0].content if later else held.memory().content
    gone = NOT_KEPT if content is None else None
    return UsedMemory(memory_id=basis.memory_id, version=basis.version, content=content, gone=gone)


def _record(entry: Entry) -> DecisionRecord:
    fields = entry.fields
    return DecisionRecord(
        id=entry.id,
        decision=fields["decision"],
        at=from_us(entry.at_us),
        automated=fields["automated"],
        effect=Effect(fields["effect"]),
        outcome=fields["outcome"],
        logic=fields["logic"],
        used=tuple(Basis(one, version) for one, version in fields["used"]),
        review=ReviewState(entry.status),
        reviews=tuple(_review(one) for one in fields["reviews"]),
        requested_because=fields.get("asked"),
    )


def _review(fields: Mapping[str, Any]) -> Review:
    return Review(
        reviewer=fields["reviewer"], outcome=fields["outcome"], note=fields["note"], at=from_us(fields["at"])
    )
