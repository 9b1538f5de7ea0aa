"""What runs against an erasure in one seeded interleaving, and the record of what was said and seen when."""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from benchmarks.staged import (
    GatedTier,
    KeptCold,
    KeptHot,
    Pace,
    PacedState,
    StagedMemory,
    WordEmbedder,
    settings_for,
)
from tiered_memory.clock import SeededEntropy
from tiered_memory.core import Core
from tiered_memory.errors import ConsentRequiredError, NotFoundError, SubjectErasedError
from tiered_memory.metrics import CorruptionDetected, Fact
from tiered_memory.model import Durability, Interaction, Subject
from tiered_memory.runtime import Parts
from tiered_memory.state.sqlite_state import SqliteState
from tiered_memory.testing import ManualClock
from tiered_memory.user import User
from tiered_memory.wiring import Overrides

PURPOSE, SESSION = "personalization", "s1"
WHO = Subject("somewhere", "somebody")
EXPECTED = (SubjectErasedError, NotFoundError, ConsentRequiredError)
Work = Callable[[], Awaitable[None]]


class Stage:
    """One data directory with the tiers that outlive its processes, and the process that runs on it now.

    With `real_cold` the wiring's own LanceDB tier stays, behind the gate; what it does in threads of its own then
    takes its time, and a seed is no longer one interleaving.
    """

    def __init__(self, seed: int, directory: Path, *, real_cold: bool, policy: str | None = None) -> None:
        self.clock = ManualClock()
        self.hot = KeptHot("hot", 50, clock=self.clock, ttl_seconds=3600.0)
        self.cold = None if real_cold else KeptCold("cold", clock=self.clock)
        self.seen_keys: dict[bytes, int] = {}
        self.damage = 0
        self.paces: list[Pace] = []
        self._seeds = itertools.count(seed * 1000)
        self._entropy = SeededEntropy(seed)
        self.directory = directory
        self._settings = settings_for(directory, **({} if policy is None else {"policy": policy}))

    async def open(self) -> None:
        """Begin a process."""
        self.pace = Pace(next(self._seeds), self._look)
        self.paces.append(self.pace)
        words = WordEmbedder(self.pace)
        overrides = Overrides(clock=self.clock, entropy=self._entropy, embedder=words, observer=self)
        self.memory = StagedMemory(self._settings, overrides, self._recast)
        await self.memory.__aenter__()

    def observe(self, fact: Fact) -> None:
        """Count what is taken for damage: nothing here damages anything."""
        self.damage += isinstance(fact, CorruptionDetected)

    async def close(self) -> None:
        """End the process in good order."""
        await self.memory.close()
        await self.state.close()

    async def abandon(self) -> None:
        """Let go of what a killed process had open."""
        await self.memory.abandon()
        await self.state.close()

    @property
    def parts(self) -> Parts:
        """The process's acting modules."""
        return self.memory._parts()  # noqa: SLF001 - the stage looks behind the scenes

    def user(self) -> User:
        """Return the user everything is about."""
        return self.memory.user(WHO.user, tenant=WHO.tenant)

    def evict(self) -> None:
        """Put users out of RAM as the budget would, when nobody is using them."""
        directory = self.parts.directory
        for active in directory.residents():
            if not active.users and not active.used:
                del directory._active[active.subject]  # noqa: SLF001
                directory._by_pseudonym.pop(active.ref.pseudonym)  # noqa: SLF001

    def _recast(self, core: Core) -> Core:
        assert isinstance(core.state, SqliteState)
        self.state = PacedState(core.state, self.pace)
        cold = GatedTier(core.cold if self.cold is None else self.cold, self.pace)
        hot = GatedTier(self.hot, self.pace)
        self.core = replace(core, state=self.state, cold=cold, hot=hot)
        return self.core

    def _look(self) -> None:
        """Note the keys of every generation that comes by: what they seal must be nowhere once it has passed."""
        if self.memory._runtime is None:  # noqa: SLF001
            return
        for active in self.memory._runtime.parts.directory.residents():  # noqa: SLF001
            for key in (*active.keys.values(), active.ram_key) if active.subject == WHO else ():
                self.seen_keys.setdefault(key.key_id, active.ref.generation)


@dataclass(slots=True)
class Said:
    """One interaction: when its call began and when it was acknowledged, if it was; whether it outlives RAM."""

    word: str
    began: int
    ended: int | None = None
    id: str = ""
    durable: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """What a read brought to light, and when it began and ended."""

    kind: str
    began: int
    ended: int
    contents: frozenset[str]


@dataclass(slots=True)
class Record:
    """Everything that was said, seen and erased, on one line of time."""

    said: list[Said] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    erasures: list[tuple[int, int]] = field(default_factory=list)
    withdrawn: bool = False

    def gone(self, before: int) -> list[Said]:
        """Return what had been acknowledged before a moment."""
        return [one for one in self.said if one.ended is not None and one.ended < before]


