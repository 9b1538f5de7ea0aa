"""What says the same as a memory that is held strengthens it and is no second memory."""

from __future__ import annotations

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
    redis_bytes,
    seen,
    sqlite_rows,
)

from tiered_memory import TieredMemory, User
from tiered_memory.formats.record import REPEATS_KEPT
from tiered_memory.model import (
    Durability,
    Filter,
    Interaction,
    Kind,
    Provenance,
    Receipt,
    Sensitivity,
    TierName,
)
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

TEA = "I prefer tea over coffee."
DAY = timedelta(days=1)


async def twice(user: User, clock: ManualClock, **second: Any) -> tuple[Receipt, Receipt]:
    """Say the same on two days; `second` says more of the second time."""
    first = await user.add(TEA, session="s1")
    clock.advance(DAY)
    return first, await user.add(TEA, **{"session": "s1", **second})


async def test_a_repetition_is_no_second_memory(alice: User, clock: ManualClock, data: Path) -> None:
    first, second = await twice(alice, clock)
    assert second.id == first.id
    assert second.routing.startswith("duplicate")
    assert (second.durability, second.repeated) == (Durability.JOURNALED, False)
    assert set(second.tiers) == {TierName.WARM, TierName.COLD}
    assert second.operation_id != first.operation_id
    assert await contents(alice) == [TEA]
    assert len(sqlite_rows(data, "memories")) == 1


async def test_it_strengthens_the_one_that_is_held(alice: User, clock: ManualClock) -> None:
    first = await alice.add(TEA)
    clock.advance(30 * DAY)
    before = await alice.explain(first.id)
    await alice.add(TEA)
    after = await alice.explain(first.id)
    assert after.strength >= before.strength
    assert after.spaced_uses > before.spaced_uses
    assert after.last_used_at == clock.now()
    assert after.deadline is not None
    assert before.deadline is not None
    assert after.deadline >= before.deadline


async def test_both_sources_stay_in_its_provenance(alice: User, clock: ManualClock) -> None:
    first, _ = await twice(alice, clock, session="s2")
    memory = await alice.get(first.id)
    (repeat,) = memory.repeats
    assert (repeat.occurred_at, repeat.session, memory.session) == (clock.now(), "s2", "s1")
    assert memory.provenance.merged_from == (repeat.id,)
    assert repeat.id != first.id
    assert (memory.version, memory.content) == (2, TEA)


async def test_strength_and_provenance_survive_the_process(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        alice = await consenting(memory)
        first, _ = await twice(alice, clock)
        known = await alice.explain(first.id)
    async with opened(data, clock=clock) as memory:
        again = await memory.user("alice", tenant="acme").explain(first.id)
    assert (again.memory, again.strength, again.deadline) == (known.memory, known.strength, known.deadline)


async def test_repeats_are_bounded(alice: User, clock: ManualClock) -> None:
    first = await alice.add(TEA)
    for _ in range(REPEATS_KEPT + 3):
        clock.advance(timedelta(hours=1))
        await alice.add(TEA)
    memory = await alice.get(first.id)
    assert len(memory.repeats) == len(memory.provenance.merged_from) == REPEATS_KEPT
    assert memory.repeats[-1].occurred_at == clock.now()
    assert memory.version == REPEATS_KEPT + 4


async def test_within_one_call(alice: User) -> None:
    receipts = await alice.add_many([Interaction(content=TEA), Interaction(content=TEA)])
    assert receipts[0].id == receipts[1].id
    memory = await alice.get(receipts[0].id)
    assert (memory.version, len(memory.repeats)) == (1, 1)
    assert await contents(alice) == [TEA]


# --- what is not merged --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "second",
    [
        {"importance": 0.9},
        {"metadata": {"source": "form"}},
        {"provenance": Provenance(channel="mail")},
        {"kind": Kind.SEMANTIC},
        {"agent": "another"},
        {"author": "Bob"},
        {"role": "assistant", "durability": Durability.JOURNALED},
        {"sensitivity": Sensitivity.CONFIDENTIAL},
    ],
)
async def test_a_repetition_that_says_more_is_a_memory_of_its_own(
    alice: User, clock: ManualClock, second: dict[str, Any]
) -> None:
    first, other = await twice(alice, clock, **second)
    assert first.id != other.id
    assert (await alice.get(first.id)).version == 1


async def test_a_required_durability_is_met_by_the_one_that_is_held(alice: User, clock: ManualClock) -> None:
    first, second = await twice(alice, clock, durability=Durability.JOURNALED)
    assert first.id == second.id
    assert second.durability is Durability.JOURNALED


