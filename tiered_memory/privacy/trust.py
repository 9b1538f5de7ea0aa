"""How far a memory is trusted, by where it came from; and how many independent sources say the same. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tiered_memory.model import Provenance, Role, SourceKind
from tiered_memory.policy.guard_rules import GuardRules

SOURCE_OF_ROLE = {Role.ASSISTANT: SourceKind.AGENT, Role.SYSTEM: SourceKind.AGENT, Role.TOOL: SourceKind.TOOL}
"""What a role says of a text's source when nothing else is said of it; the others speak for the user."""


STEEPNESS = 4


def source_of(role: Role) -> SourceKind:
    """Return the source that a role stands for."""
    return SOURCE_OF_ROLE.get(role, SourceKind.USER)


def trust_by_source(rules: GuardRules, source: SourceKind, channel: str | None = None) -> float:
    """Return the trust (0..1) of a source, or of its channel where the policy names it."""
    if channel is not None and channel in rules.channels:
        return float(rules.channels[channel])
    by_source = {
        SourceKind.USER: rules.trust_user,
        SourceKind.AGENT: rules.trust_agent,
        SourceKind.TOOL: rules.trust_tool,
        SourceKind.DOCUMENT: rules.trust_document,
        SourceKind.IMPORT: rules.trust_import,
    }
    return by_source[source]


def unknown_parent(rules: GuardRules) -> float:
    """Return the trust of a parent that is not held: nobody can say more for it than for the least of sources."""
    return min(trust_by_source(rules, source) for source in SourceKind)


def trust_of(rules: GuardRules, role: Role, provenance: Provenance, parents: Iterable[float] = ()) -> float:
    """Return the trust (0..1) of a new memory: its source's, at most that of any of its `parents`.

    What a caller says of the source never raises it above what the role stands for; a channel that the policy
    names is taken at its word.
    """
    own = trust_by_source(rules, provenance.source, provenance.channel)
    if provenance.channel not in rules.channels:
        own = min(own, trust_by_source(rules, source_of(role)))
    return min([own, *parents])


def quarantine_threshold(rules: GuardRules, trust: float) -> float:
    """Return the score of the instruction scan from which a memory of `trust` (0..1) is quarantined.

    It rises with the fourth power of trust: what a user may well ask for, nobody else who is nearly as trusted may.
    """
    low, high = rules.quarantine_untrusted, rules.quarantine_trusted
    return low + (high - low) * min(1.0, max(0.0, trust)) ** STEEPNESS


@dataclass(frozen=True, slots=True)
class Saying:
    """One time that something was said, and by what."""

    source: SourceKind
    channel: str | None = None
    session: str | None = None


def independent_sources(said: Iterable[Saying]) -> int:
    """Return how many independent sources said the same.

    One source over one channel counts once, however often it says it: the same page read in ten sessions is one
    page. Only the user is a new witness in every session.
    """
    return len(
        {(one.source, one.channel, one.session if one.source is SourceKind.USER else None) for one in said}
    )


def is_on_probation(rules: GuardRules, trust: float, sources: int) -> bool:
    """Tell whether a memory of `trust` (0..1) that `sources` (>= 1) say still lacks corroboration."""
    return trust < rules.full_trust and sources < rules.min_corroboration


def standing(rules: GuardRules, trust: float, sources: int) -> float:
    """Return the factor (0..1) on a memory's score in a search: 1 unless it is on probation.

    The factor falls linearly with the trust that is missing, `1 - probation_weight * (1 - trust / full_trust)`.
    """
    if not is_on_probation(rules, trust, sources):
        return 1.0
    return 1.0 - rules.probation_weight * (1.0 - trust / rules.full_trust)
