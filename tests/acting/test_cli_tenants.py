"""Tenants on the command line."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cli_shell import Shell, shell_in

from tiered_memory.privacy.tenancy import certificate_of


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return shell_in(tmp_path, monkeypatch)


def test_a_tenant_is_registered_shown_changed_and_listed(shell: Shell) -> None:
    made = shell.document("tenants", "register", "acme", "--quota-mib", "5", "--agent", "a1", "--no-audit")
    assert (made["id"], made["rules"]["quota_mib"], made["rules"]["audit"]) == ("acme", 5.0, False)
    changed = shell.document("tenants", "change", "acme", "--quota-mib", "none", "--any-agent")
    assert (changed["rules"]["quota_mib"], changed["rules"]["allowed_agents"]) == (None, None)
    assert shell.document("tenants", "show", "acme") == changed
    assert shell.document("tenants", "list") == {"tenants": [changed]}
    assert "minimal" in shell.words("tenants", "list")
    assert "agents" in shell.words("tenants", "show", "acme")


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (["--quota-mib", "much"], "InvalidInputError"),
        (["--isolation", "total"], "InvalidInputError"),
        (["--residency", "eu"], "InvalidInputError"),
        (["--agent", "a", "--any-agent"], "InvalidInputError"),
    ],
)
def test_what_cannot_be_agreed_is_a_refusal(shell: Shell, options: list[str], kind: str) -> None:
    assert shell.refusal("tenants", "register", "acme", *options)["error"] == kind


def test_usage_is_a_document(shell: Shell) -> None:
    shell.document("tenants", "register", "acme", "--quota-mib", "1", "--isolation", "moderate")
    shell.document("consent", "grant", "personalization", "--notice", "n1", "--tenant", "acme")
    shell.document("add", "we decided on the green option", "--importance", "0.9", "--tenant", "acme")
    found = shell.document("tenants", "usage", "acme", "--since", "2020-01-01")
    assert (found["users"], found["memories"], found["written"]) == (1, 1, 1)
    assert 0 < found["quota_share"] < 0.01
    assert "quota" in shell.words("tenants", "usage", "acme")
    assert shell.refusal("tenants", "usage", "nobody")["error"] == "TenantUnknownError"


def test_a_tenant_is_erased_with_a_certificate_and_never_unasked(shell: Shell, tmp_path: Path) -> None:
    shell.document("tenants", "register", "acme", "--isolation", "moderate")
    shell.document("consent", "grant", "personalization", "--notice", "n1", "--tenant", "acme")
    erase = ("tenants", "erase", "acme", "--reason", "the contract ended")
    assert shell.refusal(*erase)["error"] == "ConfirmationRequiredError"
    target = tmp_path / "proof.json"
    told = shell.document(*erase, "--yes", "--certificate", str(target))["certificate"]
    assert (told["subjects"], told["directory"]) == (1, "removed")
    assert certificate_of(json.loads(target.read_text())) == certificate_of(told)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert shell.refusal(*erase, "--yes", "--certificate", str(target))["error"] == "InvalidInputError"
    assert shell.document("tenants", "list") == {"tenants": []}


def test_a_tenants_own_directory_is_backed_up(shell: Shell, tmp_path: Path) -> None:
    shell.document("tenants", "register", "acme", "--isolation", "strict")
    found = shell.document("tenants", "backup", "acme", str(tmp_path / "archive"))
    assert Path(found["archive"], "manifest.json").exists()
    assert Path(found["directory"], "state.db").exists()
