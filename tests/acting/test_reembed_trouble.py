"""What cannot be moved to another embedder is counted, left as it was, and keeps nobody else waiting."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from moving import ASKED, LOCAL, SAID, SHIPPED, asked, fill, moved
from other_embedders import (
    LengthEmbedder,
    NotANumber,
    UnlikeItsWord,
    embedders_in,
    rotated_model,
)
from support import (
    TWO_PURPOSES,
    contents,
    opened,
    parts_of,
    sqlite_rows,
    state_of,
)

from tiered_memory import TieredMemory, User
from tiered_memory.config import load_settings
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.errors import (
    ConfigurationError,
    CorruptionError,
    DataDirectoryInUseError,
    EmbedderMismatchError,
    ReembeddingUnfinishedError,
)
from tiered_memory.reembed import Mark
from tiered_memory.state import commands as c
from tiered_memory.testing import ManualClock
from tiered_memory.tiers.base import TierRecord

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(rotated_model(tmp_path_factory.mktemp("models") / "rotated"))


@pytest.fixture
async def store(data: Path, clock: ManualClock) -> Path:
    return await fill(data, clock)


# --- what cannot be moved ------------------------------------------------------------------------------------


async def _replace_record(memory: TieredMemory, user: User, memory_id: str, payload: bytes | None) -> None:
    """Put other bytes in the place of a memory's record in cold, or take it away."""
    (active,) = [one for one in parts_of(memory).directory.residents() if one.subject == user.subject]
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
        await _replace_record(memory, alice, flipped, sealed[flipped][:-1] + bytes([sealed[flipped][-1] ^ 1]))
        await _replace_record(memory, alice, cut, sealed[cut][:20])
        await _replace_record(memory, alice, lost, None)
        assert set(await alice.damaged()) == {flipped, cut, lost}
    report = await moved(store, rotated, clock)
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
    report = await moved(store, rotated, clock)
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
    report = await moved(store, rotated, clock)
    assert (report.subjects, report.left, report.damaged) == (1, 1, 1)
    async with opened(store, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        assert len(await contents(memory.user("alice", tenant="acme"))) == len(SAID)
        with pytest.raises(EmbedderMismatchError, match="tiered-memory reembed"):
            await memory.user("bob", tenant="acme").list()
    shutil.rmtree(table)
    shutil.copytree(kept, table)
    report = await moved(store, rotated, clock)
    assert (report.subjects, report.memories, report.left, report.damaged) == (1, 1, 0, 0)
    async with opened(store, clock=clock, settings={**LOCAL, "embedder": rotated}) as memory:
        assert await contents(memory.user("bob", tenant="acme")) == ["bob likes trains"]


# --- when it is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [UnlikeItsWord(), NotANumber()], ids=lambda one: one.name)
async def test_an_embedder_unlike_its_word_is_refused_before_anything_changes(
    store: Path, clock: ManualClock, broken: LengthEmbedder
) -> None:
    with pytest.raises(ConfigurationError, match="finite numbers"):
        await moved(store, broken, clock)
    assert len(await asked(store, clock, "static")) == len(ASKED)


async def test_a_store_somebody_has_open_is_notmoved(store: Path, clock: ManualClock, rotated: str) -> None:
    async with opened(store, clock=clock, settings=LOCAL) as memory:
        with pytest.raises(DataDirectoryInUseError):
            await moved(store, rotated, clock)
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
        await moved(store, _FailsAfter(calls), clock)
    for embedder in (StaticEmbedder(), LengthEmbedder()):
        with pytest.raises(ReembeddingUnfinishedError, match="'lengths-3' was interrupted"):
            async with opened(store, clock=clock, settings=LOCAL, embedder=embedder):
                pass
    await moved(store, LengthEmbedder(), clock)
    async with opened(store, clock=clock, settings=LOCAL, embedder=LengthEmbedder()) as memory:
        assert set(await embedders_in(memory)) == {"lengths-3"}
        assert len(await contents(memory.user("alice", tenant="acme"))) == len(SAID)
    assert len(list((store / "cold").glob("*.lance"))) == 2


@pytest.mark.parametrize("calls", [1, 2, 3])
async def test_half_moved_it_can_go_back(store: Path, clock: ManualClock, calls: int) -> None:
    before = await asked(store, clock, "static")
    with pytest.raises(ConnectionError):
        await moved(store, _FailsAfter(calls), clock)
    await moved(store, "static", clock)
    assert await asked(store, clock, "static") == before
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
