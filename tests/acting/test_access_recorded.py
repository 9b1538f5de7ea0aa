"""What the ledger records of reads and refusals: counts, role, actor and category; no ids."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from roles import SUPPORT, by_level, leaves, seen_by, told
from support import opened, parts_of

from tiered_memory import TieredMemory
from tiered_memory.caller import Caller
from tiered_memory.errors import AccessDeniedError, NotFoundError
from tiered_memory.ledger import subject_commitment
from tiered_memory.model import Sensitivity
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio


# --- the ledger ----------------------------------------------------------------------------------------------


async def test_a_refusal_is_in_the_ledger_without_ids(memory: TieredMemory) -> None:
    alice = await told(memory)
    hidden = (await by_level(alice))[Sensitivity.RESTRICTED]
    caller = Caller(role="support", actor="desk-7-erika", context="support chat")
    support = seen_by(memory, caller)
    with pytest.raises(AccessDeniedError):
        await support.delete(hidden)
    with pytest.raises(NotFoundError):
        await support.get(hidden)
    first, second = await leaves(memory, "access_refused")
    assert first["detail"] == {
        "action": "erase",
        "category": "support chat",
        "level": "public",
        "role": "support",
    }
    assert second["detail"]["action"] == "read"
    assert second["detail"]["level"] == "restricted"
    assert first["actor"] == second["actor"] != "runtime"
    assert not any(word in json.dumps([first, second]) for word in ("erika", hidden, "alice"))
    assert (await memory.ledger.verify()).sound


async def test_a_refusal_about_nobody_leaves_nothing(memory: TieredMemory) -> None:
    with pytest.raises(AccessDeniedError):
        await memory.user("guest", caller=SUPPORT).add("x")
    assert await leaves(memory, "access_refused") == []


async def test_every_read_is_counted_with_role_actor_category_and_number(memory: TieredMemory) -> None:
    alice = await told(memory)
    caller = Caller(role="support", actor="desk-7", context="support chat")
    support, held = seen_by(memory, caller), await by_level(alice)
    first = await support.search("tram", limit=10)
    again = await support.search("Thursday", limit=10)
    shown = await support.list()
    await support.get(held[Sensitivity.PUBLIC])
    await support.explain(held[Sensitivity.PUBLIC])
    await support.history(held[Sensitivity.PUBLIC])
    packed = await support.context("tram")
    assert (await memory.ledger.verify()).sound
    own = [one for one in await leaves(memory, "accessed") if one["detail"]["role"] == "support"]
    counted = {one["detail"]["call"]: (one["detail"]["calls"], one["detail"]["memories"]) for one in own}
    assert counted == {
        "search": (2, len(first) + len(again)),
        "list": (1, len(shown)),
        "get": (1, 1),
        "explain": (1, 1),
        "history": (1, 1),
        "context": (1, len(packed.items)),
    }
    assert len({one["actor"] for one in own}) == 1
    assert {one["detail"]["category"] for one in own} == {"support chat"}
    assert "desk-7" not in json.dumps(own)


async def test_a_read_that_showed_nothing_to_anybody_is_not_counted(memory: TieredMemory) -> None:
    await told(memory)
    with pytest.raises(NotFoundError):
        await seen_by(memory, SUPPORT).get("0" * 32)
    await memory.ledger.verify()
    assert [one for one in await leaves(memory, "accessed") if one["detail"]["call"] == "get"] == []


async def test_reads_reach_the_ledger_when_the_store_closes(tmp_path: Path) -> None:
    async with opened(tmp_path / "store") as memory:
        alice = await told(memory)
        await alice.search("tram")
        async with parts_of(memory).directory.using(alice.subject) as active:
            name = subject_commitment(active.ledger_key, active.ref.pseudonym)
        assert await leaves(memory, "accessed") == []
    async with opened(tmp_path / "store") as memory:
        [leaf] = await leaves(memory, "accessed")
        assert (leaf["subject"], leaf["actor"], leaf["detail"]["role"]) == (name, "runtime", "agent")
        assert (await memory.ledger.verify()).sound
        told_of = {one.event: one for one in (await memory.user("alice", tenant="acme").about()).recorded}
        assert told_of["accessed"].calls == {"search": 1}


async def test_the_background_writes_the_reads_of_a_window(memory: TieredMemory, clock: ManualClock) -> None:
    alice = await told(memory)
    await alice.search("tram")
    await memory.jobs.run("uses")
    assert await leaves(memory, "accessed") == []
    clock.advance(61.0)
    await memory.jobs.run("uses")
    assert len(await leaves(memory, "accessed")) == 1


async def test_an_ephemeral_users_reads_leave_nothing(memory: TieredMemory) -> None:
    guest = memory.user("guest")
    await guest.add("I like tea")
    await guest.search("tea")
    await memory.ledger.verify()
    assert await leaves(memory, "accessed") == []
