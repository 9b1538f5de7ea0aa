"""A store moved to another embedder: found as before, nothing else changed, nothing of the old vectors left."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from moving import LOCAL, SAID, SHIPPED, SMALL_TALK, asked, fill, moved, speak
from other_embedders import (
    LengthEmbedder,
    embedders_in,
    rotated_model,
    truncated_model,
)
from support import (
    PURPOSE,
    consenting,
    contents,
    envelopes_in,
    everything_at_rest,
    log_bytes,
    opened,
    parts_of,
    redis_of,
    sealed_in_cold,
    sqlite_rows,
    state_pages,
)

from tiered_memory import Filter, TieredMemory
from tiered_memory.config import load_settings
from tiered_memory.embedding.load import load_embedder
from tiered_memory.formats.record import decode_fields
from tiered_memory.scoring import text
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(rotated_model(tmp_path_factory.mktemp("models") / "rotated"))


@pytest.fixture(scope="module")
def truncated(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(truncated_model(tmp_path_factory.mktemp("models") / "truncated"))


@pytest.fixture
async def store(data: Path, clock: ManualClock) -> Path:
    return await fill(data, clock)


# --- what is found -------------------------------------------------------------------------------------------


async def test_a_rotation_changes_no_answer(store: Path, clock: ManualClock, rotated: str) -> None:
    before = await asked(store, clock, "static")
    report = await moved(store, rotated, clock)
    assert (report.subjects, report.memories) == (2, len(SAID) + 1)
    assert (report.skipped, report.damaged, report.left, report.dry_run) == (0, 0, 0, False)
    assert report.embedder == load_embedder(rotated).name
    after = await asked(store, clock, rotated)
    for question, hits in before.items():
        assert [one for one, _ in after[question]] == [one for one, _ in hits], question
        assert [score for _, score in after[question]] == pytest.approx(
            [score for _, score in hits], abs=1e-4
        )


async def test_there_and_back_again(store: Path, clock: ManualClock, truncated: str) -> None:
    before = await asked(store, clock, "static")
    await moved(store, truncated, clock)
    between = await asked(store, clock, truncated)
    await moved(store, "static", clock)
    assert between != before
    assert await asked(store, clock, "static") == before


async def test_an_embedder_without_a_name_in_the_settings(store: Path, clock: ManualClock) -> None:
    report = await moved(store, LengthEmbedder(), clock)
    assert report.embedder == "lengths-3"
    async with opened(store, clock=clock, settings=LOCAL, embedder=LengthEmbedder()) as memory:
        alice = memory.user("alice", tenant="acme")
        assert [hit.memory.content for hit in await alice.search("peanuts", limit=1)] == [SAID[8]]
        (active,) = parts_of(memory).directory.residents()
        assert {len(decode_fields(one.plaintext)["vector"]) for one in active.held.values()} == {3}


async def test_what_comes_after_lies_beside_it(store: Path, clock: ManualClock, rotated: str) -> None:
    await moved(store, rotated, clock)
    async with opened(store, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        alice = memory.user("alice", tenant="acme")
        await alice.add("she plays the harpsichord", importance=0.9)
        await memory.drain()
        assert await alice.damaged() == []
        assert set(await embedders_in(memory)) == {load_embedder(rotated).name}
    async with opened(store, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        hits = await memory.user("alice", tenant="acme").search("which instrument does she play?", limit=1)
        assert hits[0].memory.content == "she plays the harpsichord"


async def test_what_waited_in_the_journal_is_moved_too(
    store: Path, clock: ManualClock, rotated: str, tmp_path: Path
) -> None:
    copied = tmp_path / "killed"
    async with opened(store, clock=clock, settings=LOCAL) as memory:
        await memory.user("alice", tenant="acme").add("the last word", importance=0.9)
        shutil.copytree(store, copied, ignore=shutil.ignore_patterns("owner.*"))
        assert len(sqlite_rows(copied, "journal")) == 1
    report = await moved(copied, rotated, clock)
    assert report.memories == len(SAID) + 2
    async with opened(copied, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        assert (await contents(memory.user("alice", tenant="acme")))[0] == "the last word"
        assert set(await embedders_in(memory)) == {report.embedder}


async def test_terms_of_another_analyzer_are_made_anew(
    data: Path, clock: ManualClock, rotated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(text, "ANALYZER", "earlier")
        async with opened(data, clock=clock, settings=LOCAL) as memory:
            await (await consenting(memory)).add("rooibos", importance=0.9)
    await moved(data, rotated, clock)
    async with opened(data, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        alice = memory.user("alice", tenant="acme")
        (held,) = await alice.list()
        active = parts_of(memory).directory.residents()[0]
        assert b"earlier" not in active.held[held.id].plaintext
        assert text.ANALYZER.encode() in active.held[held.id].plaintext


# --- what does not change ------------------------------------------------------------------------------------


def _rows(store: Path, table: str, *without: str) -> list[dict[str, Any]]:
    rows = sqlite_rows(store, table)
    return [{name: value for name, value in row.items() if name not in without} for row in rows]


async def test_strengths_deadlines_and_states_stay(data: Path, clock: ManualClock, rotated: str) -> None:
    async with opened(data, clock=clock, settings=LOCAL) as memory:
        alice = await consenting(memory)
        faint = await alice.add("the weather was fine", importance=0.21)
        pinned = await alice.add("the red file is in the safe", importance=0.5)
        await alice.pin(pinned.id)
        await speak(alice)
        gone = await alice.add("delete me", importance=0.9)
        await alice.delete(gone.id)
        bob = await consenting(memory, "bob")
        await bob.add("forget all of this", importance=0.9)
        await bob.erase(reason="request")
        clock.advance(timedelta(days=40).total_seconds())
        await alice.used([(await alice.list())[0].id])
        assert (await alice.forget()).forgotten == (faint.id,)
    kept = ("memories", "tombstones", "erased", "consent_events", "audit", "data_keys", "operations")
    before = {table: _rows(data, table, "bytes") for table in kept}
    await moved(data, rotated, clock)
    assert {table: _rows(data, table, "bytes") for table in kept} == before
    assert [row["state"] for row in sqlite_rows(data, "subjects")].count("erased") == 1
    async with opened(data, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        alice = memory.user("alice", tenant="acme")
        assert await alice.damaged() == []
        assert [one.id for one in await alice.forgotten()] == [faint.id]
        await alice.restore(faint.id)
        assert (await alice.search("how was the weather?", limit=1))[0].memory.id == faint.id
        assert await memory.user("bob", tenant="acme").list() == []


async def test_the_sizes_are_those_of_the_new_records(
    store: Path, clock: ManualClock, truncated: str
) -> None:
    before = {row["memory_id"]: row["bytes"] for row in sqlite_rows(store, "memories")}
    await moved(store, truncated, clock)
    after = {row["memory_id"]: row["bytes"] for row in sqlite_rows(store, "memories")}
    shrunk = {before[one] - after[one] for one in before}
    names = len(SHIPPED) - len(load_embedder(truncated).name)
    assert all(abs(size - (256 - 64) - names) <= 4 for size in shrunk)


async def test_a_session_goes_on(store: Path, clock: ManualClock, rotated: str) -> None:
    """Its tail, that is; a turn that was no memory has a vector there as well."""
    assert [row["sealed"] is not None for row in sqlite_rows(store, "session_tail")].count(True) == 1
    await moved(store, rotated, clock)
    async with opened(store, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        found = await embedders_in(memory)
        assert found == {load_embedder(rotated).name: len(SAID) + 2}
        nothing = Filter(sessions=frozenset({"none"}))
        packed = await memory.user("alice", tenant="acme").context("x", session="s1", where=nothing)
        assert [item.content for item in packed.items] == [*SAID, SMALL_TALK]


async def test_nothing_of_the_old_is_left(store: Path, clock: ManualClock, rotated: str) -> None:
    tails = [row["sealed"] for row in sqlite_rows(store, "session_tail") if row["sealed"]]
    old = [*sealed_in_cold(store), *tails]
    tables = {one.name for one in (store / "cold").glob("*.lance")}
    assert len(old) == len(SAID) + 2
    assert all(any(one in place for place in [*everything_at_rest(store), state_pages(store)]) for one in old)
    await moved(store, rotated, clock)
    left = [*everything_at_rest(store), state_pages(store)]
    assert not any(one in place for one in old for place in left)
    assert not any(SHIPPED.encode() in place for place in left)
    now = {one.name for one in (store / "cold").glob("*.lance")}
    assert len(now) == len(tables) == 2
    assert not now & tables
    assert log_bytes(store) == 0


async def test_hot_keeps_nothing_of_it(data: Path, rotated: str) -> None:
    """A shared server outlives the move; what it holds of the user is dropped."""
    async with opened(data) as outer:
        with redis_of(outer) as client:
            url = f"unix://{client.connection_pool.connection_kwargs['path']}"
            shared = load_settings(data_dir=data.parent / "store", redis_url=url, background=False)
            async with TieredMemory.open(shared) as memory:
                await speak(await consenting(memory))
            assert client.keys("*")
            await TieredMemory.reembed(shared, rotated)
            assert not any(envelopes_in(client.dump(key) or b"") for key in client.keys("*"))


# --- counting and telling ------------------------------------------------------------------------------------


async def test_a_dry_run_counts_the_same_and_changes_nothing(
    store: Path, clock: ManualClock, rotated: str
) -> None:
    before = [
        sorted(sealed_in_cold(store)),
        sqlite_rows(store, "subjects"),
        sqlite_rows(store, "session_tail"),
    ]
    planned = await moved(store, rotated, clock, dry_run=True)
    after = [
        sorted(sealed_in_cold(store)),
        sqlite_rows(store, "subjects"),
        sqlite_rows(store, "session_tail"),
    ]
    assert after == before
    assert planned.dry_run
    assert planned.seconds > 0
    done = await moved(store, rotated, clock)
    for name in ("embedder", "subjects", "memories", "skipped", "damaged", "left"):
        assert getattr(planned, name) == getattr(done, name), name


async def test_progress_rises_to_the_whole(
    store: Path, clock: ManualClock, rotated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiered_memory.reembed.BATCH", 4)
    heard: list[tuple[int, int]] = []
    await moved(store, rotated, clock, progress=lambda done, total: heard.append((done, total)))
    assert {total for _, total in heard} == {len(SAID) + 1}
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert heard[-1] == (len(SAID) + 1, len(SAID) + 1)
    assert len(heard) > 3
    async with opened(store, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        assert sorted(await contents(memory.user("alice", tenant="acme"))) == sorted(SAID)


async def test_a_second_run_has_nothing_to_do(store: Path, clock: ManualClock, rotated: str) -> None:
    await moved(store, rotated, clock)
    tables = sorted((store / "cold").glob("*.lance"))
    report = await moved(store, rotated, clock)
    assert (report.subjects, report.memories, report.damaged) == (0, 0, 0)
    assert sorted((store / "cold").glob("*.lance")) == tables


async def test_an_empty_store(data: Path, clock: ManualClock, rotated: str) -> None:
    async with opened(data, clock=clock, settings=LOCAL) as memory:
        await memory.user("alice").consent.grant(PURPOSE, notice="n")
    report = await moved(data, rotated, clock)
    assert (report.subjects, report.memories) == (1, 0)
    async with opened(data, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        assert (await memory.user("alice").add("now", importance=0.9)).id
