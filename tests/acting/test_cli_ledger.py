"""On the command line: the ledger is exported and verified, by the package and by the program that goes with it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_shell import Shell, shell_in
from support import state_of

from tiered_memory.privacy.checkpoint import parse_note


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = shell_in(tmp_path, monkeypatch)
    shell.document("consent", "grant", "personalization", "--notice", "n1")
    shell.document("add", "I prefer tea")
    return shell


@pytest.fixture
def export(shell: Shell, tmp_path: Path) -> Path:
    shell.document("ledger", "export", str(tmp_path / "export"))
    return tmp_path / "export"


def alone(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the program as somebody does who has nothing but the export."""
    command = [sys.executable, "-I", str(program), *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


# --- the store ---------------------------------------------------------------------------------------------------


def test_a_sound_store_verifies(shell: Shell) -> None:
    found = shell.document("ledger", "verify")
    assert found["sound"]
    assert found["problems"] == []
    assert found["entries"] == found["covered"] > 2
    assert "sound:" in shell.words("ledger", "verify")


def test_an_altered_store_does_not(shell: Shell) -> None:
    with contextlib.closing(state_of(shell.data)) as db:
        db.execute("UPDATE audit SET leaf = CAST(leaf || ' ' AS BLOB) WHERE leaf_index = 1")
    refusal = shell.refusal("ledger", "verify")
    assert refusal["error"] == "CorruptionError"
    assert "entry 1" in refusal["message"]


def test_damage_that_was_accepted_is_still_reported(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(state_of(shell.data)) as db:
        db.execute("UPDATE audit SET leaf = CAST(leaf || ' ' AS BLOB) WHERE leaf_index = 1")
    monkeypatch.setenv("TIERED_MEMORY_ACCEPT_ROLLBACK", "true")
    shell.document("list")
    monkeypatch.delenv("TIERED_MEMORY_ACCEPT_ROLLBACK")
    result = shell.on_store("ledger", "verify", "--json")
    assert result.exit_code == 1
    assert not json.loads(result.stdout)["sound"]
    assert "NOT SOUND" in shell.on_store("ledger", "verify").stdout


def test_a_checkpoint_kept_elsewhere_finds_a_store_put_back_whole(shell: Shell, tmp_path: Path) -> None:
    """With every mark and checkpoint of its own put back too: nothing in the directory could tell."""
    shutil.copytree(shell.data, tmp_path / "older")
    shell.document("consent", "grant", "personalization", "--notice", "n2")
    document = shell.document("ledger", "checkpoint")
    note = parse_note(document["checkpoint"])
    assert note is not None
    assert note.checkpoint.size == document["entries"]
    kept = tmp_path / "kept.txt"
    kept.write_text(shell.words("ledger", "checkpoint"), encoding="utf-8")
    assert shell.document("ledger", "verify", "--checkpoint", str(kept))["sound"]
    shutil.rmtree(shell.data)
    shutil.move(tmp_path / "older", shell.data)
    assert shell.document("ledger", "verify")["sound"]
    result = shell.on_store("ledger", "verify", "--checkpoint", str(kept))
    assert result.exit_code == 1
    assert "missing at the end" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--key", "xyz"), "64 hex digits"),
        (("--key", "ab" * 31), "64 hex digits"),
        (("--key", "ab" * 32), "another key"),
        (("--checkpoint", "nowhere.txt"), "cannot be read"),
        (("--checkpoint", "junk.txt"), "no checkpoint"),
    ],
)
def test_senseless_requests_are_refused(shell: Shell, arguments: tuple[str, str], says: str) -> None:
    Path("junk.txt").write_text("not a note\n")
    assert says in shell.refusal("ledger", "verify", *arguments)["message"]


def test_without_a_store_there_is_nothing_to_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = shell_in(tmp_path, monkeypatch)
    for arguments in (("verify",), ("checkpoint",), ("export", "out")):
        assert empty.refusal("ledger", *arguments)["error"] == "ConfigurationError"
    assert not Path("out").exists()


# --- the export --------------------------------------------------------------------------------------------------


def test_an_export_verifies_here_and_alone(shell: Shell, tmp_path: Path) -> None:
    target = tmp_path / "export"
    report = shell.document("ledger", "export", str(target))
    assert {path.name for path in target.iterdir()} == {
        "checkpoints.txt",
        "leaves.jsonl",
        "manifest.json",
        "public_key.txt",
        "verify_ledger.py",
    }
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in target.iterdir())
    here = shell.document("ledger", "verify", str(target), "--key", report["public_key"])
    assert here["sound"]
    assert here["notices"] == []
    assert (here["entries"], here["root"]) == (report["entries"], report["root"])
    there = answer(alone(target / "verify_ledger.py", target, "--key", report["public_key"], "--json"))
    assert there["sound"]
    assert (there["entries"], there["root"]) == (report["entries"], report["root"])
    assert report["root"] in shell.words("ledger", "export", str(tmp_path / "another"))


