"""A store moved to another embedder: found as before, nothing else changed, nothing of the old vectors left."""

from __future__ import annotations

import contextlib
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from other_embedders import (
    LengthEmbedder,
    NotANumber,
    UnlikeItsWord,
    embedders_in,
    rotated_model,
    truncated_model,
)
from support import (
    PURPOSE,
    TWO_PURPOSES,
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
    state_of,
    state_pages,
)

from tiered_memory import Filter, TieredMemory, User
from tiered_memory.config import load_settings
from tiered_memory.embedding.load import load_embedder
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.errors import (
    ConfigurationError,
    CorruptionError,
    DataDirectoryInUseError,
    EmbedderMismatchError,
    ReembeddingUnfinishedError,
)
from tiered_memory.formats.record import decode_fields
from tiered_memory.reembed import Mark, ReembedReport
from tiered_memory.scoring import text
from tiered_memory.state import commands as c
from tiered_memory.testing import ManualClock
from tiered_memory.tiers.base import TierRecord

pytestmark = pytest.mark.anyio

SAID = [
    "I prefer rooibos tea over coffee in the morning",
    "the staging cluster is moved to Frankfurt next week",
    "Maya's daughter starts school in September",
    "never deploy on a Friday afternoon",
    "the invoice of the printer is still unpaid",
    "we met at the conference in Lisbon two years ago",
    "her favourite composer is Clara Schumann",
    "the API keys are rotated every ninety days",
    "he is allergic to peanuts and to cats",
    "the train to Malmö leaves at seven",
]
ASKED = [
    "what does she drink?",
    "when do we deploy?",
    "allergies",
    "music she likes",
    "rotate the keys",
    "travel",
]
SMALL_TALK = "hmm, okay then"
LOCAL: dict[str, Any] = {"redis_url": "local"}
SHIPPED = StaticEmbedder().name


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(rotated_model(tmp_path_factory.mktemp("models") / "rotated"))


