"""What is installed: a light import, a typed API, a wheel with everything in it, policies that load."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from source_tree import PACKAGE, ROOT, repository_files

from tiered_memory.wiring import load_policy, shipped_policies

HEAVY = {
    "lancedb",
    "redis",
    "duckdb",
    "pyarrow",
    "pydantic",
    "numpy",
    "tokenizers",
    "cryptography",
    "anyio",
    "typer",
}
SUPPORT = ("*.sql", "*.lua", "demo_data/*.json*", "embedding/model/*", "py.typed")


def test_importing_the_package_imports_no_engine() -> None:
    source = "import sys, json, tiered_memory; print(json.dumps(sorted(sys.modules)))"
    loaded = {name.split(".")[0] for name in json.loads(python("-c", source))}
    assert loaded & HEAVY == set()


def test_the_public_api_type_checks_as_a_user_writes_it() -> None:
    checked = run(sys.executable, "-m", "mypy", "--no-incremental", "tests/typing/api.py")
    assert checked.returncode == 0, checked.stdout


def test_wrong_use_does_not_type_check(tmp_path: Path) -> None:
    wrong = (ROOT / "tests/typing/api.py").read_text(encoding="utf-8").replace("limit=5", "limit='5'")
    (tmp_path / "wrong.py").write_text(wrong, encoding="utf-8")
    config = ("--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(tmp_path / "cache"))
    checked = run(sys.executable, "-m", "mypy", *config, str(tmp_path / "wrong.py"))
    assert checked.returncode == 1
    assert 'has incompatible type "str"' in checked.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    target = tmp_path_factory.mktemp("wheel")
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(target))
    return zipfile.ZipFile(next(target.glob("*.whl")))


def test_the_wheel_has_every_file_the_package_reads(wheel: zipfile.ZipFile) -> None:
    wanted = {str(path.relative_to(ROOT)) for pattern in SUPPORT for path in PACKAGE.rglob(pattern)}
    wanted |= {f"tiered_memory/policies/{path.name}" for path in (ROOT / "policies").glob("*.toml")}
    wanted |= {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py")}
    assert {"tiered_memory/py.typed", "tiered_memory/policies/default.toml"} <= wanted
    assert wanted - set(wheel.namelist()) == set()


def test_the_wheel_carries_licence_and_notice(wheel: zipfile.ZipFile) -> None:
    licences = [name for name in wheel.namelist() if ".dist-info/licenses/" in name]
    assert {Path(name).name for name in licences} == {"LICENSE", "NOTICE"}


def test_the_wheel_carries_nothing_else(wheel: zipfile.ZipFile) -> None:
    roots = {name.split("/")[0] for name in wheel.namelist()}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"tiered_memory"}
    assert not [name for name in wheel.namelist() if "__pycache__" in name]


def test_every_shipped_policy_loads() -> None:
    assert {"default", "seed"} <= set(shipped_policies())
    for name in shipped_policies():
        assert load_policy(name).name == name


def test_every_policy_of_the_repository_loads() -> None:
    """Those that only benchmarks use among them."""
    paths = [path for path in repository_files() if path.suffix == ".toml" and path.parent.name == "policies"]
    assert {load_policy(str(path)).name for path in paths} == {path.stem for path in paths}


def python(*arguments: str) -> str:
    done = run(sys.executable, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
