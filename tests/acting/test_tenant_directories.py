"""Tenants with a data directory of their own: what they share is what the table says, and one that fails fails alone."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from other_embedders import truncated_model
from support import consenting, contents, opened, parts_of, state_of

from tiered_memory import TieredMemory
from tiered_memory.branches import FOLDER
from tiered_memory.config import load_settings
from tiered_memory.errors import (
    ClosedError,
    ColdTierError,
    ConflictError,
    InvalidInputError,
    RootKeyError,
    TenantUnavailableError,
)
from tiered_memory.metrics import (
    ConsentsStanding,
    RecallIndexState,
    RecordingObserver,
    RecordsStanding,
    Routed,
)
from tiered_memory.model import Filter
from tiered_memory.privacy.tenancy import SHARED, Isolation
from tiered_memory.runtime import Parts
from tiered_memory.state.commands import Position
from tiered_memory.testing import ManualClock
from tiered_memory.tiers.redis_server import find_redis_server

pytestmark = pytest.mark.anyio

LOCAL: dict[str, Any] = {"redis_url": "local"}


def parts_for(memory: TieredMemory, tenant: str) -> Parts:
    return memory._branches.parts_of(tenant)


def looked_up(memory: TieredMemory, one: str, other: str) -> Mapping[str, bool]:
    """Return what two tenants share, as the running memory has it."""
    left, right = parts_for(memory, one).core, parts_for(memory, other).core
    address = left.hot_address == right.hot_address and left.hot_address != "local"
    secret = left.keyring.wrap_state_key(bytes(32))
    try:
        root = right.keyring.open_state_key(secret) == bytes(32)
    except RootKeyError:
        root = False
    return {
        "process": True,
        "embedding model": left.embedder is right.embedder,
        "Redis server": address,
        "root key": root,
        "data directory": left.marks is right.marks,
        "state store": left.state is right.state,
        "audit ledger and its signing key": left.notary.public_key == right.notary.public_key,
        "tenant key": left.names.tenant(one) == right.names.tenant(other),
        "data keys": left.names.tenant(one) == right.names.tenant(other),
        "cold tables": left.names.table(b"s", b"i") == right.names.table(b"s", b"i") and one == other,
    }


@pytest.mark.parametrize("isolation", list(Isolation))
async def test_each_level_shares_what_the_table_says(tmp_path: Path, isolation: Isolation) -> None:
    if find_redis_server() is None:
        pytest.skip("needs redis-server")
    async with opened(tmp_path / "data") as memory:
        for tenant in ("one", "two"):
            await memory.tenants.register(tenant, isolation=isolation)
            await (await consenting(memory, tenant=tenant)).add(f"kept by {tenant}", importance=0.9)
        assert looked_up(memory, "one", "two") == SHARED[isolation]
        assert looked_up(memory, "one", "nobody") == SHARED[isolation]
        assert await contents(memory.user("alice", tenant="one")) == ["kept by one"]


def test_the_table_grows_stricter_level_by_level() -> None:
    counts = [sum(SHARED[level].values()) for level in Isolation]
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == len(counts)
    assert len({tuple(SHARED[level]) for level in Isolation}) == 1


async def test_its_data_lies_in_its_directory_and_survives_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        async with opened(tmp_path, settings=LOCAL) as memory:
            if not await memory.tenants.list():
                await memory.tenants.register("acme", isolation="strict")
                await (await consenting(memory)).add("the plan is green", importance=0.9)
            assert await contents(memory.user("alice", tenant="acme")) == ["the plan is green"]
            directory = memory.tenants.directory("acme")
            assert (await memory.stats()).memories == 1
            assert (await memory.tenants.ledger("acme").verify()).sound
    with contextlib.closing(state_of(tmp_path)) as db:
        assert db.execute("SELECT COUNT(*) FROM subjects").get == 0
    with contextlib.closing(state_of(directory)) as db:
        assert db.execute("SELECT COUNT(*) FROM subjects").get == 1
    assert directory.parent == tmp_path / FOLDER


async def test_a_residency_says_where_the_data_lies(tmp_path: Path) -> None:
    settings = {**LOCAL, "residencies": {"eu": tmp_path / "eu", "us": tmp_path / "us"}}
    async with opened(tmp_path / "data", settings=settings) as memory:
        made = await memory.tenants.register("acme", residency="eu")
        assert made.rules.isolation is Isolation.MODERATE
        await (await consenting(memory)).add("the plan is green", importance=0.9)
        assert memory.tenants.directory("acme").is_relative_to(tmp_path / "eu" / FOLDER)
        assert not (tmp_path / "us").exists()
        with pytest.raises(InvalidInputError, match="eu, us"):
            await memory.tenants.register("beta", residency="asia")
        with pytest.raises(ConflictError, match="moved"):
            await memory.tenants.change("acme", residency="us")
    async with opened(tmp_path / "data", settings=LOCAL) as memory:
        with pytest.raises(TenantUnavailableError):
            await memory.user("alice", tenant="acme").list()


async def test_one_that_does_not_open_is_unavailable_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        for tenant in ("acme", "beta"):
            await memory.tenants.register(tenant, isolation="moderate")
            await (await consenting(memory, tenant=tenant)).add("the plan is green", importance=0.9)
        directory = memory.tenants.directory("acme")
    (directory / "state.db").write_bytes(b"no database at all" * 500)
    async with opened(tmp_path, settings=LOCAL) as memory:
        assert "unavailable" in caplog.text
        assert {one.id: one.available for one in await memory.tenants.list()} == {"acme": False, "beta": True}
        with pytest.raises(TenantUnavailableError):
            await memory.user("alice", tenant="acme").search("plan")
        with pytest.raises(TenantUnavailableError):
            await memory.tenants.usage("acme")
        assert await contents(memory.user("alice", tenant="beta")) == ["the plan is green"]
        assert (await memory.stats()).memories == 1


async def test_whole_store_calls_reach_every_runtime(tmp_path: Path, clock: ManualClock) -> None:
    async with opened(tmp_path, settings=LOCAL, clock=clock) as memory:
        await memory.tenants.register("own", isolation="strict")
        for tenant in ("own", "shared"):
            user = await consenting(memory, tenant=tenant)
            for number in range(3):
                await user.add(f"plan {number} is decided", importance=0.6)
        await memory.drain()
        stats = await memory.stats()
        assert (stats.memories, stats.subjects, sum(stats.importance_histogram)) == (6, 2, 6)
        assert (await memory.forecast(30)).memories == 6
        clock.advance(400 * 86_400)
        planned = await memory.forget(dry_run=True, confirmed=True)
        assert len(planned.planned) == 6
        assert (await memory.forget(confirmed=True)).evaluated == 6
        assert await memory.user("alice", tenant="own").list(where=Filter()) == []
        own = parts_for(memory, "own")
    with pytest.raises(ClosedError):
        await memory.user("alice", tenant="own").list()
    with pytest.raises(ClosedError):
        await own.core.state.read(Position())


async def test_a_tenant_is_backed_up_and_restored_on_its_own(tmp_path: Path) -> None:
    store, archive, own = tmp_path / "store", tmp_path / "archive", tmp_path / "own"
    async with opened(store, settings=LOCAL) as memory:
        await memory.tenants.register("acme", isolation="strict")
        await memory.tenants.register("beta")
        await (await consenting(memory)).add("the plan is green", importance=0.9)
        await memory.drain()
        assert (await memory.backup(archive)).users == 0
        assert (await memory.tenants.backup("acme", own)).users == 1
        with pytest.raises(InvalidInputError, match="store's own"):
            await memory.tenants.backup("beta", tmp_path / "none")
        directory = memory.tenants.directory("acme")
        await (await consenting(memory)).add("added later", importance=0.9)
    keys = tmp_path / "kept-keys"
    shutil.copytree(directory / "keys", keys)
    shutil.rmtree(directory)
    await TieredMemory.restore(own, directory)
    shutil.copytree(keys, directory / "keys")
    async with opened(store, settings=LOCAL) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == ["the plan is green"]


async def test_data_is_not_moved_between_directories(tmp_path: Path) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await (await consenting(memory)).add("the plan is green", importance=0.9)
        with pytest.raises(ConflictError, match="moved"):
            await memory.tenants.register("acme", isolation="moderate")
        await memory.tenants.register("acme")
        with pytest.raises(ConflictError, match="moved"):
            await memory.tenants.change("acme", isolation="strict")
        assert await contents(memory.user("alice", tenant="acme")) == ["the plan is green"]


async def test_the_number_of_directories_is_bounded(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('schema = 1\nname = "one"\n[tenancy]\nmax_own_directories = 1\n')
    async with opened(tmp_path / "data", settings={**LOCAL, "policy": str(policy)}) as memory:
        await memory.tenants.register("one", isolation="moderate")
        with pytest.raises(ConflictError, match="1 tenants"):
            await memory.tenants.register("two", isolation="moderate")
        await memory.tenants.register("three")
        await memory.tenants.erase("one", "contract ended")
        await memory.tenants.register("two", isolation="moderate")
        assert parts_of(memory) is not parts_for(memory, "two")


async def test_moving_to_another_embedder_moves_every_directory(tmp_path: Path) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await memory.tenants.register("own", isolation="strict")
        for tenant in ("own", "shared"):
            await (await consenting(memory, tenant=tenant)).add("the plan is green", importance=0.9)
    settings = load_settings(data_dir=tmp_path, background=False, **LOCAL)
    model = str(truncated_model(tmp_path / "model"))
    assert (await TieredMemory.reembed(settings, model, dry_run=True)).memories == 2
    report = await TieredMemory.reembed(settings, model)
    assert (report.subjects, report.memories, report.damaged) == (2, 2, 0)
    async with opened(tmp_path, settings={**LOCAL, "embedder": model}) as memory:
        for tenant in ("own", "shared"):
            hits = await memory.user("alice", tenant=tenant).search("which plan?")
            assert [hit.memory.content for hit in hits] == ["the plan is green"]


async def test_how_tenants_own_runtimes_stand_is_told_in_one_with_the_store(tmp_path: Path) -> None:
    observer = RecordingObserver()
    async with opened(tmp_path, settings=LOCAL, observer=observer) as memory:
        await memory.tenants.register("own", isolation="strict")
        for tenant in ("shared", "own"):
            await (await consenting(memory, tenant=tenant)).add("the plan is green", importance=0.9)
            parts = parts_for(memory, tenant)
            parts.directory.trim()
            await parts.gauges.look()
        assert len(observer.of(Routed)) == 2
        assert observer.of(RecallIndexState)[-1].users == 2
        assert observer.of(RecordsStanding)[-1].tiers["cold"].records == 2
        assert observer.of(ConsentsStanding)[-1].states == {"open": 2}
        await memory.tenants.erase("own", reason="the contract ended")
        assert observer.of(RecallIndexState)[-1].users == 1
        assert observer.of(RecordsStanding)[-1].tiers["cold"].records == 1


def test_the_table_of_what_is_shared_is_documented_as_it_is() -> None:
    text = (Path(__file__).parents[2] / "docs" / "tenants.md").read_text(encoding="utf-8")
    for what in SHARED[Isolation.MINIMAL]:
        cells = ["shared" if SHARED[level][what] else "own" for level in Isolation]
        assert f"| {what} | {' | '.join(cells)} |" in text


async def test_one_that_fails_to_close_keeps_no_other_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = TieredMemory.open(load_settings(data_dir=tmp_path, background=False, **LOCAL))
    await memory.__aenter__()
    for tenant in ("one", "two"):
        await memory.tenants.register(tenant, isolation="strict")
    first, second = (memory._branches.runtimes()[number] for number in (1, 2))

    async def failing() -> None:
        raise ColdTierError

    monkeypatch.setattr(second, "stop", failing)
    with pytest.raises(ColdTierError):
        await memory.close()
    assert not first.open
    assert not parts_for_closed(memory)
    monkeypatch.undo()
    await memory.close()
    assert not second.open


def parts_for_closed(memory: TieredMemory) -> bool:
    return memory._runtime is not None and memory._runtime.open
