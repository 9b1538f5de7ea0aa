"""Looking at memories: their courses, a context that is only previewed, the ledger's entries. Looking changes nothing."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import pytest
from support import consenting, parts_of

from tiered_memory import TieredMemory, User
from tiered_memory.caller import Caller
from tiered_memory.errors import AccessDeniedError, InvalidInputError, NotFoundError
from tiered_memory.model import Filter, Kind
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)


async def test_a_life_is_what_explain_says_with_its_course(alice: User, clock: ManualClock) -> None:
    memory_id = (await alice.add("I like tea.", importance=0.6)).id
    clock.advance(10 * DAY)
    await alice.used([memory_id])
    clock.advance(5 * DAY)
    life = await alice.life(memory_id, points=50)
    assert life.explanation == await alice.explain(memory_id)
    course = life.course
    assert course.taken_at == clock.now()
    assert course.threshold == 0.1
    assert course.points[0].at == clock.now() - 5 * DAY
    assert course.unused[0].at == clock.now() - 15 * DAY
    assert course.points[0].strength > course.unused[0].strength * 0.5
    assert len(course.points) == len(course.unused) == 50
    assert course.points[-1].strength < course.threshold
    forget_at = life.explanation.forget_at
    assert forget_at is not None
    assert course.points[-1].at > forget_at
    assert (life.pinned, life.on_hold) == (False, False)


async def test_a_course_comes_true(alice: User, clock: ManualClock) -> None:
    memory_id = (await alice.add("I like tea.", importance=0.6)).id
    course = (await alice.life(memory_id, points=6)).course
    for point in course.points[:4]:
        clock.advance(point.at - clock.now())
        assert (await alice.explain(memory_id)).strength == pytest.approx(point.strength, abs=1e-9)


async def test_a_page_of_lives_is_a_page_of_the_list(alice: User, clock: ManualClock) -> None:
    for number in range(6):
        clock.advance(timedelta(hours=1))
        await alice.add(
            f"Number {number}.", importance=0.5, kind=Kind.SEMANTIC if number % 2 else Kind.EPISODIC
        )
    listed = await alice.list(limit=4)
    lives = await alice.lives(limit=4, points=3)
    assert [one.explanation.memory for one in lives] == listed
    rest = await alice.lives(before=listed[-1].order)
    assert [one.explanation.memory.content for one in rest] == ["Number 1.", "Number 0."]
    semantic = await alice.lives(where=Filter(kinds=frozenset({Kind.SEMANTIC})))
    assert len(semantic) == 3
    for one in lives:
        assert one == await alice.life(one.explanation.memory.id, points=3)


async def test_pinned_and_forgotten_lives(alice: User, clock: ManualClock) -> None:
    pinned = (await alice.add("Pin me.", importance=0.6)).id
    fades = (await alice.add("Let me go.", importance=0.45)).id
    await alice.pin(pinned)
    clock.advance(80 * DAY)
    await alice.forget(confirmed=True)
    assert (await alice.life(pinned)).pinned
    gone = await alice.life(fades)
    assert gone.explanation.state == "forgotten"
    assert gone.course.points
    with pytest.raises(NotFoundError):
        await alice.life("0" * 32)


async def test_what_hot_alone_has_has_no_course(memory: TieredMemory) -> None:
    nobody = memory.user("nobody", tenant="acme")
    memory_id = (await nobody.add("Never asked.")).id
    life = await nobody.life(memory_id)
    assert life.course.points == life.course.unused == ()
    assert [one.explanation.memory.id for one in await nobody.lives()] == [memory_id]


@pytest.mark.parametrize("points", [1, 0, 1001, "9"])
async def test_points_are_bounded(alice: User, points: int) -> None:
    with pytest.raises(InvalidInputError):
        await alice.lives(points=points)
    with pytest.raises(InvalidInputError):
        await alice.life("0" * 32, points=points)


async def test_lives_keep_to_the_levels_of_a_role(memory: TieredMemory, alice: User) -> None:
    await alice.add("Public.", importance=0.6, sensitivity="public")
    secret = (await alice.add("Secret.", importance=0.6, sensitivity="restricted")).id
    support = memory.user("alice", "acme", caller=Caller(role="support"))
    assert [one.explanation.memory.content for one in await support.lives()] == ["Public."]
    with pytest.raises(NotFoundError):
        await support.life(secret)
    with pytest.raises(AccessDeniedError):
        await memory.user("alice", "acme", caller=Caller(role="auditor")).lives()


async def test_a_preview_packs_the_same_and_counts_as_no_use(alice: User, clock: ManualClock) -> None:
    ids = [
        (await alice.add(f"I like tea number {number}.", importance=0.6, session="s")).id
        for number in range(5)
    ]
    clock.advance(3 * DAY)
    unused = [await alice.explain(one) for one in ids]
    for session, budget in (("s", 30), ("s", 1500), (None, 60), (None, 1500)):
        asked = {"session": session, "token_budget": budget}
        before = [await alice.explain(one) for one in ids]
        seen = await alice.preview("what tea do I like?", **asked)  # type: ignore[arg-type]
        assert [await alice.explain(one) for one in ids] == before
        assert seen == await alice.context("what tea do I like?", **asked)  # type: ignore[arg-type]
        assert seen.items
    assert [await alice.explain(one) for one in ids] != unused


async def test_entries_are_the_ledger_newest_first(memory: TieredMemory, alice: User) -> None:
    bob = await consenting(memory, "bob")
    await bob.add("I like beer.")
    await alice.list()
    entries = await memory.ledger.entries(limit=100)
    assert [one.index for one in entries] == list(range(len(entries)))[::-1]
    assert entries[-1].event == "store_created"
    assert entries[0].event == "accessed", "what waited to be written is written before it is read"
    for one in entries:
        told = json.loads(one.leaf)
        assert (told["event"], told["subject"]) == (one.event, one.subject)
        assert hashlib.sha256(b"\0" + one.leaf.encode()).hexdigest() == one.hash
        assert "alice" not in one.leaf
        assert "bob" not in one.leaf
    verdict = await memory.ledger.verify()
    assert verdict.sound
    assert verdict.entries == len(entries)


async def test_entries_come_in_pages(memory: TieredMemory, alice: User) -> None:
    await alice.list()
    every = await memory.ledger.entries(limit=100)
    pages, before = [], None
    while page := await memory.ledger.entries(limit=2, before=before):
        pages += page
        before = page[-1].index
    assert pages == every
    assert await memory.ledger.entries(before=0) == []
    assert await memory.ledger.entries(limit=1, before=10**9) == every[:1]
    for wrong in ({"limit": 0}, {"before": -1}):
        with pytest.raises(InvalidInputError):
            await memory.ledger.entries(**wrong)


async def test_an_empty_ledger_has_no_page_beyond_its_beginning(memory: TieredMemory) -> None:
    newest = await parts_of(memory).core.notary.newest(10)
    assert [index for index, _, _ in newest] == [0]