def test_a_key_that_was_not_given_is_pointed_out(shell: Shell, export: Path) -> None:
    assert "own" in shell.document("ledger", "verify", str(export))["notices"][0]
    assert "compare it" in alone(export / "verify_ledger.py", export).stderr


def test_an_export_needs_no_store_to_be_verified(shell: Shell, export: Path) -> None:
    shutil.rmtree(shell.data)
    assert shell.document("ledger", "verify", str(export))["sound"]


def test_an_export_is_never_written_over_something(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("x")
    assert "empty" in shell.refusal("ledger", "export", str(tmp_path / "full"))["message"]
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["precious"]


def _edit(export: Path) -> None:
    path = export / "leaves.jsonl"
    path.write_bytes(path.read_bytes().replace(b"consent_given", b"consent_taken"))


def _drop(export: Path) -> None:
    path = export / "leaves.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


def _cut(export: Path) -> None:
    path = export / "leaves.jsonl"
    path.write_bytes(path.read_bytes()[:-1])


def _add_a_file(export: Path) -> None:
    (export / "notes.txt").write_text("hello")


def _cut_manifest(export: Path) -> None:
    path = export / "manifest.json"
    path.write_bytes(path.read_bytes()[:-40])


def _change_manifest(export: Path) -> None:
    path = export / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"made_at_us":1', b'"made_at_us":2'))


def _empty_checkpoints(export: Path) -> None:
    (export / "checkpoints.txt").write_bytes(b"")


ALTERED = (_edit, _drop, _cut, _add_a_file, _cut_manifest, _change_manifest, _empty_checkpoints)


@pytest.mark.parametrize("alter", ALTERED, ids=lambda alter: alter.__name__)
def test_an_altered_export_is_found_out_here_and_alone(shell: Shell, export: Path, alter: Any) -> None:
    program = export.parent / "verify.py"
    shutil.copyfile(export / "verify_ledger.py", program)
    alter(export)
    here = shell.on_store("ledger", "verify", str(export), "--json")
    assert here.exit_code == 1
    assert "CorruptionError" in here.stderr
    done = alone(program, export, "--json")
    assert done.returncode == 1
    assert answer(done)["sound"] is False
    assert answer(done)["problem"]


def test_another_stores_export_is_not_ones_own(
    shell: Shell, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = json.loads((export / "manifest.json").read_text())["public_key"]
    (tmp_path / "elsewhere").mkdir()
    other = shell_in(tmp_path / "elsewhere", monkeypatch)
    other.document("consent", "grant", "personalization", "--notice", "n1")
    other.document("ledger", "export", str(tmp_path / "foreign"))
    assert (
        "another key" in shell.refusal("ledger", "verify", str(tmp_path / "foreign"), "--key", key)["message"]
    )
    done = alone(export / "verify_ledger.py", tmp_path / "foreign", "--key", key, "--json")
    assert "another key" in answer(done)["problem"]


# --- certificates ------------------------------------------------------------------------------------------------


def test_a_certificate_verifies_alone_and_is_in_the_export(shell: Shell, tmp_path: Path) -> None:
    target, export = tmp_path / "proof.json", tmp_path / "export"
    proof = shell.document("erase", "--user", "me", "--yes", "--certificate", str(target))["certificate"]
    assert proof["format"] == 2
    assert proof["ledger_path"]
    report = shell.document("ledger", "export", str(export))
    leaves = (export / "leaves.jsonl").read_text().splitlines()
    assert leaves[int(proof["ledger_leaf"])] == proof["ledger_entry"]
    assert proof["ledger_checkpoint"] in (export / "checkpoints.txt").read_text()
    program = export / "verify_ledger.py"
    found = answer(alone(program, "--certificate", target, "--key", report["public_key"], "--json"))
    assert (found["sound"], found["in_ledger"], found["certificate"]) == (True, True, proof["id"])
    both = answer(alone(program, export, "--certificate", target, "--json"))
    assert both["entries"] == report["entries"]
    target.write_text(target.read_text().replace('"keys_destroyed": 2', '"keys_destroyed": 3'))
    done = alone(program, "--certificate", target)
    assert done.returncode == 1
    assert "altered" in done.stdout


def test_a_certificate_shows_that_it_is_in_the_ledger(shell: Shell) -> None:
    assert "in the ledger" in shell.words("erase", "--user", "me", "--yes")


@pytest.mark.parametrize("arguments", [(), ("export", "--key", "nothex")])
def test_the_program_says_how_it_is_used(export: Path, arguments: tuple[str, ...]) -> None:
    done = alone(export / "verify_ledger.py", *arguments)
    assert done.returncode == 2
    assert "usage" in done.stderr


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"public_key": 3}', "[" * 100_000])
def test_the_program_meets_nonsense_with_a_message(export: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "junk.json").write_text(text)
    done = alone(export / "verify_ledger.py", "--certificate", tmp_path / "junk.json", "--json")
    assert done.returncode == 1
    assert answer(done)["sound"] is False
