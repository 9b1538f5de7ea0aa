"""Accounts of the processing: each status follows from the facts, and pages show what was found and nothing as markup."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.accounts import pages
from tiered_memory.accounts.activities import activities
from tiered_memory.accounts.facts import Facts, LedgerFacts, PurposeFacts, RetentionFacts
from tiered_memory.accounts.frameworks import FRAMEWORKS, judge
from tiered_memory.accounts.judgement import Status, worst
from tiered_memory.formats.leaf import AuditEvent

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LEVELS = ("public", "internal", "confidential", "restricted")
GOOD = Facts(
    at=NOW,
    since=NOW.replace(month=10),
    until=NOW,
    policy="gdpr@0123456789ab",
    controller="Acme Ltd",
    contact="privacy@acme.example",
    jurisdiction="EU",
    purposes=(
        PurposeFacts(
            name="personalization",
            lawful_basis="consent",
            documentation=None,
            max_sensitivity="internal",
            data_categories=("conversation",),
            recipients=("nobody",),
            subjects=2,
            memories=9,
        ),
    ),
    retention=tuple(RetentionFacts(record_class=one, floor_days=None, ceiling_days=30.0) for one in LEVELS),
    undo_days=7,
    pii_modes=dict.fromkeys(LEVELS, "mask"),
    card_mode="refuse",
    access={"agent": {"read": ("public", "internal")}, "auditor": {"read": ()}},
    reads_logged=True,
    notices=1,
    require_notice=True,
    requests_open=1,
    requests_overdue=0,
    holds=0,
    holds_to_review=0,
    erasures_unfinished=0,
    oldest_removal_overdue_seconds=0.0,
    key_provider="file",
    epochs=1,
    oldest_epoch_days=10.0,
    hot_is_encrypted_in_transit=True,
    tenants=0,
    indexed_above=None,
    guard_on=True,
    ledger=LedgerFacts(
        sound=True, problems=(), entries=40, covered=40, events={"consent_given": 2}, people=2, actors=1
    ),
)


def standing(facts: Facts, framework: str, reference: str) -> Status:
    return next(one.status for one in judge(framework, facts).findings if one.reference == reference)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_with_everything_in_order_what_software_can_show_is_met(name: str) -> None:
    found = judge(name, GOOD)
    assert found.status is Status.MET
    assert found.recommendations == ()
    assert {one.status for one in found.findings} == {Status.MET, Status.OUTSIDE}
    assert all(one.evidence for one in found.findings if one.status is Status.MET)


@pytest.mark.parametrize(
    ("change", "framework", "reference", "status"),
    [
        ({"requests_overdue": 2}, "gdpr", "Art. 12(3)", Status.NOT_MET),
        ({"notices": 0}, "gdpr", "Art. 13, 14", Status.NOT_MET),
        ({"contact": None}, "gdpr", "Art. 13, 14", Status.PARTLY),
        ({"require_notice": False}, "gdpr", "Art. 7", Status.PARTLY),
        ({"erasures_unfinished": 1}, "gdpr", "Art. 17", Status.NOT_MET),
        ({"oldest_removal_overdue_seconds": 90_000.0}, "gdpr", "Art. 17", Status.NOT_MET),
        ({"holds_to_review": 1}, "sox", "Sec. 802", Status.NOT_MET),
        ({"oldest_epoch_days": 400.0}, "pci_dss", "3.6, 3.7", Status.NOT_MET),
        ({"card_mode": "keep_sealed"}, "pci_dss", "3.4.1", Status.NOT_MET),
        ({"reads_logged": False}, "hipaa", "164.312(b)", Status.NOT_MET),
        ({"access": {"agent": {"read": LEVELS}}}, "hipaa", "164.312(a)(1)", Status.PARTLY),
        ({"hot_is_encrypted_in_transit": False}, "hipaa", "164.312(e)(1)", Status.PARTLY),
        ({"indexed_above": 100}, "gdpr", "Art. 32", Status.PARTLY),
        ({"guard_on": False}, "gdpr", "Art. 25", Status.NOT_MET),
        ({"pii_modes": dict.fromkeys(LEVELS, "keep_sealed")}, "gdpr", "Art. 5(1)(c)", Status.PARTLY),
    ],
)
def test_what_is_missing_shows_where_it_belongs(
    change: dict[str, object], framework: str, reference: str, status: Status
) -> None:
    facts = replace(GOOD, **change)  # type: ignore[arg-type]
    found = judge(framework, facts)
    assert standing(facts, framework, reference) is status
    assert any(line.startswith(reference) for line in found.recommendations)
    assert found.status is not Status.MET


def test_a_ledger_that_does_not_verify_fails_every_framework() -> None:
    broken = replace(GOOD, ledger=replace(GOOD.ledger, sound=False, problems=("entry 7 was edited",)))
    for name in FRAMEWORKS:
        found = judge(name, broken)
        assert found.status is Status.NOT_MET
        assert any("entry 7" in line for line in found.recommendations)


def test_a_purpose_without_its_documentation_and_a_class_without_an_end_are_named() -> None:
    bare = PurposeFacts(
        name="fraud", lawful_basis="legitimate_interests", documentation=None, max_sensitivity="internal"
    )
    endless = RetentionFacts(record_class="public", floor_days=None, ceiling_days=None)
    found = judge("gdpr", replace(GOOD, purposes=(*GOOD.purposes, bare), retention=(endless,)))
    text = "\n".join(found.recommendations)
    assert "fraud" in text
    assert "public" in text


@given(st.lists(st.sampled_from(list(Status)), max_size=6))
def test_the_whole_is_never_better_than_its_worst(statuses: list[Status]) -> None:
    order = list(Status)
    assert all(order.index(one) <= order.index(worst(statuses)) for one in statuses)


def test_the_record_of_activities_names_what_is_still_to_be_said() -> None:
    found = activities(replace(GOOD, controller=None))
    assert found.activities[0].to_complete == ("controller",)
    assert found.activities[0].erasure_limits[0] == "public: at most 30 days"
    assert "to be completed" in pages.markdown(pages.of_activities(found))


HOSTILE = "<script>alert(1)</script> | `x` **b** [l](u)\nnext"


NOUNS = [
    "actor",
    "consent",
    "day",
    "epoch",
    "erasure",
    "hold",
    "memorie",
    "notice",
    "people",
    "refusal",
    "request",
    "run",
]
ONE_OF_MANY = re.compile(rf"\b1 (?:[a-z]+ )?(?:entries|people|(?:{'|'.join(NOUNS)})s)\b")


def all_of(count: int) -> str:
    """Return every page of a store that has this many of everything."""
    ledger = replace(
        GOOD.ledger, entries=count, people=count, actors=count, events=dict.fromkeys(AuditEvent, count)
    )
    facts = replace(
        GOOD,
        retention=tuple(replace(one, ceiling_days=float(count)) for one in GOOD.retention),
        notices=count,
        requests_overdue=count,
        holds=count,
        holds_to_review=count,
        erasures_unfinished=count,
        epochs=count,
        indexed_above=count,
        ledger=ledger,
    )
    judged = [pages.of_assessment(judge(name, facts), facts) for name in FRAMEWORKS]
    return "\n".join(pages.markdown(one) for one in (*judged, pages.of_activities(activities(facts))))


def test_one_of_a_thing_is_told_in_the_singular() -> None:
    assert ONE_OF_MANY.findall(all_of(1)) == []
    several = all_of(2)
    for said in ("2 consents given", "2 overdue requests", "2 ledger entries", "2 memories quarantined"):
        assert said in several
        assert said.replace("2", "1") not in all_of(1)
    assert ONE_OF_MANY.findall(several.replace(" 2 ", " 1 "))


def test_nothing_in_a_page_is_markup() -> None:
    facts = replace(
        GOOD, controller=HOSTILE, purposes=(replace(GOOD.purposes[0], name=HOSTILE, recipients=(HOSTILE,)),)
    )
    page = pages.of_activities(activities(facts))
    assert "<script>" not in pages.html(page) + pages.markdown(page)
    tables = [line for line in pages.markdown(page).splitlines() if line.startswith("| Recipients")]
    assert tables
    assert all(line.replace("\\|", "").count("|") == 3 for line in tables)


def test_a_page_of_an_assessment_holds_each_finding_and_what_happened() -> None:
    found = judge("gdpr", GOOD)
    shown = pages.html(pages.of_assessment(found, GOOD))
    assert all(one.reference in shown for one in found.findings)
    assert "consent given" in shown
    assert "http" not in shown
