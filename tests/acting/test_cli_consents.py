"""On the command line: notices, consents with their receipts, and objections."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_shell import Shell, lines, shell_in

from tiered_memory.consent_records import verify_receipt
from tiered_memory.privacy.consent_receipt import receipt_from

BASES = """
schema = 1
name = "bases"
default_purpose = "insight"
[consent]
require_published_notice = true
controller = "Example Ltd"
[purposes.insight]
lawful_basis = "legitimate_interests"
documentation = "balancing test 7"
[purposes.advice]
lawful_basis = "consent"
[purposes.service]
lawful_basis = "contract"
documentation = "the order form"
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    (tmp_path / "bases.toml").write_text(BASES)
    shell = shell_in(tmp_path, monkeypatch)
    monkeypatch.setenv("TIERED_MEMORY_POLICY", str(tmp_path / "bases.toml"))
    return shell


@pytest.fixture
def published(shell: Shell, tmp_path: Path) -> Shell:
    (tmp_path / "notice.txt").write_text("We remember your advice.\n", encoding="utf-8")
    shell.document(
        "notice", "publish", "privacy", "--version", "1", "--text", str(tmp_path / "notice.txt"),
        "--purpose", "advice", "--controller", "Daughter Ltd", "--recipient", "printer",
    )  # fmt: skip
    return shell


def test_a_notice_is_published_listed_and_shown(published: Shell) -> None:
    listed = published.document("notice", "list")["notices"]
    assert [(one["id"], one["version"], one["language"]) for one in listed] == [("privacy", "1", "en")]
    assert "privacy" in published.words("notice", "list")
    shown = published.document("notice", "show", "privacy@1")
    assert shown["text"] == "We remember your advice.\n"
    assert shown["recipients"] == ["printer"]
    assert "We remember your advice." in published.words("notice", "show", "privacy")
    refused = published.on_store(
        "notice", "publish", "privacy", "--version", "1", "--text", "-", "--json", text="other words"
    )
    assert refused.exit_code == 1
    assert "ConflictError" in refused.stderr
    assert published.refusal("notice", "show", "unheard")["error"] == "NotFoundError"


def test_a_text_that_cannot_be_read_publishes_nothing(published: Shell) -> None:
    refused = published.refusal("notice", "publish", "privacy", "--version", "2", "--text", "nowhere.txt")
    assert refused["error"] == "InvalidInputError"
    assert len(published.document("notice", "list")["notices"]) == 1


def test_a_consent_leaves_a_receipt_that_verifies(published: Shell) -> None:
    event = published.document(
        "consent", "grant", "advice", "--notice", "privacy", "--method", "web form", "--actor", "desk 4",
        "--category", "preferences", "--category", "names", "--retention", "a year", "--jurisdiction", "EU",
        "--language", "en",
    )  # fmt: skip
    assert event["action"] == "given"
    answer = published.document("consent", "receipt", "advice")
    receipt = receipt_from(answer["receipt"])
    verify_receipt(receipt)
    assert answer["signature_verified"]
    assert (receipt.controller, receipt.method, receipt.actor) == ("Daughter Ltd", "web form", "desk 4")
    assert receipt.data_categories == ("preferences", "names")
    assert (receipt.retention, receipt.jurisdiction, receipt.notice_version) == ("a year", "EU", "1")
    words = published.words("consent", "receipt", "advice")
    assert "signature is valid" in words
    assert "proven" in words


def test_a_notice_nobody_published_is_refused(shell: Shell) -> None:
    refused = shell.refusal("consent", "grant", "advice", "--notice", "privacy")
    assert "publish the notice first" in refused["message"]


def test_a_refusal_ends_a_consent_and_stands_in_the_history(published: Shell) -> None:
    published.document("consent", "grant", "advice", "--notice", "privacy")
    published.document(
        "add", "-", "--purpose", "advice", "--require", "journaled", text=lines("take the train")
    )
    assert len(published.document("list")["memories"]) == 1
    assert published.document("consent", "refuse", "advice", "--notice", "privacy")["action"] == "refused"
    assert published.document("list")["memories"] == []
    events = published.document("consent", "history")["events"]
    assert [one["action"] for one in events] == ["given", "refused"]
    assert "refused" in published.words("consent", "history", "--purpose", "advice")
    assert published.document("consent", "history", "--purpose", "insight")["events"] == []
    assert "nothing was ever decided" in published.words("consent", "history", "--purpose", "insight")
    assert published.refusal("consent", "receipt", "insight")["error"] == "NotFoundError"


@pytest.mark.parametrize("grounds", [(), ("--compelling-grounds", "claims in court")])
def test_an_objection_is_recorded_and_lifted(shell: Shell, grounds: tuple[str, ...]) -> None:
    shell.document("add", "-", "--require", "journaled", text=lines("one likes trains"))
    answer = shell.document("object", "insight", "--user", "me", "--reason", "my own", *grounds)
    assert answer["status"] == ("restricted" if grounds else "objected")
    assert answer["covered"] == 1
    assert shell.document("list")["memories"] == []
    assert shell.document("object", "insight", "--user", "me", "--lift") == {
        "purpose": "insight",
        "lifted": True,
    }
    assert "no objection" in shell.words("object", "insight", "--user", "me", "--lift")
    assert len(shell.document("list")["memories"]) == (1 if grounds else 0)
    assert "recorded" in shell.words("object", "insight", "--user", "me", *grounds)


def test_an_objection_that_does_not_apply_is_refused_by_its_name(shell: Shell) -> None:
    refused = shell.refusal("object", "service", "--user", "me")
    assert refused["error"] == "ObjectionNotApplicableError"
    assert "contract" in refused["message"]
    assert "withdraw" in shell.refusal("object", "advice", "--user", "me")["message"]
    both = shell.refusal("object", "insight", "--user", "me", "--lift", "--compelling-grounds", "x")
    assert both["error"] == "InvalidInputError"
