"""What was superseded crowds out nothing that answers, however much of it there is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from support import consenting, opened

from tiered_memory import User
from tiered_memory.model import Filter, Hit, Interaction, Kind, Memory
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
CITIES = [
    "Berlin",
    "Munich",
    "Hamburg",
    "Cologne",
    "Leipzig",
    "Dresden",
    "Bremen",
    "Essen",
    "Bonn",
    "Mainz",
    "Kiel",
    "Ulm",
]
SISTER, MOVING = "My sister moved out.", "I moved to where?"


async def keep(user: User, content: str, clock: ManualClock, session: str | None = None) -> Memory:
    """Say something a day after what was said before; it is important enough to be kept."""
    clock.advance(DAY)
    return await user.get((await user.add(content, session=session, importance=0.9)).id)


async def say(user: User, content: str, clock: ManualClock, session: str | None = None) -> Memory:
    """Say something a day later, and nothing of how important it is: so it may be merged with what is held."""
    clock.advance(DAY)
    return await user.get((await user.add(content, session=session)).id)


async def moves(user: User, clock: ManualClock, count: int) -> list[Memory]:
    return [await keep(user, f"I moved to {city}.", clock, session="old") for city in CITIES[:count]]


async def moods(user: User, clock: ManualClock, count: int) -> list[str]:
    """Set one profile key many times; return the ids, oldest first."""
    start = clock.now()
    clock.advance(DAY)
    receipts = await user.add_many(
        [
            Interaction(
                content=f"mood is number {number}",
                kind=Kind.PROFILE,
                metadata={"key": "mood"},
                occurred_at=start + number * timedelta(seconds=1),
            )
            for number in range(count)
        ]
    )
    return [one.id for one in receipts]


def said(hits: Sequence[Hit]) -> list[str]:
    return [hit.memory.content for hit in hits]


async def test_what_a_filter_keeps_out_crowds_out_nothing(alice: User, clock: ManualClock) -> None:
    await moves(alice, clock, 12)
    await keep(alice, SISTER, clock, session="new")
    for limit in (1, 2, 5):
        found = await alice.search(MOVING, limit=limit, where=Filter(sessions=frozenset({"new"})))
        assert said(found) == [SISTER]


async def test_what_has_no_heir_crowds_out_nothing(alice: User, clock: ManualClock) -> None:
    last = (await moves(alice, clock, 8))[-1]
    await keep(alice, SISTER, clock, session="new")
    await alice.delete(last.id)
    for limit in (1, 2, 3):
        assert said(await alice.search(MOVING, limit=limit)) == [SISTER]


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_many_that_one_took_the_place_of_count_as_one(
    alice: User, clock: ManualClock, limit: int
) -> None:
    last = (await moves(alice, clock, 12))[-1]
    others = [SISTER, "Our cat moved in.", "The piano was moved upstairs.", "They moved the meeting."]
    for other in others:
        await keep(alice, other, clock, session="new")
    found = said(await alice.search(MOVING, limit=limit))
    assert len(found) == len(set(found)) == limit
    assert set(found) <= {last.content, *others}
    assert limit < len(others) or last.content in found


async def test_seventy_versions_without_the_last_leave_room(alice: User, clock: ManualClock) -> None:
    last = (await moods(alice, clock, 70))[-1]
    other = "The mood at work is good; the number of quarrels fell."
    await keep(alice, other, clock)
    await alice.delete(last)
    assert said(await alice.search("mood is number")) == [other]
    assert [item.content for item in (await alice.context("mood is number")).items] == [other]
    assert len(await alice.search("mood is number", include_superseded=True, limit=100)) == 70


async def test_a_chain_longer_than_the_call_stack(alice: User, clock: ManualClock) -> None:
    """It crowds out nothing of what each arm nominates either."""
    other = "Her mood lifted when the number came up."
    await keep(alice, other, clock)
    ids = await moods(alice, clock, 1100)
    found = await alice.search("mood is number 7", limit=5)
    assert found[0].memory.id == ids[-1]
    assert said(found)[1:] == [other]
    assert {item.memory_id for item in (await alice.context("mood is number 7")).items} >= {ids[-1]}


# --- what is said otherwise ----------------------------------------------------------------------------------


async def test_what_is_said_again_was_said_last(data: Path, clock: ManualClock) -> None:
    """Also after it was read anew: the times are the record's."""
    where = "Where do I live?"
    async with opened(data, clock=clock) as memory:
        alice = await consenting(memory)
        berlin = await say(alice, "I live in Berlin.", clock)
        munich = await say(alice, "I live in Munich.", clock)
        assert munich.conflicts_with == (berlin.id,)
        assert [hit.memory.id for hit in await alice.search(where)] == [munich.id, berlin.id]
        assert (await say(alice, "I live in Berlin.", clock)).id == berlin.id
        assert [hit.memory.id for hit in await alice.search("I live in Munich.")] == [berlin.id, munich.id]
    async with opened(data, clock=clock) as memory:
        again = memory.user("alice", tenant="acme")
        assert [hit.memory.id for hit in await again.search("I live in Munich.")] == [berlin.id, munich.id]
        await say(again, "I live in Munich.", clock)
        assert [hit.memory.id for hit in await again.search("I live in Berlin.")] == [munich.id, berlin.id]


