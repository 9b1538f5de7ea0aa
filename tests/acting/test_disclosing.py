"""One call tells a person everything: notices, rights, how long, requests, what is frozen, what was decided."""

from __future__ import annotations

import pytest

from tiered_memory import TieredMemory, User
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio


async def test_everything_is_told_at_once(memory: TieredMemory, alice: User, clock: ManualClock) -> None:
    await alice.consent.grant("personalization", notice="notice 2", details={"recipients": ["Acme"]})
    one = await alice.add("I prefer tea", importance=0.9)
    request = await alice.requests.open("access")
    record = await alice.decisions.record("offer tea", memory_ids=[one.id])
    told = await alice.about()
    assert [(seen.notice, seen.purpose, seen.at) for seen in told.notices] == [
        ("notice 1", "personalization", clock.now()),
        ("notice 2", "personalization", clock.now()),
    ]
    assert told.notices[1].details["recipients"] == ["Acme"]
    assert "controller" in told.notices[1].details["record"]
    assert {right.article for right in told.rights} >= {"15", "16", "17", "18", "20", "21", "22"}
    assert [kept.sensitivity for kept in told.retention] == [
        "public",
        "internal",
        "confidential",
        "restricted",
    ]
    assert (told.requests, told.decisions) == ((request,), (record,))
    assert (told.restriction, told.objections) == (None, ())
    assert told.next_leaving == (await alice.explain(one.id)).deadline
    assert "tea" not in repr(told.held)


async def test_what_is_frozen_is_told_and_does_not_leave(alice: User) -> None:
    await alice.add("I prefer tea", importance=0.9)
    restriction = await alice.rights.restrict(reason="contested")
    told = await alice.about()
    assert (told.restriction, told.next_leaving) == (restriction, None)
    await alice.rights.lift_restriction(reason="settled")
    assert (await alice.about()).restriction is None


async def test_of_a_stranger_there_is_nothing_but_rights(memory: TieredMemory) -> None:
    told = await memory.user("nobody").about()
    assert (told.held, told.notices, told.requests, told.decisions, told.next_leaving) == (
        (),
        (),
        (),
        (),
        None,
    )
    assert told.rights
