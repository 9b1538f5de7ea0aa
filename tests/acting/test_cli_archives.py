"""The command line takes data out and in, and checks an archive without a store."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from archive_tools import every_problem, lines
from cli_shell import Shell, shell_in


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = shell_in(tmp_path, monkeypatch)
    shell.document("consent", "grant", "personalization", "--notice", "n1")
    shell.document("add", "I prefer tea to coffee")
    shell.document("add", "My sister Ines lives in Lisbon")
    return shell


def test_out_checked_erased_and_in_again(shell: Shell, tmp_path: Path) -> None:
    target = tmp_path / "me.zip"
    made = shell.document("export", "--user", "me", "--output", str(target))
    assert made["memories"] == 2
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert every_problem(target) == []
    shell.document("erase", "--user", "me", "--yes")
    refusal = shell.refusal("import", str(target), "--user", "me")
    assert refusal["error"] == "ConsentRequiredError"
    shell.document("consent", "grant", "personalization", "--notice", "n2")
    report = shell.document("import", str(target), "--user", "me")
    assert (report["added"], report["skipped"], report["refused"]) == (2, 0, {})
    assert shell.document("import", str(target), "--user", "me")["skipped"] == 2
    assert len(shell.document("list")["memories"]) == 2


def test_pictures_say_what_documents_say(shell: Shell, tmp_path: Path) -> None:
    target = tmp_path / "me.zip"
    shown = shell.words("export", "--user", "me", "-o", str(target), "--portability")
    assert "memories" in shown
    assert [one["role"] for one in lines(target, "memories.jsonl")] == ["user", "user"]
    assert "held already" in shell.words("import", str(target), "--user", "me")
    checked = shell.run("archive", "verify", str(target))
    assert checked.exit_code == 0
    assert "portability" in checked.stdout
    assert "compare it" in checked.stderr


def test_without_a_name_the_file_lies_here(shell: Shell, tmp_path: Path) -> None:
    made = shell.document("export", "--user", "me")
    assert Path(made["path"]).parent == tmp_path
    assert "me" not in Path(made["path"]).stem.split("-")


def test_verify_needs_no_store_and_finds_changes(shell: Shell, tmp_path: Path) -> None:
    target = tmp_path / "me.zip"
    made = shell.document("export", "--user", "me", "-o", str(target))
    good = shell.run("archive", "verify", str(target), "--json", "--key", made["public_key"])
    assert good.exit_code == 0
    assert '"notices": []' in good.stdout
    assert shell.run("archive", "verify", str(target), "--key", "00" * 32).exit_code == 1
    assert shell.run("archive", "verify", str(target), "--key", "xyz").exit_code == 1
    data = bytearray(target.read_bytes())
    data[len(data) // 3] ^= 1
    target.write_bytes(data)
    bad = shell.run("archive", "verify", str(target), "--json")
    assert bad.exit_code == 1
    assert "ArchiveError" in bad.stderr
    assert bad.stdout == ""


def test_an_export_overwrites_nothing(shell: Shell, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.write_text("precious")
    assert "already" in shell.refusal("export", "--user", "me", "-o", str(target))["message"]
    assert target.read_text() == "precious"


def test_somebody_elses_archive(shell: Shell, tmp_path: Path) -> None:
    target = tmp_path / "me.zip"
    shell.document("export", "--user", "me", "-o", str(target))
    shell.document("consent", "grant", "personalization", "--notice", "n1", "--user", "you")
    assert "somebody else" in shell.refusal("import", str(target), "--user", "you")["message"]
    report = shell.document("import", str(target), "--user", "you", "--accept-other-subject")
    assert report["added"] == 2
