"""`tiered-memory dashboards export` hands out all of it, from a checkout and from an installed wheel alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from board_files import FOLDER, ROOT, RUNBOOKS, board_names
from typer.testing import CliRunner

from tiered_memory.cli.app import build


def export(*arguments: object) -> Any:
    return CliRunner().invoke(build(), ["dashboards", "export", *map(str, arguments)])


def files_in(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def repository() -> dict[str, str]:
    return files_in(FOLDER) | {"runbooks.md": RUNBOOKS.read_text(encoding="utf-8")}


def test_everything_is_written(tmp_path: Path) -> None:
    result = export(tmp_path / "new" / "place", "--json")
    assert result.exit_code == 0, result.output
    assert files_in(tmp_path / "new" / "place") == repository()
    told = json.loads(result.stdout)
    assert told["files"] == told["written"] == sorted(repository())
    assert {f"{name}.json" for name in board_names()} < set(told["files"])


def test_it_says_in_words_what_it_did(tmp_path: Path) -> None:
    result = export(tmp_path)
    assert result.exit_code == 0
    assert f"{len(repository())} files in" in " ".join(result.stdout.split())


def test_a_second_time_nothing_is_written(tmp_path: Path) -> None:
    export(tmp_path)
    again = export(tmp_path, "--json")
    assert json.loads(again.stdout)["written"] == []


def test_what_somebody_changed_is_written_over_only_when_told(tmp_path: Path) -> None:
    export(tmp_path)
    changed = tmp_path / "overview.json"
    changed.write_text("mine", encoding="utf-8")
    (tmp_path / "runbooks.md").unlink()
    refused = export(tmp_path)
    assert refused.exit_code == 1
    assert "overview.json" in refused.stderr
    assert changed.read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "runbooks.md").exists()
    assert export(tmp_path, "--force").exit_code == 0
    assert files_in(tmp_path) == repository()


def test_links_lead_to_where_the_runbooks_are_published(tmp_path: Path) -> None:
    address = "https://wiki.example/memory/runbooks"
    export(tmp_path, "--runbooks", address)
    exported, plain = files_in(tmp_path), repository()
    for name, text in exported.items():
        if name == "runbooks.md":
            assert text == plain[name]
        else:
            assert "runbooks.md#" not in text
            assert text.count(f"{address}#") == plain[name].count("runbooks.md#")
    assert f"{address}#tieredmemorydown" in exported["alerts/tiered-memory.yml"]


def test_a_directory_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory", encoding="utf-8")
    refused = export(tmp_path / "file", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stderr.splitlines()[-1])["error"] == "InvalidInputError"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a wheel lays it down: nothing of the checkout is beside it."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(target.glob("*.whl"))) as wheel:
        wheel.extractall(target / "site")
    return target / "site"


def test_an_installed_wheel_exports_the_same(installed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tiered_memory", "dashboards", "export", str(tmp_path / "out")]
    done = subprocess.run(
        command,
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert files_in(tmp_path / "out") == repository()
    assert (installed / "tiered_memory" / "dashboards" / "runbooks.md").is_file()
