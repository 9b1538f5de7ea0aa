"""Who may write some levels only learns nothing by writing of what is held of the others, and changes none of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from roles import EVERYTHING, SUPPORT, seen_by
from support import consenting, opened

from tiered_memory import TieredMemory, User
from tiered_memory.model import Provenance, Sensitivity, SourceKind

pytestmark = pytest.mark.anyio
SECRET = "I moved to Lisbon with my wife Carla"
POLICY = """
schema = 1
name = "some levels"
[access.support]
search = "internal"
read = "internal"
write = "internal"
correct = "internal"
"""


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[TieredMemory]:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    async with opened(tmp_path / "data", settings={"policy": str(policy)}) as memory:
        yield memory


async def chain(alice: User) -> tuple[str, str, str]:
    """An internal memory that derives from a restricted one, and from which another restricted one derives."""
    first = await alice.add("the horse is ill", sensitivity="restricted", importance=0.9)
    middle = await alice.add("she has a horse", importance=0.9, provenance=_from(first.id))
    last = await alice.add(
        "she fears for it", sensitivity="restricted", importance=0.9, provenance=_from(middle.id)
    )
    return first.id, middle.id, last.id


def _from(parent: str) -> Provenance:
    return Provenance(SourceKind.AGENT, derived_from=(parent,))


async def test_a_repetition_of_what_may_not_be_read_is_answered_like_something_new(
    memory: TieredMemory,
) -> None:
    alice, nobody = await consenting(memory, "alice"), await consenting(memory, "nobody")
    held = await alice.add(SECRET, sensitivity="restricted")
    before = (await alice.explain(held.id)).memory
    told = await seen_by(memory, SUPPORT, "alice").add(SECRET)
    fresh = await seen_by(memory, SUPPORT, "nobody").add(SECRET)
    assert told.id != held.id
    assert (told.importance, told.reasons, told.routing, told.tiers) == (
        fresh.importance,
        fresh.reasons,
        fresh.routing,
        fresh.tiers,
    )
    assert (await alice.explain(held.id)).memory == before
    assert len(await alice.list(where=EVERYTHING)) == len(await nobody.list()) + 1


async def test_nor_does_a_group_or_a_change_of_mind_touch_it(memory: TieredMemory) -> None:
    alice = await consenting(memory, "alice")
    held = await alice.add("I live in Lisbon", sensitivity="restricted", importance=0.9)
    await seen_by(memory, SUPPORT).add("I live in Porto now, not in Lisbon any more", importance=0.9)
    found = await alice.get(held.id)
    assert (found.superseded_by, found.version) == (None, 1)


async def test_what_may_be_read_is_repeated_and_brought_up_to_date_as_ever(memory: TieredMemory) -> None:
    await consenting(memory, "alice")
    support = seen_by(memory, SUPPORT)
    first = await support.add("I live in Lisbon")
    assert (await support.add("I live in Lisbon")).id == first.id


async def test_a_correction_names_only_what_may_be_read(memory: TieredMemory) -> None:
    alice = await consenting(memory, "alice")
    first, middle, last = await chain(alice)
    told = await seen_by(memory, SUPPORT).update(middle, "she has a pony", reason="said wrong")
    assert (told.memory.provenance.derived_from, told.affected) == ((), ())
    whole = await alice.update(middle, "she has two ponies", reason="said wrong")
    assert (whole.memory.provenance.derived_from, whole.affected) == ((first,), (last,))


async def test_neither_does_what_comes_back(memory: TieredMemory) -> None:
    alice = await consenting(memory, "alice")
    first, middle, _ = await chain(alice)
    support = seen_by(memory, SUPPORT)
    assert (await support.restore(middle)).provenance.derived_from == ()
    await alice.quarantine.put(middle, reason="to be looked at")
    released = await support.quarantine.release(middle, reason="looked at")
    assert (released.sensitivity, released.provenance.derived_from) == (Sensitivity.INTERNAL, ())
    assert (await alice.get(middle)).provenance.derived_from == (first,)
