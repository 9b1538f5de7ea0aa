"""The tests themselves: each can fail, none sleeps, mocks, or is skipped without saying why."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from source_tree import Function, Module, modules, where

import tiered_memory.testing

SHOWS_BY_NOT_RAISING = {"test_close_twice"}
CHECKING_WORDS = ("assert", "check", "raises", "warns", "fail", "expect", "refuse", "verify")


def test_every_test_can_fail() -> None:
    helpless = [place for module in suites() for place in cannot_fail(module)]
    assert helpless == []


def test_every_skip_says_why() -> None:
    assert [place for module in suites() for place in silent_skips(module)] == []


def test_no_test_sleeps() -> None:
    """Tests wait for a condition or move a clock; `sleep(0)` lets other tasks run and is no wait."""
    assert [place for module in modules("tests") for place in sleeps(module)] == []


def test_nothing_is_mocked() -> None:
    imported = [name for module in modules("tests") for name in imports(module) if "mock" in name]
    assert imported == []


@pytest.mark.parametrize(
    "body",
    ["pass", "run()", "x = compute()\n    print(x)", "for one in items:\n        use(one)"],
)
def test_the_assert_guard_can_fail(body: str) -> None:
    assert list(cannot_fail(parsed(f"def test_it():\n    {body}"))) == ["m.py:1"]


@pytest.mark.parametrize(
    "body",
    [
        "assert x",
        "with pytest.raises(ValueError):\n        f()",
        "check_all(x)",
        "helper(x)\n\ndef helper(x):\n    assert x",
        "self.same(x)\n\ndef same(x):\n    deeper(x)\n\ndef deeper(x):\n    assert x",
    ],
)
def test_checking_tests_pass_the_assert_guard(body: str) -> None:
    assert list(cannot_fail(parsed(f"def test_it():\n    {body}"))) == []


def test_the_skip_guard_can_fail() -> None:
    silent = "pytest.skip()\npytest.mark.skip\npytest.mark.skipif(x)\npytest.mark.xfail"
    assert len(list(silent_skips(parsed(silent)))) == 4
    told = (
        "pytest.skip('needs redis')\npytest.mark.skipif(x, reason='needs y')\npytest.mark.xfail(reason='z')"
    )
    assert list(silent_skips(parsed(told))) == []


def test_the_sleep_guard_can_fail() -> None:
    assert len(list(sleeps(parsed("time.sleep(1)\nanyio.sleep(0.1)\nasyncio.sleep(n)")))) == 3
    assert list(sleeps(parsed("anyio.sleep(0)\nclock.sleep(5)\nsystem_clock.sleep(5)"))) == []


def suites() -> list[Module]:
    published = tiered_memory.testing.__name__.replace(".", "/") + ".py"
    return [*modules("tests"), *(m for m in modules("tiered_memory") if m.name == published)]


def cannot_fail(module: Module) -> Iterator[str]:
    helpers = {function.name: function for function in module.functions()}
    for function in module.functions():
        is_test = function.name.startswith("test_") and function.name not in SHOWS_BY_NOT_RAISING
        if is_test and not _checks(function, helpers, set()):
            yield where(module, function)


def silent_skips(module: Module) -> Iterator[str]:
    called = {id(node.func) for node in ast.walk(module.tree) if isinstance(node, ast.Call)}
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.Call)
            and _dotted(node.func) == "pytest.skip"
            and not (node.args or node.keywords)
        ):
            yield where(module, node)
        if isinstance(node, ast.Call) and _is_skip_mark(node.func):
            if not any(keyword.arg == "reason" for keyword in node.keywords):
                yield where(module, node)
        elif _is_skip_mark(node) and id(node) not in called and isinstance(node, ast.Attribute):
            yield where(module, node)


def sleeps(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and _dotted(node.func) in {
            "time.sleep",
            "anyio.sleep",
            "asyncio.sleep",
        }:
            waited = node.args[0] if node.args else None
            if not (isinstance(waited, ast.Constant) and waited.value == 0):
                yield where(module, node)


def imports(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parsed(source: str) -> Module:
    return Module("m.py", source, ast.parse(source))


def _checks(function: Function, helpers: dict[str, Function], seen: set[str]) -> bool:
    """Whether a function asserts, or calls one that does: by its name, or because it stands in this module."""
    seen.add(function.name)
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = _dotted(node.func).rpartition(".")[2]
            if any(word in name.lower() for word in CHECKING_WORDS):
                return True
            helper = helpers.get(name)
            if helper is not None and name not in seen and _checks(helper, helpers, seen):
                return True
    return False


def _is_skip_mark(node: ast.AST) -> bool:
    return _dotted(node) in {"pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail"}


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
