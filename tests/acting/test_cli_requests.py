"""On the command line: correcting, freezing, requests with their days, decisions."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_shell import Shell, shell_in

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ME = ("--user", "me")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = shell_in(tmp_path, monkeypatch)
    shell.document("consent", "grant", "personalization", "--notice", "n1")
    return shell


def test_a_memory_is_corrected_by_the_first_digits_of_its_id(shell: Shell) -> None:
    one = shell.document("add", "I prefer tea", "--importance", "0.9")["id"]
    done = shell.document("update", one[:8], "I prefer mate", "--reason", "misheard", "--time", "2026-01-02")
    assert (done["memory"]["content"], done["memory"]["version"]) == ("I prefer mate", 2)
    assert done["memory"]["occurred_at"].startswith("2026-01-02")
    history = shell.document("history", one)["history"]
    assert [entry["memory"]["content"] for entry in history] == ["I prefer tea", "I prefer mate"]
    shell.document("update", one, "I like mate", "--reason", "r", "--drop-previous")
    assert "prefer" not in str(shell.document("history", one))
    assert "version 4" in shell.words("update", one, "I love mate", "--reason", "r")
    assert shell.refusal("update", "0" * 32, "x", "--reason", "r")["error"] == "NotFoundError"


def test_everything_is_frozen_and_freed(shell: Shell) -> None:
    shell.document("add", "I prefer tea", "--importance", "0.9")
    assert shell.document("restrict", *ME, "--reason", "contested", "--until", "2099-01-01")["review_at"]
    refused = shell.refusal("search", "tea")
    assert refused["error"] == "RestrictedError"
    assert "lift the restriction" in refused["message"]
    assert "since" in shell.words("about", *ME)
    assert shell.document("about", *ME)["restriction"]["reason"] == "contested"
    assert shell.document("unrestrict", *ME, "--reason", "settled")["lifted_because"] == "settled"
    assert shell.document("search", "tea")["hits"]


def test_a_request_runs_its_course(shell: Shell) -> None:
    received = ("--received", "2025-01-10T10:00+01:00", "--channel", "mail")
    opened = shell.document("requests", "open", "access", *ME, *received)
    assert opened["due_at"] == "2025-02-11T00:00:00+01:00"
    [due] = shell.document("requests", "due")["due"]
    assert (due["subject"]["user"], due["overdue"]) == ("me", True)
    assert "overdue" in shell.words("requests", "due")
    assert (
        shell.refusal("requests", "extend", opened["id"], *ME, "--reason", "r")["error"]
        == "InvalidInputError"
    )
    fresh = shell.document("requests", "open", "portability", *ME)
    assert shell.document("requests", "extend", fresh["id"], *ME, "--reason", "many sources")["months"] == 3
    closed = shell.document("requests", "close", opened["id"], *ME, "--evidence", "archive-7")
    assert (closed["outcome"], closed["evidence"]) == ("fulfilled", "archive-7")
    assert [one["outcome"] for one in shell.document("requests", "list", *ME)["requests"]] == [
        "fulfilled",
        None,
    ]
    assert shell.document("requests", "due")["due"] == []
    assert "portability" in shell.words("requests", "list", *ME)


def test_requests_and_decisions_are_named_by_their_first_digits(shell: Shell) -> None:
    asked = shell.document("requests", "open", "access", *ME)["id"]
    assert shell.document("requests", "extend", asked[:6], *ME, "--reason", "r")["id"] == asked
    assert shell.document("requests", "close", asked[:4], *ME)["id"] == asked
    made = shell.document("decisions", "record", "offer tea", *ME, "--effect", "legal")["id"]
    assert shell.document("decisions", "explain", made[:5], *ME)["record"]["id"] == made
    review = ("--reviewer", "lee", "--outcome", "stands")
    assert shell.document("decisions", "review", made[:8], *ME, *review)["id"] == made
    for group, rest in (("requests", ("close",)), ("decisions", ("explain",))):
        missing = "0" * 31 if not asked.startswith("0") else "f" * 31
        assert "begins so" in shell.refusal(group, *rest, missing, *ME)["message"]
        assert "4 digits" in shell.refusal(group, *rest, made[:3], *ME)["message"]


def test_what_an_export_prints_closes_its_request(shell: Shell, tmp_path: Path) -> None:
    asked = shell.document("requests", "open", "access", *ME)["id"]
    target = str(tmp_path / "me.zip")
    printed = shell.words("export", *ME, "--output", target).splitlines()
    archive = next(line.split()[1] for line in printed if line.split()[:1] == ["archive"])
    assert archive in shell.run("archive", "verify", target).stdout
    assert shell.document("requests", "close", asked, *ME, "--evidence", archive)["evidence"] == archive


def test_a_decision_is_explained_and_reviewed(shell: Shell) -> None:
    one = shell.document("add", "I prefer tea", "--importance", "0.9")["id"]
    made = shell.document("decisions", "record", "offer tea", *ME, "--memory", one[:8], "--effect", "similar")
    assert made["review"] == "needed"
    shell.document("update", one, "I prefer mate", "--reason", "misheard")
    explained = shell.document("decisions", "explain", made["id"], *ME)
    assert [used["content"] for used in explained["used"]] == ["I prefer tea"]
    assert "I prefer tea" in shell.words("decisions", "explain", made["id"], *ME)
    done = shell.document(
        "decisions", "review", made["id"], *ME, "--reviewer", "lee", "--outcome", "withdrawn"
    )
    assert (done["review"], done["outcome"]) == ("done", "withdrawn")
    assert len(shell.document("decisions", "list", *ME)["decisions"]) == 1
    assert "offer tea" in shell.words("decisions", "list", *ME)
