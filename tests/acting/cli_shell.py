"""The command line as tests run it: in this process, on one data directory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import tiered_memory
from tiered_memory.cli.app import build

BESIDE_THE_PACKAGE = Path(tiered_memory.__file__).parent.parent
"""Where `python -m tiered_memory` is the package under test."""


class Shell:
    """Runs the command line in this process on one data directory."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.runner = CliRunner()

    def run(self, *arguments: str, text: str | bytes | None = None) -> Any:
        return self.runner.invoke(build(), list(arguments), input=text)

    def on_store(self, *arguments: str, text: str | bytes | None = None) -> Any:
        return self.run(*arguments, "--data", str(self.data), text=text)

    def document(self, *arguments: str, text: str | bytes | None = None) -> Any:
        result = self.on_store(*arguments, "--json", text=text)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def words(self, *arguments: str) -> str:
        result = self.on_store(*arguments)
        assert result.exit_code == 0, result.stderr
        return str(result.stdout)

    def refusal(self, *arguments: str, text: str | bytes | None = None) -> dict[str, str]:
        result = self.on_store(*arguments, "--json", text=text)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        found: dict[str, str] = json.loads(result.stderr.splitlines()[-1])
        return found


def shell_in(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Return a command line that no setting of this environment reaches."""
    for name in [name for name in os.environ if name.startswith("TIERED_MEMORY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(directory)
    return Shell(directory / "store")


def lines(*contents: str) -> str:
    return "".join(json.dumps({"content": content}) + "\n" for content in contents)
