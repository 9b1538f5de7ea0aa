"""A year in the life of many users on a clock of its own, with failing tiers, killed processes and jumping clocks.

Everything follows from a seed. The oracle of `expected.py` is compared with what users see as the days go by, and
with what the engines hold after each cycle that nothing disturbed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from crowding import CROWDED_TOML, QUOTA, SHORTER_TOML
from expected import CONSENTED, LAW, LEVELS, POLICY_TOML, Person, everybody
from support import sqlite_rows
from twin import Saying, Twin

from benchmarks.staged import (
    GatedTier,
    KeptCold,
    KeptHot,
    StagedMemory,
    WordEmbedder,
    replacing,
    settings_for,
)
from tiered_memory.clock import SeededEntropy
from tiered_memory.errors import ColdTierError, HotTierError, NotFoundError, StorageError
from tiered_memory.model import Role
from tiered_memory.testing import ManualClock
from tiered_memory.wiring import Overrides

DAYS = 365
FAILING = 0.3
Work = Callable[[str], Awaitable[None]]


class FaultGate:
    """Makes a tier fail at times: before it does anything, or after it has, which the caller cannot tell apart."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.on = False
        self.raised: Counter[str] = Counter()

    async def enter(self, tier: str, operation: str) -> None:
        self._fail(tier, operation)

    async def leave(self, tier: str, operation: str) -> None:
        self._fail(tier, operation)

    def _fail(self, tier: str, operation: str) -> None:
        if self.on and self._chance.random() < FAILING:
            self.raised[f"{tier}.{operation}"] += 1
            raise ColdTierError if tier == "cold" else HotTierError


