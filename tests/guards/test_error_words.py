"""An error reads right wherever it is shown: it names what to do, not a call of the library's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from source_tree import PACKAGE, modules, where

CALL = re.compile(
    r"\b(?:memory|user|users|caller|member|rights|consent|consents|notices|holds|requests|decisions|quarantine|retention"
    r"|tenants|keys|ledger|reports|TieredMemory)\.[a-z_]+\b|\b[a-z_]+=\.\.\.|\b[a-zA-Z_]+\([a-z_]*=|\b[a-z_.]+\(\)"
)
FOR_PYTHON_ONLY = "tiered_memory/testing.py"
FILES = re.compile(r"\.(?:py|toml|json|jsonl|log|key|wrapped|db|latest|md|bin)\b")


def named_calls(tree: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Yield the calls of the library's that what a file raises or warns of names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) or _warns(node):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield from ((part, found) for found in _calls(part.value))


def _warns(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger.")


def _calls(words: str) -> list[str]:
    return [one for one in CALL.findall(words) if not FILES.search(one)]


def test_what_is_raised_names_no_call() -> None:
    found = [
        f"{where(module, part)}: {name}"
        for module in modules(PACKAGE.name)
        if module.name != FOR_PYTHON_ONLY
        for part, name in named_calls(module.tree)
    ]
    assert found == []


def test_what_an_error_says_of_itself_names_no_call() -> None:
    (errors,) = [one for one in modules(PACKAGE.name) if one.name.endswith("/errors.py")]
    said = {
        node.name: ast.get_docstring(node) or ""
        for node in ast.walk(errors.tree)
        if isinstance(node, ast.ClassDef)
    }
    assert len(said) > 20
    assert {name: _calls(words) for name, words in said.items() if _calls(words)} == {}


@pytest.mark.parametrize(
    "words",
    [
        "publish it first (memory.notices.publish)",
        "`rights.lift_restriction` ends it",
        "say user=... to go on",
        "give caller=Caller(actor='x')",
        "call tenants.backup() first",
    ],
)
def test_a_call_is_found(words: str) -> None:
    assert list(named_calls(ast.parse(f"raise Error(f'x {{y}}' {words!r})")))
    assert list(named_calls(ast.parse(f"logger.warning({words!r})")))


def test_files_and_settings_are_no_calls() -> None:
    words = "write it as decay.threshold=0.05; put keys.log back (see [access.agent] write)"
    assert not list(named_calls(ast.parse(f"raise Error({words!r})")))
