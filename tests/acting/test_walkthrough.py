"""The privacy officer's walk-through is played with the real command line, and prints what the page shows."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_shell import BESIDE_THE_PACKAGE

PAGE = BESIDE_THE_PACKAGE / "docs" / "privacy-walkthrough.md"
CYCLE = (
    "notice publish",
    "consent grant",
    "consent receipt",
    "add",
    "about",
    "export",
    "archive verify",
    "update",
    "restrict",
    "unrestrict",
    "decisions record",
    "requests open",
    "backup",
    "hold place",
    "consent withdraw",
    "hold release",
    "erase",
    "certificate verify",
    "ledger verify",
    "restore",
    "keys rotate",
)


@dataclass(frozen=True)
class Played:
    code: int
    said: str


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Played]:
    monkeypatch.syspath_prepend(str(BESIDE_THE_PACKAGE / "scripts"))
    script = importlib.import_module("walkthrough")

    def play(page: Path, *options: str) -> Played:
        code = script.main([str(page), *options])
        return Played(code, capsys.readouterr().out)

    return play


Play = Callable[..., Played]


def of(tmp_path: Path, *lines: str) -> Path:
    page = tmp_path / "page.md"
    page.write_text("\n".join(["Words before.", "", "```console", *lines, "```", "", "And after.", ""]))
    return page


def test_the_walk_through_prints_what_it_shows(played: Play) -> None:
    done = played(PAGE)
    assert done.code == 0, done.said


def test_it_goes_through_the_whole_cycle_in_order() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = [re.search(rf"^\$ tiered-memory {command}\b", text, re.MULTILINE) for command in CYCLE]
    places = [0 if one is None else one.start() for one in found]
    assert all(places), [command for command, one in zip(CYCLE, found, strict=True) if one is None]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["$ echo tea", "coffee"], "- coffee"),
        (["$ echo tea", "tea", "tea"], "- tea"),
        (["$ echo 2026-01-02 at 10:30", "2026-01-02 at noon"], "- 2026-01-02 at noon"),
        (["$ echo 00c0ffee, 00c0ffee", "0badcafe, 0badbeef", "$ echo 1"], "- 0badcafe, 0badbeef"),
        (["$ tiered-memory policy check nowhere.toml", "nowhere is valid"], "+ error: "),
        (["$ false"], "exit code 1"),
        (["$ echo error: none", "error: none"], "exit code 0"),
    ],
)
def test_what_goes_otherwise_is_found(played: Play, tmp_path: Path, lines: list[str], says: str) -> None:
    done = played(of(tmp_path, *lines))
    assert done.code == 1
    assert says in done.said


@pytest.mark.parametrize(
    "lines",
    [
        ["$ echo tea", "tea"],
        ["$ echo one two three", "one ... three"],
        ["$ echo 2026-01-02 at 10:30", "1999-12-31 at 09:15"],
        ["$ export CUP=green", "$ echo \\", "    $CUP", "green"],
        ["$ echo 00c0ffee0123", "0badcafe4567", "$ echo at 0badcafe", "at 0badcafe"],
        ["$ tiered-memory policy check nowhere.toml", "error: ..."],
        ["$ printf 'a\\n\\n\\nb\\n\\n'", "a", "", "b"],
    ],
)
def test_what_may_differ_does_not_matter(played: Play, tmp_path: Path, lines: list[str]) -> None:
    done = played(of(tmp_path, *lines))
    assert done == Played(0, "")


def test_an_id_of_the_page_stands_for_the_one_that_was_printed(played: Play, tmp_path: Path) -> None:
    page = of(tmp_path, "$ echo 00c0ffee > given", "$ cat given", "0badcafe", "$ test 0badcafe = 00c0ffee")
    assert played(page).code == 0


def test_what_was_printed_is_written_and_what_agrees_stays(played: Play, tmp_path: Path) -> None:
    page = of(tmp_path, "$ echo tea", "coffee", "$ echo 2026-01-02", "1999-12-31")
    assert played(page, "--write").code == 0
    assert (
        page.read_text() == of(tmp_path, "$ echo tea", "tea", "$ echo 2026-01-02", "1999-12-31").read_text()
    )
    assert page.read_text().startswith("Words before.")
    assert played(page).code == 0


def test_no_setting_of_this_environment_reaches_it(
    played: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIERED_MEMORY_POLICY", "nowhere.toml")
    for command in ("tiered-memory access show", "tiered-memory access show | cat"):
        said = played(of(tmp_path, f"$ {command}")).said
        assert "search" in said
        assert "error" not in said
