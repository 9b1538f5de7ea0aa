"""On the command line: many interactions at once, forgetting, a person's rights, and operating."""

from __future__ import annotations

import json
import os
import pty
import select
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cli_shell import BESIDE_THE_PACKAGE, Shell, lines, shell_in

FADES_AT_ONCE = """
schema = 1
name = "fades"
[decay]
threshold = 0.99
grace_hours = 0
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return shell_in(tmp_path, monkeypatch)


@pytest.fixture
def agreed(shell: Shell) -> Shell:
    shell.document("consent", "grant", "personalization", "--notice", "n1")
    return shell


# --- many at once --------------------------------------------------------------------------------------------


def test_a_file_of_lines_is_stored(agreed: Shell, tmp_path: Path) -> None:
    source = tmp_path / "talk.jsonl"
    given = [
        {
            "content": f"we decided on option {n}",
            "role": "assistant",
            "time": "2026-01-02T03:04Z",
            "author": "Iris",
        }
        for n in range(250)
    ]
    source.write_text("\n".join(map(json.dumps, given)))
    summary = agreed.document("add", "--input", str(source), "--session", "s9", "--operation-id", "once")
    assert summary["added"] == 250
    assert summary["by_durability"] == {"journaled": 250}
    again = agreed.document("add", "--input", str(source), "--session", "s9", "--operation-id", "once")
    assert (again["added"], again["repeated"]) == (0, 250)
    found = agreed.document("list", "-n", "1000", "--session", "s9")["memories"]
    assert len(found) == 250
    assert {one["author"] for one in found} == {"Iris"}


def test_a_bad_line_is_named_and_the_lines_before_it_stay(agreed: Shell) -> None:
    text = (
        lines(*(f"we decided on option {n}" for n in range(119)))
        + '{"content": "x", "rôle": "user"}\n'
        + lines("y")
    )
    refusal = agreed.refusal("add", "-", text=text)
    assert refusal["error"] == "InvalidInputError"
    assert "line 120" in refusal["message"]
    assert "119 lines before were stored" in refusal["message"]
    assert len(agreed.document("list", "-n", "1000")["memories"]) == 119


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json\n", "not JSON"),
        ("[1]\n", "object"),
        ('{"role": "user"}\n', "content"),
        ('{"content": "a", "time": 3}\n', "time"),
        ('{"content": "a", "time": "2026-01-02T03:04"}\n', "offset"),
        ('{"content": "\\u0000"}\n', "NUL"),
        (b'{"content": "\xff"}\n', "UTF-8"),
        ("[" * 100_000 + "\n", "not JSON"),
    ],
    ids=["text", "list", "no content", "time", "naive", "nul", "latin-1", "deep"],
)
def test_bad_lines_store_nothing(agreed: Shell, text: str | bytes, says: str) -> None:
    refusal = agreed.refusal("add", "-", text=text)
    assert refusal["error"] == "InvalidInputError"
    assert says in refusal["message"]
    assert "nothing was stored" in refusal["message"]
    assert agreed.document("list")["memories"] == []


def test_a_missing_file_is_refused(agreed: Shell) -> None:
    assert "cannot be read" in agreed.refusal("add", "--input", "nowhere.jsonl")["message"]


# --- forgetting ----------------------------------------------------------------------------------------------


@pytest.fixture
def fading(shell: Shell, tmp_path: Path) -> tuple[Shell, tuple[str, str]]:
    (tmp_path / "fades.toml").write_text(FADES_AT_ONCE)
    (tmp_path / "settings.toml").write_text(f"policy = '{tmp_path / 'fades.toml'}'\n")
    config = ("--config", str(tmp_path / "settings.toml"))
    shell.document("consent", "grant", "personalization", "--notice", "n1", *config)
    shell.document("add", "-", *config, text=lines(*(f"we decided on option {n}" for n in range(30))))
    return shell, config


def test_forgetting_is_announced_braked_confirmed_and_undone(fading: tuple[Shell, tuple[str, str]]) -> None:
    shell, config = fading
    planned = shell.document("forget", "--dry-run", "--user", "me", *config)
    assert planned["dry_run"]
    assert planned["stopped"]
    braked = shell.on_store("forget", "--json", *config)
    assert braked.exit_code == 1
    assert json.loads(braked.stdout)["stopped"]
    assert "--confirm" in shell.on_store("forget", *config).stdout
    assert len(shell.document("list", "-n", "100", *config)["memories"]) == 30
    done = shell.on_store("forget", "--confirm", "--user", "me", *config)
    assert done.exit_code == 0
    assert "30 were forgotten" in done.stdout
    gone = shell.document("list", "--forgotten", *config)["memories"]
    assert len(gone) == 30
    assert shell.document("list", *config)["memories"] == []
    restored = shell.document("unforget", gone[0]["id"][:12], *config)
    assert restored["content"] == gone[0]["content"]
    assert [one["id"] for one in shell.document("list", *config)["memories"]] == [restored["id"]]


# --- rights --------------------------------------------------------------------------------------------------


def test_withdrawn_consent_takes_its_memories_along(agreed: Shell) -> None:
    agreed.document("add", "I prefer tea")
    assert set(agreed.document("consent", "show")["consents"]) == {"personalization"}
    assert "personalization" in agreed.words("consent", "show")
    assert agreed.document("consent", "withdraw", "personalization")["removed"] == 1
    assert agreed.document("consent", "show")["consents"] == {}
    assert agreed.document("list")["memories"] == []


def test_erasing_unasked_is_refused(agreed: Shell) -> None:
    agreed.document("add", "I prefer tea")
    assert agreed.refusal("erase", "--user", "me")["error"] == "ConfirmationRequiredError"
    assert len(agreed.document("list")["memories"]) == 1


def test_an_erasure_hands_over_a_verified_certificate(agreed: Shell, tmp_path: Path) -> None:
    agreed.document("add", "I prefer tea")
    target = tmp_path / "proof.json"
    proof = agreed.document("erase", "--user", "me", "--yes", "--certificate", str(target))
    assert proof["signature_verified"]
    assert proof["certificate"]["verified"]
    assert json.loads(target.read_text()) == proof["certificate"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert agreed.document("list")["memories"] == []
    assert "signature is valid" in agreed.words("erase", "--user", "me", "--yes")


def test_an_erasure_never_writes_over_a_file(agreed: Shell, tmp_path: Path) -> None:
    target = tmp_path / "proof.json"
    target.write_text("precious")
    agreed.document("add", "I prefer tea")
    refusal = agreed.refusal("erase", "--user", "me", "--yes", "--certificate", str(target))
    assert "nothing was erased" in refusal["message"]
    assert target.read_text() == "precious"
    assert len(agreed.document("list")["memories"]) == 1


@pytest.mark.parametrize(("typed", "code", "left"), [("me", 0, 0), ("you", 1, 1), ("", 1, 1)])
def test_at_a_terminal_the_id_must_be_typed(agreed: Shell, typed: str, code: int, left: int) -> None:
    agreed.document("add", "I prefer tea")
    exit_code, screen = _at_terminal(typed, "erase", "--user", "me", "--data", str(agreed.data))
    assert "Type the user's id" in screen
    assert exit_code == code, screen
    assert len(agreed.document("list")["memories"]) == left


def _at_terminal(typed: str, *arguments: str) -> tuple[int, str]:
    """Run the command line on a terminal of its own, type one line when asked; return exit code and screen."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tiered_memory", *arguments]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=BESIDE_THE_PACKAGE
    ) as process:
        os.close(theirs)
        seen = b""
        while (chunk := _read(ours)) != b"":
            asked_before = b"Type the user's id" in seen
            seen += chunk
            if b"Type the user's id" in seen and not asked_before:
                os.write(ours, typed.encode() + b"\n")
        os.close(ours)
    assert b"Traceback" not in seen
    return process.returncode, seen.decode()