async def test_what_is_said_otherwise_outside_a_filter_stays_outside(alice: User, clock: ManualClock) -> None:
    old = await say(alice, "I live in Berlin.", clock, session="old")
    new = await say(alice, "I live in Munich.", clock, session="new")
    assert new.conflicts_with == (old.id,)
    (hit,) = await alice.search("Where do I live?", where=Filter(sessions=frozenset({"old"})))
    assert (hit.memory.id, hit.conflicts_with) == (old.id, (new.id,))
    assert said(await alice.search("Where do I live?", as_of=old.occurred_at)) == ["I live in Berlin."]


# --- what was said again, and filters ------------------------------------------------------------------------

TEA = "I prefer tea to coffee."


async def passing(user: User, **where: object) -> list[str]:
    """Return what passes a filter, which search and list must agree on."""
    chosen = Filter(**where)  # type: ignore[arg-type]
    listed = [memory.content for memory in await user.list(where=chosen)]
    assert sorted(said(await user.search("tea or coffee", where=chosen))) == sorted(listed)
    return listed


async def test_what_was_said_again_passes_for_each_time_it_was_said(alice: User, clock: ManualClock) -> None:
    first = await say(alice, TEA, clock, session="s1")
    await say(alice, "Coffee keeps me awake.", clock, session="s2")
    again = await say(alice, TEA, clock, session="sX")
    assert (again.id, len(again.repeats)) == (first.id, 1)
    repeated = again.repeats[0].occurred_at
    for session in ("s1", "sX"):
        assert await passing(alice, sessions=frozenset({session})) == [TEA]
    assert await passing(alice, sessions=frozenset({"nowhere"})) == []
    assert await passing(alice, since=repeated) == [TEA]
    assert await passing(alice, since=repeated + DAY) == []
    assert await passing(alice, until=repeated, sessions=frozenset({"s1"})) == [TEA]


async def test_one_and_the_same_time_must_match(alice: User, clock: ManualClock) -> None:
    """It was said in that session, and at that time, but not at that time in that session."""
    await say(alice, TEA, clock, session="s1")
    repeated = (await say(alice, TEA, clock, session="sX")).repeats[0].occurred_at
    assert await passing(alice, since=repeated, sessions=frozenset({"s1"})) == []
    assert await passing(alice, until=repeated, sessions=frozenset({"sX"})) == []
    assert await passing(alice, since=repeated, sessions=frozenset({"sX"})) == [TEA]
    assert await passing(alice, since=repeated, sessions=frozenset({"sX"}), agents=frozenset({"a"})) == []


async def test_a_word_that_looks_like_the_mark_of_a_repeat_is_none(alice: User, clock: ManualClock) -> None:
    await say(alice, "Paragraph §repeats is about tea.", clock, session="s1")
    assert await passing(alice, sessions=frozenset({"s2"})) == []
