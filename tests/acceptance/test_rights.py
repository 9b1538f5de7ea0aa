"""A person's rights by every door: consents, objections, restriction, requests, decisions, archives, erasure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, timedelta
from pathlib import Path

import pytest
from acceptance_house import PURPOSE, Side, walks
from likeness import alike

from tiered_memory.consent_records import verify_receipt
from tiered_memory.erasure import verify_certificate
from tiered_memory.errors import (
    ArchiveError,
    CorruptionError,
    InvalidInputError,
    NotFoundError,
    ObjectionNotApplicableError,
    RestrictedError,
)
from tiered_memory.formats.archive import ArchiveKind
from tiered_memory.privacy.consent import ConsentAction
from tiered_memory.privacy.decisions import Effect
from tiered_memory.privacy.requests import Outcome, Right

pytestmark = pytest.mark.anyio
SAID = "My sister Hannah moved to Lisbon."


@walks("consents.grant", "consents.current", "consents.history", "consents.refuse", "consents.withdraw")
async def test_consents_are_recorded(side: Side) -> None:
    user, own = side.memory.user(side.house.name(), "acme"), None
    ends = side.clock.now() + timedelta(days=90)
    event = await user.consent.grant(
        PURPOSE,
        notice="notice 1",
        expires_at=ends,
        details={"form": 7},
        method="form",
        recipients=["a bank"],
    )
    own = side.embedded(user).consent
    assert event.action is ConsentAction.GIVEN
    assert event.details["form"] == 7
    alike(await user.consent.current(), await own.current())
    await user.add(SAID, importance=0.9)
    assert await user.consent.withdraw(PURPOSE, reason="asked") == 1
    assert await user.consent.current() == {}
    assert (await user.consent.refuse(PURPOSE, notice="notice 1")).action is ConsentAction.REFUSED
    history = await user.consent.history(PURPOSE)
    assert [one.action for one in history][-1] is ConsentAction.REFUSED
    alike(history, await own.history())


@walks("consents.receipt", "tenant_ledger.verification_key")
async def test_a_receipt_verifies(side: Side) -> None:
    user = await side.person()
    receipt = await user.consent.receipt(PURPOSE)
    key = await side.memory.tenants.ledger("acme").verification_key()
    verify_receipt(receipt, key)
    with pytest.raises(CorruptionError):
        verify_receipt(replace(receipt, signature="00" * 64), key)
    with pytest.raises(NotFoundError):
        await user.consent.receipt("service")


@walks("objections.object_to", "objections.list", "objections.lift")
async def test_objections_end_what_nobody_was_asked_about(side: Side) -> None:
    user = await side.person()
    await user.add(SAID, importance=0.9, purpose="improvement")
    objection = await user.object_to("improvement", reason="no")
    assert objection.purpose == "improvement"
    assert await user.list() == []
    alike(await user.objections(), await side.embedded(user).objections())
    assert await user.lift_objection("improvement") is True
    assert await user.lift_objection("improvement") is False
    with pytest.raises(ObjectionNotApplicableError):
        await user.object_to("service")


@walks("restrictions.restrict", "restrictions.list", "restrictions.lift")
async def test_what_is_restricted_is_not_used(side: Side) -> None:
    user = await side.person()
    await user.add(SAID, importance=0.9)
    made = await user.rights.restrict(reason="disputed", until=side.clock.now() + timedelta(days=3))
    alike(await user.rights.restrictions(), await side.embedded(user).rights.restrictions())
    assert made.lifted_at is None
    with pytest.raises(RestrictedError):
        await user.search("Hannah")
    assert (await user.rights.lift_restriction(reason="settled")).lifted_at is not None
    assert len(await user.list()) == 1


@walks(
    "requests.open", "requests.list", "requests.extend", "requests.close", "requests.due", "requests.overdue"
)
async def test_requests_have_their_day(side: Side) -> None:
    user = await side.person()
    request = await user.requests.open(
        Right.ACCESS,
        received_at=side.clock.now(),
        channel="mail",
        note="all of it",
        holidays=[date(2026, 12, 25)],
    )
    assert request.due_at.utcoffset() is not None
    later = await user.requests.extend(request.id, months=1, reason="many requests")
    assert later.due_at > request.due_at
    alike(await user.requests.list(), await side.embedded(user).requests.list())
    due = await side.memory.requests.due(within_days=100)
    assert request.id in {one.request.id for one in due}
    alike(due, await side.owner.requests.due(within_days=100))
    assert isinstance(await side.memory.requests.overdue(), list)
    closed = await user.requests.close(request.id, outcome=Outcome.REFUSED, reason="unfounded")
    assert closed.outcome is Outcome.REFUSED


@walks(
    "decisions.record", "decisions.list", "decisions.explain", "decisions.request_review", "decisions.review"
)
async def test_decisions_are_explained_and_reviewed(side: Side) -> None:
    user = await side.person()
    receipt = await user.add(SAID, importance=0.9)
    record = await user.decisions.record(
        "credit refused", memory_ids=[receipt.id], effect=Effect.LEGAL, logic="a rule", outcome="refused"
    )
    assert record.needs_review
    explained = await user.decisions.explain(record.id)
    alike(explained, await side.embedded(user).decisions.explain(record.id))
    await user.decisions.request_review(record.id, reason="unfair")
    reviewed = await user.decisions.review(record.id, reviewer="officer", outcome="granted")
    assert not reviewed.needs_review
    alike(await user.decisions.list(), await side.embedded(user).decisions.list())


@walks("retention.event")
async def test_events_of_a_person_begin_terms(side: Side) -> None:
    user = await side.person()
    receipt = await user.add(SAID, importance=0.9, purpose="service")
    before = (await user.explain(receipt.id)).deadline
    await user.retention.event("account_closed", at=side.clock.now())
    after = (await user.explain(receipt.id)).deadline
    assert after is not None
    assert before is None or after < before


@walks("person.about")
async def test_a_dossier_tells_everything(side: Side) -> None:
    user = await side.person()
    await user.add(SAID, importance=0.9)
    dossier = await user.about()
    own = await side.embedded(user).about()
    assert type(dossier) is type(own)
    assert sum(one.count for one in dossier.held) == 1
    alike(replace(dossier, recorded=own.recorded), own)


@walks("person.export", "person.import")
async def test_an_archive_goes_out_and_in(side: Side, tmp_path: Path) -> None:
    user, other = await side.person(), await side.person()
    for number in range(3):
        await user.add(f"Number {number} counts.", importance=0.9)
    archive = await user.export(tmp_path, kind=ArchiveKind.PORTABILITY)
    assert (archive.path.parent, archive.path.stat().st_size) == (tmp_path, archive.bytes)
    assert archive.kind is ArchiveKind.PORTABILITY
    assert archive.made_at.astimezone(UTC) <= side.clock.now()
    with pytest.raises(InvalidInputError):
        await user.export(archive.path)
    with pytest.raises(InvalidInputError):
        await other.import_archive(archive.path)
    report = await other.import_archive(archive.path, accept_other_subject=True)
    assert report.added == 3
    assert (await other.import_archive(archive.path, accept_other_subject=True)).added == 0
    assert len(await other.list()) == 3


@walks("person.import")
async def test_what_is_no_archive_is_refused(side: Side, tmp_path: Path) -> None:
    user = await side.person()
    fake = tmp_path / "fake.zip"
    fake.write_bytes(b"PK nothing")
    with pytest.raises(ArchiveError):
        await user.import_archive(fake)
    with pytest.raises(InvalidInputError):
        await user.import_archive(tmp_path / "missing.zip")


@walks("person.erase", "requests.erasures")
async def test_an_erasure_is_proven(side: Side) -> None:
    user = await side.person()
    await user.add(SAID, importance=0.9)
    certificate = await user.erase(reason="asked")
    verify_certificate(certificate)
    with pytest.raises(CorruptionError):
        verify_certificate(replace(certificate, reason="another"))
    assert certificate.verified
    assert await user.list() == []
    kept = await side.memory.requests.erasures()
    assert certificate.id in {one.certificate for one in kept}
    alike(kept, await side.owner.requests.erasures())
