"""What is corrected says the new text everywhere and the old one nowhere, but for its history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import (
    PURPOSE,
    consenting,
    contents,
    files_of,
    log_bytes,
    opened,
    parts_of,
    redis_bytes,
    sealed_in_cold,
    sqlite_rows,
    state_pages,
)

from tiered_memory import TieredMemory, User, failpoints
from tiered_memory.crypto.envelope import Place
from tiered_memory.errors import (
    ConsentRequiredError,
)
from tiered_memory.formats.versions import VERSIONS_KEPT
from tiered_memory.model import Filter, Kind, Sensitivity
from tiered_memory.testing import ManualClock
from tiered_memory.tiers.base import TierRecord

pytestmark = pytest.mark.anyio

OLD, NEW = "My doctor is called Zebulon Quark", "My doctor is called Ottilie Brandt"
WHY = "the person told us"


async def test_it_is_found_by_its_new_words_alone(memory: TieredMemory, alice: User) -> None:
    one = await alice.add(OLD, importance=0.9)
    await alice.add("The weather in Lisbon is mild", importance=0.9)
    done = await alice.update(one.id, NEW, reason=WHY)
    assert (done.memory.id, done.memory.content, done.memory.version) == (one.id, NEW, 2)
    assert (await alice.get(one.id)).content == NEW
    assert (await alice.search("Ottilie Brandt"))[0].memory.id == one.id
    assert OLD not in [hit.memory.content for hit in await alice.search("Zebulon Quark", limit=10)]
    assert sorted(await contents(alice)) == sorted([NEW, "The weather in Lisbon is mild"])
    assert "Zebulon" not in (await alice.context("Who is Zebulon?", token_budget=500)).render()


async def test_what_was_not_given_stays(alice: User, clock: ManualClock) -> None:
    said = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)
    one = await alice.add(OLD, importance=0.9, session="s", metadata={"a": 1}, occurred_at=said, author="Ann")
    before = await alice.get(one.id)
    clock.advance(timedelta(days=2))
    await alice.used([one.id])
    strong = await alice.explain(one.id)
    after = (await alice.update(one.id, NEW, reason=WHY)).memory
    assert (after.importance, after.reasons, after.session) == (before.importance, before.reasons, "s")
    assert (after.metadata, after.occurred_at, after.author) == ({"a": 1}, said, "Ann")
    explained = await alice.explain(one.id)
    assert (explained.spaced_uses, explained.strength) == (strong.spaced_uses, strong.strength)
    assert explained.deadline == strong.deadline


async def test_what_was_given_changes(alice: User, data: Path) -> None:
    one = await alice.add(OLD, importance=0.9)
    said = datetime(2025, 3, 1, tzinfo=UTC)
    after = await alice.update(
        one.id,
        NEW,
        reason=WHY,
        metadata={"b": 2},
        occurred_at=said,
        sensitivity="restricted",
        importance=0.95,
    )
    memory = after.memory
    assert (memory.metadata, memory.occurred_at, memory.importance) == ({"b": 2}, said, 0.95)
    assert memory.sensitivity is Sensitivity.RESTRICTED
    [row] = sqlite_rows(data, "memories")
    assert (row["sensitivity"], row["importance"], row["record_version"]) == ("restricted", 0.95, 2)
    explained = await alice.explain(one.id)
    assert row["deadline_us"] == (None if explained.deadline is None else _us(explained.deadline))


def _us(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


async def test_too_sensitive_for_its_purpose_is_refused_and_nothing_changes(memory: TieredMemory) -> None:
    bob = memory.user("bob")
    await bob.consent.grant(PURPOSE, notice="n")
    one = await bob.add(OLD, importance=0.9)
    with pytest.raises(ConsentRequiredError):
        await bob.update(one.id, NEW, reason=WHY, sensitivity="restricted")
    assert (await bob.get(one.id)).content == OLD


# --- history -------------------------------------------------------------------------------------------------


async def test_history_keeps_the_old_text_with_time_and_reason(alice: User, clock: ManualClock) -> None:
    said = datetime(2025, 3, 1, tzinfo=UTC)
    one = await alice.add(OLD, importance=0.9, metadata={"a": 1}, occurred_at=said)
    times = []
    for number, text in enumerate((NEW, "My doctor retired")):
        clock.advance(timedelta(days=1))
        times.append(clock.now())
        metadata = {"metadata": {"a": 2}} if number else {}
        await alice.update(one.id, text, reason=f"{WHY} {number}", by="clerk", **metadata)  # type: ignore[arg-type]
    first, second, last = await alice.history(one.id)
    assert [first.memory.content, second.memory.content, last.memory.content] == [
        OLD,
        NEW,
        "My doctor retired",
    ]
    assert [first.memory.version, second.memory.version, last.memory.version] == [1, 2, 3]
    assert [first.corrected_at, second.corrected_at, last.corrected_at] == [*times, None]
    assert [first.reason, second.reason, last.reason] == [f"{WHY} 0", f"{WHY} 1", None]
    assert (first.corrected_by, last.corrected_by) == ("clerk", None)
    assert [one.memory.metadata for one in (first, second, last)] == [{"a": 1}, {"a": 1}, {"a": 2}]
    assert {one.memory.occurred_at for one in (first, second, last)} == {said}


async def test_history_survives_a_restart_and_other_new_versions(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        one = await alice.add(OLD, importance=0.9)
        await alice.update(one.id, "I prefer tea over coffee.", reason=WHY)
        await memory.drain()
        assert (await alice.add("I prefer tea over coffee.")).id == one.id
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        assert [entry.memory.content for entry in await alice.history(one.id)] == [
            OLD,
            "I prefer tea over coffee.",
        ]
        assert (await alice.get(one.id)).version == 3
        assert await alice.damaged() == []


async def test_a_text_that_must_not_stay_does_not(alice: User) -> None:
    one = await alice.add("an older wording", importance=0.9)
    await alice.update(one.id, "the key is hunter2-hunter2", reason="first")
    await alice.update(one.id, "the key was changed", reason="it leaked", keep_previous=False)
    first, second, last = await alice.history(one.id)
    assert [first.memory.content, second.memory.content] == ["", ""]
    assert [first.text_kept, second.text_kept, last.text_kept] == [False, False, True]
    assert [first.reason, second.reason] == ["first", "it leaked"]


async def test_history_is_bounded(alice: User) -> None:
    one = await alice.add("wording 0", importance=0.9)
    for number in range(1, VERSIONS_KEPT + 4):
        await alice.update(one.id, f"wording {number}", reason="r")
    found = [entry.memory.version for entry in await alice.history(one.id)]
    assert found == list(range(4, VERSIONS_KEPT + 5))


async def test_a_chain_of_supersession_shows_versions_in_their_place(alice: User) -> None:
    city = {"kind": Kind.PROFILE, "metadata": {"key": "city"}, "importance": 0.9}
    old = await alice.add("Berlin", **city)  # type: ignore[arg-type]
    new = await alice.add("Munich", **city)  # type: ignore[arg-type]
    await alice.update(old.id, "Bern", reason="misheard")
    chain = [entry.memory.content for entry in await alice.history(new.id)]
    assert chain == ["Berlin", "Bern", "Munich"]
    assert await contents(alice) == ["Munich"]
    assert [one.content for one in await alice.list(where=Filter(include_superseded=True))] == [
        "Munich",
        "Bern",
    ]
    await alice.add("Hamburg", **city)  # type: ignore[arg-type]
    assert await contents(alice) == ["Hamburg"]


# --- the old bytes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flushed", [True, False])
async def test_the_old_bytes_are_in_no_file(
    memory: TieredMemory, alice: User, data: Path, *, flushed: bool
) -> None:
    await alice.add("another", importance=0.9)
    one = await alice.add(OLD, session="s", importance=0.9)
    sealed = next(row["sealed"] for row in sqlite_rows(data, "journal") if row["memory_id"] == one.id)
    if flushed:
        await memory.drain()
        assert sealed in sealed_in_cold(data)
    logs = dict[str, int]()
    failpoints.arm(lambda point: logs.update({point: log_bytes(data)}))
    await alice.update(one.id, NEW, reason=WHY)
    failpoints.arm(None)
    assert (logs["correct.after"] > 0, logs["correct.after_checkpoint"]) == (True, 0)
    await memory.drain()
    assert sealed[-64:] not in state_pages(data)
    assert len(sealed_in_cold(data)) == 2
    assert sealed not in sealed_in_cold(data)
    assert [file.name for file in files_of(data) if sealed[-64:] in file.read_bytes()] == []
    assert sqlite_rows(data, "register") == []


async def test_hot_sessions_and_snapshots_say_the_new_text(memory: TieredMemory, alice: User) -> None:
    one = await alice.add(OLD, session="s", importance=0.9)
    await alice.add("another turn", session="s", importance=0.9)
    await parts_of(memory).sessions.snapshot_all()
    assert OLD.encode() in await _snapshot(memory)
    await alice.update(one.id, NEW, reason=WHY)
    saved = await _snapshot(memory)
    assert OLD.encode() not in saved
    assert NEW.encode() in saved
    assert [item.content for item in (await alice.context("?", session="s")).items][:2] == [
        NEW,
        "another turn",
    ]
    active = parts_of(memory).directory.residents()[0]
    assert one.id not in {record.id for record in await parts_of(memory).core.hot.scan(active.ref)}


async def _snapshot(memory: TieredMemory) -> bytes:
    core, active = parts_of(memory).core, parts_of(memory).directory.residents()[0]
    name = core.names.session(active.ref.pseudonym, "s").hex()
    sealed = await core.hot.load_snapshot(active.ref, name)
    assert sealed is not None
    return active.sealer_for(sealed).open(Place.SNAPSHOT, TierRecord(name, 0, len(active.consents), sealed))


async def test_a_turn_below_the_gate_is_corrected_in_its_session_and_in_hot(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        one = await alice.add(OLD, session="s", importance=0.0)
        before = next(row["sealed"] for row in sqlite_rows(data, "session_tail"))
        done = await alice.update(one.id, NEW, reason=WHY)
        assert done.memory.version == 2
        assert [row["sealed"] for row in sqlite_rows(data, "session_tail")] != [before]
        assert [hit.memory.content for hit in await alice.search("doctor")] == [NEW]
        assert before not in b"".join(redis_bytes(memory))
        assert [entry.memory.content for entry in await alice.history(one.id)] == [OLD, NEW]
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        rendered = (await alice.context("doctor", session="s")).render()
        assert NEW in rendered
        assert OLD not in rendered


async def test_what_was_kept_late_keeps_no_old_copy_in_its_session(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        one = await alice.add(OLD, session="s", importance=0.0)
        await alice.used([one.id])
        assert len(sqlite_rows(data, "memories")) == 1
        await alice.update(one.id, NEW, reason=WHY)
    async with opened(data) as memory:
        rendered = (await memory.user("alice", tenant="acme").context("doctor", session="s")).render()
        assert (NEW in rendered, OLD in rendered) == (True, False)


async def test_an_ephemeral_memory_is_corrected(memory: TieredMemory, data: Path) -> None:
    guest = memory.user("guest")
    one = await guest.add(OLD, session="s")
    done = await guest.update(one.id, NEW, reason=WHY, operation_id="op")
    again = await guest.update(one.id, NEW, reason=WHY, operation_id="op")
    assert (done.memory.version, again.memory.version, again.repeated) == (2, 2, True)
    assert [hit.memory.content for hit in await guest.search("doctor")] == [NEW]
    assert sqlite_rows(data, "subjects") == []
