"""`tiered-memory reembed`: answers for people and programs, and the way from one embedder to the next by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_shell import Shell, lines, shell_in
from other_embedders import rotated_model

from tiered_memory.embedding.load import load_embedder
from tiered_memory.embedding.static_embedder import StaticEmbedder

LENGTHS = "other_embedders:LengthEmbedder"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return shell_in(tmp_path, monkeypatch)


@pytest.fixture
def rotated(tmp_path: Path) -> str:
    return str(rotated_model(tmp_path / "rotated"))


@pytest.fixture
def filled(shell: Shell) -> Shell:
    shell.document("consent", "grant", "personalization", "--notice", "n1")
    said = lines("I prefer rooibos tea", "we deploy on Mondays", "her cat is grey")
    shell.document("add", "-", "--importance", "0.9", text=said)
    return shell


def test_the_command_has_help_and_can_answer_in_json(shell: Shell) -> None:
    result = shell.run("reembed", "--help")
    assert result.exit_code == 0
    assert {"--to", "--dry-run", "--json"} <= set(result.stdout.split())


def test_it_must_be_said_whereto(filled: Shell) -> None:
    assert filled.on_store("reembed").exit_code == 2


def test_a_move_and_what_to_set_from_then_on(
    filled: Shell, rotated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = filled.on_store("reembed", "--to", rotated)
    assert result.exit_code == 0
    assert "3 memories of 1 users" in result.stdout
    assert f"TIERED_MEMORY_EMBEDDER={rotated}" in result.stderr.replace("\n", "")
    refusal = filled.refusal("search", "tea")
    assert refusal["error"] == "EmbedderMismatchError"
    assert "tiered-memory reembed" in refusal["message"]
    monkeypatch.setenv("TIERED_MEMORY_EMBEDDER", rotated)
    (hit, *_) = filled.document("search", "which tea do I like?")["hits"]
    assert hit["memory"]["content"] == "I prefer rooibos tea"


def test_the_document(filled: Shell, rotated: str) -> None:
    report = filled.document("reembed", "--to", rotated)
    assert report.pop("seconds") > 0
    assert report == {
        "embedder": load_embedder(rotated).name,
        "dry_run": False,
        "subjects": 1,
        "memories": 3,
        "skipped": 0,
        "damaged": 0,
        "left": 0,
    }
    assert filled.document("reembed", "--to", rotated)["memories"] == 0
    assert filled.document("reembed", "--to", "static")["embedder"] == StaticEmbedder().name
    assert len(filled.document("list")["memories"]) == 3


def test_a_dry_run(filled: Shell, rotated: str) -> None:
    report = filled.document("reembed", "--to", rotated, "--dry-run")
    assert (report["dry_run"], report["memories"]) == (True, 3)
    shown = filled.on_store("reembed", "--to", rotated, "--dry-run")
    assert "would take about" in " ".join(shown.stdout.split())
    assert "from now on" not in shown.stderr
    assert len(filled.document("list")["memories"]) == 3


def test_a_factory_and_the_settings_file(filled: Shell, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(f'embedder = "{LENGTHS}"\n')
    result = filled.on_store("reembed", "--to", LENGTHS, "--config", str(config))
    assert result.exit_code == 0
    assert "from now on" not in result.stderr
    assert len(filled.document("list", "--config", str(config))["memories"]) == 3


@pytest.mark.parametrize("to", ["nonsense", "no_such_module_at_all:x", "other_embedders:no_embedder", ""])
def test_what_is_no_embedder_is_refused_and_nothing_changes(filled: Shell, to: str) -> None:
    assert filled.refusal("reembed", "--to", to)["error"] == "ConfigurationError"
    assert len(filled.document("list")["memories"]) == 3


def test_where_there_is_no_store_none_is_made(shell: Shell) -> None:
    assert shell.refusal("reembed", "--to", "static")["error"] == "ConfigurationError"
    assert not shell.data.exists()


def test_a_refusal_is_one_document(filled: Shell) -> None:
    result = filled.on_store("reembed", "--to", "nonsense", "--json")
    assert json.loads(result.stderr.splitlines()[-1])["message"].startswith("embedder must be")
