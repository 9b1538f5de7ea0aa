"""What keeps one memory current: after many versions, within one call, out of RAM, and among writes at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio.lowlevel
import pytest
from support import consenting, contents, opened, parts_of
from test_quota import bounded
from test_supersession_acts import LOCAL, UPDATES, keep, said, telling

from tiered_memory import Interaction, TieredMemory, User
from tiered_memory.active import ActiveSubject
from tiered_memory.errors import QuotaExceededError
from tiered_memory.model import Filter, Kind
from tiered_memory.scoring.reconcile import Claim
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
PROFILES = Filter(kinds=frozenset({Kind.PROFILE}))


def profile(content: str, key: str) -> Interaction:
    return Interaction(content=content, kind=Kind.PROFILE, metadata={"key": key}, importance=0.9)


async def current(user: User, key: str) -> list[str]:
    held = await user.list(limit=1000, where=PROFILES)
    return [one.content for one in held if one.metadata["key"] == key]


async def test_the_hundredth_version_still_takes_the_place_of_the_one_before(
    alice: User, clock: ManualClock
) -> None:
    for number in range(50):
        await keep(alice, f"I moved to {('Berlin', 'Munich')[number % 2]}.", clock)
    assert await contents(alice) == ["I moved to Munich."]


async def test_a_profile_key_has_one_current_memory_after_many_versions(
    alice: User, clock: ManualClock
) -> None:
    for number in range(50):
        await keep(alice, f"mood {number}", clock, kind=Kind.PROFILE, metadata={"key": "mood"})
    assert await current(alice, "mood") == ["mood 49"]


async def test_a_profile_key_has_one_current_memory_of_one_call(alice: User) -> None:
    """However many drafts between them are nearer."""
    between = [profile(f"xylophone concert number {number} of jazz", f"k{number}") for number in range(10)]
    first, last = profile("Berlin by the Spree", "city"), profile("xylophone concert hall Tokyo", "city")
    await alice.add_many([first, *between, last])
    assert await current(alice, "city") == ["xylophone concert hall Tokyo"]
    assert [await current(alice, f"k{number}") for number in range(10)] == [[one.content] for one in between]


async def test_a_value_given_back_within_one_call_is_current_again(alice: User) -> None:
    await alice.add_many([profile(word, "theme") for word in ("dark", "light", "dark")])
    assert await current(alice, "theme") == ["dark"]
    assert len(await alice.list(where=Filter(include_superseded=True))) == 3


async def test_a_profile_memory_that_was_not_in_ram_is_brought_up_to_date(
    data: Path, clock: ManualClock
) -> None:
    settings = {**LOCAL, "indexed_above_memories": 0}
    async with opened(data, clock=clock, settings=settings) as memory:
        alice = await consenting(memory)
        await alice.add_many([profile("Rex lives in Lisbon", "city")])
        others = [
            Interaction(content=f"Gadget {number} hums quartet tunes.", importance=0.9)
            for number in range(60)
        ]
        await alice.add_many(others)
        await memory.drain()
    async with opened(data, clock=clock, settings=settings) as memory:
        alice = memory.user("alice", tenant="acme")
        await keep(alice, "Quartet tunes hum.", clock, kind=Kind.PROFILE, metadata={"key": "city"})
        assert parts_of(memory).directory.residents()[0].paged
        assert await current(alice, "city") == ["Quartet tunes hum."]


async def test_profile_memories_of_a_large_user_stay_in_ram(
    data: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiered_memory.paging.PAGES", 3)
    settings = {**LOCAL, "indexed_above_memories": 0}
    async with opened(data, clock=clock, settings=settings) as memory:
        alice = await consenting(memory)
        kept = [profile("Lisbon", "city"), profile("dark", "theme")]
        others = [Interaction(content=f"Gadget {number} hums.", importance=0.9) for number in range(30)]
        await alice.add_many([*kept, *others])
        await memory.drain()
    async with opened(data, clock=clock, settings=settings) as memory:
        alice = memory.user("alice", tenant="acme")
        for number in range(30):
            await alice.search(f"Gadget {number}")
        active = parts_of(memory).directory.residents()[0]
        kept_ids = {one for ids in active.profiles.values() for one in ids}
        assert set(active.profiles) == {"city", "theme"}
        assert active.pages
        assert kept_ids <= active.held.keys()
        assert kept_ids.isdisjoint(active.pages)


async def test_profile_keys_are_forgotten_with_their_memories(alice: User, clock: ManualClock) -> None:
    memory = await keep(alice, "dark", clock, kind=Kind.PROFILE, metadata={"key": "theme"})
    await alice.delete(memory.id)
    await keep(alice, "light", clock, kind=Kind.PROFILE, metadata={"key": "theme"})
    assert await current(alice, "theme") == ["light"]


# --- writes at once ------------------------------------------------------------------------------------------


async def test_of_profile_values_given_at_once_one_is_current(alice: User) -> None:
    details = {"kind": Kind.PROFILE, "metadata": {"key": "mood"}, "importance": 0.9}
    both = await asyncio.gather(*(alice.add(f"mood {one}", **details) for one in range(20)))  # type: ignore[arg-type]
    assert len(await current(alice, "mood")) == 1
    assert len(await alice.history(both[0].id)) == 20


async def test_the_same_words_said_at_once_are_one_memory(alice: User) -> None:
    receipts = await asyncio.gather(*(alice.add("We decided the same thing.") for _ in range(30)))
    assert len({receipt.id for receipt in receipts}) == 1
    assert await contents(alice) == ["We decided the same thing."]


async def test_of_changes_told_at_once_one_is_current(alice: User) -> None:
    cities = ("Berlin", "Munich", "Rome", "Oslo", "Lima", "Bern")
    await asyncio.gather(*(alice.add(f"I moved to {city}.", importance=0.9) for city in cities))
    assert len(await contents(alice)) == 1


async def test_what_a_hook_judges_at_once_is_judged_beside_each_other(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock, settings=LOCAL, supersession=telling(Gadget=UPDATES)) as memory:
        alice = await consenting(memory)
        said = [f"Gadget needs {number} volts." for number in range(5)]
        await asyncio.gather(*(alice.add(one, importance=0.9) for one in said))
        assert len(await contents(alice)) == 1


async def test_a_write_that_repeats_nothing_waits_for_no_turn(memory: TieredMemory, alice: User) -> None:
    await alice.add("The kettle is green.", importance=0.9)
    active = parts_of(memory).directory.residents()[0]
    busy = anyio.Event()
    async with anyio.create_task_group() as group:

        async def comparing() -> None:
            async with active.turns.held({"mood"}):
                await busy.wait()

        group.start_soon(comparing)
        await anyio.lowlevel.checkpoint()
        with anyio.fail_after(20):
            await alice.add("Chairs are heavy.", importance=0.9)
        waiting = asyncio.ensure_future(alice.add_many([profile("happy", "mood")]))
        await alice.add("Tables are light.", importance=0.9)
        assert not waiting.done()
        busy.set()
        await waiting
    assert await current(alice, "mood") == ["happy"]


# --- a full quota --------------------------------------------------------------------------------------------


async def test_where_nothing_else_can_make_room_the_old_gives_way_to_the_new(
    data: Path, clock: ManualClock
) -> None:
    async with bounded(data, clock, "max_items = 1") as memory:
        alice = await consenting(memory)
        old = await keep(alice, "I live in Berlin.", clock)
        for city in ("Munich", "Rome"):
            new = await keep(alice, f"I moved to {city}.", clock)
            assert await contents(alice) == [f"I moved to {city}."]
            assert new.supersedes == ()
        assert old.id in {one.id for one in await alice.forgotten()}
        assert said(await alice.search("Where do I live?", include_superseded=True)) == ["I moved to Rome."]
        await memory.drain()
        parts_of(memory).directory.forget(parts_of(memory).directory.residents()[0])
        assert await contents(alice) == ["I moved to Rome."]


async def test_beside_what_is_pinned_a_profile_value_gives_way_to_the_next(
    data: Path, clock: ManualClock
) -> None:
    async with bounded(data, clock, "max_items = 2") as memory:
        alice = await consenting(memory)
        await alice.pin((await keep(alice, "The cat is called Tom.", clock)).id)
        for value in ("dark", "light", "dark"):
            await keep(alice, value, clock, kind=Kind.PROFILE, metadata={"key": "theme"})
            assert await contents(alice) == [value, "The cat is called Tom."]


async def test_a_change_to_what_is_pinned_is_refused_when_it_fills_the_quota(
    data: Path, clock: ManualClock
) -> None:
    async with bounded(data, clock, "max_items = 1") as memory:
        alice = await consenting(memory)
        old = await keep(alice, "I live in Berlin.", clock)
        await alice.pin(old.id)
        with pytest.raises(QuotaExceededError, match="pinned"):
            await keep(alice, "I moved to Munich.", clock)
        assert (await alice.get(old.id)).superseded_by is None
        assert said(await alice.search("Munich")) == ["I live in Berlin."]


# --- many at once --------------------------------------------------------------------------------------------


async def test_many_profile_memories_given_again_are_looked_up_by_their_keys(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = list[str]()
    claim = ActiveSubject.claim

    def counted(active: ActiveSubject, memory_id: str) -> Claim:
        looked_at.append(memory_id)
        return claim(active, memory_id)

    many = [profile(f"value {number}", f"k{number}") for number in range(200)]
    await alice.add_many(many)
    monkeypatch.setattr(ActiveSubject, "claim", counted)
    await alice.add_many(many)
    assert len(await alice.list(limit=1000)) == len(many)
    assert len(many) <= len(looked_at) <= 3 * len(many)


async def test_others_go_on_while_many_are_judged(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks, judged = [0], list[int]()
    claim = ActiveSubject.claim

    def noted(active: ActiveSubject, memory_id: str) -> Claim:
        judged.append(ticks[0])
        return claim(active, memory_id)

    async def ticking() -> None:
        while True:
            ticks[0] += 1
            await asyncio.sleep(0)

    many = [profile(f"value {number}", f"k{number}") for number in range(160)]
    await alice.add_many(many)
    monkeypatch.setattr(ActiveSubject, "claim", noted)
    other = asyncio.ensure_future(ticking())
    await alice.add_many(many)
    other.cancel()
    assert len(set(judged)) >= len(many) // 16
