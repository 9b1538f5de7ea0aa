"""Which memories a search ranks: what it may return, and what another took the place of that it may return.

A question is often put in the words of the old one, so what holds now stands where that would. What has no heir to
show is left out before anything is counted: it must not crowd out what answers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from tiered_memory.active import ActiveSubject
from tiered_memory.clock import to_us
from tiered_memory.held import HeldMemory
from tiered_memory.scoring.ranking import Candidates, Scored, rank
from tiered_memory.scoring.recall_index import Query
from tiered_memory.scoring.succession import Successions, last_heirs

GROWTH = 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which memories a search may return, and which it ranks; None stands for all that are held.

    `heirs` maps what is ranked but superseded to the last that took its place, which may be returned.
    """

    returned: Collection[str] | None
    ranked: Collection[str] | None
    heirs: Mapping[str, str]

    @classmethod
    def by(cls, active: ActiveSubject, matching: AbstractSet[str] | None, *, current: bool) -> Wanted:
        """Return what is wanted of the memories that match a filter (None: no filter).

        Unless only the `current` ones are asked for, what is superseded stands for itself.
        """
        if not current:
            return cls(matching, matching, {})
        may = active.held.keys() if matching is None else matching
        heirs = {one: heir for one, heir in _last_heirs(active).items() if heir is not None and heir in may}
        if matching is not None:
            return cls(matching, matching | heirs.keys(), heirs)
        barren = active.superseded - heirs.keys()
        return cls(None, active.held.keys() - barren if barren else None, heirs)

    def among(self, seen: AbstractSet[str]) -> Wanted:
        """Return what is wanted of the memories in `seen`: any other stands for none."""
        heirs = {one: heir for one, heir in self.heirs.items() if one in seen}
        return replace(self, ranked=seen & set(self.ranked or ()), heirs=heirs)

    def best(self, found: Candidates, count: int) -> list[Scored]:
        """Return the best rows, best first: as many as it takes to show `count` memories, if there are so many.

        Of those that one and the same took the place of only the best is among them.
        """
        asked, ranked = count, rank(found, count)
        while len(ranked) == asked and len({self.heirs.get(one.id, one.id) for one in ranked}) < count:
            asked *= GROWTH
            ranked = rank(found, asked)
        first = dict[str, str]()
        for one in reversed(ranked):
            first[self.heirs.get(one.id, one.id)] = one.id
        return [one for one in ranked if one.id not in self.heirs or first[self.heirs[one.id]] == one.id]

    def shown(self, scored: Sequence[Scored]) -> int:
        """Return how many memories rows stand for."""
        return len({self.heirs.get(one.id, one.id) for one in scored})

    def successions(self, active: ActiveSubject, ranked: Sequence[Scored], query: Query) -> Successions:
        """Return what took the place of what is ranked, and what may be returned and speaks against it."""
        newer = {
            one: [other for other in others if self.returned is None or other in self.returned]
            for one, others in _newer(active, ranked, query).items()
        }
        return Successions(successor=self.heirs, newer=newer)


def _last_heirs(active: ActiveSubject) -> dict[str, str | None]:
    if active.heirs[0] != active.changes:
        links = {one: str(active.held[one].superseded_by) for one in active.superseded}
        active.heirs = (active.changes, last_heirs(links))
    return active.heirs[1]


def rivals_since(active: ActiveSubject, memory_id: str) -> list[str]:
    """Return the current memories that say otherwise and were said later, the one said last first.

    What is said again is said later than what was said in between.
    """
    said = {one: _said_last(active.held[one]) for one in active.rivals(memory_id)}
    own = _said_last(active.held[memory_id])
    return sorted((one for one in said if said[one] > own), key=said.__getitem__, reverse=True)


def _said_last(held: HeldMemory) -> tuple[int, int]:
    """Return when a memory was said last, in microseconds, and the order of that saying."""
    again = [(to_us(one.occurred_at), one.order) for one in held.repeats]
    return max([(held.occurred_us, held.order), *again])


def _newer(active: ActiveSubject, ranked: Sequence[Scored], query: Query) -> dict[str, list[str]]:
    """Return what speaks against each row and is newer.

    Not where the question gives a number that the older one alone has: then it asks for that one, whatever else seems
    to be said of the same.
    """
    numbers = {term for term in query.terms if any(map(str.isdigit, term))}
    contested = [one.id for one in ranked if one.id in active.contested]
    return {
        one: [
            newer
            for newer in rivals_since(active, one)
            if not (numbers and numbers.intersection(_terms(active, one) - _terms(active, newer)))
        ]
        for one in contested
    }


def _terms(active: ActiveSubject, memory_id: str) -> AbstractSet[str]:
    return active.claim(memory_id).statement.terms.keys()
