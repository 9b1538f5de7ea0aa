"""The published table of degraded modes is the one in the tests, it is complete, and each test it names exists."""

from __future__ import annotations

import ast
import re
import sys

import pytest
from source_tree import ROOT

FAULTS = ROOT / "tests" / "faults"
sys.path.insert(0, str(FAULTS))

from degraded_table import COLUMNS, DOCUMENT, TABLE, document  # noqa: E402 - its folder is on the path only now

NAMED = re.compile(r"^(test_\w+\.py)::(test_\w+)(?:\[(\w+)\])?$")
REQUIRED = {
    "Redis refused", "Redis frozen", "Redis loading", "Redis read-only", "Redis out of memory", "Redis restarted",
    "Redis slow", "cold failing", "cold full", "state store failing", "key record damaged", "root key missing",
    "disk full",
}  # fmt: skip


def test_the_document_is_the_table() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document()


def test_the_table_is_complete() -> None:
    assert TABLE.keys() == REQUIRED
    assert all(len(row) == len(COLUMNS) for row in TABLE.values())
    assert all(cell.text and cell.tests for row in TABLE.values() for cell in row)


def test_every_test_exists() -> None:
    named = {test for row in TABLE.values() for cell in row for test in cell.tests}
    assert sorted(test for test in named if not exists(test)) == []


@pytest.mark.parametrize(
    "test",
    [
        "test_degraded_redis.py::test_that_is_not_there",
        "test_degraded_redis.py::test_consent_is_given[no such fault]",
        "test_degraded_redis.py::test_consent_is_given[nosuchfault]",
        "test_no_such_file.py::test_consent_is_given",
    ],
)
def test_the_search_can_fail(test: str) -> None:
    assert not exists(test)


def exists(test: str) -> bool:
    """Tell whether a test, and the row of it that is meant, can be found in its file."""
    match = NAMED.match(test)
    path = FAULTS / match[1] if match else FAULTS
    if match is None or not path.is_file():
        return False
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)}
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return match[2] in functions and (match[3] is None or match[3] in words)
