"""A report on the store is about every directory of it, and says which it could not read."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import consenting, opened, state_of

from tiered_memory.accounts.judgement import Status
from tiered_memory.memory import TieredMemory
from tiered_memory.reports_face import ComplianceReport

pytestmark = pytest.mark.anyio
LOCAL: dict[str, Any] = {"redis_url": "local"}


def ledger_stands(report: ComplianceReport) -> Status:
    return next(one.status for one in report.assessment.findings if one.reference == "Art. 5(2)")


async def filled(memory: TieredMemory) -> None:
    """Somebody in the store's directory, somebody in a tenant's own."""
    await memory.tenants.register("acme", isolation="strict")
    for tenant in ("default", "acme"):
        person = await consenting(memory, tenant=tenant)
        await person.add("the plan is green", importance=0.9)
        await person.requests.open("access")


async def test_what_lies_in_a_directory_of_a_tenant_is_in_the_report(tmp_path: Path) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await filled(memory)
        whole = (await memory.reports.compliance("gdpr")).facts
        own = (await memory.reports.compliance("gdpr", tenant="acme")).facts
        assert (whole.directories, whole.directories_unread, own.directories) == (2, 0, 1)
        for facts, many in ((whole, 2), (own, 1)):
            assert (facts.purposes[0].subjects, facts.purposes[0].memories) == (many, many)
            assert facts.event("consent_given") == facts.requests_open == facts.ledger.people == many
        assert whole.ledger.entries > own.ledger.entries > 0
        record = await memory.reports.activities()
        assert record.record.activities[0].memories == 2
        assert "About 2 data directories." in record.markdown()


async def test_a_ledger_edited_in_a_directory_of_a_tenant_shows_without_naming_the_tenant(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await filled(memory)
        directory = memory.tenants.directory("acme")
        assert directory is not None
        assert ledger_stands(await memory.reports.compliance("gdpr")) is Status.MET
        with closing(state_of(directory)) as db:
            db.execute("UPDATE audit SET leaf = CAST(replace(CAST(leaf AS TEXT), 'given', 'taken') AS BLOB)")
        report = await memory.reports.compliance("gdpr")
        assert ledger_stands(report) is Status.NOT_MET
        assert all(one.startswith(f"directory {directory.name}: ") for one in report.facts.ledger.problems)
        assert "acme" not in report.html()


async def test_a_directory_that_is_not_open_is_counted_and_no_report_passes_it_over(tmp_path: Path) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await filled(memory)
        directory = memory.tenants.directory("acme")
        assert directory is not None
    (directory / "state.db").write_bytes(b"no database at all" * 500)
    async with opened(tmp_path, settings=LOCAL) as memory:
        report = await memory.reports.compliance("gdpr")
        assert (report.facts.directories, report.facts.directories_unread) == (1, 1)
        assert ledger_stands(report) is Status.NOT_MET
        for shown in (report.markdown(), (await memory.reports.activities()).markdown()):
            assert "1 directory of tenants' own could not be read" in shown
