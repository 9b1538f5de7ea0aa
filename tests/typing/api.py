"""The public API as a user writes it. Never run: `mypy --strict` reads it, and each `assert_type` is a promise."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_type

import tiered_memory
from tiered_memory import (
    Certificate,
    Context,
    Filter,
    Hit,
    Interaction,
    Memory,
    Receipt,
    Settings,
    TieredMemory,
    TieredMemoryError,
    User,
)
from tiered_memory.analytics.duckdb_views import Stats
from tiered_memory.api_keys_face import ApiKeysFace
from tiered_memory.archive import Archive
from tiered_memory.archive_files import verify_archive
from tiered_memory.archive_plan import ImportReport
from tiered_memory.caller import Caller
from tiered_memory.consent_records import ConsentTerms, verify_receipt
from tiered_memory.core import ForgetHook
from tiered_memory.corrections import Correction
from tiered_memory.dossier import Dossier
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.forecast_model import ForgettingForecast
from tiered_memory.forget_model import ForgetBatch, MemoryEvent
from tiered_memory.hold_model import Hold, HoldScope, PurgeRun
from tiered_memory.job_model import JobStatus
from tiered_memory.principals import Grant, Principal
from tiered_memory.privacy.api_keys import ApiKey, NewApiKey
from tiered_memory.privacy.audit import Verdict
from tiered_memory.privacy.checkpoint import SignedCheckpoint
from tiered_memory.privacy.consent import ConsentEvent
from tiered_memory.privacy.consent_receipt import ConsentReceipt
from tiered_memory.privacy.decisions import DecisionExplanation, DecisionRecord
from tiered_memory.privacy.notices import Notice
from tiered_memory.privacy.objections import Objection
from tiered_memory.privacy.requests import Request
from tiered_memory.privacy.restriction import Restriction
from tiered_memory.privacy.sharing import Member, MemberKind
from tiered_memory.privacy.tenancy import Isolation, Tenant, TenantCertificate, TenantUsage
from tiered_memory.reembed import ReembedReport
from tiered_memory.requesting import DueRequest
from tiered_memory.shared_face import SharedChange, SharedMember, SharedMemory
from tiered_memory.tenants_face import TenantsFace
from tiered_memory.wiring import Overrides


async def open_in_every_way(settings: Settings) -> None:
    async with TieredMemory.open("./data") as memory:
        assert_type(memory, TieredMemory)
    async with TieredMemory.open(Path("data")) as memory:
        assert_type(memory.user("alice"), User)
    memory = TieredMemory.open(settings)
    await memory.close()


async def write(alice: User) -> None:
    await alice.consent.grant("personalization", notice="privacy-2026-11")
    receipt = await alice.add(
        "I prefer concise answers",
        role="user",
        session="s1",
        occurred_at=datetime(2026, 11, 20, tzinfo=UTC),
        metadata={"channel": "chat"},
        operation_id="op-1",
    )
    assert_type(receipt, Receipt)
    assert_type(receipt.importance, float)
    assert_type(receipt.reasons, tuple[str, ...])
    many = await alice.add_many([Interaction(content="one"), Interaction(content="two", author="Alice")])
    assert_type(many, list[Receipt])


async def rights(memory: TieredMemory, alice: User) -> None:
    done = await alice.update(
        "0" * 32, "I prefer long answers", reason="misheard", sensitivity="confidential"
    )
    assert_type(done, Correction)
    assert_type(done.memory, Memory)
    assert_type(done.affected, tuple[str, ...])
    assert_type((await alice.history(done.memory.id))[0].corrected_at, datetime | None)
    frozen = await alice.rights.restrict(reason="contested", until=datetime(2027, 1, 1, tzinfo=UTC))
    assert_type(frozen, Restriction)
    assert_type(await alice.rights.lift_restriction(reason="settled"), Restriction)
    record = await alice.decisions.record("credit", memory_ids=[done.memory.id], effect="legal")
    assert_type(record, DecisionRecord)
    assert_type(record.needs_review, bool)
    assert_type(await alice.decisions.explain(record.id), DecisionExplanation)
    assert_type(await alice.decisions.list(), list[DecisionRecord])
    request = await alice.requests.open("access", channel="mail")
    assert_type(request, Request)
    assert_type(await alice.requests.list(), list[Request])
    assert_type(await memory.requests.due(within_days=7), list[DueRequest])
    assert_type((await memory.requests.erasures())[0].received_at, datetime | None)
    assert_type((await alice.about()).requests, tuple[Request, ...])


async def jobs(memory: TieredMemory) -> None:
    assert_type(await memory.jobs.list(), list[JobStatus])
    assert_type((await memory.jobs.run("backup")).next_due, datetime | None)
    assert_type((await memory.jobs.pause("forget"))[0].paused_since, datetime | None)
    assert_type(await memory.jobs.resume(), list[JobStatus])


async def consent(memory: TieredMemory, alice: User) -> None:
    notice = await memory.notices.publish(
        "privacy", version="1", language="en", text="...", purposes=["advice"]
    )
    assert_type(notice, Notice)
    assert_type(await memory.notices.get("privacy@1", language="en"), Notice)
    assert_type(await memory.notices.list(), list[Notice])
    terms: ConsentTerms = {"method": "web form", "recipients": ["printer"], "data_categories": ["names"]}
    assert_type(await alice.consent.grant("advice", notice="privacy", explicit=True, **terms), ConsentEvent)
    assert_type(await alice.consent.refuse("advice", notice="privacy", actor="desk 4"), ConsentEvent)
    assert_type(await alice.consent.history("advice"), list[ConsentEvent])
    receipt = await alice.consent.receipt("advice")
    assert_type(receipt, ConsentReceipt)
    verify_receipt(receipt)
    assert_type(await alice.object_to("insight", compelling_grounds="file 9"), Objection)
    assert_type(await alice.lift_objection("insight"), bool)
    assert_type(await alice.objections(), list[Objection])


async def read(alice: User) -> None:
    recent = Filter(since=datetime(2026, 1, 1, tzinfo=UTC), sessions=frozenset({"s1"}))
    hits = await alice.search("how should I answer?", limit=5, where=recent)
    assert_type(hits, list[Hit])
    assert_type(hits[0].memory.content, str)
    assert_type(hits[0].terms, Mapping[str, float])
    context = await alice.context("how should I answer?", session="s1", token_budget=1500)
    assert_type(context, Context)
    assert_type(context.render(), str)
    assert_type(context.messages(), list[dict[str, str]])
    assert_type(await alice.get(hits[0].memory.id), Memory)
    assert_type(await alice.list(limit=10), list[Memory])
    explanation = await alice.explain(hits[0].memory.id)
    assert_type(explanation.forget_at, datetime | None)
    assert_type(await alice.used([hit.memory.id for hit in hits]), int)


async def forget(memory: TieredMemory, alice: User) -> None:
    plan = await memory.forget(dry_run=True)
    assert_type(plan.reasons, Mapping[str, int])
    await alice.forget(confirmed=True)
    faded = await alice.forgotten()
    assert_type(await alice.restore(faded[0].id), Memory)
    await alice.pin(faded[0].id)
    await alice.unpin(faded[0].id)
    await alice.delete(faded[0].id, reason="asked for")
    assert_type(await alice.consent.withdraw("personalization"), int)
    certificate = await alice.erase(reason="request")
    assert_type(certificate, Certificate)
    assert_type(certificate.verified, bool)
    assert_type(await memory.stats(), Stats)
    await memory.drain()


async def move(settings: Settings) -> None:
    report = await TieredMemory.reembed("./data", "static", dry_run=True)
    assert_type(report, ReembedReport)
    assert_type(report.seconds, float)
    heard: list[tuple[int, int]] = []
    await TieredMemory.reembed(settings, StaticEmbedder(), progress=lambda *counts: heard.append(counts))


async def foresee(memory: TieredMemory, alice: User) -> None:
    assert_type(await memory.forecast(30), ForgettingForecast)
    forecast = await alice.forecast(policy="seed")
    assert_type(forecast.present.buckets[0].forgotten, Mapping[str, int])
    async for event in memory.events():
        assert_type(event, MemoryEvent)
    assert_type(await memory.ledger.verify(), Verdict)
    assert_type(await memory.ledger.checkpoint(), SignedCheckpoint | None)
    assert_type(await alice.about(), Dossier)


async def share(memory: TieredMemory) -> None:
    desk = Caller(role="support", actor="desk-7", context="support chat")
    assert_type(memory.user("alice", tenant="acme", caller=desk), User)
    plan = memory.shared("team-plan", tenant="acme", user="alice")
    assert_type(plan, SharedMemory)
    await plan.create(notice="team-notice-1", purpose="personalization")
    assert_type(await plan.grant_access(Member("bob"), {"read", "write"}), str)
    await plan.grant_access(Member("planner", MemberKind.AGENT), ["read"])
    await plan.revoke_access(Member("bob"))
    assert_type(await plan.members(), list[SharedMember])
    assert_type(await plan.changes(), list[SharedChange])
    assert_type(await plan.add("The launch is on Monday", sensitivity="internal"), Receipt)
    assert_type(await plan.search("launch", limit=3), list[Hit])
    assert_type(await plan.list(), list[Memory])
    assert_type(await plan.erase(reason="over"), Certificate)
    memory.user("alice", caller="support")  # type: ignore[arg-type]
    await plan.add("x", author="alice")  # type: ignore[call-arg]


async def take_out_and_in(alice: User) -> None:
    made = await alice.export("alice.zip", kind="portability", progress=lambda done, total: None)
    assert_type(made, Archive)
    assert_type(made.path, Path)
    report = await alice.import_archive(made.path, purpose="personalization", public_key=made.public_key)
    assert_type(report, ImportReport)
    assert_type(report.refused, Mapping[str, int])
    assert_type(verify_archive(made.path).manifest.damaged, tuple[str, ...])


async def keep_all(batch: ForgetBatch) -> set[str]:
    return {one.memory_id for one in batch.memories}


assert_type(Overrides(before_forget=keep_all).before_forget, ForgetHook | None)


async def go_wrong(alice: User) -> None:
    try:
        await alice.add("")
    except TieredMemoryError as error:
        assert_type(error, TieredMemoryError)
    await alice.add("x", colour="red")  # type: ignore[call-arg]
    await alice.search("x", top=5)  # type: ignore[call-arg]
    await alice.add_many("not interactions")  # type: ignore[arg-type]


assert_type(tiered_memory.__version__, str)


async def hold_and_release(memory: TieredMemory) -> None:
    scope = HoldScope(tenant="acme", user="alice", purpose="personalization")
    review_at = datetime(2027, 1, 1, tzinfo=UTC)
    placed = await memory.holds.place(
        "case-7", scope=scope, owner="counsel", reason="claim", review_at=review_at
    )
    assert_type(placed, Hold)
    assert_type(await memory.holds.list(released=True), list[Hold])
    assert_type(await memory.holds.due_for_review(), list[Hold])
    assert_type(await memory.holds.export("case-7", "held.jsonl"), int)
    assert_type(await memory.holds.release("case-7", "settled"), Hold)
    assert_type(await memory.purge_runs(), list[PurgeRun])
    await memory.user("alice").retention.event("contract_end", at=review_at)


async def operate_tenants(memory: TieredMemory) -> None:
    assert_type(memory.tenants, TenantsFace)
    made = await memory.tenants.register(
        "acme",
        quota_mib=5,
        allowed_agents={"helper"},
        isolation="strict",
        residency=None,
        retention_days=30.0,
    )
    assert_type(made, Tenant)
    assert_type(made.rules.isolation, Isolation)
    assert_type(await memory.tenants.change("acme", quota_mib=None, audit=False), Tenant)
    assert_type(await memory.tenants.get("acme"), Tenant)
    assert_type(await memory.tenants.list(), list[Tenant])
    assert_type(await memory.tenants.usage("acme", since=datetime.now(UTC)), TenantUsage)
    assert_type(await memory.tenants.erase("acme", "contract ended"), TenantCertificate)
    assert_type(await memory.tenants.ledger("acme").verify(), Verdict)
    assert_type(memory.tenants.directory("acme"), Path)
    await memory.tenants.register("acme", quota="5")  # type: ignore[call-arg]
    await memory.tenants.register("acme", audit="no")  # type: ignore[arg-type]
    await memory.tenants.erase("acme")  # type: ignore[call-arg]


async def operate_api_keys(memory: TieredMemory) -> None:
    assert_type(memory.api_keys, ApiKeysFace)
    made = await memory.api_keys.create("bot", grants=["memories:read", Grant.WRITE], tenant="acme")
    assert_type(made, NewApiKey)
    assert_type(made.secret, str)
    assert_type(await memory.api_keys.list(), list[ApiKey])
    assert_type(await memory.api_keys.rotate(made.key.id, overlap_hours=0.5), NewApiKey)
    assert_type(await memory.api_keys.revoke(made.key.id, "leaked"), ApiKey)
    assert_type(memory.api_keys.verify(made.secret), Principal)
    await memory.api_keys.create("bot")  # type: ignore[call-arg]
    await memory.api_keys.create("bot", grants=["audit"], until="soon")  # type: ignore[call-arg]
