"""On the command line: holds, purge runs, retention events, and what a policy's rules come to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_shell import Shell, shell_in

PLACE = ("hold", "place", "case-7", "--owner", "counsel", "--reason", "claim", "--review", "2199-01-01")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = shell_in(tmp_path, monkeypatch)
    shell.document("consent", "grant", "personalization", "--notice", "n1")
    shell.document("add", "I prefer tea", "--importance", "0.9")
    return shell


def test_a_hold_is_placed_shown_and_released(shell: Shell) -> None:
    placed = shell.document(*PLACE, "--covers", "user=me")
    assert (placed["memories"], placed["status"]) == (1, "active")
    assert [one["name"] for one in shell.document("hold", "list")["holds"]] == ["case-7"]
    shown = shell.words("hold", "list")
    assert "case-7" in shown
    assert "user=me" in shown
    assert shell.document("hold", "list", "--due")["holds"] == []
    assert shell.refusal(*PLACE, "--covers", "user=me")["error"] == "ConflictError"
    assert shell.document("hold", "release", "case-7", "--reason", "settled")["memories"] == 1
    assert "no holds" in shell.words("hold", "list")
    assert shell.document("hold", "list", "--released")["holds"][0]["released_because"] == "settled"
    assert shell.refusal("hold", "release", "case-7", "--reason", "again")["error"] == "NotFoundError"


def test_what_is_held_of_an_erased_user_is_exported(shell: Shell, tmp_path: Path) -> None:
    shell.document(*PLACE, "--covers", "user=me", "--covers", "tenant=default")
    proof = shell.document("erase", "--user", "me", "--yes")
    assert proof["certificate"]["retained"][0].startswith("1 memory under a legal hold")
    target = tmp_path / "held.jsonl"
    assert shell.document("hold", "export", "case-7", str(target))["records"] == 1
    assert json.loads(target.read_text())["content"] == "I prefer tea"
    assert shell.refusal("hold", "export", "case-7", str(target))["error"] == "InvalidInputError"


@pytest.mark.parametrize("covers", ["me", "city=Rome", "user=", "memory=abc"])
def test_a_scope_that_says_nothing_is_refused(shell: Shell, covers: str) -> None:
    assert shell.refusal(*PLACE, "--covers", covers)["error"] == "InvalidInputError"


def test_a_hold_is_placed_on_a_memory_by_its_first_digits(shell: Shell) -> None:
    one = shell.document("list")["memories"][0]["id"]
    assert "whose it is" in shell.refusal(*PLACE, "--covers", f"memory={one[:8]}")["message"]
    mine = ("--covers", "user=me", "--covers", "tenant=default")
    refused = shell.refusal(*PLACE, *mine, "--covers", f"memory={one[:8]}", "--as-role", "auditor")
    assert refused["error"] == "AccessDeniedError"
    placed = shell.document(*PLACE, *mine, "--covers", f"memory={one[:8]}")
    assert placed["scope"]["memory_ids"] == [one]
    assert placed["memories"] == 1


def test_a_part_is_given_once(shell: Shell) -> None:
    assert "once" in shell.refusal(*PLACE, "--covers", "user=a", "--covers", "user=b")["message"]


def test_purge_runs_are_shown(shell: Shell, tmp_path: Path) -> None:
    assert shell.document("purges")["runs"] == []
    assert "no cycle" in shell.words("purges")
    (tmp_path / "now.toml").write_text('schema = 1\nname = "now"\n[retention.internal]\nceiling_days = 0\n')
    (tmp_path / "settings.toml").write_text(f"policy = '{tmp_path / 'now.toml'}'\n")
    shell.document("forget", "--config", str(tmp_path / "settings.toml"))
    assert shell.document("purges")["runs"][0]["counts"] == {"purged/internal/ceiling": 1}
    assert "purged/internal/ceiling" in shell.words("purges")


def test_an_event_is_recorded(shell: Shell) -> None:
    document = shell.document("retention", "event", "contract_end", "--user", "me", "--at", "2026-01-01")
    assert document == {"event": "contract_end", "at": "2026-01-01T00:00:00+00:00"}
    refused = shell.refusal("retention", "event", "ingested", "--user", "me")
    assert refused["error"] == "InvalidInputError"


def test_a_policys_rules_are_resolved_by_class(shell: Shell, tmp_path: Path) -> None:
    document = json.loads(shell.run("policy", "check", "hipaa", "--json").stdout)
    records = {one["records"]: one for one in document["retention"]}
    assert records["ledger"]["at_least"][0]["days"] == 2192
    assert records["restricted"]["at_most"][0]["rule"] == "retention.restricted"
    rules = 'schema = 1\n[[retention_rules]]\nname = "r"\nrecord_class = "profile"\nbasis = "b"\nmax_keep_days = 7\n'
    (tmp_path / "mine.toml").write_text(rules)
    shown = shell.run("policy", "check", str(tmp_path / "mine.toml")).stdout
    assert "internal, profile" in shown
    assert "7 d (r)" in shown