def _read(terminal: int) -> bytes:
    """Return what the terminal shows next; nothing when the other side is gone."""
    ready, _, _ = select.select([terminal], [], [], 30)
    try:
        return os.read(terminal, 4096) if ready else b""
    except OSError:
        return b""


# --- operating -----------------------------------------------------------------------------------------------


def test_statistics_count_what_is_held(agreed: Shell) -> None:
    agreed.document("add", "I prefer tea")
    agreed.document("add", "What's the weather like?", "--session", "s")
    document = agreed.document("stats")
    assert document["memories"] == 1
    assert sum(document["importance_histogram"]) == 1
    assert sum(one["count"] for one in document["routing"]) == 2
    assert document["forecast"]["within_days"]["365"] == 1
    assert "Importance of active memories" in agreed.words("stats")


@pytest.mark.parametrize("name", ["default", "seed"])
def test_a_shipped_policy_is_valid_and_shown(shell: Shell, name: str) -> None:
    document = json.loads(shell.run("policy", "check", name, "--json").stdout)
    assert document["valid"]
    assert document["rules"]["name"] == name
    lifetimes = list(document["lifetime_days_untouched"].values())
    assert lifetimes == sorted(lifetimes)
    assert "is valid" in shell.run("policy", "check", name).stdout


def test_a_misspelt_policy_key_is_named(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("schema = 1\n[decay]\nhalf_live = 3\n")
    result = shell.run("policy", "check", str(tmp_path / "mine.toml"), "--json")
    assert result.exit_code == 1
    error = json.loads(result.stderr)
    assert error["error"] == "PolicyError"
    assert "half_live" in error["message"]
    assert "[decay]" in error["message"]
