"""What acts on the whole store acts in every tenant's own directory too, and what is one tenant's in that tenant's."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support import PURPOSE, consenting, contents, opened, parts_of, sqlite_rows

from tiered_memory import TieredMemory
from tiered_memory.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    TenantUnavailableError,
)
from tiered_memory.hold_model import Hold, HoldScope
from tiered_memory.privacy.tenancy import Isolation
from tiered_memory.runtime import Parts
from tiered_memory.state.epochs import EveryEpoch
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

LOCAL: dict[str, Any] = {"redis_url": "local"}
OWN = [Isolation.MODERATE, Isolation.STRICT]
PUBLISHED_ONLY = 'schema = 1\nname = "published"\n[consent]\nrequire_published_notice = true\n'
SHORT = """
schema = 1
name = "short"
[forgetting]
undo_days = 3
max_share_per_cycle = 1
[retention.internal]
ceiling_days = 20
"""


def own_of(memory: TieredMemory, tenant: str = "acme") -> Parts:
    return memory._branches.parts_of(tenant)


async def epochs(parts: Parts) -> set[int]:
    return {one.epoch for one in await parts.core.state.read(EveryEpoch()) if one.tenant}


async def hold(memory: TieredMemory, scope: HoldScope, name: str = "case-7", days: int = 90) -> Hold:
    review = parts_of(memory).core.clock.now() + timedelta(days=days)
    return await memory.holds.place(name, scope=scope, owner="counsel", reason="dispute 12", review_at=review)


async def two_tenants(memory: TieredMemory, isolation: Isolation = Isolation.STRICT) -> None:
    """`acme` has a directory of its own, `other` lies in the store's."""
    await memory.tenants.register("acme", isolation=isolation)
    for tenant in ("acme", "other"):
        await (await consenting(memory, tenant=tenant)).add(f"the quagga of {tenant}", importance=0.9)


# --- holds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", OWN)
async def test_a_hold_on_a_tenant_is_placed_where_its_data_lies(tmp_path: Path, isolation: Isolation) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await two_tenants(memory, isolation)
        placed = await hold(memory, HoldScope(tenant="acme", user="alice"))
        assert (placed.name, placed.memories) == ("case-7", 1)
        assert await own_of(memory).holds.names() == {"case-7"}
        assert await parts_of(memory).holds.names() == set()
        assert [(one.name, one.kept) for one in await memory.holds.list()] == [("case-7", 0)]
        certificate = await memory.user("alice", tenant="acme").erase(reason="asked")
        assert certificate.retained[0].startswith("1 memory")
        assert [one.kept for one in await memory.holds.list()] == [1]
        assert await memory.holds.export("case-7", tmp_path / "out.jsonl") == 1
        assert "quagga of acme" in (tmp_path / "out.jsonl").read_text()
        assert (await memory.holds.release("case-7", "over")).name == "case-7"
        assert await memory.holds.list() == []
        assert [(one.status, one.kept) for one in await memory.holds.list(released=True)] == [("released", 0)]


async def test_a_hold_on_one_tenant_leaves_the_others_alone(tmp_path: Path) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await two_tenants(memory)
        await hold(memory, HoldScope(tenant="acme"))
        assert (await memory.user("alice", tenant="other").erase(reason="asked")).retained == ()
        assert [one.kept for one in await memory.holds.list()] == [0]


