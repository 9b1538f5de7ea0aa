"""Reports say what the live configuration and the ledger show, and what is missing becomes met when it is done."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from support import PURPOSE, consenting, opened, state_of

from tiered_memory.accounts.frameworks import FRAMEWORKS
from tiered_memory.accounts.judgement import Status
from tiered_memory.errors import InvalidInputError
from tiered_memory.memory import TieredMemory
from tiered_memory.reports_face import ComplianceReport
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
POLICY = """
schema = 1
name = "shown"
[consent]
require_published_notice = true
controller = "Acme Ltd"
contact = "privacy@acme.example"
jurisdiction = "EU"
[pii]
public = "mask"
internal = "mask"
confidential = "mask"
restricted = "mask"
[access.agent]
search = "confidential"
read = "confidential"
write = "restricted"
[purposes.personalization]
lawful_basis = "consent"
recipients = ["nobody"]
data_categories = ["conversation"]
"""


def found(report: ComplianceReport, reference: str) -> Status:
    return next(one.status for one in report.assessment.findings if one.reference == reference)


async def test_a_store_as_it_comes_is_told_what_is_missing(memory: TieredMemory) -> None:
    alice = await consenting(memory, "alice")
    await alice.add("I moved to Lisbon", importance=0.9)
    report = await memory.reports.compliance("gdpr")
    assert found(report, "Art. 13, 14") is Status.NOT_MET
    assert found(report, "Art. 5(2)") is Status.MET
    assert report.facts.event("consent_given") == 1
    assert (report.facts.purposes[0].subjects, report.facts.purposes[0].memories) == (1, 1)
    assert any("publish a notice" in one for one in report.assessment.recommendations)


async def test_with_everything_done_nothing_is_left_to_do(tmp_path: Path) -> None:
    policy = tmp_path / "shown.toml"
    policy.write_text(POLICY)
    async with opened(tmp_path / "data", settings={"policy": str(policy)}) as memory:
        await memory.notices.publish("privacy", version="1", language="en", text="What we keep and why.")
        alice = memory.user("alice", tenant="acme")
        await alice.consent.grant(PURPOSE, notice="privacy")
        await alice.add("I moved to Lisbon", importance=0.9)
        await alice.search("where do I live?")
        report = await memory.reports.compliance("gdpr")
        assert report.assessment.recommendations == ()
        assert report.assessment.status is Status.MET
        assert report.facts.event("accessed") >= 1
        record = (await memory.reports.activities()).record
        assert (record.controller, record.activities[0].to_complete) == ("Acme Ltd", ())
        for shown in (report.html(), report.markdown(), (await memory.reports.activities()).html()):
            assert "alice" not in shown
            assert "Lisbon" not in shown


async def test_a_period_counts_what_lies_in_it(tmp_path: Path, clock: ManualClock) -> None:
    async with opened(tmp_path, clock=clock) as memory:
        await consenting(memory, "alice")
        clock.advance(timedelta(days=40))
        await consenting(memory, "bob")
        now = clock.now()
        late = await memory.reports.compliance("gdpr", since=now - timedelta(days=1))
        early = await memory.reports.compliance("gdpr", until=now - timedelta(days=1))
        assert [one.facts.event("consent_given") for one in (late, early)] == [1, 1]
        assert late.facts.ledger.people == 1
        with pytest.raises(InvalidInputError, match="since"):
            await memory.reports.compliance("gdpr", since=now, until=now - timedelta(days=1))
        with pytest.raises(InvalidInputError, match="hipaa"):
            await memory.reports.compliance("gdbr")


async def test_an_overdue_request_is_named_until_it_is_closed(tmp_path: Path, clock: ManualClock) -> None:
    async with opened(tmp_path, clock=clock) as memory:
        alice = await consenting(memory, "alice")
        asked = await alice.requests.open("access")
        clock.advance(timedelta(days=40))
        assert found(await memory.reports.compliance("gdpr"), "Art. 12(3)") is Status.NOT_MET
        await alice.requests.close(asked.id, outcome="fulfilled", reason="sent")
        assert found(await memory.reports.compliance("gdpr"), "Art. 12(3)") is Status.MET


async def test_an_edited_ledger_shows_in_every_framework(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        await consenting(memory, "alice")
        await memory.ledger.checkpoint()
        with closing(state_of(tmp_path)) as db:
            db.execute("UPDATE audit SET leaf = CAST(replace(CAST(leaf AS TEXT), 'given', 'taken') AS BLOB)")
        for framework in FRAMEWORKS:
            report = await memory.reports.compliance(framework)
            assert report.assessment.status is Status.NOT_MET
            assert any("does not verify" in one for one in report.assessment.recommendations)
