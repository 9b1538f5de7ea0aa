"""What stayed below the gate and is used, or said again, while hot still has it goes to cold after all."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support import (
    PURPOSE,
    TWO_PURPOSES,
    consenting,
    contents,
    opened,
    parts_of,
    sealed_in_cold,
    sqlite_rows,
)

from tiered_memory import TieredMemory, User
from tiered_memory.clock import SystemClock
from tiered_memory.errors import ConsentRequiredError, HotTierError, NotFoundError, SubjectErasedError
from tiered_memory.metrics import Fact, Routed
from tiered_memory.model import Durability, Sensitivity, TierName
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

WEAK = "The lamp in the hallway flickers."
FAINT = "Nice lamp!"
"""Below the gate by what it says."""
COLOURS = [
    "red",
    "blue",
    "green",
    "yellow",
    "pink",
    "black",
    "white",
    "grey",
    "brown",
    "purple",
    "orange",
    "violet",
]
HOUR = timedelta(hours=1)
ROUNDS = len(COLOURS)


async def weak(user: User, content: str = WEAK, **details: Any) -> str:
    """Say something that stays below the gate, and return its id."""
    receipt = await user.add(content, **{"importance": 0.05, **details})
    assert receipt.durability is not Durability.JOURNALED
    return receipt.id


def ids_in_state(data: Path) -> set[str]:
    return {row["memory_id"] for row in sqlite_rows(data, "memories")}


@pytest.mark.parametrize("session", [None, "s1"])
async def test_what_is_used_is_kept(data: Path, clock: ManualClock, session: str | None) -> None:
    async with opened(data, clock=clock) as memory:
        alice = await consenting(memory)
        used, unused = await weak(alice, session=session), await weak(alice, "Some noise.", session=session)
        await alice.used([used])
        assert (await alice.explain(used)).state == "active"
        assert (await alice.explain(unused)).state == "volatile"
        (hit,) = [one for one in await alice.search(WEAK) if one.memory.id == used]
        assert hit.tier is TierName.COLD
        clock.advance(2 * HOUR)
        assert await contents(alice) == [WEAK]
        await memory.drain()
    async with opened(data, clock=clock) as memory:
        again = memory.user("alice", tenant="acme")
        assert await contents(again) == [WEAK]
        assert await again.damaged() == []
        assert (await again.get(used)).version == 1


async def test_what_a_context_recalls_is_kept(alice: User, clock: ManualClock, data: Path) -> None:
    recalled, beside = await weak(alice, session="s1"), await weak(alice, "A lamp shines.", session="s2")
    await alice.context("Does the hallway lamp flicker?", session="s2")
    assert ids_in_state(data) == {recalled}
    assert beside not in ids_in_state(data)
    clock.advance(2 * HOUR)
    assert await contents(alice) == [WEAK]


async def test_what_a_search_returns_is_not_kept_for_that(alice: User, data: Path) -> None:
    await weak(alice)
    await alice.search(WEAK)
    assert ids_in_state(data) == set()


async def test_what_is_said_again_is_kept_once(alice: User, clock: ManualClock) -> None:
    first = (await alice.add(FAINT, session="s1", metadata={})).id
    assert (await alice.explain(first)).state == "volatile"
    clock.advance(HOUR / 2)
    again = await alice.add(FAINT, session="s2")
    assert again.id == first
    assert again.durability is Durability.JOURNALED
    clock.advance(HOUR)
    (memory,) = await alice.list()
    assert (memory.id, memory.session, [one.session for one in memory.repeats]) == (first, "s1", ["s2"])
    assert (await alice.explain(first)).state == "active"


async def test_it_lives_as_long_as_the_least_that_passes_the_gate(alice: User, clock: ManualClock) -> None:
    used = await weak(alice)
    await alice.used([used])
    other = (await alice.add("Something else.", importance=0.21)).id
    kept, beside = await alice.explain(used), await alice.explain(other)
    assert kept.memory.importance == 0.2
    assert "promoted" in kept.memory.reasons
    assert kept.deadline is not None
    assert beside.deadline is not None
    assert clock.now() + timedelta(days=7) < kept.deadline < beside.deadline


async def test_its_age_counts_from_when_it_was_said(alice: User, clock: ManualClock, data: Path) -> None:
    used, said = await weak(alice), clock.now()
    clock.advance(HOUR / 2)
    await alice.used([used])
    assert (await alice.get(used)).ingested_at == said
    assert sqlite_rows(data, "memories")[0]["ingested_us"] == round(said.timestamp() * 1e6)


async def test_it_is_counted_and_told(data: Path, clock: ManualClock) -> None:
    heard: list[Fact] = []

    class Listening:
        def observe(self, fact: Fact) -> None:
            heard.append(fact)

    async with opened(data, clock=clock, observer=Listening()) as memory:
        alice = await consenting(memory)
        await alice.used([await weak(alice)])
        assert Routed("cold", "promoted", 0.2) in heard
        assert (await memory.stats()).routing["cold"]["promoted"] == 1


async def test_only_once(alice: User, memory: TieredMemory, data: Path) -> None:
    used = await weak(alice)
    await asyncio.gather(*(alice.used([used, used]) for _ in range(5)), alice.context(WEAK))
    await alice.used([used])
    assert len(ids_in_state(data)) == 1
    assert (await memory.stats()).routing["cold"]["promoted"] == 1


# --- what is not kept ----------------------------------------------------------------------------------------


async def test_nothing_without_grounds_when_it_was_said(memory: TieredMemory, data: Path) -> None:
    """A consent that comes later does not cover what was said before it."""
    alice = memory.user("alice")
    used = await weak(alice)
    await alice.consent.grant(PURPOSE, notice="n")
    await alice.used([used])
    assert ids_in_state(data) == set()
    await alice.add(WEAK)
    assert used not in ids_in_state(data)


async def test_nothing_whose_grounds_have_gone(memory: TieredMemory, clock: ManualClock, data: Path) -> None:
    alice = memory.user("alice")
    await alice.consent.grant(PURPOSE, notice="n", expires_at=clock.now() + HOUR / 2)
    used = await weak(alice)
    clock.advance(HOUR * 0.7)
    await alice.used([used])
    assert ids_in_state(data) == set()


async def test_nothing_restricted_without_explicit_consent(memory: TieredMemory, data: Path) -> None:
    alice = memory.user("alice")
    await alice.consent.grant(PURPOSE, notice="n")
    used = await weak(alice, sensitivity=Sensitivity.RESTRICTED)
    await alice.used([used])
    assert ids_in_state(data) == set()


async def test_each_under_its_own_purpose(data: Path, clock: ManualClock, tmp_path: Path) -> None:
    policy = tmp_path / "two.toml"
    policy.write_text(TWO_PURPOSES)
    async with opened(data, clock=clock, settings={"policy": str(policy)}) as memory:
        alice = memory.user("alice")
        await alice.consent.grant("advice", notice="n")
        both = [await weak(alice, purpose="advice"), await weak(alice, "Other words.", purpose="service")]
        await alice.used(both)
        assert {row["purpose"] for row in sqlite_rows(data, "memories")} == {"advice", "service"}
        assert await alice.consent.withdraw("advice") == 1
        assert await contents(alice) == ["Other words."]


async def test_what_has_expired_stays_gone(alice: User, clock: ManualClock, data: Path) -> None:
    used = await weak(alice)
    clock.advance(2 * HOUR)
    assert await alice.used([used]) == 0
    assert ids_in_state(data) == set()


async def test_a_promoted_memory_can_be_removed_like_any_other(
    alice: User, memory: TieredMemory, data: Path
) -> None:
    used = await weak(alice, session="s1")
    await alice.used([used])
    await memory.drain()
    await alice.delete(used)
    assert await contents(alice) == []
    assert sealed_in_cold(data) == []
    assert sqlite_rows(data, "session_tail") == sqlite_rows(data, "memories") == []
    assert (await alice.context("anything", session="s1")).items == ()


# --- others at the same time ---------------------------------------------------------------------------------


async def after(turns: int, act: Callable[[], Awaitable[object]]) -> object:
    for _ in range(turns):
        await asyncio.sleep(0)
    return await act()


@pytest.mark.parametrize("again", [False, True])
async def test_a_deletion_wins_against_a_promotion(
    alice: User, memory: TieredMemory, data: Path, again: bool
) -> None:
    """Whichever comes first: when both are done it is gone, or was said anew."""
    chance = random.Random(7)
    for number in range(ROUNDS):
        said = f"Nice {COLOURS[number]} lamp!"
        doomed = (await alice.add(said, session=random.Random(number).choice([None, "s1"]))).id
        assert (await alice.explain(doomed)).state == "volatile"

        async def use(doomed: str = doomed, said: str = said) -> object:
            return await (alice.add(said) if again else alice.used([doomed]))

        async def delete(doomed: str = doomed) -> object:
            for _ in range(50):
                # A busy machine may keep Redis from answering in time; what is there alone is then left as it was.
                with contextlib.suppress(HotTierError):
                    return await alice.delete(doomed)
                await SystemClock().sleep(0.1)
            raise AssertionError("Redis never answered")

        await asyncio.gather(after(chance.randrange(25), use), after(chance.randrange(25), delete))
        await memory.drain()
        assert doomed not in ids_in_state(data)
        with pytest.raises(NotFoundError):
            await alice.get(doomed)
    if not again:
        assert sealed_in_cold(data) == []


@pytest.mark.parametrize("ending", ["erase", "withdraw"])
async def test_an_ending_wins_against_promotions(data: Path, clock: ManualClock, ending: str) -> None:
    async with opened(data, clock=clock) as memory:
        for number in range(ROUNDS):
            user = await consenting(memory, f"user {number}")
            ids = [await weak(user, f"{WEAK} Nr. {part}", session="s1") for part in range(3)]
            promotions = [
                asyncio.ensure_future(after(turns * number, lambda one=one, user=user: user.used([one])))  # type: ignore[misc]
                for turns, one in enumerate(ids)
            ]
            await (user.erase(reason="request") if ending == "erase" else user.consent.withdraw(PURPOSE))
            done = await asyncio.gather(*promotions, return_exceptions=True)
            assert {type(one) for one in done} <= {int, SubjectErasedError, ConsentRequiredError}
            await parts_of(memory).inflight.settle()
            await memory.drain()
            await memory.forget()
            assert await contents(user) == []
        assert ids_in_state(data) == set()
        assert sealed_in_cold(data) == []


async def test_a_caller_who_leaves_does_not_undo_it(alice: User, data: Path, memory: TieredMemory) -> None:
    for turns in range(8):
        used = await weak(alice, f"{WEAK} Nr. {turns}")
        leaving = asyncio.ensure_future(alice.used([used]))
        for _ in range(turns):
            await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await parts_of(memory).inflight.settle()
        held = (await alice.explain(used)).state
        assert (used in ids_in_state(data)) == (held == "active")
