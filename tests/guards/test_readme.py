"""The README is run: each Python block in a fresh process, and what it prints is what the README says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import ROOT

EXAMPLE = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = EXAMPLE.findall(README)


def test_there_is_an_example_with_its_output() -> None:
    assert any(output for _, output in EXAMPLES)
    assert README.count("```python") == len(EXAMPLES)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_prints_what_the_readme_says(number: int, tmp_path: Path) -> None:
    source, output = EXAMPLES[number]
    done = run(source, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == output


def test_another_output_would_be_noticed(tmp_path: Path) -> None:
    source, output = next(pair for pair in EXAMPLES if pair[1])
    assert run(source + "\nprint('more')\n", tmp_path).stdout == output + "more\n"


def test_the_generated_parts_are_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, "scripts/generate_docs.py", "--check"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def run(source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIERED_MEMORY_")}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-c", source]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
