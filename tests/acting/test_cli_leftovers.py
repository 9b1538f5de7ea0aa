"""On the command line: what is left of an erased user is found, and a short id is no part of an ordinary word."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_shell import Shell, shell_in

from tiered_memory.cli.leftovers import SHORT, _Finder, is_short


def hits(word: str, value: object) -> int:
    finder = _Finder([word])
    finder.look(value)
    return finder.found[word]


@pytest.mark.parametrize(
    "value",
    [
        "Ana",
        "ana/ben",
        "erased: ana.",
        b"\xa3ana\xa4text",
        {"user": "ANA"},
        "mail to ana now".encode("utf-16-le"),
        b'{"user": "ana"}'.hex(),
        b"ana".hex(),
        "YW5h",
        '{"id": "YW5h"}',
    ],
)
def test_a_short_word_is_found_where_it_stands_alone(value: object) -> None:
    assert hits("ana", value) == 1


@pytest.mark.parametrize(
    "value",
    [
        "analytics.duckdb",
        "banana",
        "ana7",
        "7ana",
        "banana".encode("utf-16-le"),
        b"banana".hex(),
        b"analytics".hex(),
        "xYW5hbHl0aWNz",
    ],
)
def test_a_short_word_is_not_found_in_another(value: object) -> None:
    assert hits("ana", value) == 0


def test_a_word_of_six_is_found_anywhere() -> None:
    assert SHORT == 6
    assert [is_short(word) for word in ("Porto", "Bremen")] == [True, False]
    assert hits("bremen", "InBremenhaven") == 1


def test_marks_in_a_short_word_are_taken_as_they_are() -> None:
    assert hits("a.b", "a.b!") == 1
    assert hits("a.b", "axb") == 0


@pytest.fixture
def erased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = shell_in(tmp_path, monkeypatch)
    shell.document("consent", "grant", "personalization", "--notice", "n1", "--user", "anika")
    shell.document("add", "I moved to Bremen", "--user", "anika", "--importance", "0.9")
    shell.document("erase", "--user", "anika", "--yes")
    shell.document("stats")
    assert (shell.data / "analytics.duckdb").is_file()
    return shell


def test_after_an_erasure_a_short_id_meets_no_file_of_the_store(erased: Shell) -> None:
    result = erased.on_store("verify-erased", "--user", "anika", "--word", "Bremen")
    assert result.exit_code == 0, result.output
    assert "0 hits, 0 memories" in result.stdout
    assert "1 word has fewer than 6 characters" in result.stderr
    found = erased.document("verify-erased", "--user", "anika", "--word", "Bremen")
    assert (found["words"], found["short_words"], found["hits_of_short_words"]) == (2, 1, 0)


def test_chance_and_certainty_are_told_apart(erased: Shell) -> None:
    (erased.data / "note.txt").write_text("anika called")
    by_chance = erased.on_store("verify-erased", "--user", "anika")
    assert by_chance.exit_code == 1
    assert "look for longer ones" in by_chance.stderr
    (erased.data / "note.txt").write_text("she lives in Bremen")
    certain = erased.on_store("verify-erased", "--user", "anika", "--word", "Bremen")
    assert certain.exit_code == 1
    assert "erase again" in certain.stderr


def test_long_words_are_warned_of_nothing(erased: Shell) -> None:
    result = erased.on_store("verify-erased", "--user", "ana.silva")
    assert result.exit_code == 0
    assert "characters" not in result.stderr
