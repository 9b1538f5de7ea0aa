"""Which memories of a subject pass a caller's filter."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import to_us
from tiered_memory.formats.record import decode_fields
from tiered_memory.held import HeldMemory
from tiered_memory.model import Filter

NEVER_US = 2**63
"""Later than any moment."""


def matching_ids(active: ActiveSubject, where: Filter) -> set[str]:
    """Return the ids that pass the filter; metadata is looked at last, because it must be decoded."""
    as_of = None if where.as_of is None else to_us(where.as_of)
    current = None if where.include_superseded or as_of is not None else True
    said = None if where.sessions is None and where.since is None and where.until is None else _Said.of(where)
    checks = (
        (current, lambda held: held.superseded_by is None),
        (as_of, lambda held: as_of is not None and held.held_good(as_of)),
        (where.kinds, lambda held: held.kind in (where.kinds or ())),
        (where.roles, lambda held: held.role in (where.roles or ())),
        (where.agents, lambda held: held.agent in (where.agents or ())),
        (where.min_importance, lambda held: held.importance >= (where.min_importance or 0.0)),
        (said, lambda held: said is not None and said.ever(held)),
    )
    wanted = [check for given, check in checks if given is not None]
    apart = active.quarantined.values() if where.include_quarantined else ()
    passing = [held for held in (*active.held.values(), *apart) if all(check(held) for check in wanted)]
    if where.metadata:
        passing = [held for held in passing if _has_metadata(held, where)]
    return {held.id for held in passing}


@dataclass(frozen=True, slots=True)
class _Said:
    """In which sessions (None: any), since when and until when a memory must have been said, at one of its times."""

    sessions: Collection[str] | None
    since_us: int
    until_us: int

    @classmethod
    def of(cls, where: Filter) -> _Said:
        since = -NEVER_US if where.since is None else to_us(where.since)
        return cls(where.sessions, since, NEVER_US if where.until is None else to_us(where.until))

    def ever(self, held: HeldMemory) -> bool:
        """Tell whether a memory was said so, first or again."""
        return self._then(held.session, held.occurred_us) or any(
            self._then(one.session, to_us(one.occurred_at)) for one in held.repeats
        )

    def _then(self, session: str | None, at_us: int) -> bool:
        here = self.sessions is None or session in self.sessions
        return here and self.since_us <= at_us < self.until_us


def _has_metadata(held: HeldMemory, where: Filter) -> bool:
    metadata = decode_fields(held.plaintext).get("metadata", {})
    return all(key in metadata and metadata[key] == value for key, value in where.metadata.items())