@pytest.fixture(scope="module")
def truncated(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(truncated_model(tmp_path_factory.mktemp("models") / "truncated"))


@pytest.fixture
async def store(data: Path, clock: ManualClock) -> Path:
    """Two users; the first has a session with a turn that is no memory."""
    async with opened(data, clock=clock, settings=LOCAL) as memory:
        await _speak(await consenting(memory))
        await (await consenting(memory, "bob")).add("bob likes trains", importance=0.9)
    return data


async def _speak(user: User) -> None:
    for said in SAID:
        await user.add(said, session="s1", importance=0.9)
    await user.add(SMALL_TALK, session="s1", importance=0.0)


async def _moved(store: Path, to: Any, clock: ManualClock, **more: Any) -> ReembedReport:
    settings = load_settings(data_dir=store, **LOCAL)
    return await TieredMemory.reembed(settings, to, clock=clock, **more)


async def _answers(memory: TieredMemory) -> dict[str, list[tuple[str, float]]]:
    alice = memory.user("alice", tenant="acme")
    found = {question: await alice.search(question, limit=6) for question in ASKED}
    return {question: [(hit.memory.id, hit.score) for hit in hits] for question, hits in found.items()}


async def _asked(store: Path, clock: ManualClock, embedder: str) -> dict[str, list[tuple[str, float]]]:
    async with opened(store, clock=clock, settings={**LOCAL, "embedder": embedder}) as memory:
        return await _answers(memory)


# --- what is found -------------------------------------------------------------------------------------------


async def test_a_rotation_changes_no_answer(store: Path, clock: ManualClock, rotated: str) -> None:
    before = await _asked(store, clock, "static")
    report = await _moved(store, rotated, clock)
    assert (report.subjects, report.memories) == (2, len(SAID) + 1)
    assert (report.skipped, report.damaged, report.left, report.dry_run) == (0, 0, 0, False)
    assert report.embedder == load_embedder(rotated).name
    after = await _asked(store, clock, rotated)
    for question, hits in before.items():
        assert [one for one, _ in after[question]] == [one for one, _ in hits], question
        assert [score for _, score in after[question]] == pytest.approx(
            [score for _, score in hits], abs=1e-4
        )


async def test_there_and_back_again(store: Path, clock: ManualClock, truncated: str) -> None:
    before = await _asked(store, clock, "static")
    await _moved(store, truncated, clock)
    between = await _asked(store, clock, truncated)
    await _moved(store, "static", clock)
    assert between != before
    assert await _asked(store, clock, "static") == before


async def test_an_embedder_without_a_name_in_the_settings(store: Path, clock: ManualClock) -> None:
    report = await _moved(store, LengthEmbedder(), clock)
    assert report.embedder == "lengths-3"
    async with opened(store, clock=clock, settings=LOCAL, embedder=LengthEmbedder()) as memory:
        alice = memory.user("alice", tenant="acme")
        assert [hit.memory.content for hit in await alice.search("peanuts", limit=1)] == [SAID[8]]
        (active,) = parts_of(memory).directory.residents()
        assert {len(decode_fields(one.plaintext)["vector"]) for one in active.held.values()} == {3}


async def test_what_comes_after_lies_beside_it(store: Path, clock: ManualClock, rotated: str) -> None:
    await _moved(store, rotated, clock)
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
        shutil.copytree(store, copied)
        assert len(sqlite_rows(copied, "journal")) == 1
    report = await _moved(copied, rotated, clock)
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
    await _moved(data, rotated, clock)
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
        await _speak(alice)
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
    await _moved(data, rotated, clock)
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
    await _moved(store, truncated, clock)
    after = {row["memory_id"]: row["bytes"] for row in sqlite_rows(store, "memories")}
    shrunk = {before[one] - after[one] for one in before}
    names = len(SHIPPED) - len(load_embedder(truncated).name)
    assert all(abs(size - (256 - 64) - names) <= 4 for size in shrunk)


async def test_a_session_goes_on(store: Path, clock: ManualClock, rotated: str) -> None:
    """Its tail, that is; a turn that was no memory has a vector there as well."""
    assert [row["sealed"] is not None for row in sqlite_rows(store, "session_tail")].count(True) == 1
    await _moved(store, rotated, clock)
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
    await _moved(store, rotated, clock)
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
                await _speak(await consenting(memory))
            assert client.keys("*")
            await TieredMemory.reembed(shared, rotated)
            assert not any(envelopes_in(client.dump(key) or b"") for key in client.keys("*"))


# --- what cannot be moved ------------------------------------------------------------------------------------


async def _replace_record(memory: TieredMemory, user: User, memory_id: str, payload: bytes | None) -> None:
    """Put other bytes in the place of a memory's record in cold, or take it away."""
    (active,) = [one for one in parts_of(memory).directory.residents() if one.subject == user._subject]
    cold = parts_of(memory).core.cold
    (record,) = [one for one in await cold.scan(active.ref) if one.id == memory_id]
    if payload is None:
        await cold.remove(active.ref, [memory_id])
    else:
        await cold.put(active.ref, [TierRecord(record.id, record.order, record.version, payload)])


async def test_the_damaged_stays_damaged_and_is_counted(
    store: Path, clock: ManualClock, rotated: str
) -> None:
    async with opened(store, clock=clock, settings=LOCAL) as memory:
        alice = memory.user("alice", tenant="acme")
        flipped, cut, lost, *_ = [one.id for one in await alice.list()]
        (active,) = parts_of(memory).directory.residents()
        sealed = {one.id: one.payload for one in await parts_of(memory).core.cold.scan(active.ref)}
        await _replace_record(memory, alice, flipped, sealed[flipped][:-1] + b"\x00")
        await _replace_record(memory, alice, cut, sealed[cut][:20])
        await _replace_record(memory, alice, lost, None)
        assert set(await alice.damaged()) == {flipped, cut, lost}
    report = await _moved(store, rotated, clock)
    assert (report.damaged, report.memories) == (3, len(SAID) - 3 + 1)
    async with opened(store, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        alice = memory.user("alice", tenant="acme")
        assert set(await alice.damaged()) == {flipped, cut, lost}
        with pytest.raises(CorruptionError):
            await alice.get(flipped)
        await alice.delete(flipped)
        assert len(await contents(alice)) == len(SAID) - 3


async def test_a_record_older_than_its_row_is_not_passed_off_as_whole(
    store: Path, clock: ManualClock, rotated: str
) -> None:
    (row,) = [one for one in sqlite_rows(store, "memories") if one["record_order"] == 3]
    with contextlib.closing(state_of(store)) as db:
        db.execute("UPDATE memories SET record_version = 2 WHERE memory_id = ?", (row["memory_id"],))
    report = await _moved(store, rotated, clock)
    assert report.damaged == 1
    async with opened(store, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        assert await memory.user("alice", tenant="acme").damaged() == [row["memory_id"]]
        assert set(await embedders_in(memory)) == {report.embedder}


@pytest.fixture
def two_purposes(tmp_path: Path) -> str:
    policy = tmp_path / "two.toml"
    policy.write_text(TWO_PURPOSES)
    return str(policy)


async def test_what_has_no_key_is_carried_over_as_it_is(
    data: Path, clock: ManualClock, rotated: str, two_purposes: str
) -> None:
    """Its key's record may be restored from a backup; then the words find it, and the vector is missing."""
    settings = {**LOCAL, "policy": two_purposes}
    async with opened(data, clock=clock, settings=settings) as memory:
        alice = memory.user("alice", tenant="acme")
        await alice.consent.grant("advice", notice="n")
        await alice.add("she collects stamps", importance=0.9)
        locked = await alice.add("the invoice is in the blue folder", importance=0.9, purpose="service")
    with contextlib.closing(state_of(data)) as db:
        [(wrapped,)] = db.execute("SELECT wrapped FROM data_keys WHERE purpose = 'service'").fetchall()
        db.execute("UPDATE data_keys SET wrapped = x'00' WHERE purpose = 'service'")
    report = await TieredMemory.reembed(load_settings(data_dir=data, **settings), rotated, clock=clock)
    assert (report.memories, report.skipped, report.damaged) == (1, 1, 0)
    moved = {**settings, "embedder": rotated}
    async with opened(data, clock=clock, settings=moved) as memory:
        assert await memory.user("alice", tenant="acme").damaged() == [locked.id]
    with contextlib.closing(state_of(data)) as db:
        db.execute("UPDATE data_keys SET wrapped = ? WHERE purpose = 'service'", (wrapped,))
    async with opened(data, clock=clock, settings=moved) as memory:
        alice = memory.user("alice", tenant="acme")
        assert await alice.damaged() == []
        assert (await alice.search("where is the invoice?", limit=1))[0].memory.id == locked.id


async def test_the_withdrawn_is_not_carried_over(
    data: Path, clock: ManualClock, rotated: str, two_purposes: str
) -> None:
    settings = {**LOCAL, "policy": two_purposes}
    async with opened(data, clock=clock, settings=settings) as memory:
        alice = memory.user("alice", tenant="acme")
        await alice.consent.grant("advice", notice="n")
        await alice.add("she collects stamps", importance=0.9)
        await alice.add("the invoice is in the blue folder", importance=0.9, purpose="service")
        await memory.drain()
        await alice.consent.withdraw("advice")
    report = await TieredMemory.reembed(load_settings(data_dir=data, **settings), rotated, clock=clock)
    assert (report.memories, report.skipped, report.damaged) == (1, 0, 0)


async def test_a_user_whose_table_cannot_be_read_is_left_and_named(
    store: Path, clock: ManualClock, rotated: str
) -> None:
    async with opened(store, clock=clock, settings=LOCAL) as memory:
        await memory.user("bob", tenant="acme").list()
        (bob,) = parts_of(memory).directory.residents()
        name = parts_of(memory).core.cold._table_name(bob.ref)  # type: ignore[attr-defined]
    table = store / "cold" / f"{name}.lance"
    kept = store.parent / "kept"
    shutil.copytree(table, kept)
    for file in (table / "data").iterdir():
        file.write_bytes(b"nonsense")
    report = await _moved(store, rotated, clock)
    assert (report.subjects, report.left, report.damaged) == (1, 1, 1)
    async with opened(store, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        assert len(await contents(memory.user("alice", tenant="acme"))) == len(SAID)
        with pytest.raises(EmbedderMismatchError, match="tiered-memory reembed"):
            await memory.user("bob", tenant="acme").list()
    shutil.rmtree(table)
    shutil.copytree(kept, table)
    report = await _moved(store, rotated, clock)
    assert (report.subjects, report.memories, report.left, report.damaged) == (1, 1, 0, 0)
    async with opened(store, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        assert await contents(memory.user("bob", tenant="acme")) == ["bob likes trains"]


# --- when it is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [UnlikeItsWord(), NotANumber()], ids=lambda one: one.name)
async def test_an_embedder_unlike_its_word_is_refused_before_anything_changes(
    store: Path, clock: ManualClock, broken: LengthEmbedder
) -> None:
    with pytest.raises(ConfigurationError, match="finite numbers"):
        await _moved(store, broken, clock)
    assert len(await _asked(store, clock, "static")) == len(ASKED)


async def test_a_store_somebody_has_open_is_not_moved(store: Path, clock: ManualClock, rotated: str) -> None:
    async with opened(store, clock=clock, settings=LOCAL) as memory:
        with pytest.raises(DataDirectoryInUseError):
            await _moved(store, rotated, clock)
        assert len(await contents(memory.user("alice", tenant="acme"))) == len(SAID)


async def test_where_there_is_no_store_none_is_made(tmp_path: Path, rotated: str) -> None:
    with pytest.raises(ConfigurationError, match="no memory"):
        await TieredMemory.reembed(tmp_path / "none", rotated)
    assert not (tmp_path / "none").exists()


class _FailsAfter(LengthEmbedder):
    """Works for so many calls, then is out of reach."""

    def __init__(self, calls: int) -> None:
        self._calls = calls

    async def embed(self, texts: Any, kind: str = "document") -> Any:
        self._calls -= 1
        if self._calls < 0:
            raise ConnectionError
        return await super().embed(texts, kind)


@pytest.mark.parametrize("calls", [1, 2, 3])
async def test_half_moved_it_opens_for_nobody_until_it_is_through(
    store: Path, clock: ManualClock, calls: int
) -> None:
    with pytest.raises(ConnectionError):
        await _moved(store, _FailsAfter(calls), clock)
    for embedder in (StaticEmbedder(), LengthEmbedder()):
        with pytest.raises(ReembeddingUnfinishedError, match="'lengths-3' was interrupted"):
            async with opened(store, clock=clock, settings=LOCAL, embedder=embedder):
                pass
    await _moved(store, LengthEmbedder(), clock)
    async with opened(store, clock=clock, settings=LOCAL, embedder=LengthEmbedder()) as memory:
        assert set(await embedders_in(memory)) == {"lengths-3"}
        assert len(await contents(memory.user("alice", tenant="acme"))) == len(SAID)
    assert len(list((store / "cold").glob("*.lance"))) == 2


@pytest.mark.parametrize("calls", [1, 2, 3])
async def test_half_moved_it_can_go_back(store: Path, clock: ManualClock, calls: int) -> None:
    before = await _asked(store, clock, "static")
    with pytest.raises(ConnectionError):
        await _moved(store, _FailsAfter(calls), clock)
    await _moved(store, "static", clock)
    assert await _asked(store, clock, "static") == before
    assert len(list((store / "cold").glob("*.lance"))) == 2
    async with opened(store, clock=clock, settings=LOCAL) as memory:
        assert set(await embedders_in(memory)) == {SHIPPED}


async def test_the_refusal_says_what_to_run(store: Path, clock: ManualClock, rotated: str) -> None:
    async with opened(store, clock=clock, settings=LOCAL) as memory:
        mark = Mark("rotated-1", rotated)
        assert Mark.decode(mark.encode()) == mark
        await parts_of(memory).core.state.write(c.MarkReembedding(mark.encode()))
    with pytest.raises(ReembeddingUnfinishedError) as refused:
        async with opened(store, clock=clock, settings=LOCAL):
            pass
    assert f"tiered-memory reembed --to {rotated}" in str(refused.value)


# --- counting and telling ------------------------------------------------------------------------------------


async def test_a_dry_run_counts_the_same_and_changes_nothing(
    store: Path, clock: ManualClock, rotated: str
) -> None:
    before = [
        sorted(sealed_in_cold(store)),
        sqlite_rows(store, "subjects"),
        sqlite_rows(store, "session_tail"),
    ]
    planned = await _moved(store, rotated, clock, dry_run=True)
    after = [
        sorted(sealed_in_cold(store)),
        sqlite_rows(store, "subjects"),
        sqlite_rows(store, "session_tail"),
    ]
    assert after == before
    assert planned.dry_run
    assert planned.seconds > 0
    done = await _moved(store, rotated, clock)
    for name in ("embedder", "subjects", "memories", "skipped", "damaged", "left"):
        assert getattr(planned, name) == getattr(done, name), name


async def test_progress_rises_to_the_whole(
    store: Path, clock: ManualClock, rotated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiered_memory.reembed.BATCH", 4)
    heard: list[tuple[int, int]] = []
    await _moved(store, rotated, clock, progress=lambda done, total: heard.append((done, total)))
    assert {total for _, total in heard} == {len(SAID) + 1}
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert heard[-1] == (len(SAID) + 1, len(SAID) + 1)
    assert len(heard) > 3
    async with opened(store, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        assert sorted(await contents(memory.user("alice", tenant="acme"))) == sorted(SAID)


async def test_a_second_run_has_nothing_to_do(store: Path, clock: ManualClock, rotated: str) -> None:
    await _moved(store, rotated, clock)
    tables = sorted((store / "cold").glob("*.lance"))
    report = await _moved(store, rotated, clock)
    assert (report.subjects, report.memories, report.damaged) == (0, 0, 0)
    assert sorted((store / "cold").glob("*.lance")) == tables


async def test_an_empty_store(data: Path, clock: ManualClock, rotated: str) -> None:
    async with opened(data, clock=clock, settings=LOCAL) as memory:
        await memory.user("alice").consent.grant(PURPOSE, notice="n")
    report = await _moved(data, rotated, clock)
    assert (report.subjects, report.memories) == (1, 0)
    async with opened(data, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        assert (await memory.user("alice").add("now", importance=0.9)).id
