"""A whole memory by every door: forgetting, holds, keys, notices, tenants, ledgers, reports, API keys, events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from acceptance_house import HTTP, PURPOSE, SOCKET, Side, walks
from likeness import alike

from tiered_memory import TieredMemory
from tiered_memory.auditing import Ledger
from tiered_memory.caller import Caller
from tiered_memory.errors import (
    AccessDeniedError,
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    TenantUnknownError,
    UnauthenticatedError,
)
from tiered_memory.forget_model import MemoryEvent
from tiered_memory.hold_model import HoldScope
from tiered_memory.job_model import JobOutcome
from tiered_memory.principals import Grant
from tiered_memory.privacy.tenancy import Isolation, TenantStatus

pytestmark = pytest.mark.anyio
SAID = "My sister Hannah moved to Lisbon."


@walks("store.health", "store.stats", "store.forecast", "store.drain", "store.purge_runs")
async def test_how_it_stands(side: Side) -> None:
    user = await side.person()
    await user.add(SAID, importance=0.9)
    await side.memory.drain()
    health = await side.memory.health()
    assert health.ready
    alike(health, await side.owner.health())
    stats = await side.memory.stats()
    assert stats.memories > 0
    alike(replace(stats, taken_at_us=0), replace(await side.owner.stats(), taken_at_us=0))
    alike(await side.memory.forecast(30, policy="gdpr"), await side.owner.forecast(30, policy="gdpr"))
    alike(await side.memory.purge_runs(), await side.owner.purge_runs())


@walks("store.forget", "store.events", "tenants.events")
async def test_events_tell_what_was_forgotten(side: Side) -> None:
    user = await side.person()
    receipt = await user.add(SAID, importance=0.5)
    side.clock.advance(timedelta(days=300).total_seconds())
    async with side.memory.events(buffered=10) as whole, side.memory.tenants.events("acme") as tenants:
        plan = await side.memory.forget(dry_run=True)
        assert receipt.id in {one.memory_id for one in plan.planned}
        report = await side.memory.forget(confirmed=True)
        assert receipt.id in report.forgotten
        for stream in (whole, tenants):
            event = await anext(one async for one in stream if one.memory_id == receipt.id)
            assert isinstance(event, MemoryEvent)
            assert (event.subject, event.change) == (user.subject, "forgotten")
    with pytest.raises(StopAsyncIteration):
        await anext(whole)


@walks("holds.place", "holds.list", "holds.due_for_review", "holds.release")
async def test_holds_keep_until_released(side: Side) -> None:
    user, name = await side.person(), side.house.name("hold")
    receipt = await user.add(SAID, importance=0.9)
    scope = HoldScope(
        tenant="acme", user=user.subject.user, memory_ids=frozenset({receipt.id}), purpose=PURPOSE
    )
    review = side.clock.now() + timedelta(days=1)
    hold = await side.memory.holds.place(
        name, scope=scope, owner="counsel", reason="a suit", review_at=review
    )
    assert hold.scope == scope
    assert isinstance(hold.scope.memory_ids, frozenset)
    with pytest.raises(ConflictError):
        await side.memory.holds.place(name, scope=scope, owner="counsel", reason="a suit", review_at=review)
    alike(await side.memory.holds.list(), await side.owner.holds.list())
    side.clock.advance(timedelta(days=2).total_seconds())
    assert name in {one.name for one in await side.memory.holds.due_for_review()}
    assert (await side.memory.holds.release(name, "settled")).released_at is not None
    alike(await side.memory.holds.list(released=True), await side.owner.holds.list(released=True))


@walks("keys.status", "keys.rotate", "keys.rotate_root")
async def test_keys_are_rotated(side: Side) -> None:
    user = await side.person()
    receipt = await user.add(SAID, importance=0.9)
    report = await side.memory.keys.rotate("acme")
    assert (report.tenants, report.left) == (1, 0)
    await side.memory.keys.rotate_root()
    alike(await side.memory.keys.status(), await side.owner.keys.status())
    assert (await user.get(receipt.id)).content == SAID
    with pytest.raises(NotFoundError):
        await side.memory.keys.rotate("nobody")


@walks("jobs.list", "jobs.get", "jobs.run", "jobs.pause", "jobs.resume")
async def test_jobs_are_run_and_paused(side: Side) -> None:
    jobs = side.memory.jobs
    name = (await jobs.list())[0].name
    alike(await jobs.list(), await side.owner.jobs.list())
    assert (await jobs.run(name)).last_outcome is JobOutcome.OK
    assert [one.paused for one in await jobs.pause(name)] == [True]
    alike(await jobs.get(name), await side.owner.jobs.get(name))
    assert not any(one.paused for one in await jobs.resume())
    with pytest.raises(NotFoundError):
        await jobs.run("nothing")


@walks("notices.publish", "notices.get", "notices.list")
async def test_notices_are_published(side: Side) -> None:
    name = side.house.name("notice")
    stated = {"language": "en", "text": "What we do.", "purposes": [PURPOSE], "contact": "dpo@example.org"}
    notice = await side.memory.notices.publish(name, version="1", **stated)
    assert notice.purposes == (PURPOSE,)
    alike(await side.memory.notices.get(f"{name}@1", language="en"), await side.owner.notices.get(name))
    alike(await side.memory.notices.list(), await side.owner.notices.list())
    with pytest.raises(ConflictError):
        await side.memory.notices.publish(name, version="1", language="en", text="Else.")
    with pytest.raises(NotFoundError):
        await side.memory.notices.get("unpublished")


@walks("tenants.register", "tenants.get", "tenants.list", "tenants.change", "tenants.usage", "tenants.erase")
async def test_tenants_come_and_go(side: Side) -> None:
    tenants, name = side.memory.tenants, side.house.name("tenant")
    made = await tenants.register(name, quota_mib=5, allowed_agents=["planner"])
    assert made.rules.isolation is Isolation.MINIMAL
    assert made.status is TenantStatus.ACTIVE
    with pytest.raises(ConflictError):
        await tenants.register(name)
    changed = await tenants.change(name, quota_mib=None)
    assert (changed.rules.quota_mib, changed.rules.allowed_agents) == (None, frozenset({"planner"}))
    alike(await tenants.get(name), await side.owner.tenants.get(name))
    alike(await tenants.list(), await side.owner.tenants.list())
    since = side.clock.now() - timedelta(days=1)
    alike(await tenants.usage(name, since=since), await side.owner.tenants.usage(name, since=since))
    certificate = await tenants.erase(name, "left")
    assert certificate.reason == "left"
    with pytest.raises(TenantUnknownError):
        await tenants.get(name)


@walks(
    "ledger.verification_key",
    "ledger.checkpoint",
    "ledger.verify",
    "tenant_ledger.verification_key",
    "tenant_ledger.checkpoint",
    "tenant_ledger.verify",
    "ledger.entries",
    "tenant_ledger.entries",
)
async def test_ledgers_verify(side: Side) -> None:
    await side.person()
    for ledger, own in (
        (side.memory.ledger, side.owner.ledger),
        (side.memory.tenants.ledger("acme"), side.owner.tenants.ledger("acme")),
    ):
        assert isinstance(ledger, Ledger)
        assert await ledger.verification_key() == own.public_key
        checkpoint = await ledger.checkpoint()
        assert checkpoint is not None
        entries = await ledger.entries(limit=3)
        alike(entries, await own.entries(limit=3))
        alike(await ledger.entries(limit=1, before=entries[0].index), entries[1:2])
        verdict = await ledger.verify((checkpoint,))
        alike(verdict, await own.verify((checkpoint,)))


@walks("ledger.export", "tenant_ledger.export", "holds.export", "store.backup")
async def test_the_owner_alone_names_files(side: Side, tmp_path: Path) -> None:
    """Paths of the daemon's machine are taken over its own socket."""
    memory, name = side.memory, side.house.name("hold")
    await side.owner.holds.place(
        name,
        scope=HoldScope(tenant="acme"),
        owner="counsel",
        reason="a suit",
        review_at=side.clock.now() + timedelta(days=1),
    )
    calls = (
        memory.ledger.export(tmp_path / "store-ledger"),
        memory.tenants.ledger("acme").export(tmp_path / "ledger"),
        memory.holds.export(name, tmp_path / "held.jsonl"),
        memory.backup(tmp_path / "backup"),
    )
    for call in calls:
        if side.door == HTTP:
            with pytest.raises(AccessDeniedError):
                await call
        else:
            assert await call is not None
    assert (tmp_path / "backup").exists() is (side.door != HTTP)
    await side.owner.holds.release(name, "settled")


