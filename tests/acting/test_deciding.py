"""A decision says what it rested on, as it was then, and whether a person has to look at it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import consenting, opened, sqlite_rows, state_pages

from tiered_memory import TieredMemory, User
from tiered_memory.errors import InvalidInputError, NotFoundError, RestrictedError
from tiered_memory.privacy.decisions import ReviewState

pytestmark = pytest.mark.anyio


async def test_a_decision_shows_what_its_memories_said_then(memory: TieredMemory, alice: User) -> None:
    income = await alice.add("My income is 30 000", importance=0.9)
    job = await alice.add("I work as a nurse", importance=0.9)
    gone = await alice.add("I rent a flat", importance=0.9)
    ids = [income.id, job.id, gone.id]
    record = await alice.decisions.record(
        "credit of 5 000", memory_ids=ids, effect="legal", logic="income below 35 000", outcome="declined"
    )
    assert (record.needs_review, record.review) == (True, ReviewState.NEEDED)
    await alice.update(income.id, "My income is 60 000", reason="misheard")
    await alice.update(income.id, "My income is 61 000", reason="raise")
    await alice.update(job.id, "I work as a surgeon", reason="misheard", keep_previous=False)
    await alice.delete(gone.id)
    explained = await alice.decisions.explain(record.id)
    assert explained.record == record
    assert [one.content for one in explained.used] == ["My income is 30 000", None, None]
    assert [one.gone is None for one in explained.used] == [True, False, False]
    assert "corrected" in str(explained.used[1].gone)
    assert "forgotten or erased" in str(explained.used[2].gone)


async def test_other_new_versions_leave_the_text_as_it_was(alice: User) -> None:
    one = await alice.add("I prefer tea over coffee.", importance=0.9)
    record = await alice.decisions.record("offer tea", memory_ids=[one.id])
    await alice.add("I prefer tea over coffee.")
    await alice.update(one.id, "I prefer mate", reason="r")
    assert record.used[0].version == 1
    [used] = (await alice.decisions.explain(record.id)).used
    assert used.content == "I prefer tea over coffee."


async def test_a_review_changes_the_outcome_and_is_kept(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        record = await alice.decisions.record("credit", effect="similar", outcome="declined")
        asked = await alice.decisions.request_review(record.id, reason="I earn more by now")
        assert (asked.review, asked.requested_because) == (ReviewState.REQUESTED, "I earn more by now")
        assert asked.needs_review
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        done = await alice.decisions.review(
            record.id, reviewer="dr-lee", outcome="granted", note="new figures"
        )
        assert (done.outcome, done.needs_review) == ("granted", False)
        assert [(one.reviewer, one.note) for one in done.reviews] == [("dr-lee", "new figures")]
        assert await alice.decisions.list() == [done]


async def test_who_does_not_decide_alone_needs_no_review(alice: User) -> None:
    assert not (await alice.decisions.record("credit", automated=False, effect="legal")).needs_review
    assert not (await alice.decisions.record("a greeting")).needs_review


async def test_it_is_the_person_s_own(memory: TieredMemory, alice: User, data: Path) -> None:
    one = await alice.add("I prefer tea", importance=0.9)
    record = await alice.decisions.record("an-unusual-decision", memory_ids=[one.id])
    bob = await consenting(memory, "bob")
    for call in (bob.decisions.explain(record.id), bob.decisions.record("x", memory_ids=[one.id])):
        with pytest.raises(NotFoundError):
            await call
    assert await bob.decisions.list() == []
    leaves = b"".join(row["leaf"] for row in sqlite_rows(data, "audit"))
    assert b"decision_recorded" in leaves
    assert b"unusual" not in leaves + state_pages(data)
    await alice.erase(reason="request")
    assert [row for row in sqlite_rows(data, "register") if row["kind"] == "decision"] == []


async def test_a_restriction_stops_new_ones_and_lets_the_old_be_reviewed(alice: User) -> None:
    record = await alice.decisions.record("credit", effect="legal")
    await alice.rights.restrict(reason="r")
    with pytest.raises(RestrictedError):
        await alice.decisions.record("another")
    with pytest.raises(RestrictedError):
        await alice.decisions.explain(record.id)
    assert (await alice.decisions.review(record.id, reviewer="lee", outcome="granted")).outcome == "granted"


async def test_bad_input_is_refused(alice: User) -> None:
    for given in (
        {"decision": ""},
        {"memory_ids": "abc"},
        {"memory_ids": ["abc"]},
        {"automated": 1},
        {"effect": "big"},
        {"logic": " "},
    ):
        with pytest.raises(InvalidInputError):
            await alice.decisions.record(**{"decision": "d", **given})  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        await alice.decisions.record("d", memory_ids=["0" * 32])
    with pytest.raises(NotFoundError):
        await alice.decisions.review("nothing", reviewer="r", outcome="o")
    assert await alice.decisions.list() == []


async def test_a_memory_that_is_quarantined_or_corrected_later_shows_what_was_used(alice: User) -> None:
    one = await alice.add("I pay by invoice", importance=0.9)
    other = await alice.add("I live in Porto", importance=0.9)
    record = await alice.decisions.record("offer invoice", memory_ids=[one.id, other.id])
    await alice.quarantine.put(one.id, reason="doubtful")
    await alice.update(other.id, "I live in Lisbon", reason="moved")
    await alice.quarantine.put(other.id, reason="doubtful")
    used = (await alice.decisions.explain(record.id)).used
    assert [(each.version, each.content, each.gone) for each in used] == [
        (1, "I pay by invoice", None),
        (1, "I live in Porto", None),
    ]
    with pytest.raises(NotFoundError, match="quarantined"):
        await alice.decisions.record("again", memory_ids=[one.id])
