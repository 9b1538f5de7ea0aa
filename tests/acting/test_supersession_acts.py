"""What a new memory does to an older one that it brings up to date, and what is read of both afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from support import PURPOSE, TWO_PURPOSES, consenting, contents, opened, parts_of, sqlite_rows

from tiered_memory import TieredMemory, User, reconciler
from tiered_memory.errors import InvalidInputError, NotFoundError
from tiered_memory.model import Filter, Hit, Interaction, Kind, Memory, Sensitivity
from tiered_memory.scoring.supersession import UNRELATED, Judgement, Relation, Statement
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

OLD, NEW = "I live in Berlin.", "I moved to Munich."
WHERE = "Where do I live, Berlin or Munich?"
EVERYTHING = Filter(include_superseded=True)
DAY = timedelta(days=1)
LOCAL = {"redis_url": "local"}
UPDATES = Judgement(Relation.UPDATES, 0.9, "told so", None)
CONFLICTS = Judgement(Relation.CONFLICTS, 0.9, "told so", None)


async def keep(user: User, content: str, clock: ManualClock, **details: object) -> Memory:
    """Say something a day after what was said before; it is important enough to be kept."""
    clock.advance(DAY)
    receipt = await user.add(content, **{"importance": 0.9, **details})  # type: ignore[arg-type]
    return await user.get(receipt.id)


def said(hits: Sequence[Hit]) -> list[str]:
    return [hit.memory.content for hit in hits]


async def test_what_is_brought_up_to_date_is_closed(alice: User, clock: ManualClock) -> None:
    old, new = await keep(alice, OLD, clock), await keep(alice, NEW, clock)
    before, after = await alice.get(old.id), await alice.get(new.id)
    assert before.superseded_by == new.id
    assert before.valid_to == after.valid_from == new.occurred_at
    assert before.superseded_because
    assert before.version == 2
    assert (before.content, before.occurred_at, before.provenance) == (OLD, old.occurred_at, old.provenance)
    assert after.supersedes == (old.id,)
    assert (after.superseded_by, after.valid_to, after.version) == (None, None, 1)


async def test_search_context_and_list_show_what_holds_good(alice: User, clock: ManualClock) -> None:
    await keep(alice, OLD, clock)
    await keep(alice, NEW, clock)
    assert said(await alice.search(WHERE)) == [NEW]
    assert await contents(alice) == [NEW]
    assert [item.content for item in (await alice.context(WHERE)).items] == [NEW]


async def test_what_was_so_is_found_when_it_is_asked_for(alice: User, clock: ManualClock) -> None:
    old, new = await keep(alice, OLD, clock), await keep(alice, NEW, clock)
    assert set(said(await alice.search(WHERE, include_superseded=True))) == {OLD, NEW}
    assert [one.id for one in await alice.list(where=EVERYTHING)] == [new.id, old.id]
    moments = {
        old.occurred_at - DAY: [],
        old.occurred_at: [OLD],
        new.occurred_at - timedelta(microseconds=1): [OLD],
        new.occurred_at: [NEW],
        new.occurred_at + DAY: [NEW],
    }
    for moment, expected in moments.items():
        assert said(await alice.search(WHERE, as_of=moment)) == expected
        assert [one.content for one in await alice.list(where=Filter(as_of=moment))] == expected
    packed = await alice.context(WHERE, where=Filter(as_of=old.occurred_at))
    assert [item.content for item in packed.items] == [OLD]


async def test_a_question_in_the_words_of_the_old_one_finds_what_holds_now(
    alice: User, clock: ManualClock
) -> None:
    await keep(alice, OLD, clock, session="s1")
    new = await keep(alice, NEW, clock, session="s2")
    for number in range(5):
        await keep(alice, f"The garden fence was painted for the {number}th time.", clock, session="s3")
    (first, *_) = await alice.search("I live in Berlin.")
    assert first.memory.id == new.id
    assert first.terms["succession"] > 0
    only_old = Filter(sessions=frozenset({"s1"}))
    assert await alice.search("I live in Berlin.", where=only_old) == []


async def test_as_of_narrows_a_filter_and_is_checked(alice: User, clock: ManualClock) -> None:
    old = await keep(alice, OLD, clock, session="s1")
    await keep(alice, NEW, clock, session="s2")
    first = Filter(sessions=frozenset({"s2"}))
    assert await alice.search(WHERE, where=first, as_of=old.occurred_at) == []
    assert said(await alice.search(WHERE, where=first, include_superseded=True)) == [NEW]
    with pytest.raises(InvalidInputError, match="as_of must be aware"):
        await alice.search(WHERE, as_of=old.occurred_at.replace(tzinfo=None))
    with pytest.raises(InvalidInputError, match="include_superseded"):
        await alice.search(WHERE, include_superseded="yes")  # type: ignore[arg-type]


async def test_a_superseded_turn_still_lends_context_to_its_neighbours(
    alice: User, clock: ManualClock
) -> None:
    """The answer beside it is found by the words of the question that only the stale turn has."""
    await keep(alice, OLD, clock, session="s1")
    await keep(alice, "It has a park nearby and good bakeries.", clock, session="s1", role="assistant")
    await keep(alice, NEW, clock, session="s2")
    hit = next(hit for hit in await alice.search("Berlin living") if "bakeries" in hit.memory.content)
    assert hit.terms["neighbours"] > 0 or hit.terms["context_lexical"] > 0


@pytest.mark.parametrize("drained", [True, False])
async def test_a_closed_memory_stays_closed(data: Path, clock: ManualClock, drained: bool) -> None:
    async with opened(data, clock=clock) as memory:
        alice = await consenting(memory)
        old = await keep(alice, OLD, clock)
        if drained:
            await memory.drain()
        new = await keep(alice, NEW, clock)
        parts_of(memory).directory.forget(parts_of(memory).directory.residents()[0])
        assert said(await alice.search(WHERE)) == [NEW]
    async with opened(data, clock=clock) as memory:
        again = memory.user("alice", tenant="acme")
        assert said(await again.search(WHERE)) == [NEW]
        assert (await again.get(old.id)).superseded_by == new.id
        assert await again.damaged() == []
    assert {row["record_version"] for row in sqlite_rows(data, "memories")} == {1, 2}


async def test_several_updates_in_one_call(alice: User, memory: TieredMemory, clock: ManualClock) -> None:
    """The second closes the first, which is written closed from the start."""
    start = clock.now()
    given = [
        Interaction(content=content, importance=0.9, occurred_at=start + part * timedelta(hours=1))
        for part, content in enumerate([OLD, NEW])
    ]
    first, second = await alice.add_many(given)
    old = await alice.get(first.id)
    assert (old.superseded_by, old.version) == (second.id, 1)
    assert await contents(alice) == [NEW]
    await memory.drain()
    parts_of(memory).directory.forget(parts_of(memory).directory.residents()[0])
    assert await contents(alice) == [NEW]


async def test_what_arrives_late_is_closed_by_what_is_held(alice: User, clock: ManualClock) -> None:
    new = await keep(alice, NEW, clock)
    late = await keep(alice, OLD, clock, occurred_at=new.occurred_at - DAY)
    assert (late.superseded_by, late.valid_to) == (new.id, new.occurred_at)
    assert (await alice.get(new.id)).version == 1
    assert said(await alice.search(WHERE)) == [NEW]


async def test_an_update_is_kept_however_unimportant_it_sounds(alice: User, clock: ManualClock) -> None:
    await keep(alice, OLD, clock)
    clock.advance(DAY)
    receipt = await alice.add(NEW, importance=0.01)
    assert "up to date" in receipt.routing
    assert (await alice.get(receipt.id)).supersedes
    clock.advance(DAY)
    assert said(await alice.search(WHERE)) == [NEW]


# --- what is never closed ------------------------------------------------------------------------------------


async def test_nobody_closes_somebody_elses_memory(memory: TieredMemory, clock: ManualClock) -> None:
    alice, bob = await consenting(memory), await consenting(memory, "bob")
    await keep(alice, OLD, clock)
    await keep(bob, NEW, clock)
    assert (await contents(alice), await contents(bob)) == ([OLD], [NEW])


async def test_purposes_do_not_touch_each_other(data: Path, clock: ManualClock, tmp_path: Path) -> None:
    policy = tmp_path / "two.toml"
    policy.write_text(TWO_PURPOSES)
    async with opened(data, clock=clock, settings={"policy": str(policy)}) as memory:
        alice = memory.user("alice")
        await alice.consent.grant("advice", notice="n", explicit=True)
        await keep(alice, OLD, clock, purpose="advice")
        await keep(alice, NEW, clock, purpose="service")
        assert set(await contents(alice)) == {OLD, NEW}


async def test_a_less_sensitive_memory_does_not_take_the_place_of_a_more_sensitive(
    alice: User, clock: ManualClock
) -> None:
    await keep(alice, OLD, clock, sensitivity=Sensitivity.RESTRICTED)
    await keep(alice, NEW, clock)
    assert set(await contents(alice)) == {OLD, NEW}
    await keep(alice, "I moved to Hamburg.", clock, sensitivity=Sensitivity.RESTRICTED)
    assert await contents(alice) == ["I moved to Hamburg."]


async def test_what_may_not_be_kept_closes_nothing(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        alice = await consenting(memory)
        old = await keep(alice, OLD, clock)
        await alice.consent.grant(PURPOSE, notice="no more than the ordinary", explicit=False)
        await alice.add(NEW, importance=0.9, sensitivity="restricted")
        assert (await alice.get(old.id)).superseded_by is None


# --- profile keys --------------------------------------------------------------------------------------------


async def test_a_profile_key_has_one_current_memory(alice: User, clock: ManualClock) -> None:
    """Whatever it says: the key is asked, not the words."""
    for value in ("dark", "light", "something else entirely"):
        await keep(alice, value, clock, kind=Kind.PROFILE, metadata={"key": "theme"})
    other = await keep(alice, "dark", clock, kind=Kind.PROFILE, metadata={"key": "editor"})
    assert await contents(alice) == ["dark", "something else entirely"]
    assert (await alice.get(other.id)).supersedes == ()


async def test_a_profile_value_given_again_is_still_one_current_memory(
    alice: User, clock: ManualClock
) -> None:
    first = await keep(alice, "dark", clock, kind=Kind.PROFILE, metadata={"key": "theme"})
    again = await keep(alice, "dark", clock, kind=Kind.PROFILE, metadata={"key": "theme"})
    assert [one.id for one in await alice.list()] == [again.id]
    assert (await alice.get(first.id)).superseded_by == again.id


# --- history -------------------------------------------------------------------------------------------------


async def test_history_is_the_whole_chain_from_any_of_its_memories(alice: User, clock: ManualClock) -> None:
    chain = [
        await keep(alice, content, clock, kind=Kind.PROFILE, metadata={"key": "city"})
        for content in ("Berlin", "Munich", "Hamburg")
    ]
    await keep(alice, "An unrelated remark about gardening tools.", clock)
    for one in chain:
        history = await alice.history(one.id)
        assert [entry.memory.id for entry in history] == [memory.id for memory in chain]
        assert [entry.superseded_by for entry in history] == [chain[1].id, chain[2].id, None]
        assert [entry.valid_from for entry in history] == [memory.occurred_at for memory in chain]
        assert [entry.valid_to for entry in history] == [chain[1].occurred_at, chain[2].occurred_at, None]
        assert [entry.reason for entry in history] == ["same profile key", "same profile key", None]


async def test_history_of_a_memory_alone_and_of_none(alice: User, clock: ManualClock) -> None:
    only = await keep(alice, OLD, clock)
    entry = (await alice.history(only.id))[0]
    assert (entry.memory.id, entry.valid_from, entry.valid_to) == (only.id, only.occurred_at, None)
    with pytest.raises(NotFoundError):
        await alice.history("0" * 32)


async def test_removing_the_successor_reopens_nothing(alice: User, clock: ManualClock) -> None:
    old, new = await keep(alice, OLD, clock), await keep(alice, NEW, clock)
    await alice.delete(new.id)
    assert await alice.search(WHERE) == []
    assert said(await alice.search(WHERE, include_superseded=True)) == [OLD]
    (entry,) = await alice.history(old.id)
    assert entry.superseded_by == new.id
    again = await keep(alice, OLD, clock)
    assert [hit.memory.id for hit in await alice.search(WHERE)] == [again.id]


async def test_removing_what_was_superseded_leaves_the_successor(alice: User, clock: ManualClock) -> None:
    old, new = await keep(alice, OLD, clock), await keep(alice, NEW, clock)
    await alice.delete(old.id)
    assert said(await alice.search(WHERE, include_superseded=True)) == [NEW]
    assert [entry.memory.id for entry in await alice.history(new.id)] == [new.id]


async def test_explain_says_that_it_is_superseded(alice: User, clock: ManualClock) -> None:
    old, new = await keep(alice, OLD, clock), await keep(alice, NEW, clock)
    explained = await alice.explain(old.id)
    assert (explained.state, explained.memory.superseded_by) == ("superseded", new.id)
    assert (await alice.explain(new.id)).state == "active"


async def test_a_closed_memory_fades_and_is_restored_as_closed(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    old, new = await keep(alice, OLD, clock, importance=0.25), await keep(alice, NEW, clock)
    told = await alice.explain(old.id)
    assert told.deadline is not None
    clock.advance(told.deadline - clock.now() + timedelta(hours=1))
    await memory.forget(confirmed=True)
    assert [one.id for one in await alice.forgotten()] == [old.id]
    assert [entry.memory.id for entry in await alice.history(new.id)] == [new.id]
    assert (await alice.restore(old.id)).superseded_by == new.id
    await alice.delete(new.id)
    assert await contents(alice) == []
    assert [one.id for one in await alice.list(where=EVERYTHING)] == [old.id]


async def test_a_pin_survives_being_closed(alice: User, clock: ManualClock) -> None:
    old = await keep(alice, OLD, clock)
    await alice.pin(old.id)
    await keep(alice, NEW, clock)
    await alice.unpin(old.id)
    await alice.pin(old.id)
    assert (await alice.explain(old.id)).deadline_rule == "ceiling"
    assert (await alice.get(old.id)).version == 2


# --- conflicts and hooks -------------------------------------------------------------------------------------

Hook = Callable[[Statement, Sequence[Statement]], Awaitable[Sequence[Judgement]]]


def telling(**told: Judgement) -> Hook:
    """A hook that says of a held statement what is told of its first word."""

    async def hook(_new: Statement, held: Sequence[Statement]) -> Sequence[Judgement]:
        return [told.get(one.content.split()[0], UNRELATED) for one in held]

    return hook


async def test_a_hook_judges_in_the_rules_place(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock, settings=LOCAL, supersession=telling(Alpha=UPDATES)) as memory:
        alice = await consenting(memory)
        await keep(alice, OLD, clock)
        await keep(alice, "Alpha is what the gadget runs on.", clock)
        new = await keep(alice, "Beta is what the gadget runs on.", clock)
        assert new.supersedes
        assert set(await contents(alice)) == {OLD, "Beta is what the gadget runs on."}


async def test_both_sides_of_a_conflict_stay_and_the_newer_goes_first(data: Path, clock: ManualClock) -> None:
    question = "How many volts does the power supply give?"
    async with opened(data, clock=clock, settings=LOCAL, supersession=telling(Alpha=CONFLICTS)) as memory:
        alice = await consenting(memory)
        old = await keep(alice, "Alpha power supply gives twelve volts.", clock)
        new = await keep(alice, "Alpha power supply gives twenty volts.", clock)
        for _ in range(2):
            hits = await alice.search(question)
            assert [hit.memory.id for hit in hits] == [new.id, old.id]
            assert hits[0].score == pytest.approx(sum(hits[0].terms.values()))
            assert [hit.conflicts_with for hit in hits] == [(old.id,), (new.id,)]
            await memory.drain()
            parts_of(memory).directory.forget(parts_of(memory).directory.residents()[0])
        assert (await alice.get(new.id)).conflicts_with == (old.id,)
        await alice.delete(old.id)
        assert [hit.conflicts_with for hit in await alice.search(question)] == [()]


async def test_a_number_in_the_question_asks_for_the_one_that_has_it(data: Path, clock: ManualClock) -> None:
    """Though something newer seems to speak against it."""
    async with opened(data, clock=clock, settings=LOCAL, supersession=telling(Gate=CONFLICTS)) as memory:
        alice = await consenting(memory)
        old = await keep(alice, "Gate 7 opens on day 7.", clock)
        new = await keep(alice, "Gate 8 opens on day 8.", clock)
        hits = await alice.search("When does gate 7 open?")
        assert [hit.memory.id for hit in hits] == [old.id, new.id]
        assert hits[0].conflicts_with == (new.id,)
        assert (await alice.search("When does the gate open?"))[0].memory.id == new.id


async def failing(_new: Statement, _held: Sequence[Statement]) -> Sequence[Judgement]:
    raise ZeroDivisionError


async def silent(_new: Statement, _held: Sequence[Statement]) -> Sequence[Judgement]:
    await anyio.Event().wait()
    return []


async def short(_new: Statement, _held: Sequence[Statement]) -> Sequence[Judgement]:
    return []


async def babbling(_new: Statement, held: Sequence[Statement]) -> Sequence[Judgement]:
    return ["updates" for _ in held]  # type: ignore[misc]


@pytest.mark.parametrize("hook", [failing, silent, short, babbling])
async def test_the_rules_stand_in_for_a_hook_that_is_of_no_use(
    data: Path, clock: ManualClock, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "HOOK_SECONDS", 0.01)
    async with opened(data, clock=clock, settings=LOCAL, supersession=hook) as memory:
        alice = await consenting(memory)
        await keep(alice, OLD, clock)
        await keep(alice, NEW, clock)
        assert await contents(alice) == [NEW]
