"""The command line shows what took the place of what, and what held good when."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_shell import Shell, shell_in

OLD, NEW = "I live in Berlin.", "I moved to Munich."
QUESTION = "Where do I live?"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Shell, str, str]:
    """A store in which the second memory took the place of the first, and both their ids."""
    shell = shell_in(tmp_path, monkeypatch)
    shell.document("consent", "grant", "personalization", "--notice", "n1")
    ids = [
        shell.document("add", content, "--importance", "0.9", "--time", moment)["id"]
        for content, moment in ((OLD, "2026-01-01"), (NEW, "2026-02-01"))
    ]
    return shell, ids[0], ids[1]


def found(shell: Shell, *options: str) -> list[str]:
    return [hit["memory"]["content"] for hit in shell.document("search", QUESTION, *options)["hits"]]


def test_search_and_list_show_what_holds_good(told: tuple[Shell, str, str]) -> None:
    shell, old, new = told
    assert found(shell) == [NEW]
    assert found(shell, "--as-of", "2026-01-15") == [OLD]
    assert set(found(shell, "--include-superseded")) == {OLD, NEW}
    listed = shell.document("list", "--include-superseded")["memories"]
    assert [one["id"] for one in listed] == [new, old]
    assert "until 2026-02-01" in shell.words("search", QUESTION, "--as-of", "2026-01-15")


def test_history_is_a_document_and_a_table(told: tuple[Shell, str, str]) -> None:
    shell, old, new = told
    for asked in (old, new, old[:6]):
        entries = shell.document("history", asked)["history"]
        assert [entry["memory"]["id"] for entry in entries] == [old, new]
        assert [entry["superseded_by"] for entry in entries] == [new, None]
        assert entries[0]["valid_to"] == entries[1]["valid_from"]
    shown = shell.words("history", new)
    assert shown.index(OLD) < shown.index(NEW)
    assert "2026-02-01" in shown


def test_explain_says_until_when_it_held_good(told: tuple[Shell, str, str]) -> None:
    shell, old, _ = told
    assert "superseded  until 2026-02-01" in shell.words("explain", old)
    assert shell.document("explain", old)["state"] == "superseded"


def test_history_of_none_is_refused(told: tuple[Shell, str, str]) -> None:
    assert told[0].refusal("history", "0" * 32)["error"] == "NotFoundError"
