"""What the inspector serves is what was published by others, with their licences, and what a wheel ships."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tiered_memory.inspector

PACKAGE = Path(tiered_memory.inspector.__file__).parent
ROOT = PACKAGE.parents[1]
VENDOR = PACKAGE / "static" / "vendor"


def listed() -> dict[str, str]:
    lines = (VENDOR / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def test_vendored_files_are_as_published() -> None:
    found = {path.name for path in VENDOR.iterdir()} - {"SHA256SUMS", "README.md"}
    assert found == set(listed())
    for name, digest in listed().items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name


def test_each_has_its_licence_and_its_line() -> None:
    readme = (VENDOR / "README.md").read_text(encoding="utf-8")
    for name in listed():
        assert f"`{name}`" in readme
    assert "Zero-Clause BSD" in (VENDOR / "htmx.LICENSE").read_text(encoding="utf-8")
    assert "MIT License" in (VENDOR / "uPlot.LICENSE").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_elsewhere() -> None:
    own = [*PACKAGE.glob("static/*"), *PACKAGE.glob("templates/*")]
    assert len(own) > 15
    for path in own:
        if path.is_file():
            addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text(encoding="utf-8")))
            assert addresses <= {"http://www.w3.org"}, path.name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(target.glob("*.whl")))


def test_a_wheel_has_all_of_it(wheel: zipfile.ZipFile) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert len(wanted) > 35
    assert wanted - set(wheel.namelist()) == set()
