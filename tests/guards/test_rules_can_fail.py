"""Each configured rule is shown something wrong once: a check that cannot fail checks nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import ROOT

BANNED = {
    "the wall clock": "from datetime import UTC, datetime\n\nx = datetime.now(UTC)\n",
    "today": "from datetime import date\n\nx = date.today()\n",
    "time": "import time\n\nx = time.monotonic()\n",
    "random": "import random\n\nx = random.random()\n",
    "secrets": "import secrets\n\nx = secrets.token_bytes(8)\n",
    "uuid4": "import uuid\n\nx = uuid.uuid4()\n",
    "urandom": "import os\n\nx = os.urandom(8)\n",
    "sleep": "import anyio\n\n\nasync def f() -> None:\n    await anyio.sleep(1)\n",
}

BROKEN = {
    "layers": ("model.py", "import tiered_memory.wiring\n", "Imports point down"),
    "exhaustive layers": ("stray.py", "", "Imports point down"),
    "pure rooms": ("scoring/text.py", "import asyncio\n", "Pure rooms"),
    "pure rooms and the clock": ("forgetting/decay.py", "import tiered_memory.clock\n", "Pure rooms"),
    "engines": ("recall.py", "import redis\n", "Each engine"),
    "clock": ("active.py", "import random\n", "Only clock.py"),
    "wiring": ("runtime.py", "import tiered_memory.tiers.lance_tier\n", "Acting parts"),
}


@pytest.mark.parametrize("rule", BANNED)
def test_ruff_refuses(rule: str) -> None:
    assert "TID251" in ruff(BANNED[rule], "tiered_memory/anything.py").stdout


def test_ruff_lets_the_clock_read_time() -> None:
    assert "TID251" not in ruff(BANNED["time"], "tiered_memory/clock.py").stdout


def test_ruff_refuses_many_parameters() -> None:
    source = "def f(a: int, b: int, c: int, d: int, *, e: int, g: int, h: int, i: int) -> None: ...\n"
    assert "PLR0913" in ruff(source, "tiered_memory/anything.py").stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package's code to break; `import-linter` reads it without running it."""
    target = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "model", "demo_data", "*.npy")
    shutil.copytree(ROOT / "tiered_memory", target / "tiered_memory", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", target)
    return target


def test_the_imports_are_in_order(copy: Path) -> None:
    linted = lint_imports(copy)
    assert linted.returncode == 0, linted.stdout
    assert "0 broken" in linted.stdout


@pytest.mark.parametrize("rule", BROKEN)
def test_import_linter_refuses(copy: Path, rule: str) -> None:
    name, line, contract = BROKEN[rule]
    path = copy / "tiered_memory" / name
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.write_text((before or "") + line, encoding="utf-8")
    try:
        linted = lint_imports(copy)
    finally:
        path.unlink() if before is None else path.write_text(before, encoding="utf-8")
    assert linted.returncode == 1, linted.stdout
    assert contract in linted.stdout


def test_a_missing_tool_fails_in_ci(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    source = "import pytest\n\n\ndef test_it():\n    pytest.skip({reason!r})\n"
    (tmp_path / "test_tool.py").write_text(source.format(reason="needs a tool"), encoding="utf-8")
    (tmp_path / "test_other.py").write_text(source.format(reason="slow under a tracer"), encoding="utf-8")
    (tmp_path / "test_module.py").write_text(
        "import pytest\n\npytest.importorskip('no_such')\n", encoding="utf-8"
    )
    assert "3 skipped" in pytest_in(tmp_path, CI="")
    assert "1 failed, 1 skipped, 1 error" in pytest_in(tmp_path, "--continue-on-collection-errors", CI="true")


def ruff(source: str, name: str) -> subprocess.CompletedProcess[str]:
    command = ["ruff", "check", "--no-cache", "--output-format", "concise", "--stdin-filename", name, "-"]
    return _run(command, ROOT, source)


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return _run([str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], folder)


def pytest_in(folder: Path, *options: str, **environment: str) -> str:
    command = ["pytest", "-p", "no:cacheprovider", "-q", *options]
    return _run(command, folder, **environment).stdout


def _run(
    command: list[str], folder: Path, source: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    given = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"} | environment
    full = command if command[0].startswith("/") else [sys.executable, "-m", *command]
    return subprocess.run(
        full, cwd=folder, input=source, capture_output=True, text=True, check=False, env=given
    )
