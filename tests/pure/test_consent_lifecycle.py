"""Order decides what a history of consents and objections comes to; receipts and notices say what was agreed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import InvalidInputError, NotFoundError, ObjectionNotApplicableError, PolicyError
from tiered_memory.model import LawfulBasis, Sensitivity
from tiered_memory.policy.consent_rules import ConsentRules
from tiered_memory.policy.disclosure import disclosure_of
from tiered_memory.policy.load import parse_policy
from tiered_memory.policy.rules import Policy, PurposeRule
from tiered_memory.policy.variants import as_toml
from tiered_memory.privacy.consent import (
    OPENING,
    ConsentAction,
    ConsentEvent,
    decide_grounds,
    lapsed_consents,
    latest_events,
    open_consents,
)
from tiered_memory.privacy.consent_receipt import (
    RECORD,
    ConsentRecord,
    commitment_to,
    receipt_from,
    record_of,
    signed_part,
    unsigned_receipt,
)
from tiered_memory.privacy.notices import Notice, chosen_notice, digest_of, entry_name, required_notice
from tiered_memory.privacy.objections import (
    OPEN,
    ObjectionStatus,
    check_objectionable,
    open_objections,
)

PURPOSES = ("personalization", "marketing")
times = st.integers(0, 50)
events = st.lists(
    st.builds(
        ConsentEvent,
        event_id=st.uuids().map(lambda one: one.hex),
        action=st.sampled_from(list(ConsentAction)),
        purpose=st.sampled_from(PURPOSES),
        at_us=times,
        expires_us=st.none() | times,
    ),
    max_size=12,
)


# --- the fold ------------------------------------------------------------------------------------------------------


@given(history=events, now_us=times)
def test_every_purpose_is_open_lapsed_or_closed_and_never_two_of_them(
    history: list[ConsentEvent], now_us: int
) -> None:
    latest = latest_events(history)
    opened = set(open_consents(history, now_us))
    lapsed = {event.purpose for event in lapsed_consents(history, now_us)}
    closed = {purpose for purpose, event in latest.items() if event.action not in OPENING}
    assert opened | lapsed | closed == set(latest)
    assert len(opened) + len(lapsed) + len(closed) == len(latest)


@given(history=events, now_us=times)
def test_recording_what_lapsed_leaves_nothing_to_lapse_and_opens_nothing(
    history: list[ConsentEvent], now_us: int
) -> None:
    before = open_consents(history, now_us)
    ended = [
        ConsentEvent("e", ConsentAction.EXPIRED, event.purpose, now_us)
        for event in lapsed_consents(history, now_us)
    ]
    assert lapsed_consents([*history, *ended], now_us + 1_000) == [
        event for event in lapsed_consents(history, now_us + 1_000) if event.purpose in before
    ]
    assert open_consents([*history, *ended], now_us) == before


@given(history=events, now_us=times, later=times)
def test_time_alone_only_ends_consents(history: list[ConsentEvent], now_us: int, later: int) -> None:
    sooner, then = sorted((now_us, later))
    assert set(open_consents(history, then)) <= set(open_consents(history, sooner))


@given(history=events, now_us=times, purpose=st.sampled_from(PURPOSES))
@pytest.mark.parametrize("end", [ConsentAction.WITHDRAWN, ConsentAction.REFUSED, ConsentAction.EXPIRED])
def test_an_end_closes_its_purpose_and_no_other(
    end: ConsentAction, history: list[ConsentEvent], now_us: int, purpose: str
) -> None:
    before = open_consents(history, now_us)
    after = open_consents([*history, ConsentEvent("e", end, purpose, now_us)], now_us)
    assert after == {name: event for name, event in before.items() if name != purpose}
    again = ConsentEvent("r", ConsentAction.RENEWED, purpose, now_us)
    assert purpose in open_consents([*history, ConsentEvent("e", end, purpose, now_us), again], now_us)


@given(history=events, now_us=times)
def test_an_expiry_is_exact(history: list[ConsentEvent], now_us: int) -> None:
    for event in lapsed_consents(history, now_us):
        assert event.expires_us is not None
        assert event.purpose in open_consents(history, event.expires_us - 1)
        assert event.purpose not in open_consents(history, event.expires_us)


# --- objections ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("basis", [LawfulBasis.LEGITIMATE_INTERESTS, LawfulBasis.PUBLIC_TASK])
@pytest.mark.parametrize("level", list(Sensitivity))
def test_an_objection_leaves_no_grounds(basis: LawfulBasis, level: Sensitivity) -> None:
    policy = Policy(purposes={"p": PurposeRule(basis, "file 7", Sensitivity.RESTRICTED)}, default_purpose="p")
    check_objectionable(basis)
    assert decide_grounds(policy, {}, "p", level, 0).durable
    assert decide_grounds(policy, {}, "p", level, 0, objections={"q": "x"}).durable
    barred = decide_grounds(policy, {}, "p", level, 0, objections={"p": "x"})
    assert (barred.durable, barred.basis) == (False, None)
    assert "objected" in barred.reason


def test_other_bases_are_named_when_nobody_can_object() -> None:
    for basis in (LawfulBasis.CONTRACT, LawfulBasis.LEGAL_OBLIGATION, LawfulBasis.VITAL_INTERESTS):
        with pytest.raises(ObjectionNotApplicableError, match=basis.value):
            check_objectionable(basis)
    with pytest.raises(InvalidInputError, match="withdraw the consent"):
        check_objectionable(LawfulBasis.CONSENT)


@given(st.lists(st.tuples(st.sampled_from(PURPOSES), st.sampled_from([*ObjectionStatus, "unheard of"]))))
def test_the_last_word_on_a_purpose_counts_and_doubt_bars_it(entries: list[tuple[str, str]]) -> None:
    found = open_objections(entries)
    last = dict(entries)
    assert set(found) == {purpose for purpose, status in last.items() if status != ObjectionStatus.LIFTED}
    assert set(found.values()) <= OPEN


# --- receipts ------------------------------------------------------------------------------------------------------


words = st.text(max_size=20)
records = st.builds(
    ConsentRecord,
    record_id=words,
    receipt_id=words,
    subject=words,
    notice=words,
    recipients=st.lists(words, max_size=3).map(tuple),
    data_categories=st.lists(words, max_size=3).map(tuple),
    method=words,
)


def event_with(record: ConsentRecord) -> ConsentEvent:
    return ConsentEvent("e", ConsentAction.GIVEN, "personalization", 3, 9, True, {RECORD: record.packed()})


@given(record=records)
def test_a_record_comes_back_from_the_details(record: ConsentRecord) -> None:
    assert record_of(event_with(record)) == record
    receipt = unsigned_receipt(event_with(record))
    assert (receipt.notice, receipt.recipients) == (record.notice, record.recipients)
    assert receipt_from(json.loads(json.dumps(receipt.as_document()))) == receipt


@given(record=records)
def test_words_of_a_later_version_are_left_out(record: ConsentRecord) -> None:
    event = ConsentEvent("e", ConsentAction.GIVEN, "p", 3, details={RECORD: {**record.packed(), "later": 1}})
    assert record_of(event) == record


@given(record=records, other=records)
def test_a_commitment_is_to_all_that_was_agreed(record: ConsentRecord, other: ConsentRecord) -> None:
    one, two = unsigned_receipt(event_with(record)), unsigned_receipt(event_with(other))
    assert (commitment_to(one) == commitment_to(two)) == (record == other)
    assert commitment_to(one) != commitment_to(replace(one, purpose="marketing"))
    assert commitment_to(one) == commitment_to(replace(one, signature="s", ledger_entry="x"))
    assert signed_part(one) == signed_part(replace(one, signature="s"))
    assert signed_part(one) != signed_part(replace(one, ledger_entry="x"))


def test_an_event_from_before_there_were_records_has_a_bare_receipt() -> None:
    old = ConsentEvent("e", ConsentAction.GIVEN, "p", 3, details={"notice": "n1"})
    receipt = unsigned_receipt(old)
    assert (receipt.notice, receipt.record_id, receipt.receipt_id) == ("n1", "", "")


@pytest.mark.parametrize("document", [{}, {"receipt_id": "x"}, {"unknown": 1}])
def test_what_is_no_receipt_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no consent receipt"):
        receipt_from(document)


# --- notices -------------------------------------------------------------------------------------------------------


def published(*names: tuple[str, str, str]) -> list[Notice]:
    return [Notice(id=one, version=v, language=tag, text="t", sha256=digest_of("t")) for one, v, tag in names]


BOARD = published(("a", "1", "en"), ("a", "2", "de"), ("b", "9", "en"), ("a", "2", "en"), ("a", "1", "fr"))


@pytest.mark.parametrize(
    ("name", "language", "expected"),
    [
        ("a", None, ("2", "de")),
        ("a", "en", ("2", "en")),
        ("a@1", None, ("1", "en")),
        ("a@1", "fr", ("1", "fr")),
        ("b", None, ("9", "en")),
        ("c", None, None),
        ("a@3", None, None),
    ],
)
def test_a_name_chooses_the_newest_version_or_the_one_it_says(
    name: str, language: str | None, expected: tuple[str, str] | None
) -> None:
    found = chosen_notice(BOARD, name, language)
    assert (None if found is None else (found.version, found.language)) == expected


def test_a_language_nobody_published_is_refused_with_those_that_were() -> None:
    with pytest.raises(InvalidInputError, match="it is in: de, en"):
        chosen_notice(BOARD, "a", "fr")
    with pytest.raises(NotFoundError):
        required_notice(None)


plain = st.text(st.characters(exclude_characters="@", codec="utf-8"), min_size=1, max_size=8)


@given(one=st.tuples(plain, plain, plain), two=st.tuples(plain, plain, plain))
def test_no_two_notices_share_a_name(one: tuple[str, str, str], two: tuple[str, str, str]) -> None:
    assert (entry_name(*one) == entry_name(*two)) == (one == two)


def test_a_notice_that_names_no_purpose_informs_of_any() -> None:
    assert BOARD[0].informs_of("p")
    assert not replace(BOARD[0], purposes=("q",)).informs_of("p")


# --- what the configuration says -----------------------------------------------------------------------------------

STATED = """
schema = 1
default_purpose = "p"
[consent]
controller = "Example Ltd"
contact = "privacy@example.org"
withdrawal_method = "in the settings"
[purposes.p]
max_sensitivity = "internal"
recipients = ["printer", "bank"]
data_categories = ["names"]
contact = "p@example.org"
[purposes.q]
lawful_basis = "public_task"
documentation = "statute 5"
retention = "a decade"
jurisdiction = "NO"
"""


def test_a_purpose_discloses_what_it_states_and_else_what_all_state() -> None:
    policy = parse_policy(STATED, "stated.toml")
    p, q = disclosure_of(policy, "p"), disclosure_of(policy, "q")
    assert (p.controller, p.contact, p.retention) == ("Example Ltd", "p@example.org", "at most 365 days")
    assert (p.recipients, p.data_categories) == (("printer", "bank"), ("names",))
    assert (q.retention, q.jurisdiction, q.documentation) == ("a decade", "NO", "statute 5")
    assert (q.contact, q.withdrawal_method) == ("privacy@example.org", "in the settings")
    with pytest.raises(KeyError):
        disclosure_of(policy, "r")


def test_what_a_policy_states_survives_being_written() -> None:
    policy = parse_policy(STATED, "stated.toml")
    assert parse_policy(as_toml(policy), "again") == policy


def test_without_a_ceiling_no_period_is_claimed() -> None:
    policy = parse_policy('schema = 1\n[retention.internal]\nceiling_days = "none"', "open.toml")
    assert disclosure_of(policy, "personalization").retention == "no fixed period"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[consent]\ncontroller = 3", r"\[consent\] controller must be text"),
        (
            "[consent]\nrequire_published_notice = 1",
            r"\[consent\] require_published_notice must be true or false",
        ),
        ("[consent]\ncontrolers = 'x'", "did you mean 'controller'"),
        ("[purposes.personalization]\nrecipients = 'all'", r"personalization\] recipients must be a list"),
        ("[purposes.personalization]\nrecipients = ['']", r"personalization\] recipients must be a list"),
        ("[purposes.personalization]\nretention = 30", r"personalization\] retention must be text"),
        ("[purposes.personalization]\nlawful_basis = 'legitimate_interests'", "needs documentation"),
    ],
)
def test_a_mistake_is_refused_with_its_table_and_key(text: str, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        parse_policy(f"schema = 1\n{text}", "my.toml")


def test_rules_built_in_code_are_checked_as_well() -> None:
    with pytest.raises(PolicyError, match="controller"):
        ConsentRules(controller=None)  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="recipients"):
        PurposeRule(recipients=("",))
