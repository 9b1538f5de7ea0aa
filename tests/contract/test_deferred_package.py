"""A package's own code can wait; who asks for one of its names gets it all the same."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiered_memory.tiers.deferred_package import defer_package

NAME = "package_for_a_test"
COSTLY = "package_for_a_test.costly"


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "__init__.py").write_text("from .costly import Thing\n__all__ = ['Thing']\nNUMBER = 7\n")
    (folder / "costly.py").write_text("class Thing:\n    pass\n")
    (folder / "words.py").write_text("WORD = 'word'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [one for one in sys.modules if one.partition(".")[0] == NAME]:
        del sys.modules[name]


def test_a_part_is_imported_without_the_rest() -> None:
    assert defer_package(NAME)
    words = importlib.import_module(f"{NAME}.words")
    assert words.WORD == "word"
    assert COSTLY not in sys.modules


@pytest.mark.parametrize("statement", ["from {0} import Thing", "import {0}; {0}.Thing", "from {0} import *"])
def test_whoever_asks_for_one_of_its_names_gets_it(statement: str) -> None:
    assert defer_package(NAME)
    found: dict[str, object] = {}
    exec(statement.format(NAME), found)
    package = sys.modules[NAME]
    assert COSTLY in sys.modules
    assert package.NUMBER == 7
    assert package.Thing is sys.modules[COSTLY].Thing
    with pytest.raises(AttributeError):
        package.absent  # noqa: B018 - asking is the test


def test_what_was_imported_before_stays_as_it_is() -> None:
    before = importlib.import_module(NAME)
    assert not defer_package(NAME)
    assert sys.modules[NAME] is before


def test_what_is_not_installed_is_left_alone() -> None:
    assert not defer_package("no_such_package_anywhere")
    assert "no_such_package_anywhere" not in sys.modules


IMPORTING = """
import sys
from tiered_memory.tiers.lance_tier import CLIENT_OF_ITS_SERVICE, _import_lancedb
assert _import_lancedb() is sys.modules["lancedb"]
assert not [one for one in sys.modules if one.startswith(CLIENT_OF_ITS_SERVICE + ".api.")], "nothing is saved any more"
import lance_namespace
from lance_namespace_urllib3_client import ApiClient, TableApi
assert TableApi(ApiClient()).api_client
"""


def test_the_engine_is_imported_without_its_service_s_client_and_finds_it_when_asked() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
