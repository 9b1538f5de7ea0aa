"""Any sequence of calls, by any users, across restarts and months: the runtime agrees with its oracle after each."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
import rights
from expected import CONSENTED, CONTRACTED, LEVELS, POLICY_TOML, Person, everybody
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twin import ENOUGH_TOKENS, Saying, Twin

from benchmarks.staged import KeptCold, KeptHot, StagedMemory, WordEmbedder, replacing, settings_for
from tiered_memory import TieredMemory
from tiered_memory.model import Role
from tiered_memory.testing import ManualClock
from tiered_memory.tiers.redis_server import PrivateRedis, find_redis_server
from tiered_memory.wiring import Overrides

FULL = bool(os.environ.get("TIERED_MEMORY_FULL"))
EXAMPLES, STEPS = (5000, 100) if FULL else (200, 50)
NAMES = ["acme/alice", "acme/bob", "zenith/alice"]
MUCH = 8
SESSIONS = [None, "s1", "s2"]
OPERATIONS = ["op1", "op2", "op3"]
names = st.sampled_from(NAMES)
has_much = st.runner().flatmap(lambda machine: st.sampled_from(machine.crowded()))
places = st.integers(min_value=0, max_value=10_000)


class Machine(RuleBasedStateMachine):
    """Three users, two of whom share a tenant and two a name, on real state and cold kept in this process."""

    real_cold = False
    hot_kept = True
    redis_url = "local"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        (self.folder / "policy.toml").write_text(POLICY_TOML)
        self.loop = asyncio.Runner()
        self.clock = ManualClock()
        self.hot = KeptHot("hot", 10_000, clock=self.clock, ttl_seconds=3600.0)
        self.cold = KeptCold("cold", clock=self.clock)
        self.twin = Twin(self.clock, self._opened, hot_kept=self.hot_kept)
        self.twin.people = {name: Person() for name in NAMES}
        self._run(self.twin.open())

    @initialize(explicit=st.booleans(), importance=st.sampled_from([0.25, 0.5, 0.9]))
    def everybody_has_a_past(self, importance: float, *, explicit: bool) -> None:
        for name in NAMES:
            self._run(self.twin.grant(name, "advice", explicit=explicit, days=None))
            self._run(self.twin.add(name, Saying(count=3, importance=importance, session="s1")))
            self._run(self.twin.add(name, Saying(importance=0.1, session="s1", role=Role.SYSTEM)))

    @rule(
        name=names,
        purpose=st.sampled_from([*CONSENTED, CONTRACTED]),
        explicit=st.booleans(),
        days=st.sampled_from([None, 5]),
    )
    def grant(self, name: str, purpose: str, days: float | None, *, explicit: bool) -> None:
        self._run(self.twin.grant(name, purpose, explicit=explicit, days=days))

    @precondition(lambda self: self.most() >= MUCH)
    @rule(name=has_much, purpose=st.sampled_from([*CONSENTED, CONTRACTED]))
    def withdraw(self, name: str, purpose: str) -> None:
        self._run(self.twin.withdraw(name, purpose))

    @precondition(lambda self: self.most() >= MUCH)
    @rule(name=has_much, purpose=st.sampled_from([*CONSENTED, CONTRACTED]))
    def refuse(self, name: str, purpose: str) -> None:
        self._run(rights.refuse(self.twin, name, purpose))

    @rule(name=names, at=places)
    def correct(self, name: str, at: int) -> None:
        self._run(rights.correct(self.twin, name, self._some(name, at)))

    @rule(name=names, at=places)
    def keep_apart_and_release(self, name: str, at: int) -> None:
        self._run(rights.keep_apart_and_release(self.twin, name, self._some(name, at)))

    @rule(name=names)
    def freeze_and_free(self, name: str) -> None:
        self._run(rights.freeze_and_free(self.twin, name))

    @rule(
        name=names,
        purpose=st.sampled_from(["advice", "advice", "statistics", "service"]),
        sensitivity=st.sampled_from(LEVELS),
        importance=st.sampled_from([0.0, 0.2, 0.25, 0.5, 0.9, 1.0]),
        session=st.sampled_from(SESSIONS),
        role=st.sampled_from([Role.USER, Role.USER, Role.ASSISTANT, Role.SYSTEM]),
    )
    def add(self, name: str, **said: Any) -> None:
        self._run(self.twin.add(name, Saying(**said)))

    @rule(
        name=names,
        count=st.integers(2, 6),
        sensitivity=st.sampled_from(LEVELS),
        importance=st.sampled_from([0.1, 0.25, 0.8]),
        session=st.sampled_from(SESSIONS),
    )
    def add_many(self, name: str, **said: Any) -> None:
        self._run(self.twin.add(name, Saying(**said)))

    @rule(
        name=names,
        operation=st.sampled_from(OPERATIONS),
        importance=st.sampled_from([0.1, 0.8]),
        altered=st.booleans(),
    )
    def add_as_an_operation(self, name: str, operation: str, importance: float, *, altered: bool) -> None:
        if operation in self.twin.people[name].operations:
            self._run(self.twin.repeat(name, operation, altered=altered))
        else:
            self._run(self.twin.add(name, Saying(importance=importance, operation=operation, session="s1")))

    @rule(name=names, at=places)
    def search(self, name: str, at: int) -> None:
        memory_id = self._some(name, at)
        item = self.twin.people[name].items.get(memory_id)
        self._run(self.twin.search(name, "hello" if item is None else item.content))

    @rule(
        name=names,
        session=st.sampled_from(["s1", "s2"]),
        token_budget=st.sampled_from([5, 60, ENOUGH_TOKENS, ENOUGH_TOKENS]),
    )
    def context(self, name: str, session: str, token_budget: int) -> None:
        self._run(self.twin.context(name, session, token_budget))

    @precondition(lambda self: self.most() >= MUCH // 2)
    @rule(name=has_much, at=places)
    def delete(self, name: str, at: int) -> None:
        self._run(self.twin.delete(name, self._some(name, at)))

    @rule(name=names, at=places, count=st.integers(1, 6), session=st.sampled_from(SESSIONS))
    def something_fades_and_comes_back(self, name: str, count: int, session: str | None, at: int) -> None:
        """Of what is forgotten within a month one is restored, and one looked for in vain."""
        self._run(self.twin.grant(name, "advice", explicit=True, days=None))
        self._run(self.twin.add(name, Saying(count=count, importance=0.25, session=session)))
        self.clock.advance(29 * 86_400.0)
        self.forget(name=name, confirmed=bool(at % 2))
        self._run(self.twin.check_forgotten(name))
        forgotten = self.twin.people[name].forgotten()
        if forgotten:
            self._run(self.twin.search(name, forgotten[0].content))
            self._run(self.twin.restore(name, forgotten[at % len(forgotten)].id))

    @rule(name=names, at=places)
    def restore(self, name: str, at: int) -> None:
        self._run(self.twin.restore(name, self._some(name, at)))

    @rule(name=names, at=places, pinned=st.booleans())
    def pin(self, name: str, at: int, *, pinned: bool) -> None:
        self._run(self.twin.pin(name, self._some(name, at), pinned=pinned))

    @rule(name=names, every=st.integers(1, 3))
    def use(self, name: str, every: int) -> None:
        self._run(self.twin.used(name, list(self.twin.people[name].items)[::every]))

    @precondition(lambda self: self.most() >= MUCH)
    @rule(name=has_much)
    def erase(self, name: str) -> None:
        self._run(self.twin.erase(name))

    @rule(name=names, confirmed=st.booleans())
    def forget(self, name: str | None, *, confirmed: bool) -> None:
        self._run(self.twin.forget(name, dry_run=True, confirmed=confirmed))
        self._run(self.twin.forget(name, dry_run=False, confirmed=confirmed))

    @rule(hours=st.sampled_from([0.1, 0.9, 1, 5, 24, 72]))
    def time_passes(self, hours: float) -> None:
        self.clock.advance(hours * 3600.0)

    @rule(days=st.sampled_from([1, 3, 7, 10, 20, 29, 30, 60, 100]), confirmed=st.booleans())
    def time_passes_and_forgets(self, days: float, *, confirmed: bool) -> None:
        self.clock.advance(days * 86_400.0)
        self.forget(name=None, confirmed=confirmed)

    @rule()
    def drain(self) -> None:
        self._run(self.twin.drain())

    @rule()
    def end_idle_sessions(self) -> None:
        self._run(self.twin.end_idle())

    @rule()
    def reopen(self) -> None:
        self._run(self.twin.reopen())

    @rule(name=names)
    def look_at_what_was_forgotten(self, name: str) -> None:
        self._run(self.twin.check_forgotten(name))

    @invariant()
    def both_agree(self) -> None:
        for name, _ in everybody(self.twin.people):
            self._run(self.twin.check(name))
        assert self.cold.repeats == []

    def teardown(self) -> None:
        try:
            self._run(self.twin.memory.close())
        finally:
            self.loop.close()
            shutil.rmtree(self.folder)

    def crowded(self) -> list[str]:
        """Who has most: only then is there much to lose."""
        return [max(NAMES, key=lambda name: len(self.twin.people[name].items))]

    def most(self) -> int:
        """How much that is."""
        return max(len(person.items) for person in self.twin.people.values())

    def _some(self, name: str, at: int) -> str:
        known = list(self.twin.people[name].items)
        others = [one for person in self.twin.people.values() for one in person.items]
        chosen = known if at % 7 else others
        return chosen[at % len(chosen)] if chosen else "0" * 32

    def _run(self, work: Awaitable[Any]) -> None:
        self.loop.run(_awaited(work))

    async def _opened(self) -> TieredMemory:
        chosen = settings_for(
            self.folder / "data", policy=str(self.folder / "policy.toml"), redis_url=self.redis_url
        )
        hot = self.hot if self.redis_url == "local" and self.hot_kept else None
        recast = replacing(hot=hot, cold=None if self.real_cold else self.cold)
        memory = StagedMemory(chosen, Overrides(clock=self.clock, embedder=WordEmbedder()), recast)
        return await memory.__aenter__()


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


class OnLance(Machine):
    """On LanceDB, with a hot tier that ends with the process."""

    real_cold, hot_kept = True, False


class OnRedis(Machine):
    """On LanceDB and a private Redis that outlives the processes."""

    real_cold = True


def run(machine: type[Machine], examples: int, steps: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    chosen = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks,
        derandomize=not FULL, database=None,
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=chosen)
    assert examples > 0


@pytest.mark.slow
def test_the_runtime_agrees_with_its_oracle() -> None:
    run(Machine, EXAMPLES, STEPS)


@pytest.mark.slow
def test_on_lance_it_agrees_too() -> None:
    run(OnLance, EXAMPLES // 4, STEPS)


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.skipif(find_redis_server() is None and "CI" not in os.environ, reason="needs redis-server")
async def test_on_redis_it_agrees_too() -> None:
    server = PrivateRedis(maxmemory_mib=64)
    await server.start()
    try:
        machine = type("OnThisRedis", (OnRedis,), {"redis_url": server.url})
        await asyncio.to_thread(lambda: run(machine, EXAMPLES // 10, STEPS))
    finally:
        await server.stop()
