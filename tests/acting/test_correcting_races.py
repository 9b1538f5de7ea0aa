"""Who may correct a memory, once, against whatever else becomes of it at the same time."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support import (
    consenting,
    contents,
    opened,
    sqlite_rows,
)

from tiered_memory import TieredMemory, User
from tiered_memory.errors import (
    ConflictError,
    ConsentRequiredError,
    InvalidInputError,
    NotFoundError,
    SubjectErasedError,
)
from tiered_memory.model import Provenance
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

OLD, NEW = "My doctor is called Zebulon Quark", "My doctor is called Ottilie Brandt"
WHY = "the person told us"


async def test_nobody_corrects_what_is_another_s(memory: TieredMemory, alice: User) -> None:
    one = await alice.add(OLD, importance=0.9)
    bob = await consenting(memory, "bob")
    with pytest.raises(NotFoundError):
        await bob.update(one.id, NEW, reason=WHY)
    with pytest.raises(NotFoundError):
        await alice.update("0" * 32, NEW, reason=WHY)
    assert (await alice.get(one.id)).content == OLD


async def test_a_repeated_operation_is_done_once_also_after_a_restart(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        one = await alice.add(OLD, importance=0.9)
        first, second = await asyncio.gather(
            *(alice.update(one.id, NEW, reason=WHY, operation_id="op") for _ in range(2))
        )
        assert [first.repeated, second.repeated] == [False, True]
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        assert (await alice.update(one.id, NEW, reason=WHY, operation_id="op")).repeated
        assert (await alice.get(one.id)).version == 2
        with pytest.raises(ConflictError):
            await alice.update(one.id, "something else", reason=WHY, operation_id="op")
        with pytest.raises(ConflictError):
            await alice.add(NEW, operation_id="op")


async def test_of_two_at_once_the_one_that_expected_the_version_wins(alice: User) -> None:
    one = await alice.add(OLD, importance=0.9)
    outcomes = await asyncio.gather(
        *(alice.update(one.id, f"text {n}", reason=WHY, expected_version=1) for n in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 3
    assert (await alice.get(one.id)).version == 2


async def test_without_an_expectation_all_come_through_in_some_order(alice: User) -> None:
    one = await alice.add(OLD, importance=0.9)
    await asyncio.gather(*(alice.update(one.id, f"text {n}", reason=WHY) for n in range(4)))
    history = await alice.history(one.id)
    assert [entry.memory.version for entry in history] == [1, 2, 3, 4, 5]
    assert {entry.memory.content for entry in history} == {OLD, *(f"text {n}" for n in range(4))}


async def test_repetitions_on_their_way_are_not_lost(alice: User) -> None:
    """A merge makes a new version of the same memory at the same time."""
    one = await alice.add("I prefer tea over coffee.", importance=0.9)
    await asyncio.gather(
        alice.add("I prefer tea over coffee."),
        alice.update(one.id, "I prefer tea over coffee!", reason=WHY),
        alice.add("I prefer tea over coffee."),
    )
    kept = await alice.list()
    assert sum(1 + len(memory.repeats) for memory in kept) == 3


async def test_a_deletion_meanwhile_wins(alice: User) -> None:
    for _ in range(3):
        one = await alice.add(OLD, importance=0.9)
        outcomes = await asyncio.gather(
            alice.update(one.id, NEW, reason=WHY), alice.delete(one.id), return_exceptions=True
        )
        assert outcomes[1] is None
        assert (
            outcomes[0] is None or isinstance(outcomes[0], NotFoundError) or outcomes[0].memory.id == one.id
        )  # type: ignore[union-attr]
        with pytest.raises(NotFoundError):
            await alice.get(one.id)


async def test_an_erasure_meanwhile_wins(memory: TieredMemory, data: Path) -> None:
    alice = await consenting(memory)
    one = await alice.add(OLD, importance=0.9)
    outcomes = await asyncio.gather(
        alice.update(one.id, NEW, reason=WHY), alice.erase(reason="request"), return_exceptions=True
    )
    assert not isinstance(outcomes[1], BaseException)
    assert isinstance(outcomes[0], (SubjectErasedError, ConsentRequiredError)) or hasattr(
        outcomes[0], "memory"
    )
    assert sqlite_rows(data, "journal") == []
    assert sqlite_rows(data, "memories") == []
    assert await contents(alice) == []


async def test_a_faded_memory_is_restored_first(
    alice: User, memory: TieredMemory, clock: ManualClock
) -> None:
    one = await alice.add(OLD, importance=0.6)
    deadline = (await alice.explain(one.id)).deadline
    assert deadline is not None
    clock.advance(deadline - clock.now() + timedelta(hours=1))
    await memory.forget(confirmed=True)
    assert [faded.id for faded in await alice.forgotten()] == [one.id]
    with pytest.raises(NotFoundError):
        await alice.update(one.id, NEW, reason=WHY)
    await alice.restore(one.id)
    assert (await alice.update(one.id, NEW, reason=WHY)).memory.content == NEW


async def test_what_was_derived_from_it_is_named(alice: User) -> None:
    one = await alice.add(OLD, importance=0.9)
    child = await alice.add("A summary", importance=0.9, provenance=Provenance(derived_from=(one.id,)))
    grandchild = await alice.add("A title", importance=0.9, provenance=Provenance(derived_from=(child.id,)))
    await alice.add("Unrelated", importance=0.9)
    done = await alice.update(one.id, NEW, reason=WHY)
    assert done.affected == tuple(sorted([child.id, grandchild.id]))
    assert (await alice.update(grandchild.id, "New title", reason=WHY)).affected == ()


async def test_what_spoke_against_the_old_text_does_not_push_the_new_one_down(data: Path) -> None:
    """Numbered facts are taken for contradictions of each other."""
    async with opened(data) as memory:
        alice = await consenting(memory)
        ids = [(await alice.add(f"Fact {n} about topic{n}", importance=0.9)).id for n in range(4)]
        assert (await alice.search("topic0"))[0].conflicts_with
        await alice.update(ids[1], "Zebras graze in the morning", reason=WHY)
        assert (await alice.search("zebras"))[0].memory.id == ids[1]
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        first = (await alice.search("zebras"))[0]
        assert (first.memory.id, first.conflicts_with) == (ids[1], ())
        assert ids[1] not in (await alice.search("topic0"))[0].conflicts_with


async def test_bad_input_changes_nothing(alice: User) -> None:
    one = await alice.add(OLD, importance=0.9)
    for given in (
        {"content": " "},
        {"reason": ""},
        {"importance": 2.0},
        {"sensitivity": "secret"},
        {"occurred_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - a naive one is what is refused
        {"expected_version": 0},
        {"keep_previous": 1},
        {"by": ""},
        {"metadata": {"a": {1: 2}}},
    ):
        values = {"content": NEW, "reason": WHY, **given}
        with pytest.raises(InvalidInputError):
            await alice.update(one.id, **values)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await alice.update(one.id, NEW, reason=WHY, colour="red")  # type: ignore[call-arg]
    assert (await alice.get(one.id)).version == 1


async def test_it_is_recorded_without_a_word_of_it(alice: User, data: Path) -> None:
    one = await alice.add(OLD, importance=0.9)
    await alice.update(one.id, NEW, reason="a telling reason")
    leaves = [row["leaf"] for row in sqlite_rows(data, "audit")]
    [leaf] = [leaf for leaf in leaves if b'"memory_corrected"' in leaf]
    for word in (b"Ottilie", b"Zebulon", b"telling", b"alice", one.id.encode()):
        assert word not in leaf


async def test_personal_data_is_masked_as_on_the_way_in(data: Path) -> None:
    async def mask(text: str) -> str:
        return text.replace("Brandt", "[NAME]")

    async with opened(data, pii=mask) as memory:
        alice = await consenting(memory)
        one = await alice.add(OLD, importance=0.9)
        assert (
            await alice.update(one.id, NEW, reason=WHY)
        ).memory.content == "My doctor is called Ottilie [NAME]"


async def test_a_large_user_whose_memories_are_not_all_in_ram(data: Path) -> None:
    settings = {"indexed_above_memories": 3}
    async with opened(data, settings=settings) as memory:
        alice = await consenting(memory)
        ids = [(await alice.add(f"Fact {n} about topic{n}", importance=0.9)).id for n in range(8)]
        child = await alice.add("A digest", importance=0.9, provenance=Provenance(derived_from=(ids[0],)))
        await memory.drain()
    async with opened(data, settings=settings) as memory:
        alice = memory.user("alice", tenant="acme")
        done = await alice.update(ids[0], "Fact zero about zebras", reason=WHY)
        assert done.affected == (child.id,)
        assert (await alice.search("zebras"))[0].memory.id == ids[0]
    async with opened(data, settings=settings) as memory:
        alice = memory.user("alice", tenant="acme")
        assert (await alice.search("zebras"))[0].memory.content == "Fact zero about zebras"
        assert [entry.memory.version for entry in await alice.history(ids[0])] == [1, 2]
        assert len(await alice.list()) == 9
