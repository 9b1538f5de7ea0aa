"""What is judged of an interaction before it is kept: how far it is trusted, and whether it is to be kept apart.

A memory that derives from others is trusted no more than the least trusted of them, and what derives from a
quarantined one is quarantined itself: an agent's summary launders nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tiered_memory.active import ActiveSubject
from tiered_memory.core import Core
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.intake import Accepted
from tiered_memory.ledger import leaf_for
from tiered_memory.metrics import Quarantined
from tiered_memory.model import Memory, Provenance, Role
from tiered_memory.paging import Pager
from tiered_memory.policy.guard_rules import GuardRules
from tiered_memory.privacy.injection import scan
from tiered_memory.privacy.trust import quarantine_threshold, trust_of, unknown_parent

SCANNED, DERIVED = "scan", "derived from what is quarantined"


class Guard:
    """Judges new memories of a subject."""

    def __init__(self, core: Core, pager: Pager) -> None:
        self._core = core
        self._pager = pager

    async def bring_parents(self, active: ActiveSubject, given: Sequence[Accepted]) -> None:
        """Have in RAM what new memories say they derive from."""
        parents = {one for each in given for one in parents_of(each.interaction.provenance)}
        if parents:
            await self._pager.bring(active, parents)

    def judged(self, active: ActiveSubject, memory: Memory) -> Memory:
        """Return a new memory with its trust, and quarantined where what it says, or comes from, asks for that.

        A system prompt is the application's own, stays with its session, and is not looked at.
        """
        rules, parents = self._core.policy.guard, parents_of(memory.provenance)
        known = [active.known(one) for one in parents]
        trusts = [unknown_parent(rules) if one is None else one.trust for one in known]
        trust = trust_of(rules, memory.role, memory.provenance, trusts)
        trusted = replace(memory, trust=trust)
        if memory.role is Role.SYSTEM:
            return trusted
        if any(one is not None and one.quarantined for one in known):
            return _quarantined(trusted, DERIVED)
        return scanned(rules, trusted)


def scanned(rules: GuardRules, memory: Memory) -> Memory:
    """Return a memory, quarantined where what it says asks for that, given its trust; one that is already stays so."""
    if not rules.scan or memory.quarantined or memory.role is Role.SYSTEM:
        return memory
    found = scan(memory.content if memory.author is None else f"{memory.author}\n{memory.content}")
    if found.score < quarantine_threshold(rules, memory.trust):
        return memory
    return _quarantined(memory, ", ".join(found.reasons))


def parents_of(provenance: Provenance | None) -> tuple[str, ...]:
    """Return what a memory derives from, by whatever way."""
    return () if provenance is None else (*provenance.derived_from, *provenance.merged_from)


def _quarantined(memory: Memory, because: str) -> Memory:
    return replace(memory, quarantined=True, reasons=(*memory.reasons, f"quarantined: {because}"))


def told_apart(memory: Memory) -> Quarantined:
    """Return the fact that a memory was quarantined as it was written, by what it says or by what it comes from."""
    derived = bool(memory.reasons) and memory.reasons[-1].endswith(DERIVED)
    return Quarantined("derived" if derived else "scanned")


def quarantine_leaf(active: ActiveSubject, memory: Memory, now_us: int) -> AuditLeaf:
    """Return the leaf of a memory that is quarantined as it is written; it names the rules, not the words."""
    detail = {"found": memory.reasons[-1].removeprefix("quarantined: ")}
    event = AuditEvent.QUARANTINED
    return leaf_for(active, active.ledger_key, event, now_us, about=memory.id, reason=SCANNED, detail=detail)
