"""A person's memories by every door: written, found, packed, read, changed, pinned, faded, deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from acceptance_house import NOWHERE, Side, walks
from likeness import alike

from tiered_memory import Filter, Interaction
from tiered_memory.errors import ConflictError, ConsentRequiredError, InvalidInputError, NotFoundError
from tiered_memory.forget_model import ForgetReport
from tiered_memory.model import Durability, Kind, Provenance, Role, Sensitivity, SourceKind, TierName

pytestmark = pytest.mark.anyio
SAID = "My sister Hannah moved to Lisbon, and works as a nurse there."


@walks("memories.add", "memories.get")
async def test_what_is_added_is_read_again(side: Side) -> None:
    user = await side.person()
    receipt = await user.add(
        SAID,
        role=Role.USER,
        kind=Kind.SEMANTIC,
        session="s1",
        agent="planner",
        author="Ann",
        importance=0.9,
        sensitivity=Sensitivity.CONFIDENTIAL,
        occurred_at=side.clock.now().astimezone(timezone(timedelta(hours=2))),
        metadata={"topic": "family", "depth": 3, "list": [1, 2.5, None, True, {"a": "b"}]},
        provenance=Provenance(SourceKind.TOOL, channel="mail"),
    )
    assert receipt.durability is Durability.JOURNALED
    assert isinstance(receipt.tiers, tuple)
    assert all(isinstance(one, TierName) for one in receipt.tiers)
    found = await user.get(receipt.id)
    assert (found.content, found.kind, found.provenance.source) == (SAID, Kind.SEMANTIC, SourceKind.TOOL)
    assert found.occurred_at.utcoffset() is not None
    assert found.metadata["list"][4] == {"a": "b"}
    alike(found, await side.embedded(user).get(receipt.id))


@walks("memories.add_many")
async def test_a_group_is_added_whole_or_not_at_all(side: Side) -> None:
    user = await side.person()
    group = [Interaction(content=f"Number {number} counts.", importance=0.8) for number in range(5)]
    receipts = await user.add_many(group)
    assert len({one.id for one in receipts}) == len(group)
    with pytest.raises(InvalidInputError):
        await user.add_many([*group, Interaction(content="", importance=0.8)])
    assert len(await user.list()) == len(group)


@walks("memories.add")
async def test_an_operation_is_done_once(side: Side) -> None:
    user = await side.person()
    first = await user.add(SAID, importance=0.9, operation_id="op/1")
    again = await user.add(SAID, importance=0.9, operation_id="op/1")
    assert (again.id, again.operation_id, again.repeated) == (first.id, "op/1", True)
    with pytest.raises(ConflictError):
        await user.add("Something else.", importance=0.9, operation_id="op/1")
    assert len(await user.list()) == 1


@walks("memories.add")
async def test_without_consent_nothing_is_kept(side: Side) -> None:
    user = side.memory.user(side.house.name(), "acme")
    receipt = await user.add(SAID, importance=0.9)
    assert receipt.durability is Durability.EPHEMERAL
    with pytest.raises(ConsentRequiredError):
        await user.add(SAID, importance=0.9, durability=Durability.JOURNALED)


@walks("memories.search", "memories.context", "memories.used")
async def test_what_was_said_is_found_and_packed(side: Side) -> None:
    user = await side.person()
    receipt = await user.add(SAID, importance=0.9)
    await user.add("The weather was fine.", importance=0.6)
    own = side.embedded(user)
    hits = await user.search(
        "Where does Hannah live?", limit=2, where=Filter(kinds=frozenset({Kind.EPISODIC}))
    )
    assert hits[0].memory.id == receipt.id
    alike(
        hits,
        await own.search("Where does Hannah live?", limit=2, where=Filter(kinds=frozenset({Kind.EPISODIC}))),
    )
    packed = await user.context("Where does Hannah live?", token_budget=200)
    assert packed.tokens <= 200
    assert "Lisbon" in packed.render()
    assert packed.messages()[0]["role"] == "user"
    alike(packed, await own.context("Where does Hannah live?", token_budget=200))
    side.clock.advance(timedelta(days=2).total_seconds())
    assert await user.used([receipt.id]) == 1


@walks("memories.preview", "memories.life", "memories.lives")
async def test_somebody_who_only_looks_changes_nothing(side: Side) -> None:
    user = await side.person()
    receipt = await user.add(SAID, importance=0.9)
    own = side.embedded(user)
    packed = await user.preview("Where does Hannah live?", token_budget=100)
    alike(packed, await own.preview("Where does Hannah live?", token_budget=100))
    alike(await user.life(receipt.id, points=5), await own.life(receipt.id, points=5))
    lives = await user.lives(limit=10, points=3)
    assert len(lives) == 1
    alike(lives, await own.lives(limit=10, points=3))


@walks("memories.list")
async def test_lists_are_paged_and_narrowed(side: Side) -> None:
    user = await side.person()
    for number in range(7):
        await user.add(f"Number {number} counts.", importance=0.8, session=f"s{number % 2}")
    seen, page = [], await user.list(limit=3)
    while page:
        seen += page
        page = await user.list(limit=3, before=page[-1].order)
    assert [one.content[7] for one in seen] == list("6543210")
    where = Filter(sessions=frozenset({"s1"}), since=datetime(2000, 1, 1, tzinfo=UTC))
    alike(await user.list(where=where), await side.embedded(user).list(where=where))
    assert len(await user.list(where=where)) == 3


@walks("memories.update", "memories.history")
async def test_a_correction_takes_the_old_texts_place(side: Side) -> None:
    user = await side.person()
    receipt = await user.add(SAID, importance=0.9)
    version = (await user.get(receipt.id)).version
    told = {"reason": "she moved", "expected_version": version, "operation_id": "fix 1"}
    done = await user.update(receipt.id, "My sister Hannah lives in Porto.", **told)
    again = await user.update(receipt.id, "My sister Hannah lives in Porto.", **told)
    assert (done.repeated, again.repeated) == (False, True)
    assert done.memory.version > version
    with pytest.raises(ConflictError):
        await user.update(receipt.id, "Elsewhere.", reason="again", expected_version=version)
    history = await user.history(receipt.id)
    assert [one.memory.content for one in history] == [SAID, "My sister Hannah lives in Porto."]
    alike(history, await side.embedded(user).history(receipt.id))


@walks("memories.pin", "memories.unpin", "memories.explain")
async def test_an_explanation_says_until_when(side: Side) -> None:
    user = await side.person()
    receipt = await user.add(SAID, importance=0.9)
    await user.pin(receipt.id)
    pinned = await user.explain(receipt.id)
    await user.unpin(receipt.id)
    free = await user.explain(receipt.id)
    assert (pinned.deadline_rule, free.deadline_rule) == ("ceiling", "decay")
    alike(free, await side.embedded(user).explain(receipt.id))


@walks("memories.forget", "memories.forgotten", "memories.restore", "memories.forecast")
async def test_what_faded_is_restored(side: Side) -> None:
    user = await side.person()
    receipt = await user.add(SAID, importance=0.5)
    forecast = await user.forecast(days=400, policy="gdpr" if side.is_remote else None)
    assert forecast is not None
    alike(await user.forecast(30), await side.embedded(user).forecast(30))
    side.clock.advance(timedelta(days=300).total_seconds())
    plan = await user.forget(dry_run=True)
    assert isinstance(plan, ForgetReport)
    assert [one.memory_id for one in plan.planned] == [receipt.id]
    report = await user.forget(confirmed=True)
    assert report.forgotten == (receipt.id,)
    assert [one.id for one in await user.forgotten()] == [receipt.id]
    alike(await user.forgotten(), await side.embedded(user).forgotten())
    assert (await user.restore(receipt.id)).content == SAID
    assert await user.forgotten() == []


@walks("memories.delete", "memories.damaged")
async def test_what_is_deleted_is_gone(side: Side) -> None:
    user = await side.person()
    receipt = await user.add(SAID, importance=0.9)
    assert await user.damaged() == []
    await user.delete(receipt.id, reason="asked")
    with pytest.raises(NotFoundError):
        await user.get(receipt.id)
    with pytest.raises(NotFoundError):
        await user.delete(NOWHERE)


@walks("quarantine.put", "quarantine.list", "quarantine.release", "memories.roll_back")
async def test_a_doubtful_memory_is_kept_apart_and_a_source_is_rolled_back(side: Side) -> None:
    user = await side.person()
    receipt = await user.add(SAID, importance=0.9, session="bad")
    await user.quarantine.put(receipt.id, reason="looks odd")
    assert await user.search("Hannah") == []
    alike(await user.quarantine.list(), await side.embedded(user).quarantine.list())
    assert (await user.quarantine.release(receipt.id, reason="it is fine")).id == receipt.id
    plan = await user.roll_back(reason="a bad session", session="bad", dry_run=True)
    alike(plan, await side.embedded(user).roll_back(reason="a bad session", session="bad", dry_run=True))
    await user.roll_back(reason="a bad session", session="bad")
    assert await user.list() == []


@pytest.mark.parametrize("content", ["", "x" * 2_000_000])
async def test_bad_content_is_the_same_error_by_every_door(side: Side, content: str) -> None:
    user = await side.person()
    with pytest.raises(InvalidInputError) as sent:
        await user.add(content)
    with pytest.raises(InvalidInputError) as own:
        await side.embedded(user).add(content)
    assert str(sent.value) == str(own.value)
