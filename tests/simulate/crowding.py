"""What a quota does to a user's oracle: who makes room, and what a refused write leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from expected import Item, Person, Session, forget


@dataclass(slots=True)
class Crowding:
    """Counts who made room and how often nobody could."""

    evicted: int = 0
    refused: int = 0

    def displace(self, person: Person, displaced: Sequence[Item], now_us: int) -> None:
        """They are forgotten, as what fades is; the user's uses were written before."""
        if displaced:
            person.write()
            forget(person, displaced, now_us)
            self.evicted += len(displaced)

    def refuse(self, person: Person, session: str | None, now_us: int) -> None:
        """Nothing of a refused write is there; the user is known from then on, and uses were written."""
        person.established = True
        person.write()
        if session is not None:
            person.sessions.setdefault(session, Session()).load(now_us)
        self.refused += 1
