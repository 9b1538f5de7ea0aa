"""What do you hold about me, since when, why, until when: told without reading a word of it, and of nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from cli_shell import shell_in
from ledger_store import LOCAL
from support import consenting, opened, parts_of

from tiered_memory import TieredMemory, User
from tiered_memory.access_writer import AccessWriter
from tiered_memory.dossier import Dossier, dossier, recorded
from tiered_memory.privacy.access_log import AccessCall
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def memory(tmp_path: Path, clock: ManualClock) -> AsyncIterator[TieredMemory]:
    async with opened(tmp_path / "store", settings=LOCAL, clock=clock) as memory:
        yield memory


async def asked(memory: TieredMemory, user: User) -> Dossier:
    async with parts_of(memory).directory.using(user.subject) as active:
        return await dossier(parts_of(memory).core, active)


async def test_what_is_held_is_told_by_class_with_grounds_and_days(
    memory: TieredMemory, clock: ManualClock
) -> None:
    alice, begun = await consenting(memory), clock.now()
    await alice.add("I prefer tea", importance=0.9)
    clock.advance(86_400.0)
    await alice.add("I adopted a cat", importance=0.9)
    secret = await alice.add("My allergy", importance=0.9, sensitivity="confidential", kind="profile")
    found = await asked(memory, alice)
    plain, private = found.held
    assert (plain.kind, plain.sensitivity, plain.purpose, plain.lawful_basis) == (
        "episodic",
        "internal",
        "personalization",
        "consent",
    )
    assert (plain.count, private.count, private.kind) == (2, 1, "profile")
    assert plain.since == begun
    assert private.since == begun + timedelta(days=1)
    listed = [(await alice.explain(one.id)).deadline for one in await alice.list() if one.id != secret.id]
    assert plain.until == max(day for day in listed if day is not None)
    assert plain.rules
    assert "tea" not in repr(found)
    assert "alice" not in repr(found)


async def test_what_has_no_day_is_not_given_one(memory: TieredMemory) -> None:
    alice = await consenting(memory)
    kept = await alice.add("I prefer tea", importance=0.9)
    await alice.add("I adopted a cat", importance=0.9)
    dated = (await asked(memory, alice)).held[0]
    assert dated.until is not None
    await alice.pin(kept.id)
    explained = (await alice.explain(kept.id)).deadline
    [held] = (await asked(memory, alice)).held
    assert (held.until is None) == (explained is None)


async def test_the_ledger_tells_of_this_person_only(memory: TieredMemory, clock: ManualClock) -> None:
    alice, bob = await consenting(memory), await consenting(memory, "bob")
    gone = await alice.add("I prefer tea", importance=0.9)
    clock.advance(60.0)
    await alice.delete(gone.id)
    await bob.consent.withdraw("personalization")
    events = {one.event: one for one in (await asked(memory, alice)).recorded}
    assert {"key_created", "consent_given", "memory_deleted"} <= events.keys()
    assert "consent_withdrawn" not in events
    assert events["memory_deleted"].last - events["consent_given"].first == timedelta(seconds=60)
    assert "consent_withdrawn" in {one.event for one in (await asked(memory, bob)).recorded}


async def test_reads_are_told_by_sort_of_call_and_actor(memory: TieredMemory, clock: ManualClock) -> None:
    alice = await consenting(memory)
    writer = AccessWriter(parts_of(memory).core.state, clock)
    async with parts_of(memory).directory.using(alice.subject) as active:
        for actor in ("iris", "otto"):
            writer.record(active, AccessCall.SEARCH, 3, actor=actor)
            writer.record(active, AccessCall.SEARCH, 2, actor=actor)
            clock.advance(5.0)
    await writer.flush()
    [accessed] = [one for one in (await asked(memory, alice)).recorded if one.event == "accessed"]
    assert accessed.calls == {"search": 4}
    assert accessed.actors == ("iris", "otto")
    assert accessed.last - accessed.first == timedelta(seconds=5)


async def test_after_an_erasure_nothing_is_known_of_the_former_life(memory: TieredMemory) -> None:
    alice = await consenting(memory)
    await alice.add("I prefer tea", importance=0.9)
    before = await asked(memory, alice)
    await alice.erase(reason="request")
    assert (await asked(memory, alice)).held == ()
    again = await consenting(memory)
    after = await asked(memory, again)
    assert after.subject != before.subject
    assert after.held == ()
    assert {one.event for one in after.recorded} == {"key_created", "consent_given"}


def test_nothing_recorded_is_nothing() -> None:
    assert recorded([]) == ()


def test_the_command_answers_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = shell_in(tmp_path, monkeypatch)
    shell.document("consent", "grant", "personalization", "--notice", "n1")
    shell.document("add", "I prefer tea")
    document = shell.document("ledger", "about", "--user", "me")
    assert document["held"][0]["purpose"] == "personalization"
    assert document["held"][0]["until"]
    assert {one["event"] for one in document["recorded"]} >= {"consent_given"}
    words = shell.words("ledger", "about", "--user", "me")
    assert "consent_given" in words
    assert "personalization" in words