async def test_a_hold_without_a_tenant_holds_everywhere_and_is_one(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with opened(tmp_path, settings=LOCAL, clock=clock) as memory:
        await two_tenants(memory)
        assert (await hold(memory, HoldScope(purpose=PURPOSE))).memories == 2
        for tenant in ("acme", "other"):
            certificate = await memory.user("alice", tenant=tenant).erase(reason="asked")
            assert certificate.retained[0].startswith("1 memory")
        assert [(one.name, one.kept) for one in await memory.holds.list()] == [("case-7", 2)]
        assert await memory.holds.export("case-7", tmp_path / "out.jsonl") == 2
        lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert {one["tenant"] for one in lines} == {"acme", "other"}
        with pytest.raises(InvalidInputError, match="exists"):
            await memory.holds.export("case-7", tmp_path / "out.jsonl")
        clock.advance(timedelta(days=91))
        assert [one.name for one in await memory.holds.due_for_review()] == ["case-7"]
        assert (await memory.holds.release("case-7", "over")).status == "released"
        assert await own_of(memory).holds.names() == set()
        held = [
            row for row in sqlite_rows(memory.tenants.directory("acme"), "register") if "held" in row["kind"]
        ]
        assert held == []
        assert [one.kept for one in await memory.holds.list(released=True)] == [0]


async def test_a_name_is_used_once_in_all_runtimes(tmp_path: Path) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await two_tenants(memory)
        await hold(memory, HoldScope(tenant="acme"))
        for scope in (HoldScope(tenant="acme"), HoldScope(tenant="other"), HoldScope(purpose=PURPOSE)):
            with pytest.raises(ConflictError, match="in force already"):
                await hold(memory, scope)
        await memory.holds.release("case-7", "over")
        await hold(memory, HoldScope(purpose=PURPOSE))
        with pytest.raises(ConflictError, match="in force already"):
            await hold(memory, HoldScope(tenant="acme"))
        with pytest.raises(NotFoundError):
            await memory.holds.release("case-8", "over")
        with pytest.raises(NotFoundError):
            await memory.holds.export("case-8", tmp_path / "none")


async def test_whoever_gets_a_directory_later_is_held_in_it(tmp_path: Path) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await hold(memory, HoldScope(purpose=PURPOSE), "wide")
        await hold(memory, HoldScope(tenant="acme"), "theirs")
        await hold(memory, HoldScope(tenant="other"), "others")
        await two_tenants(memory)
        assert len(await own_of(memory).holds.names()) == 2
        alice = memory.user("alice", tenant="acme")
        explained = await alice.explain((await alice.list())[0].id)
        assert explained.deadline_rule == "hold"
        await alice.erase(reason="asked")
        kept = {one.name: one.kept for one in await memory.holds.list()}
        assert kept == {"wide": 1, "theirs": 1, "others": 0}
        for name in kept:
            await memory.holds.release(name, "over")
        assert await own_of(memory).holds.names() == set()


async def test_what_changed_while_a_directory_was_shut_is_made_good(tmp_path: Path) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await two_tenants(memory)
        await hold(memory, HoldScope(purpose=PURPOSE), "old")
        await hold(memory, HoldScope(purpose=PURPOSE), "again")
        directory = memory.tenants.directory("acme")
    shutil.move(directory / "state.key", tmp_path / "aside.key")
    async with opened(tmp_path, settings=LOCAL) as memory:
        with pytest.raises(TenantUnavailableError):
            await hold(memory, HoldScope(tenant="acme"))
        await hold(memory, HoldScope(purpose=PURPOSE), "new")
        await memory.holds.release("old", "over")
        await memory.holds.release("again", "over")
        await hold(memory, HoldScope(purpose=PURPOSE), "again")
        with pytest.raises(TenantUnavailableError):
            await memory.holds.release("whose", "it may be there")
    shutil.move(tmp_path / "aside.key", directory / "state.key")
    async with opened(tmp_path, settings=LOCAL) as memory:
        assert len(await own_of(memory).holds.names()) == 2
        assert {one.name for one in await memory.holds.list()} == {"new", "again"}
        placed = {one.name: one.placed_at for one in await memory.holds.list()}
        assert placed["again"] > placed["new"]
        await memory.user("alice", tenant="acme").erase(reason="asked")
        assert {one.name: one.kept for one in await memory.holds.list()} == {"new": 1, "again": 1}


async def test_a_copy_the_store_knows_nothing_of_stays_in_force(tmp_path: Path) -> None:
    """The store was restored from before the hold: that must end nothing."""
    store, archive = tmp_path / "store", tmp_path / "archive"
    async with opened(store, settings=LOCAL) as memory:
        await memory.tenants.register("acme", isolation="strict")
        await (await consenting(memory)).add("the quagga", importance=0.9)
        await memory.backup(archive)
        await hold(memory, HoldScope(purpose=PURPOSE))
    for name in (
        "state.db",
        "state.db-wal",
        "state.key",
        "cold",
        "highwater",
        "highwater.latest",
        "checkpoints.log",
    ):
        path = store / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    await TieredMemory.restore(archive, store)
    async with opened(store, settings=LOCAL) as memory:
        assert [one.name for one in await memory.holds.list()] == ["case-7"]
        assert (await memory.user("alice", tenant="acme").erase(reason="asked")).retained
        assert (await memory.holds.release("case-7", "over")).status == "released"
        assert await own_of(memory).holds.names() == set()


@pytest.mark.parametrize("isolation", list(Isolation))
@pytest.mark.parametrize("scope", [HoldScope(tenant="acme"), HoldScope(tenant="acme", user="nobody yet")])
async def test_a_tenant_under_a_hold_is_not_erased(
    tmp_path: Path, isolation: Isolation, scope: HoldScope
) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await memory.tenants.register("acme", isolation=isolation)
        await memory.tenants.register("other", isolation=isolation)
        await hold(memory, scope)
        with pytest.raises(ConflictError, match="under a hold"):
            await memory.tenants.erase("acme", "the contract ended")
        await memory.tenants.erase("other", "the contract ended")
        await memory.holds.release("case-7", "over")
        await memory.tenants.erase("acme", "the contract ended")


async def test_copies_of_erased_users_keep_a_tenants_directory(tmp_path: Path) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await two_tenants(memory)
        await hold(memory, HoldScope(purpose=PURPOSE))
        await memory.user("alice", tenant="acme").erase(reason="asked")
        with pytest.raises(ConflictError, match="under a hold"):
            await memory.tenants.erase("acme", "the contract ended")
        await memory.holds.release("case-7", "over")
        await memory.tenants.erase("acme", "the contract ended")


# --- requests, purge runs ------------------------------------------------------------------------------------


async def test_requests_of_every_directory_are_due(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, settings=LOCAL, clock=clock) as memory:
        await two_tenants(memory)
        for tenant in ("other", "acme"):
            await memory.user("alice", tenant=tenant).requests.open("access")
            clock.advance(timedelta(days=1))
        due = await memory.requests.due(within_days=60)
        assert [one.subject.tenant for one in due if one.subject] == ["other", "acme"]
        assert await memory.requests.overdue() == []
        clock.advance(timedelta(days=60))
        assert [one.subject.tenant for one in await memory.requests.overdue() if one.subject] == [
            "other",
            "acme",
        ]
        for tenant in ("acme", "other"):
            await memory.user("alice", tenant=tenant).erase(reason="asked")
            clock.advance(timedelta(days=1))
        records = await memory.requests.erasures()
        assert len(records) == 2
        assert records[0].finished_at < records[1].finished_at
        directory = memory.tenants.directory("acme")
    (directory / "state.key").unlink()
    async with opened(tmp_path, settings=LOCAL, clock=clock) as memory:
        caplog.clear()
        assert len(await memory.requests.erasures()) == 1
        assert "1 directory of a tenant's own not open: what is in there is missing" in caplog.text


async def test_purge_runs_of_every_directory_are_shown(tmp_path: Path, clock: ManualClock) -> None:
    policy = tmp_path / "short.toml"
    policy.write_text(SHORT)
    async with opened(tmp_path / "data", settings={**LOCAL, "policy": str(policy)}, clock=clock) as memory:
        await two_tenants(memory)
        await memory.drain()
        clock.advance(timedelta(days=30))
        await memory.forget(confirmed=True)
        runs = await memory.purge_runs()
        assert len(runs) == 2
        assert sum(sum(one.counts.values()) for one in runs) == 2
        assert [one.at for one in runs] == sorted(one.at for one in runs)


# --- keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", OWN)
async def test_keys_are_rotated_where_they_are(tmp_path: Path, isolation: Isolation) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await two_tenants(memory, isolation)
        await memory.tenants.register("empty", isolation=isolation)
        heard: list[tuple[int, int]] = []
        report = await memory.keys.rotate("acme", progress=lambda done, of: heard.append((done, of)))
        assert (report.tenants, report.subjects, report.epochs_ended) == (1, 1, 1)
        assert heard[-1] == (report.keys, report.keys)
        assert await epochs(own_of(memory)) == {2}
        assert await epochs(parts_of(memory)) == {1}
        with pytest.raises(NotFoundError, match="holds nothing"):
            await memory.keys.rotate("empty")
        heard.clear()
        report = await memory.keys.rotate(progress=lambda done, of: heard.append((done, of)))
        assert (report.tenants, report.subjects, report.epochs_ended) == (2, 2, 2)
        assert heard == sorted(heard)
        assert heard[-1] == (report.keys, report.keys)
        states = sorted((one.epoch, one.state) for one in await memory.keys.status())
        assert states == [(1, "ended"), (1, "ended"), (2, "current"), (2, "ended"), (3, "current")]
        assert await contents(memory.user("alice", tenant="acme")) == ["the quagga of acme"]
        directory = memory.tenants.directory("acme")
    (directory / "state.key").unlink()
    async with opened(tmp_path, settings=LOCAL) as memory:
        with pytest.raises(TenantUnavailableError):
            await memory.keys.rotate("acme")
        with pytest.raises(TenantUnavailableError, match="the others' have ended"):
            await memory.keys.rotate()
        assert await epochs(parts_of(memory)) == {3}


# --- notices -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", OWN)
async def test_notices_are_found_by_users_of_every_directory(tmp_path: Path, isolation: Isolation) -> None:
    policy = tmp_path / "published.toml"
    policy.write_text(PUBLISHED_ONLY)
    settings = {**LOCAL, "policy": str(policy)}
    async with opened(tmp_path / "data", settings=settings) as memory:
        first = await memory.notices.publish(
            "privacy", version="1", language="en", text="Before there was acme."
        )
        await memory.tenants.register("acme", isolation=isolation)
        second = await memory.notices.publish("privacy", version="2", language="en", text="And after.")
        directory = memory.tenants.directory("acme")
        assert await own_of(memory).notices.all() == [first, second] == await memory.notices.list()
        alice = memory.user("alice", tenant="acme")
        await alice.consent.grant(PURPOSE, notice="privacy@1", explicit=True)
        with pytest.raises(InvalidInputError, match="published"):
            await alice.consent.grant(PURPOSE, notice="another", explicit=True)
        assert (await memory.tenants.ledger("acme").verify()).sound
    shutil.move(directory / "state.key", tmp_path / "aside.key")
    async with opened(tmp_path / "data", settings=settings) as memory:
        third = await memory.notices.publish("privacy", version="3", language="en", text="While it was shut.")
    shutil.move(tmp_path / "aside.key", directory / "state.key")
    async with opened(tmp_path / "data", settings=settings) as memory:
        assert await own_of(memory).notices.all() == [first, second, third]
        assert (
            await memory.notices.publish("privacy", version="3", language="en", text="While it was shut.")
            == third
        )
        await memory.user("alice", tenant="acme").consent.grant(PURPOSE, notice="privacy@3", explicit=True)