class Works:
    """The calls that meet in a schedule; each is one method, in the user's own words."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self.record = Record()
        self.ticks = itertools.count()
        self._stage = stage
        self._chance = chance
        self._words = itertools.count()

    async def add(self, prefix: str = "mid") -> None:
        """Say one thing."""
        await self._say(prefix, 1)

    async def add_many(self) -> None:
        """Say three things in one call."""
        await self._say("many", 3)

    async def _say(self, prefix: str, count: int) -> None:
        said = [Said(f"{prefix}{next(self._words)}", next(self.ticks)) for _ in range(count)]
        self.record.said += said
        session = self._chance.choice([None, SESSION])
        importance = self._chance.choice([0.0, 0.9, 0.9])
        given = [
            Interaction(content=f"{one.word} word", session=session, importance=importance) for one in said
        ]
        receipts = await self._stage.user().add_many(given)
        for one, receipt in zip(said, receipts, strict=True):
            one.id, one.ended = receipt.id, next(self.ticks)
            one.durable = receipt.durability is Durability.JOURNALED

    async def search(self) -> None:
        """Look for a word that every content has."""
        began = next(self.ticks)
        hits = await self._stage.user().search("word", limit=50)
        self._read("search", began, [hit.memory.content for hit in hits])

    async def context(self) -> None:
        """Ask for the session's context."""
        began = next(self.ticks)
        packed = await self._stage.user().context("word", session=SESSION)
        self._read("context", began, [item.content for item in packed.items])

    async def forgotten(self) -> None:
        """Ask what could be restored."""
        began = next(self.ticks)
        self._read("forgotten", began, [memory.content for memory in await self._stage.user().forgotten()])

    async def delete(self) -> None:
        """Delete something that was said."""
        await self._stage.user().delete(self._some_id())

    async def restore(self) -> None:
        """Restore something, if it was forgotten."""
        began = next(self.ticks)
        self._read("restore", began, [(await self._stage.user().restore(self._some_id())).content])

    async def explain(self) -> None:
        """Ask why something is kept."""
        began = next(self.ticks)
        told = await self._stage.user().explain(self._some_id())
        self._read("explain", began, [told.memory.content])

    async def pin(self) -> None:
        """Pin something."""
        await self._stage.user().pin(self._some_id())

    async def withdraw(self) -> None:
        """Withdraw the consent."""
        self.record.withdrawn = True
        await self._stage.user().consent.withdraw(PURPOSE)

    async def grant(self) -> None:
        """Consent (again)."""
        await self._stage.user().consent.grant(PURPOSE, notice="n", explicit=True)

    async def erase(self) -> None:
        """Erase the user."""
        began = next(self.ticks)
        certificate = await self._stage.user().erase(reason="request")
        assert certificate.verified
        self.record.erasures.append((began, next(self.ticks)))

    async def flush(self) -> None:
        """Carry the journal to cold."""
        await self._stage.memory.drain()

    async def compact(self) -> None:
        """Compact the user's cold table."""
        for active in self._stage.parts.directory.residents():
            cold = self._stage.core.cold
            assert isinstance(cold, GatedTier)
            await cold.compact(active.ref)

    async def forget(self) -> None:
        """Run a forgetting cycle a month later."""
        self._stage.clock.advance(timedelta(days=self._chance.choice([0, 9, 40])))
        await self._stage.memory.forget(confirmed=True)

    async def use(self) -> None:
        """Confirm uses and write them behind."""
        self._stage.clock.advance(timedelta(hours=1))
        await self._stage.user().used([one.id for one in self.record.said if one.id])
        await self._stage.parts.sweeper.write_uses()

    async def reload(self) -> None:
        """Evict the user and touch it again."""
        self._stage.evict()
        began = next(self.ticks)
        listed = await self._stage.user().list(limit=1000)
        self._read("list", began, [memory.content for memory in listed])

    async def snapshot(self) -> None:
        """Leave sessions where they can be resumed from, and end them."""
        await self._stage.parts.sessions.snapshot_all()
        self._stage.clock.advance(timedelta(minutes=61))
        await self._stage.parts.sessions.end_idle()

    def all(self) -> list[Work]:
        """Return what may run against an erasure; adds weigh more."""
        return [
            *(self.add, self.add, self.add_many, self.search, self.context, self.forgotten, self.delete),
            *(self.restore, self.explain, self.pin, self.withdraw, self.grant, self.erase, self.flush),
            *(self.flush, self.compact, self.forget, self.use, self.reload, self.snapshot),
        ]

    def _some_id(self) -> str:
        known = [one.id for one in self.record.said if one.id]
        return self._chance.choice(known) if known else "0" * 32

    def _read(self, kind: str, began: int, contents: Iterable[str]) -> None:
        words = frozenset(content.split()[0] for content in contents)
        self.record.reads.append(Read(kind, began, next(self.ticks), words))
