"""On the command line: a certificate of an erasure is verified from its file alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_shell import Shell, shell_in

ME = ("--user", "me")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = shell_in(tmp_path, monkeypatch)
    shell.document("consent", "grant", "personalization", "--notice", "n1")
    shell.document("add", "I prefer tea", "--importance", "0.9")
    return shell


@pytest.fixture
def certificate(shell: Shell, tmp_path: Path) -> Path:
    target = tmp_path / "certificate.json"
    shell.document("erase", *ME, "--yes", "--certificate", str(target))
    return target


def verified(shell: Shell, *arguments: object) -> Any:
    done = shell.run("certificate", "verify", *map(str, arguments), "--json")
    return json.loads(done.stdout if done.exit_code == 0 else done.stderr.splitlines()[-1])


def altered(source: Path, **fields: object) -> Path:
    target = source.with_name("altered.json")
    target.write_text(json.dumps({**json.loads(source.read_text()), **fields}))
    return target


def test_it_is_valid_and_of_whom_it_is(shell: Shell, certificate: Path) -> None:
    key = json.loads(certificate.read_text())["public_key"]
    found = verified(shell, certificate, "--key", key, *ME)
    assert (found["valid"], found["trusted_key"], found["of_user"]) == (True, True, "me")
    assert found["certificate"] == json.loads(certificate.read_text())


def test_without_a_key_it_says_what_that_does_not_prove(shell: Shell, certificate: Path) -> None:
    done = shell.run("certificate", "verify", str(certificate))
    assert done.exit_code == 0
    assert "its signature is valid" in done.stdout
    assert "compare it with one you trust" in done.stderr
    assert verified(shell, certificate)["trusted_key"] is False


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--key", "0" * 64), "another store"),
        (("--user", "you"), "somebody else"),
        (("--user", "me", "--tenant", "other"), "somebody else"),
    ],
)
def test_another_key_or_person_is_refused(
    shell: Shell, certificate: Path, options: tuple[str, ...], says: str
) -> None:
    found = verified(shell, certificate, *options)
    assert found["error"] == "CorruptionError"
    assert says in found["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": "because"},
        {"verified": False},
        {"retained": ["something"]},
        {"retained": "something"},
        {"salt": "00" * 16},
        {"finished_at": "2026-01-01T00:00:00+00:00"},
        {"generation": "2"},
        {"signature": "zz"},
        {"ledger_path": []},
    ],
)
def test_an_altered_one_is_found(shell: Shell, certificate: Path, fields: dict[str, object]) -> None:
    found = verified(shell, altered(certificate, **fields), *ME)
    assert found["error"] == "CorruptionError"


@pytest.mark.parametrize(
    "fields",
    [
        {"more": 1},
        {"tiers": None},
        {"tiers": [{"tier": 1, "records": 1, "method": "m", "verified": True}]},
        {"finished_at": "yesterday"},
        {"public_key": 7},
        {"ledger_path": [7]},
        {"retained": 7},
    ],
)
def test_what_is_no_certificate_is_refused(
    shell: Shell, certificate: Path, fields: dict[str, object]
) -> None:
    found = verified(shell, altered(certificate, **fields))
    assert found["error"] == "InvalidInputError"
    assert "no certificate" in found["message"]


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "[" * 100_000])
def test_a_file_of_something_else_is_refused(shell: Shell, tmp_path: Path, content: str) -> None:
    source = tmp_path / "other.json"
    source.write_text(content)
    assert verified(shell, source)["error"] == "InvalidInputError"
    assert verified(shell, tmp_path / "nowhere.json")["error"] == "InvalidInputError"


def test_what_stays_under_a_hold_is_shown(shell: Shell, tmp_path: Path) -> None:
    terms = ("--owner", "legal", "--reason", "claim", "--review", "2099-01-01")
    shell.document("hold", "place", "case-7", "--covers", "user=me", "--covers", "tenant=default", *terms)
    target = tmp_path / "certificate.json"
    words = " ".join(shell.words("erase", *ME, "--yes", "--certificate", str(target)).split())
    assert "STAYS 1 memory under a legal hold: GDPR Art. 17(3)(e)" in words
    assert "STAYS" in shell.run("certificate", "verify", str(target)).stdout
    assert shell.document("hold", "release", "case-7", "--reason", "settled")["kept"] == 1
