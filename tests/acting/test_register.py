"""The register keeps small sealed records of a person, of a tenant, of the store; each goes with its owner."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import consenting, opened, parts_of, state_pages

from tiered_memory.errors import ConflictError, SubjectErasedError
from tiered_memory.memory import TieredMemory
from tiered_memory.register import Entry, Register
from tiered_memory.state.register import EntriesDue, EntriesOfKind

pytestmark = pytest.mark.anyio
MARKER = "a-word-that-nobody-else-says"


def entry(number: int, *, due_us: int | None = None, status: str = "open") -> Entry:
    return Entry(
        id=f"e{number}", kind="testimony", status=status, at_us=number, fields={"note": MARKER}, due_us=due_us
    )


async def test_an_entry_is_read_as_it_was_put_and_counts_its_versions(memory: TieredMemory) -> None:
    alice = await consenting(memory, "alice")
    register = Register(parts_of(memory).core)
    async with alice._using("rights") as (_, active):
        first = await register.put(active, entry(1))
        second = await register.put(active, first)
        assert (first.version, second.version) == (1, 2)
        assert await register.of(active, "testimony") == [second]
        assert await register.get(active, "testimony", "e2") is None
        with pytest.raises(ConflictError):
            await register.put(active, first)


async def test_others_and_other_kinds_see_nothing_of_it(memory: TieredMemory) -> None:
    alice, bob = await consenting(memory, "alice"), await consenting(memory, "bob")
    register = Register(parts_of(memory).core)
    async with alice._using("rights") as (_, active):
        await register.put(active, entry(1))
        assert await register.of(active, "decision") == []
    async with bob._using("rights") as (_, active):
        assert await register.of(active, "testimony") == []


async def test_what_is_due_is_found_in_order_of_its_date(memory: TieredMemory) -> None:
    register, state = Register(parts_of(memory).core), parts_of(memory).core.state
    for number, due in ((1, 30), (2, 10), (3, None), (4, 99)):
        await register.put_common(b"", entry(number, due_us=due))
    assert [one.entry_id for one in await state.read(EntriesDue("testimony", 50, 10))] == ["e2", "e1"]
    assert len(await state.read(EntriesOfKind("testimony", "open"))) == 4
    assert [one.fields["note"] for one in await register.common(b"", "testimony")] == [MARKER] * 4
    assert await register.drop(b"", "testimony", ["e1", "e9"]) == 1


async def test_erasure_takes_a_persons_entries_and_nothing_of_them_was_readable(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        alice = await consenting(memory, "alice")
        register = Register(parts_of(memory).core)
        async with alice._using("rights") as (_, active):
            await register.put(active, entry(1))
            pseudonym = active.ref.pseudonym
            held = active
        await alice.erase(reason="request")
        assert await parts_of(memory).core.state.read(EntriesOfKind("testimony", "open")) == []
        with pytest.raises(SubjectErasedError):
            await register.put(held, entry(2))
        assert pseudonym
    assert MARKER.encode() not in state_pages(tmp_path)
