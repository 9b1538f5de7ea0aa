"""What a quota does to a user's oracle: who makes room, and what a refused write leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from expected import POLICY_TOML, Item, Person, Session, forget

QUOTA = 7
CROWDED_TOML = POLICY_TOML.replace("for_brake = 8", "for_brake = 4") + f"\n[quota]\nmax_items = {QUOTA}\n"
SHORTER_TOML = (
    CROWDED_TOML.replace('"simulated"', '"shorter"').replace("= 300", "= 200").replace("= 60", "= 45")
    + "\n[decay]\ndaily_rate = 0.12\n"
)


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

    def promote(self, person: Person, seen: Mapping[str, str], now_us: int) -> None:
        """Keep what was used, purpose by purpose, as far as the quota lets it; `seen` is what became of each."""
        groups: dict[str, list[Item]] = {}
        for item in person.promotable(seen, now_us):
            groups.setdefault(item.purpose, []).append(item)
        for group in groups.values():
            displaced = person.displaced(len(group), now_us)
            if displaced is None:
                self.refuse(person, None, now_us)
            elif any(seen[item.id] != "volatile" for item in group):
                self.displace(person, displaced, now_us)
                for item in group:
                    item.promote(now_us)
