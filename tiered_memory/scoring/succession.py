"""What holds now stands no lower than what it took the place of, or speaks against.

A question is often put in the words of the old statement: ranked by likeness alone, the old one comes first and the
new one may not come at all. So the new one inherits the old one's place when its own is lower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tiered_memory.scoring.ranking import Scored

SUCCESSION = "succession"
"""The term of a score that is owed to another memory's place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Successions:
    """What took whose place, and what speaks against what; ids, all of the same user.

    `successor` maps a superseded memory to the one that took its place, or to None where that one must not be
    returned. `newer` maps a memory to the later ones that give the same attribute another value.
    """

    successor: Mapping[str, str | None] = field(default_factory=dict)
    newer: Mapping[str, Sequence[str]] = field(default_factory=dict)


def last_heirs(links: Mapping[str, str]) -> dict[str, str | None]:
    """Map each superseded id to the last of its chain, None in a circle; `links` leads to the next. Linear time."""
    last = dict[str, str | None]()
    for start in links:
        path, one = list[str](), start
        while one in links and one not in last:
            last[one] = None  # what leads back here, leads nowhere
            path.append(one)
            one = links[one]
        last.update(dict.fromkeys(path, last.get(one, one)))
    return last


def current_first(ranked: Sequence[Scored], successions: Successions) -> list[Scored]:
    """Return rows best first, each superseded row replaced by what took its place, none twice.

    `ranked` is best first and includes superseded rows. What took the place of a row, and what speaks against it, come
    even when they are not ranked themselves. What is placed higher keeps its terms, and "succession" makes up the
    difference.
    """
    placing = _Placing({one.id: one for one in ranked}, successions)
    for one in ranked:
        placing.place(one.id, one.score)
    return placing.placed


class _Placing:
    def __init__(self, known: Mapping[str, Scored], successions: Successions) -> None:
        self._known = known
        self._successions = successions
        self._seen = set[str]()
        self.placed: list[Scored] = []

    def place(self, identity: str, score: float) -> None:
        """Place a row, after those that must stand above it; a circle is cut where it closes.

        No call for each link: a chain may be thousands long.
        """
        ahead = [(identity, False)]
        while ahead:
            one, is_next = ahead.pop()
            if is_next:
                self.placed.append(_raised(self._known.get(one) or Scored(one, 0.0, {}), score))
            elif one not in self._seen:
                self._seen.add(one)
                ahead += self._before(one)

    def _before(self, one: str) -> list[tuple[str, bool]]:
        """Return what is to be placed for a row, the first of it last, and whether all above that is placed."""
        if one in self._successions.successor:
            heir = self._successions.successor[one]
            return [] if heir is None else [(heir, False)]
        newer = self._successions.newer.get(one, ())
        return [(one, True), *((above, False) for above in reversed(newer))]


def _raised(one: Scored, score: float) -> Scored:
    if score <= one.score:
        return one
    return Scored(one.id, score, {**one.terms, SUCCESSION: score - one.score})
