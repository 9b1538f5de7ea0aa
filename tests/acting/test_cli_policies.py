"""On the command line: policies are listed, shown as they are written, and checked with all that they decide."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_shell import BESIDE_THE_PACKAGE, Shell, shell_in

from tiered_memory.wiring import shipped_policies

SHIPPED = shipped_policies()


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return shell_in(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_policy_is_shown_as_it_is_written_and_its_copy_is_valid(
    shell: Shell, tmp_path: Path, name: str
) -> None:
    written = (BESIDE_THE_PACKAGE / "policies" / f"{name}.toml").read_text(encoding="utf-8")
    assert shell.run("policy", "show", name).stdout == written
    assert json.loads(shell.run("policy", "show", name, "--json").stdout)["text"] == written
    copy = tmp_path / "ours.toml"
    copy.write_text(written, encoding="utf-8")
    assert f"{name} is valid" in shell.run("policy", "check", str(copy)).stdout


def test_every_shipped_policy_is_listed_with_a_sentence(shell: Shell) -> None:
    found = json.loads(shell.run("policy", "list", "--json").stdout)["policies"]
    assert sorted(found) == SHIPPED
    assert found["default"] == "The default policy"
    assert all(10 < len(sentence) < 130 for sentence in found.values())
    assert "pci_dss" in shell.run("policy", "list").stdout


def test_a_check_shows_who_reaches_what_and_what_is_masked(shell: Shell) -> None:
    shown = shell.run("policy", "check", "strict").stdout
    for line in ("[pii]", "[access]", "[guard]", "[tenancy]"):
        assert line in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["CARD", "refuse"] in lines
    assert ["search", "internal", "none", "none", "none", "none"] in lines


@pytest.mark.parametrize("command", ["show", "check"])
@pytest.mark.parametrize("name", ["gdrp", "nowhere.toml"])
def test_what_there_is_not_is_refused(shell: Shell, command: str, name: str) -> None:
    done = shell.run("policy", command, name)
    assert done.exit_code == 1
    assert "error: " in done.stderr


def test_a_deadline_is_its_last_day(shell: Shell) -> None:
    """The month of 10 January ends with 10 February, whatever the moment at which it has passed is called."""
    received = ("--user", "me", "--received", "2025-01-10T10:00+01:00")
    assert "2025-02-10" in shell.words("requests", "open", "access", *received)
    assert "2025-02-10" in shell.words("requests", "due")


def test_a_person_is_told_levels_and_commands(shell: Shell) -> None:
    shell.document("consent", "grant", "personalization", "--notice", "n1")
    shell.document("add", "I prefer tea", "--importance", "0.9", "--sensitivity", "confidential")
    told = shell.words("about", "--user", "me")
    assert "episodic, confidential" in told
    assert "export --portability" in told
    assert "user." not in told


def test_a_shipped_gdpr_policy_knows_no_controller_and_the_report_says_so(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIERED_MEMORY_POLICY", "gdpr")
    Path("notice.txt").write_text("We remember what you tell us.", encoding="utf-8")
    shell.document("notice", "publish", "n1", "--version", "1", "--text", "notice.txt")
    told = " ".join(shell.words("report", "compliance", "gdpr").split())
    assert "name the controller in the policy" in told
    assert "name a contact in the policy" in told
    assert told.count("consider a [pii]") == 2, "the table shows it as the advice does"
    assert "controller: not stated" in shell.words("report", "ropa")
