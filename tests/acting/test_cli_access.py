"""On the command line: who may do what, who asks, and memories that are shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_shell import Shell, shell_in

ALICE, BOB = ("--user", "alice"), ("--user", "bob")
SUPPORT = ("--as-role", "support", "--actor", "desk-7", "--context", "support chat")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = shell_in(tmp_path, monkeypatch)
    for who in (ALICE, BOB):
        shell.document("consent", "grant", "personalization", "--notice", "n1", "--explicit", *who)
    return shell


@pytest.fixture
def told(shell: Shell) -> dict[str, Any]:
    """Ids of an internal and of a restricted memory of Alice's."""
    return {
        level: shell.document("add", text, "--sensitivity", level, "--importance", "0.9", *ALICE)["id"]
        for level, text in (("internal", "I take the tram"), ("restricted", "Quill treats me on the tram"))
    }


def test_the_table_is_a_document_and_a_picture(shell: Shell, tmp_path: Path) -> None:
    access = shell.document("access", "show")["access"]
    assert access["agent"] == dict.fromkeys(access["agent"], "restricted")
    assert access["support"]["read"] == "internal"
    assert access["auditor"]["read"] == "none"
    lines = shell.words("access", "show").splitlines()
    assert next(one.split() for one in lines if "auditor" in one)[2:] == list(access)
    search = [access[role]["search"] for role in access]
    assert next(one.split() for one in lines if one.split()[:1] == ["search"]) == ["search", *search]
    (tmp_path / "own.toml").write_text('schema = 1\nname = "own"\n[access.support]\nread = "public"\n')
    (tmp_path / "settings.toml").write_text(f'policy = "{tmp_path / "own.toml"}"\n')
    own = shell.document("access", "show", "--config", str(tmp_path / "settings.toml"))
    assert (own["policy"], own["access"]["support"]["read"]) == ("own", "public")


def test_a_role_sees_its_levels(shell: Shell, told: dict[str, str]) -> None:
    for arguments in (("search", "tram"), ("list",)):
        every = repr(shell.document(*arguments, *ALICE))
        seen = repr(shell.document(*arguments, *ALICE, *SUPPORT))
        assert told["restricted"] in every
        assert told["internal"] in seen
        assert told["restricted"] not in seen
    assert "Quill" not in shell.document("context", "tram", *ALICE, *SUPPORT)["text"]
    for command in ("explain", "history"):
        assert shell.refusal(command, told["restricted"], *ALICE, *SUPPORT)["error"] == "NotFoundError"
        assert shell.document(command, told["internal"], *ALICE, *SUPPORT)


def test_what_a_role_may_not_do_is_refused_and_recorded(shell: Shell, told: dict[str, str]) -> None:
    refused = shell.refusal("search", "tram", *ALICE, "--as-role", "auditor")
    assert refused["error"] == "AccessDeniedError"
    assert "[access.auditor] search" in refused["message"]
    assert shell.refusal("search", "tram", *ALICE, "--as-role", "janitor")["error"] == "AccessDeniedError"
    assert (
        shell.refusal("search", "tram", *ALICE, "--context", "call 5551234")["error"] == "InvalidInputError"
    )
    shell.document("search", "tram", *ALICE, *SUPPORT)
    recorded = shell.document("ledger", "about", *ALICE, "--as-role", "auditor")["recorded"]
    found = {one["event"]: one for one in recorded}
    assert found["access_refused"]["count"] == 2
    assert found["accessed"]["calls"]["search"] == 1
    assert told


def test_a_shared_memory_from_beginning_to_end(shell: Shell) -> None:
    made = shell.document("shared", "create", "plan", "--notice", "n", *ALICE)
    assert made == {"created": "plan"}
    rights = ("--right", "read", "--right", "write")
    bob = shell.document("shared", "grant", "plan", "bob", *rights, *ALICE)["reference"]
    bot = shell.document("shared", "grant", "plan", "bot", "--agent", "--right", "read", *ALICE)["reference"]
    receipt = shell.document("shared", "add", "plan", "The launch is on Monday", *BOB)
    hits = shell.document("shared", "search", "plan", "when is the launch", "--actor", "bot")["hits"]
    assert [one["memory"]["author"] for one in hits] == [bob]
    listed = shell.document("shared", "members", "plan", *ALICE)
    assert {one["reference"] for one in listed["members"]} >= {bob, bot}
    assert "created" in shell.words("shared", "members", "plan", *ALICE)
    shell.document("shared", "revoke", "plan", bot, *ALICE)
    assert shell.refusal("shared", "list", "plan", "--actor", "bot")["error"] == "AccessDeniedError"
    shell.document("shared", "delete", "plan", receipt["id"], *BOB)
    assert shell.document("shared", "list", "plan", *BOB)["memories"] == []
    shell.document("shared", "revoke", "plan", "bob", *ALICE)
    assert shell.refusal("shared", "list", "plan", *BOB)["error"] == "AccessDeniedError"


def test_somebody_must_ask(shell: Shell) -> None:
    assert shell.refusal("shared", "list", "plan")["error"] == "InvalidInputError"
    assert shell.refusal("shared", "list", "plan", *ALICE)["error"] == "AccessDeniedError"
    wrong = shell.refusal("shared", "grant", "plan", "bob", "--right", "own", *ALICE)
    assert wrong["error"] == "InvalidInputError"
