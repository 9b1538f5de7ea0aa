"""Roles and levels on real engines: what a role may not read is not found, not shown, not named and not noticed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import consenting, opened, parts_of

from tiered_memory import TieredMemory, User
from tiered_memory.caller import Caller
from tiered_memory.errors import AccessDeniedError, NotFoundError
from tiered_memory.ledger import subject_commitment
from tiered_memory.model import Filter, Interaction, Sensitivity
from tiered_memory.scoring.supersession import Judgement, Relation, Statement
from tiered_memory.state import commands as c
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
SUPPORT, ADMIN, AUDITOR = Caller(role="support"), Caller(role="admin"), Caller(role="auditor")
WORDS = [
    "beans",
    "peas",
    "leeks",
    "kale",
    "chard",
    "mint",
    "dill",
    "sage",
    "thyme",
    "corn",
    "okra",
    "rocket",
    "cress",
    "sorrel",
    "fennel",
    "onions",
    "garlic",
    "beets",
    "radish",
    "turnip",
    "carrots",
    "celery",
    "lettuce",
    "spinach",
]
EVERYTHING = Filter(include_superseded=True)


async def leaves(memory: TieredMemory, event: str) -> list[dict[str, Any]]:
    rows = await parts_of(memory).core.state.read(c.Leaves())
    return [one for one in (json.loads(leaf) for _, leaf, _ in rows) if one["event"] == event]


async def told(memory: TieredMemory) -> User:
    """Alice, who said something of every level in one session: the confidential stands between two others."""
    alice = await consenting(memory, "alice")
    for content, level in (
        ("I take the tram number 12 to work every morning", Sensitivity.INTERNAL),
        ("My therapist Dr Quill treats me for panic attacks", Sensitivity.RESTRICTED),
        ("We could meet on Thursday afternoon", Sensitivity.PUBLIC),
        ("My salary at the foundry is 4100 euros", Sensitivity.CONFIDENTIAL),
    ):
        await alice.add(content, sensitivity=level, session="s1", importance=0.9)
    return alice


def seen_by(memory: TieredMemory, caller: Caller, user: str = "alice") -> User:
    return memory.user(user, tenant="acme", caller=caller)


async def by_level(alice: User) -> dict[Sensitivity, str]:
    return {one.sensitivity: one.id for one in await alice.list(where=EVERYTHING)}


OPEN = {Sensitivity.PUBLIC, Sensitivity.INTERNAL}


# --- leakage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["therapist panic attacks", "salary at the foundry", "tram to work"])
async def test_no_way_of_reading_shows_a_level_beyond_the_role(memory: TieredMemory, question: str) -> None:
    alice = await told(memory)
    support = seen_by(memory, SUPPORT)
    hits = await support.search(question, limit=10)
    assert {hit.memory.sensitivity for hit in hits} <= OPEN
    context = await support.context(question, session="s1")
    assert "Quill" not in context.render()
    assert "foundry" not in context.render()
    assert {one.sensitivity for one in await support.list()} == OPEN
    assert {one.sensitivity for one in await support.list(where=EVERYTHING)} == OPEN
    assert {hit.memory.sensitivity for hit in await alice.search(question, limit=10)} - OPEN


async def test_a_limit_is_filled_with_what_may_be_seen(memory: TieredMemory) -> None:
    alice = await consenting(memory, "alice")
    secret = [f"the garden gate code of plot {number} is secret" for number in range(12)]
    await alice.add_many(
        [Interaction(content=one, sensitivity=Sensitivity.RESTRICTED, importance=0.9) for one in secret]
    )
    plain = [
        f"the garden has bed {number} with {what}"
        for number, what in enumerate(("beans", "peas", "leeks", "kale", "chard"))
    ]
    await alice.add_many([Interaction(content=one, importance=0.9) for one in plain])
    hits = await seen_by(memory, SUPPORT).search("the garden gate code secret", limit=5)
    assert sorted(hit.memory.content for hit in hits) == sorted(plain)


async def test_what_may_not_be_read_lends_no_score_to_what_stands_beside_it(memory: TieredMemory) -> None:
    """Otherwise a question about it would lift its neighbours, and tell that it is there."""
    await told(memory)
    without = await consenting(memory, "bob")
    for content, level in (
        ("I take the tram number 12 to work every morning", Sensitivity.INTERNAL),
        ("We could meet on Thursday afternoon", Sensitivity.PUBLIC),
    ):
        await without.add(content, sensitivity=level, session="s1", importance=0.9)
    for question in ("panic attacks therapist", "tram to work", "meet Thursday"):
        pairs = [
            [
                (hit.memory.content, dict(hit.terms))
                for hit in await seen_by(memory, SUPPORT, user).search(question)
            ]
            for user in ("alice", "bob")
        ]
        assert pairs[0] == pairs[1]


@pytest.mark.parametrize("level", [Sensitivity.CONFIDENTIAL, Sensitivity.RESTRICTED])
async def test_a_memory_beyond_the_role_is_as_good_as_absent(
    memory: TieredMemory, level: Sensitivity
) -> None:
    alice = await told(memory)
    hidden = (await by_level(alice))[level]
    support = seen_by(memory, SUPPORT)
    for call in (support.get, support.history, support.explain):
        with pytest.raises(NotFoundError) as refused:
            await call(hidden)
        with pytest.raises(NotFoundError) as absent:
            await call("0" * 32)
        assert str(refused.value) == str(absent.value)
    with pytest.raises(NotFoundError):
        await support.used([hidden])
    assert (await alice.get(hidden)).id == hidden


async def test_no_link_names_what_may_not_be_read(memory: TieredMemory) -> None:
    alice = await consenting(memory, "alice")
    old = await alice.add("I live in Porto", importance=0.9)
    new = await alice.add("I live in Lisbon now", importance=0.9, sensitivity="confidential")
    assert (await alice.get(old.id)).superseded_by == new.id
    support = seen_by(memory, SUPPORT)
    assert (await support.get(old.id)).superseded_by is None
    [entry] = await support.history(old.id)
    assert (entry.memory.id, entry.superseded_by, entry.reason) == (old.id, None, None)
    assert (await support.explain(old.id)).memory.superseded_by is None
    everything = [
        *await support.list(where=EVERYTHING),
        *(h.memory for h in await support.search("where", where=EVERYTHING)),
    ]
    assert new.id not in repr(everything)
    assert await support.list() == []


async def test_conflicts_name_only_what_may_be_read(data: Path) -> None:
    async def conflicting(_: Statement, held: Sequence[Statement]) -> Sequence[Judgement]:
        return [Judgement(Relation.CONFLICTS, 0.9, "told so", None) for _ in held]

    async with opened(data, supersession=conflicting) as memory:
        alice = await consenting(memory, "alice")
        low = await alice.add("The power supply gives twelve volts.", importance=0.9)
        high = await alice.add(
            "The power supply gives twenty volts.", importance=0.9, sensitivity="restricted"
        )
        question = "How many volts does the power supply give?"
        assert {one.conflicts_with for one in await alice.search(question)} == {(low.id,), (high.id,)}
        [shown] = await seen_by(memory, SUPPORT).search(question)
        assert (shown.memory.id, shown.conflicts_with) == (low.id, ())
        assert high.id not in repr(shown)


async def test_a_view_follows_what_is_added_and_deleted(memory: TieredMemory) -> None:
    alice, support = await told(memory), seen_by(memory, SUPPORT)
    assert len(await support.search("tram", limit=10)) == 2
    receipt = await alice.add("The tram was late because of snow", importance=0.9)
    assert receipt.id in [hit.memory.id for hit in await support.search("tram snow", limit=10)]
    await alice.delete(receipt.id)
    assert receipt.id not in [hit.memory.id for hit in await support.search("tram snow", limit=10)]


async def test_what_faded_is_shown_by_level_too(memory: TieredMemory) -> None:
    alice = await told(memory)
    hidden = (await by_level(alice))[Sensitivity.RESTRICTED]
    support = seen_by(memory, SUPPORT)
    assert await support.forgotten() == await support.damaged() == []
    with pytest.raises(AccessDeniedError):
        await support.restore(hidden)
    assert (await seen_by(memory, ADMIN).restore(hidden)).id == hidden


async def test_a_subject_too_large_for_ram_is_shown_by_level_too(data: Path) -> None:
    settings = {"indexed_above_memories": 10}
    async with opened(data, settings=settings) as memory:
        alice = await consenting(memory, "alice")
        levels = [Sensitivity.RESTRICTED, Sensitivity.INTERNAL]
        given = [f"the garden bed {number} has {word}" for number, word in enumerate(WORDS)]
        for number, content in enumerate(given):
            await alice.add(content, sensitivity=levels[number % 2], importance=0.9)
        await memory.drain()
    async with opened(data, settings=settings) as memory:
        support = seen_by(memory, SUPPORT)
        hits = await support.search("garden bed", limit=8)
        assert len(hits) == 8
        assert {one.memory.sensitivity for one in hits} == {Sensitivity.INTERNAL}
        first = await support.list(limit=7)
        second = await support.list(limit=7, before=first[-1].order)
        assert [one.content for one in (*first, *second)] == given[1::2][::-1][:14]
        async with parts_of(memory).directory.using(support.subject) as active:
            assert active.paged


# --- actions -------------------------------------------------------------------------------------------------


async def test_the_auditor_sees_no_content_and_knows_what_is_held(memory: TieredMemory) -> None:
    alice = await told(memory)
    auditor = seen_by(memory, AUDITOR)
    held = next(iter((await by_level(alice)).values()))
    for call in (
        auditor.search("tram"),
        auditor.context("tram"),
        auditor.list(),
        auditor.get(held),
        auditor.add("x"),
        auditor.delete(held),
        auditor.forgotten(),
        auditor.erase(reason="curious"),
        auditor.consent.withdraw("personalization"),
    ):
        with pytest.raises(AccessDeniedError):
            await call
    assert sum(one.count for one in (await auditor.about()).held) == 4
    assert len(await alice.list()) == 4


async def test_support_may_look_and_not_touch(memory: TieredMemory) -> None:
    alice = await told(memory)
    support, held = seen_by(memory, SUPPORT), await by_level(alice)
    for call in (
        support.add("x"),
        support.pin(held[Sensitivity.PUBLIC]),
        support.delete(held[Sensitivity.PUBLIC]),
        support.forget(),
        support.erase(reason="x"),
        support.consent.grant("personalization", notice="n"),
        support.about(),
        support.add_many([Interaction(content="x")]),
    ):
        with pytest.raises(AccessDeniedError, match=r"\[access.support\]"):
            await call
    assert await by_level(alice) == held


async def test_the_admin_finds_nothing_restricted_by_a_question_and_may_look_it_up(
    memory: TieredMemory,
) -> None:
    alice, admin = await told(memory), seen_by(memory, ADMIN)
    hits = await admin.search("therapist panic attacks salary", limit=10)
    assert {one.memory.sensitivity for one in hits} == set(Sensitivity) - {Sensitivity.RESTRICTED}
    restricted = (await by_level(alice))[Sensitivity.RESTRICTED]
    assert (await admin.get(restricted)).sensitivity is Sensitivity.RESTRICTED


async def test_writing_is_held_to_its_level(tmp_path: Path) -> None:
    policy = tmp_path / "own.toml"
    policy.write_text('schema = 1\nname = "own"\n[access.support]\nwrite = "internal"\n')
    settings = {"policy": str(policy)}
    async with opened(tmp_path / "store", settings=settings) as memory:
        alice = await consenting(memory, "alice")
        support = seen_by(memory, SUPPORT)
        await support.add("a note for the file", importance=0.9)
        for level in ("confidential", "restricted"):
            with pytest.raises(AccessDeniedError, match="write"):
                await support.add("a note for the file", sensitivity=level)
        mixed = [Interaction(content="one"), Interaction(content="two", sensitivity=Sensitivity.RESTRICTED)]
        with pytest.raises(AccessDeniedError):
            await support.add_many(mixed)
        assert len(await alice.list()) == 1


async def test_an_unknown_role_may_do_nothing(memory: TieredMemory) -> None:
    await told(memory)
    stranger = seen_by(memory, Caller(role="janitor"))
    for call in (stranger.search("tram"), stranger.list(), stranger.add("x"), stranger.about()):
        with pytest.raises(AccessDeniedError) as refused:
            await call
        assert "janitor" not in str(refused.value)
    assert {one["detail"]["role"] for one in await leaves(memory, "access_refused")} == {"unknown"}


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
    assert memory._runtime is not None
    await memory._runtime._tend()
    assert await leaves(memory, "accessed") == []
    clock.advance(61.0)
    await memory._runtime._tend()
    assert len(await leaves(memory, "accessed")) == 1


async def test_an_ephemeral_users_reads_leave_nothing(memory: TieredMemory) -> None:
    guest = memory.user("guest")
    await guest.add("I like tea")
    await guest.search("tea")
    await memory.ledger.verify()
    assert await leaves(memory, "accessed") == []
