"""Reports on the command line, on the terminal and as files."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cli_shell import Shell, shell_in


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    found = shell_in(tmp_path, monkeypatch)
    found.document("consent", "grant", "personalization", "--notice", "n1")
    return found


def test_a_framework_is_judged(shell: Shell) -> None:
    found = shell.document("report", "compliance", "gdpr")
    assert found["assessment"]["framework"] == "GDPR"
    assert found["facts"]["ledger"]["sound"] is True
    assert found["facts"]["ledger"]["events"]["consent_given"] == 1
    assert any(one["reference"] == "Art. 17" for one in found["assessment"]["findings"])


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_a_report_is_written_once_and_only_its_owner_may_read_it(
    shell: Shell, tmp_path: Path, name: str
) -> None:
    target = tmp_path / name
    shell.document("report", "ropa", "--output", str(target))
    assert "personalization" in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert "exists already" in shell.refusal("report", "ropa", "--output", str(target))["message"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compliance", "gdbr"), "hipaa"),
        (("ropa", "--output", "x.pdf"), ".html"),
        (("compliance", "gdpr", "--since", "2026-03-01", "--until", "2026-02-01"), "since must lie before"),
    ],
)
def test_what_cannot_be_meant_is_refused(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    assert said in shell.refusal("report", *arguments)["message"]


def test_the_terminal_shows_what_stands_and_what_to_do(shell: Shell) -> None:
    shown = shell.words("report", "compliance", "pci_dss")
    assert "not met" in shown
    assert "what to do" in shown
    assert "controller: not stated" in shell.words("report", "ropa")