class Year:
    """One run; `done` counts what happened in it."""

    def __init__(self, seed: int, users: int, folder: Path) -> None:
        self._chance = random.Random(seed)
        self._folder = folder
        self._adopt(CROWDED_TOML)
        self._clock = ManualClock()
        self._entropy = SeededEntropy(seed)
        self._gate = FaultGate(self._chance)
        self._hot = KeptHot("hot", 10_000, clock=self._clock, ttl_seconds=3600.0)
        self._cold = KeptCold("cold", clock=self._clock)
        self._twin = Twin(self._clock, self._opened, hot_kept=True, exact=False)
        self._twin.people = {f"tenant{number % 3}/user{number}": Person() for number in range(users)}
        self.done: Counter[str] = Counter()

    @property
    def raised(self) -> Counter[str]:
        """How often which operation of which tier was made to fail."""
        return self._gate.raised

    def _adopt(self, policy: str) -> None:
        """Put a policy in force, for the process that is opened next and for the oracle."""
        (self._folder / "policy.toml").write_text(policy)
        LAW.adopt(policy)

    async def run(self) -> None:
        """Live through the year, one day after the other."""
        try:
            await self._live()
        finally:
            LAW.adopt(POLICY_TOML)

    async def _live(self) -> None:
        await self._twin.open()
        for name in self._twin.people:
            await self._twin.grant(name, "advice", explicit=self._chance.random() < 0.7, days=None)
        for day in range(DAYS):
            for _ in range(len(self._twin.people) // 3):
                await self._something()
            await self._time_goes_on()
            if self._chance.random() < 0.8:
                await self._cycle(everybody_is_asked=day % 7 == 0)
        await self._twin.memory.close()
        self.done["evicted"], self.done["refused"] = self._twin.crowding.evicted, self._twin.crowding.refused

    # --- what people do --------------------------------------------------------------------------------------

    async def _something(self) -> None:
        name = self._chance.choice(list(self._twin.people))
        works: list[tuple[int, Work]] = [
            (40, self._add), (10, self._use), (8, self._search), (8, self._context), (5, self._pin),
            (4, self._delete), (4, self._restore), (2, self._grant), (1, self._withdraw), (1, self._erase),
        ]  # fmt: skip
        work = self._chance.choices([work for _, work in works], [weight for weight, _ in works])[0]
        if self._twin.people[name].erasing:
            await self._twin.check_closed(name)
            work = self._erase
        self._gate.on = self._chance.random() < 0.15
        try:
            await work(name)
            self.done[work.__name__] += 1
        except StorageError:
            self.done[f"{work.__name__} failed"] += 1
            self._gate.on = False
            await self._after_a_failure(name, work)
        finally:
            self._gate.on = False

    async def _after_a_failure(self, name: str, work: Work) -> None:
        """A call that failed may have been carried out: repeated, it says so or does it, and both end alike."""
        person = self._twin.people[name]
        if work == self._withdraw:
            await self._twin.user(name).consent.withdraw(self._purpose)
            person.withdraw(self._purpose)
        elif work == self._delete:
            try:
                await self._twin.user(name).delete(self._id)
            except NotFoundError:
                self.done["deleted though it failed"] += 1
            person.remove([self._id])
        elif work == self._restore:
            await self._twin.restore(name, self._id)

    async def _add(self, name: str) -> None:
        saying = Saying(
            count=self._chance.choice([1, 1, 1, 4]),
            purpose=self._chance.choice(["advice", "advice", "advice", "statistics", "service"]),
            sensitivity=self._chance.choice(LEVELS),
            importance=self._chance.choice([0.1, 0.25, 0.25, 0.5, 0.9]),
            session=self._chance.choice([None, "s1"]),
            role=self._chance.choice([Role.USER, Role.USER, Role.ASSISTANT]),
        )
        await self._twin.add(name, saying)

    async def _use(self, name: str) -> None:
        durable = self._twin.people[name].durable()
        await self._twin.used(name, [one.id for one in durable if self._chance.random() < 0.3])

    async def _search(self, name: str) -> None:
        items = self._twin.people[name].durable()
        await self._twin.search(name, self._chance.choice(items).content if items else "hello")

    async def _context(self, name: str) -> None:
        await self._twin.context(name, "s1", self._chance.choice([50, 4000]))

    async def _pin(self, name: str) -> None:
        await self._twin.pin(name, self._some_id(name), pinned=self._chance.random() < 0.4)

    async def _delete(self, name: str) -> None:
        self._id = self._some_id(name)
        await self._twin.delete(name, self._id)

    async def _restore(self, name: str) -> None:
        forgotten = self._twin.people[name].forgotten()
        self._id = self._chance.choice(forgotten).id if forgotten else self._some_id(name)
        await self._twin.restore(name, self._id)

    async def _grant(self, name: str) -> None:
        days = self._chance.choice([None, None, 20])
        await self._twin.grant(
            name, self._chance.choice(CONSENTED), explicit=self._chance.random() < 0.7, days=days
        )

    async def _withdraw(self, name: str) -> None:
        self._purpose = self._chance.choice(CONSENTED)
        await self._twin.withdraw(name, self._purpose)

    async def _erase(self, name: str) -> None:
        await self._twin.erase(name)

    def _some_id(self, name: str) -> str:
        items = [one.id for one in self._twin.people[name].items.values() if one.state is not None]
        volatile = [one.id for one in self._twin.people[name].items.values() if one.state is None]
        known = items or volatile
        if volatile and self._chance.random() < 0.3:
            known = volatile
        return self._chance.choice(known) if known else "0" * 32

    # --- what happens to the runtime -------------------------------------------------------------------------

    async def _time_goes_on(self) -> None:
        self._clock.advance(timedelta(hours=self._chance.choice([0, 0.2, 24, 30, 48])))
        if self._chance.random() < 0.05:
            await self._clock_jumps(timedelta(days=self._chance.uniform(-5, 0)))
        if self._chance.random() < 0.1:
            if self._chance.random() < 0.3:
                self._adopt(self._chance.choice([CROWDED_TOML, SHORTER_TOML]))
                self.done["policy changed"] += 1
            self._gate.on = self._chance.random() < 0.3
            await self._twin.reopen(killed=self._chance.random() < 0.6)
            self._gate.on = False
            self.done["reopened"] += 1
            await self._finish_erasures()

    async def _clock_jumps(self, by: timedelta) -> None:
        """The clock goes wrong for a while, things happen meanwhile, then it is set right."""
        self._clock.set(self._clock.now() + by)
        self.done["clock jumped"] += 1
        for _ in range(5):
            await self._something()
        await self._cycle(everybody_is_asked=False)
        self._clock.set(self._clock.now() - by)

    async def _finish_erasures(self) -> None:
        """Opening has finished what was begun, unless a tier failed again."""
        for name, person in self._twin.people.items():
            if person.erasing:
                await self._twin.user(name).erase(reason="once more")
                self._twin.people[name] = Person()

    async def _cycle(self, *, everybody_is_asked: bool) -> None:
        self._gate.on = self._chance.random() < 0.15
        try:
            if self._chance.random() < 0.5:
                await self._twin.drain()
            await self._twin.forget(None, dry_run=False, confirmed=self._chance.random() < 0.7)
            undisturbed = not self._gate.on
        except StorageError:
            undisturbed = False
        self._gate.on = False
        self.done["cycles"] += 1
        asked = [name for name, _ in everybody(self._twin.people)]
        for name in asked if everybody_is_asked else self._chance.sample(asked, min(6, len(asked))):
            await self._twin.check(name)
            await self._twin.check_forgotten(name)
        if undisturbed:
            await self._check_engines()

    async def _check_engines(self) -> None:
        """Cold and state hold what can be retrieved or restored, and not one record more."""
        self.done["engines checked"] += 1
        assert self._cold.repeats == []
        if any(person.erasing for person in self._twin.people.values()):
            return
        people = self._twin.people.values()
        assert all(len(person.durable()) <= QUOTA for person in people)
        held = {item.id for person in people for item in person.items.values() if item.state is not None}
        await self._twin.drain()
        assert {record.id for record in self._cold.records()} == held
        if self.done["engines checked"] % 20 == 0:
            assert {row["memory_id"] for row in sqlite_rows(self._folder / "data", "memories")} == held
            assert sqlite_rows(self._folder / "data", "journal") == []

    async def _opened(self) -> StagedMemory:
        chosen = settings_for(self._folder / "data", policy=str(self._folder / "policy.toml"))
        recast = replacing(hot=GatedTier(self._hot, self._gate), cold=GatedTier(self._cold, self._gate))
        overrides = Overrides(clock=self._clock, entropy=self._entropy, embedder=WordEmbedder())
        return await StagedMemory(chosen, overrides, recast).__aenter__()