@walks("tenants.backup")
async def test_a_tenants_own_directory_is_the_daemons(side: Side, tmp_path: Path) -> None:
    refused = AccessDeniedError if side.door == HTTP else (InvalidInputError, TenantUnknownError)
    with pytest.raises(refused):
        await side.memory.tenants.backup("acme", tmp_path / "backup")
    kinds = ConfigurationError if side.is_remote else (InvalidInputError, TenantUnknownError)
    with pytest.raises(kinds):
        side.memory.tenants.directory("acme")


@walks("reports.compliance", "reports.activities")
async def test_reports_are_pages(side: Side) -> None:
    await side.person()
    report = await side.memory.reports.compliance("gdpr", since=side.clock.now() - timedelta(days=30))
    own = await side.owner.reports.compliance("gdpr", since=side.clock.now() - timedelta(days=30))
    alike(report, own)
    assert report.markdown() == own.markdown()
    assert report.html() == own.html()
    activities = await side.memory.reports.activities(tenant="acme")
    assert activities.markdown() == (await side.owner.reports.activities(tenant="acme")).markdown()
    with pytest.raises(InvalidInputError):
        await side.memory.reports.compliance("none")


@walks("api_keys.create", "api_keys.list", "api_keys.revoke", "api_keys.rotate")
async def test_api_keys_open_the_door_they_are_for(side: Side) -> None:
    keys = side.memory.api_keys
    ends = (side.clock.now() + timedelta(days=30)).astimezone(UTC)
    made = await keys.create(
        side.house.name("key"), grants=[Grant.READ], tenant="acme", user="ann", expires_at=ends
    )
    assert made.key.expires_at == ends
    assert made.key.grants == (Grant.READ,)
    alike(await keys.list(), await side.owner.api_keys.list())
    async with TieredMemory.open(side.house.addresses[HTTP], api_key=made.secret) as memory:
        assert await memory.user("ann", "acme").list() == []
        for refused in (
            memory.user("bob", "acme").list(),
            memory.user("ann", "acme").add(SAID),
            memory.stats(),
        ):
            with pytest.raises(AccessDeniedError):
                await refused
        following = await keys.rotate(made.key.id, overlap_hours=1.5)
        assert following.key.id != made.key.id
        await keys.revoke(made.key.id, "lost")
        with pytest.raises(UnauthenticatedError):
            await memory.user("ann", "acme").list()
    with pytest.raises(NotFoundError):
        await keys.revoke("0" * 16, "lost")


@walks("memories.list")
async def test_callers_have_roles(side: Side) -> None:
    user = await side.person()
    await user.add(SAID, importance=0.9)
    known = side.memory.user(user.subject.user, "acme", caller=Caller(actor="Zoë/1", context="support chat"))
    assert len(await known.list()) == 1
    unknown = side.memory.user(user.subject.user, "acme", caller=Caller(role="nobody"))
    with pytest.raises(AccessDeniedError):
        await unknown.list()


async def test_doors_say_who_they_are(side: Side) -> None:
    assert isinstance(side.memory, TieredMemory)
    assert side.house.addresses[SOCKET].startswith("unix:/")
    assert side.memory.user("ann", "acme").subject == side.owner.user("ann", "acme").subject
