"""On the command line: whoever acts says in which role, and the policy's access table holds for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_shell import Shell, shell_in

ME = ("--user", "me")
ADMIN = ("--as-role", "admin", "--actor", "officer-2", "--context", "access-request")
WHY = ("--reason", "asked for")
OWN = """
schema = 1
name = "own"
[access.agent]
search = "internal"
read = "internal"
write = "internal"
correct = "internal"
export = "none"
erase = "none"
rights = "none"
[access.admin]
search = "none"
[access.support]
read = "none"
erase = "restricted"
"""
FADES = """
[decay]
threshold = 0.99
grace_hours = 0
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = shell_in(tmp_path, monkeypatch)
    shell.document("consent", "grant", "personalization", "--notice", "n1", "--explicit")
    return shell


@pytest.fixture
def bound(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A store whose agent may neither export, erase nor serve rights, nor deal with what is confidential."""
    (tmp_path / "own.toml").write_text(OWN)
    monkeypatch.setenv("TIERED_MEMORY_POLICY", str(tmp_path / "own.toml"))
    return shell


ACTS = {
    "add": ("add", "I take the tram"),
    "add lines": ("add", "-"),
    "update": ("update", "ID", "I take the bus", *WHY),
    "delete": ("delete", "ID"),
    "unforget": ("unforget", "ID"),
    "forget": ("forget", *ME),
    "export": ("export", *ME),
    "erase": ("erase", *ME, "--yes"),
    "restrict": ("restrict", *ME, *WHY),
    "unrestrict": ("unrestrict", *ME, *WHY),
    "about": ("about", *ME),
    "quarantine list": ("quarantine", "list"),
    "quarantine put": ("quarantine", "put", "ID"),
    "quarantine release": ("quarantine", "release", "ID"),
    "rollback": ("rollback", *ME, "--session", "s"),
    "requests open": ("requests", "open", "access", *ME),
    "requests list": ("requests", "list", *ME),
    "decisions record": ("decisions", "record", "offer tea", *ME),
    "decisions review": ("decisions", "review", "0" * 32, *ME, "--reviewer", "lee", "--outcome", "stands"),
    "decisions list": ("decisions", "list", *ME),
}


@pytest.mark.parametrize("name", ACTS)
def test_a_role_nobody_knows_may_do_nothing(shell: Shell, tmp_path: Path, name: str) -> None:
    one = shell.document("add", "I live in Lisbon", "--importance", "0.9")["id"]
    act = [one if part == "ID" else part for part in ACTS[name]]
    refused = shell.refusal(*act, "--as-role", "janitor", text='{"content": "x"}\n')
    assert refused["error"] == "AccessDeniedError"
    assert [kept["id"] for kept in shell.document("list")["memories"]] == [one]
    assert not list(tmp_path.glob("*.zip"))


def test_under_a_strict_policy_an_admin_writes_and_corrects_what_is_confidential(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIERED_MEMORY_POLICY", "strict")
    salary = ("add", "My salary is good", "--sensitivity", "confidential", "--importance", "0.9")
    assert "[access.agent] write" in shell.refusal(*salary)["message"]
    one = shell.document(*salary, *ADMIN)["id"]
    correct = ("update", one, "My salary is very good", *WHY)
    assert shell.refusal(*correct)["error"] == "NotFoundError"
    assert shell.document(*correct, *ADMIN)["memory"]["version"] == 2


def test_what_the_agent_may_not_do_another_role_may(bound: Shell, tmp_path: Path) -> None:
    one = bound.document("add", "I take the tram", "--importance", "0.9")["id"]
    target = ("--output", str(tmp_path / "me.zip"))
    assert bound.refusal("export", *ME, *target)["error"] == "AccessDeniedError"
    assert bound.document("export", *ME, *target, "--as-role", "export")["memories"] == 1
    bound.document("quarantine", "put", one, *ADMIN)
    assert bound.document("quarantine", "list", *ADMIN)["quarantined"][0]["id"] == one
    bound.document("quarantine", "release", one, *ADMIN)
    bound.document("restrict", *ME, *WHY, *ADMIN)
    bound.document("unrestrict", *ME, *WHY, *ADMIN)
    bound.document("delete", one, *ADMIN)
    assert bound.refusal("erase", *ME, "--yes")["error"] == "AccessDeniedError"
    assert bound.document("erase", *ME, "--yes", *ADMIN)["signature_verified"]


def test_who_may_make_forget_and_may_not_read_is_told_numbers_only(bound: Shell, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN + FADES)
    bound.document("add", "we decided on option 1")
    support = ("--confirm", "--as-role", "support")
    told = bound.document("forget", *ME, "--dry-run", "--as-role", "support")
    assert (len(told["forgotten"]), len(bound.document("list")["memories"])) == (1, 1)
    assert "option" not in bound.words("forget", *ME, "--dry-run", "--as-role", "support")
    (tmp_path / "own.toml").write_text(OWN.replace('read = "none"', 'read = "public"') + FADES)
    bound.document("add", "we decided on option 2", "--sensitivity", "public")
    partly = bound.words("forget", *ME, "--dry-run", "--as-role", "support")
    assert "option 2" in partly
    assert "option 1" not in partly
    (tmp_path / "own.toml").write_text(OWN + FADES)
    assert "option" not in bound.words("forget", *ME, *support)
    assert bound.document("list")["memories"] == []


def test_upkeep_of_every_user_knows_no_role(shell: Shell) -> None:
    assert "--user" in shell.refusal("forget", *ADMIN)["message"]
    assert shell.document("forget")["evaluated"] == 0


def test_the_ledger_knows_that_somebody_else_acted(bound: Shell) -> None:
    assert (
        bound.refusal("decisions", "record", "no", *ME, "--as-role", "auditor")["error"]
        == "AccessDeniedError"
    )
    made = bound.document(
        "decisions", "record", "offer tea", *ME, "--effect", "legal", "--logic", "tea", *ADMIN
    )
    assert (made["effect"], made["automated"], made["logic"]) == ("legal", True, "tea")
    review = ("decisions", "review", made["id"], *ME, "--reviewer", "lee", "--outcome", "stands")
    assert bound.refusal(*review)["error"] == "AccessDeniedError"
    assert bound.document(*review, *ADMIN)["review"] == "done"