async def test_nor_for_another_purpose_nor_another_user(
    data: Path, clock: ManualClock, tmp_path: Path
) -> None:
    policy = tmp_path / "two.toml"
    policy.write_text(TWO_PURPOSES)
    async with opened(data, clock=clock, settings={"policy": str(policy)}) as memory:
        faces = [memory.user("alice"), memory.user("bob")]
        for face in faces:
            await face.consent.grant("advice", notice="n", explicit=True)
            await face.add(TEA, purpose="advice")
        await faces[0].add(TEA, purpose="service")
        assert [len(await contents(face)) for face in faces] == [2, 1]


async def test_nor_where_the_policy_does_not_want_it(data: Path, clock: ManualClock, tmp_path: Path) -> None:
    policy = tmp_path / "rows.toml"
    policy.write_text('schema = 1\nname = "rows"\n\n[routing]\nmerge_duplicates = false\n')
    async with opened(data, clock=clock, settings={"policy": str(policy)}) as memory:
        first, second = await twice(await consenting(memory), clock)
        assert first.id != second.id


async def test_nor_into_one_whose_place_was_taken(alice: User, clock: ManualClock) -> None:
    """Back to what was before is news."""
    said = ["I live in Berlin.", "I moved to Munich.", "I live in Berlin."]
    ids = []
    for content in said:
        clock.advance(DAY)
        ids.append((await alice.add(content, durability=Durability.JOURNALED)).id)
    assert len(set(ids)) == 3


# --- sessions ------------------------------------------------------------------------------------------------


async def recent(user: User, session: str) -> list[str]:
    packed = await user.context("anything else", session=session, where=Filter(sessions=frozenset({"none"})))
    return [item.content for item in packed.items if item.section == "recent"]


async def test_the_session_gets_the_turn(alice: User, clock: ManualClock) -> None:
    await twice(alice, clock, session="s2")
    await alice.add("And what is there to eat?", session="s2", role="user")
    assert await recent(alice, "s2") == [TEA, "And what is there to eat?"]


async def test_a_repeated_turn_is_resumed_in_its_place(data: Path, clock: ManualClock) -> None:
    """Its tail points at the memory: what it says rests in one place only."""
    said = [TEA, "Something in between.", TEA, "The end of it."]
    async with opened(data, clock=clock, settings={"redis_url": "local"}) as memory:
        alice = await consenting(memory)
        for content in said:
            clock.advance(timedelta(minutes=1))
            await alice.add(content, session="s1")
        assert await recent(alice, "s1") == said
    assert sorted(row["sealed"] is None for row in sqlite_rows(data, "session_tail")).count(True) >= 2
    async with opened(data, clock=clock, settings={"redis_url": "local"}) as memory:
        assert await recent(memory.user("alice", tenant="acme"), "s1") == said


async def test_a_context_has_it_once(alice: User, clock: ManualClock) -> None:
    await twice(alice, clock, session="s2")
    packed = await alice.context("What do I prefer, tea or coffee?", session="s2")
    assert [item.content for item in packed.items] == [TEA]


async def test_deleting_the_memory_takes_its_repetitions_out_of_every_session(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    first, _ = await twice(alice, clock, session="s2")
    await parts_of(memory).sessions.snapshot_all()
    clock.advance(timedelta(hours=2))
    await parts_of(memory).sessions.end_idle()
    await alice.delete(first.id)
    for session in ("s1", "s2"):
        assert await recent(alice, session) == []
    assert seen([TEA], redis_bytes(memory)) == set()


async def test_a_withdrawal_takes_them_too(alice: User, clock: ManualClock, data: Path) -> None:
    await twice(alice, clock, session="s2")
    assert await alice.consent.withdraw(PURPOSE) == 1
    assert await recent(alice, "s2") == []
    assert sqlite_rows(data, "session_tail") == sqlite_rows(data, "memories") == []


# --- counting and answering again ----------------------------------------------------------------------------


async def test_it_is_counted_as_what_it_is(memory: TieredMemory, alice: User, clock: ManualClock) -> None:
    await twice(alice, clock)
    assert (await memory.stats()).routing["cold"]["duplicate"] == 1


async def test_an_operation_answers_with_the_same_receipt(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        alice = await consenting(memory)
        first = await alice.add(TEA)
        clock.advance(DAY)
        merged = await alice.add(TEA, operation_id="op")
        assert (await alice.add(TEA, operation_id="op")).repeated
    async with opened(data, clock=clock) as memory:
        again = await memory.user("alice", tenant="acme").add(TEA, operation_id="op")
        known = await memory.user("alice", tenant="acme").get(first.id)
    assert (again.id, again.durability, again.repeated) == (merged.id, merged.durability, True)
    assert len(known.repeats) == 1
