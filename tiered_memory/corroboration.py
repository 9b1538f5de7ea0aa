"""Who else says what a memory says, of what is held in RAM; and how it stands in a search by that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tiered_memory.active import ActiveSubject
from tiered_memory.held import HeldMemory
from tiered_memory.model import Memory
from tiered_memory.policy.guard_rules import GuardRules
from tiered_memory.privacy.trust import Saying, independent_sources, source_of, standing
from tiered_memory.scoring.ranking import Scored


def standings(active: ActiveSubject, scored: Iterable[Scored], rules: GuardRules) -> dict[str, float]:
    """Return the factors (below 1) on the scores of what is on probation; nothing of what is trusted fully."""
    doubted = [one.id for one in scored if active.held[one.id].trust < rules.full_trust]
    factors = {one: standing(rules, active.held[one].trust, sources_of(active, one)) for one in doubted}
    return {one: factor for one, factor in factors.items() if factor < 1.0}


def sources_of(active: ActiveSubject, memory_id: str) -> int:
    """Return how many independent sources say what a held memory says, in the same words.

    What is quarantined, or was superseded, bears witness to nothing.
    """
    held = active.held[memory_id]
    alike = [one for one in active.worded.get(held.wording, ()) if one not in active.superseded]
    witnesses = [held, *(active.held[one] for one in alike if one != memory_id)]
    return independent_sources(saying for one in witnesses for saying in _sayings(one))


def _sayings(held: HeldMemory) -> Iterator[Saying]:
    memory: Memory = held.memory()
    yield Saying(memory.provenance.source, memory.provenance.channel, memory.session)
    for again in memory.repeats:
        # Only what came without a word on its origin is merged: then its role is all that is known of it.
        yield Saying(source_of(memory.role), None, again.session)
