"""API keys on the command line."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import pytest
from cli_shell import Shell, shell_in
from support import opened

from tiered_memory.errors import UnauthenticatedError
from tiered_memory.principals import Principal

KEY = re.compile(r"tm_([0-9a-f]{16})_[A-Za-z0-9_-]{43}\n")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return shell_in(tmp_path, monkeypatch)


def verified(shell: Shell, secret: str) -> Principal | None:
    """Return what a daemon over the same directory would say of a key; None when it refuses."""

    async def look() -> Principal | None:
        async with opened(shell.data, settings={"redis_url": "local"}) as memory:
            try:
                return memory.api_keys.verify(secret)
            except UnauthenticatedError:
                return None

    return anyio.run(look)


def test_a_key_is_made_and_its_secret_is_all_of_the_output(shell: Shell) -> None:
    result = shell.on_store("api-keys", "create", "ci", "-g", "metrics", "--grant", "audit")
    assert result.exit_code == 0, result.stderr
    assert KEY.fullmatch(result.stdout)
    assert "only time" in result.stderr
    assert result.stdout.strip() not in result.stderr
    found = verified(shell, result.stdout.strip())
    assert found is not None
    assert {one.value for one in found.grants} == {"metrics", "audit"}


def test_as_a_document_it_comes_with_its_terms(shell: Shell) -> None:
    made = shell.document(
        *("api-keys", "create", "bot", "-g", "memories:read", "--tenant", "acme", "-u", "alice"),
        *("--role", "support", "--actor", "bot 7", "--expires", "2199-01-01"),
    )
    assert KEY.fullmatch(made["secret"] + "\n")
    kept = made["api_key"]
    assert (kept["name"], kept["tenant"], kept["user"], kept["actor"]) == ("bot", "acme", "alice", "bot 7")
    assert (kept["roles"], kept["expires_at"]) == (["support"], "2199-01-01T00:00:00+00:00")
    assert shell.document("api-keys", "list") == {"api_keys": [kept]}
    assert made["secret"] not in shell.words("api-keys", "list", "--json")


def test_the_list_shows_what_a_key_is_for_and_how_it_stands(shell: Shell) -> None:
    shell.words("api-keys", "create", "free", "-g", "admin")
    assert "no API keys" not in shell.words("api-keys", "list")
    old = shell.document("api-keys", "create", "old", "-g", "audit", "--tenant", "acme")["api_key"]["id"]
    shell.words("api-keys", "rotate", old)
    gone = shell.document("api-keys", "create", "gone", "-g", "audit")["api_key"]["id"]
    shell.words("api-keys", "revoke", gone)
    shown = shell.words("api-keys", "list")
    for word in ("free", "admin", "acme", "never", "good", "rotated, ends", "revoked"):
        assert word in shown, word


def test_an_empty_list_says_so(shell: Shell) -> None:
    made = shell.document("api-keys", "create", "x", "-g", "audit")
    shell.words("api-keys", "revoke", made["api_key"]["id"], "--reason", "lost")
    (listed,) = shell.document("api-keys", "list")["api_keys"]
    assert (listed["good"], listed["revoked_because"]) == (False, "lost")
    shell.document("consent", "grant", "personalization", "--notice", "n1")
    other = Shell(shell.data.parent / "other")
    other.document("consent", "grant", "personalization", "--notice", "n1")
    assert "no API keys" in other.words("api-keys", "list")


def test_a_revoked_key_is_refused_and_a_rotated_one_works_while_it_overlaps(shell: Shell) -> None:
    first = shell.document("api-keys", "create", "x", "-g", "audit")
    second = shell.document("api-keys", "rotate", first["api_key"]["id"], "--overlap-hours", "1")
    third = shell.document("api-keys", "rotate", second["api_key"]["id"], "--overlap-hours", "0")
    secrets = [one["secret"] for one in (first, second, third)]
    assert [verified(shell, one) is not None for one in secrets] == [True, False, True]
    shell.words("api-keys", "revoke", f"tm_{third['api_key']['id']}")
    assert verified(shell, third["secret"]) is None


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("create", "x", "-g", "everything"), "InvalidInputError"),
        (("create", "x", "-g", "audit", "-u", "alice"), "InvalidInputError"),
        (("create", "x", "-g", "audit", "--expires", "soon"), "InvalidInputError"),
        (("create", "x", "-g", "audit", "--expires", "2020-01-01"), "InvalidInputError"),
        (("revoke", "0" * 16), "NotFoundError"),
        (("rotate", "nobody"), "NotFoundError"),
    ],
)
def test_what_cannot_be_is_a_refusal(shell: Shell, arguments: tuple[str, ...], error: str) -> None:
    shell.document("api-keys", "create", "x", "-g", "audit")
    assert shell.refusal("api-keys", *arguments)["error"] == error
    assert len(shell.document("api-keys", "list")["api_keys"]) == 1


def test_a_whole_key_is_not_taken_for_an_id_nor_repeated(shell: Shell) -> None:
    secret = shell.document("api-keys", "create", "x", "-g", "audit")["secret"]
    told = shell.refusal("api-keys", "revoke", secret)
    assert told["error"] == "InvalidInputError"
    assert secret[-43:] not in str(told)


def test_a_key_without_a_scope_is_not_made(shell: Shell) -> None:
    assert shell.on_store("api-keys", "create", "x").exit_code == 2
