"""What somebody contributed to a shared memory is frozen with everything else when the processing is restricted (Art. 18)."""

from __future__ import annotations

from pathlib import Path

import pytest
from shared_space import contents, made, plan
from support import consenting, opened

from tiered_memory import TieredMemory
from tiered_memory.errors import NotFoundError, RestrictedError
from tiered_memory.privacy.sharing import Member

pytestmark = pytest.mark.anyio
HERS, HIS = "The tram app needs a new icon", "The ferry app shows the wrong pier"


async def shared_by_two(memory: TieredMemory) -> tuple[str, str]:
    alice = await made(memory)
    return (await alice.add(HERS)).id, (await plan(memory, "bob").add(HIS)).id


async def test_it_is_shown_by_no_way_of_reading_until_it_is_lifted(memory: TieredMemory) -> None:
    hers, his = await shared_by_two(memory)
    alice, bob = plan(memory, "alice"), memory.user("bob", tenant="acme")
    await bob.rights.restrict(reason="contested")
    assert await contents(alice) == [HERS]
    assert [hit.memory.id for hit in await alice.search(HIS)] == [hers]
    assert [item.memory_id for item in (await alice.context(HIS)).items] == [hers]
    with pytest.raises(NotFoundError):
        await alice.get(his)
    assert (await alice.get(hers)).content == HERS
    await bob.rights.lift_restriction(reason="settled")
    assert await contents(alice) == [HIS, HERS]
    assert (await alice.search(HIS))[0].memory.id == his
    assert (await alice.get(his)).content == HIS


async def test_it_lends_no_score_and_leaves_no_trace_beside_what_is_shown(memory: TieredMemory) -> None:
    await shared_by_two(memory)
    alone = memory.shared("alone", tenant="acme", user="alice")
    await alone.create(notice="team-notice-1", explicit=True)
    await alone.add(HERS)
    await memory.user("bob", tenant="acme").rights.restrict(reason="contested")
    seen, expected = [(await one.search("ferry app icon"))[0] for one in (plan(memory, "alice"), alone)]
    assert (seen.score, seen.terms, seen.conflicts_with) == (expected.score, expected.terms, ())


async def test_nobody_removes_it_meanwhile(memory: TieredMemory) -> None:
    hers, his = await shared_by_two(memory)
    await memory.user("bob", tenant="acme").rights.restrict(reason="contested")
    with pytest.raises(NotFoundError):
        await plan(memory, "alice").delete(his)
    with pytest.raises(RestrictedError):
        await plan(memory, "bob").delete(his)
    await plan(memory, "alice").delete(hers)
    await memory.user("bob", tenant="acme").rights.lift_restriction(reason="settled")
    assert await contents(plan(memory, "alice")) == [HIS]


async def test_who_is_restricted_elsewhere_freezes_nothing_here(memory: TieredMemory) -> None:
    await shared_by_two(memory)
    stranger = await consenting(memory, "bob", tenant="other")
    own = memory.shared("team-plan", tenant="other", user="bob")
    await own.create(notice="team-notice-1", explicit=True)
    await own.add("A plan of another house")
    await stranger.rights.restrict(reason="contested")
    assert await contents(plan(memory, "alice")) == [HIS, HERS]
    assert await contents(own) == []


async def test_it_outlives_the_process_and_a_revoked_access(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as memory:
        await shared_by_two(memory)
        await plan(memory, "alice").revoke_access(Member("bob"))
        await memory.user("bob", tenant="acme").rights.restrict(reason="contested")
    async with opened(tmp_path / "data") as memory:
        assert await contents(plan(memory, "alice")) == [HERS]
        await memory.user("bob", tenant="acme").erase(reason="request")
        assert await contents(plan(memory, "alice")) == [HERS]
