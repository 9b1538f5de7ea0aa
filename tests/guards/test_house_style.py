"""The style of the house, counted. The bounds are aims of the project; raising one is a decision, not a fix."""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator

import pytest
from source_tree import Function, Module, body_lines, modules, parameters, where

import tiered_memory

MODULE_LINES = 400
FUNCTION_LINES = 70
MEDIAN_FUNCTION_LINES = 8
PARAMETERS = 7
PUBLIC_NAMES = 12
CODE = ("tiered_memory", "benchmarks", "scripts")
BROAD = {"Exception", "BaseException"}
CLOCK_CALLS = {"now", "utcnow", "today"}
CHANCE_AND_TIME = {"time", "random", "secrets"}


def code() -> list[Module]:
    return [module for folder in CODE for module in modules(folder)]


def test_modules_are_short() -> None:
    every = [*code(), *modules("tests")]
    assert {module.name: module.lines for module in every if module.lines > MODULE_LINES} == {}


def test_functions_are_short() -> None:
    lengths = {where(m, f): body_lines(f) for m in modules("tiered_memory") for f in m.functions()}
    assert {place: lines for place, lines in lengths.items() if lines > FUNCTION_LINES} == {}
    assert statistics.median(lengths.values()) <= MEDIAN_FUNCTION_LINES


def test_functions_take_few_parameters() -> None:
    counted = {where(m, f): parameters(f) for m in code() for f in m.functions()}
    assert {place: count for place, count in counted.items() if count > PARAMETERS} == {}


def test_the_package_has_few_public_names() -> None:
    assert len([name for name in tiered_memory.__all__ if name != "__version__"]) <= PUBLIC_NAMES
    assert all(hasattr(tiered_memory, name) for name in tiered_memory.__all__)


def test_broad_excepts_are_rare() -> None:
    """A handler that only cleans up and raises again swallows nothing and is not counted."""
    broad = [where(module, handler) for module in code() for handler in broad_handlers(module.tree)]
    thousands = sum(module.lines for module in code()) / 1000
    assert len(broad) <= thousands, broad


def test_only_the_clock_reads_time_and_chance() -> None:
    readers = {
        place
        for module in modules("tiered_memory")
        if module.name != "tiered_memory/clock.py"
        for place in clock_reads(module)
    }
    assert readers == set()


def test_there_are_more_tests_than_code(capsys: pytest.CaptureFixture[str]) -> None:
    """Printed for the reader; the bound only catches code that arrives with no tests at all."""
    tests, product = (sum(m.lines for m in modules(folder)) for folder in ("tests", "tiered_memory"))
    with capsys.disabled():
        sys.stdout.write(f" tests : code = {tests / product:.2f} ")
    assert tests > 0.5 * product


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("import time", 1),
        ("from random import choice", 1),
        ("x = datetime.now(UTC)", 1),
        ("x = date.today()", 1),
        ("x = os.urandom(8)", 1),
        ("x = uuid.uuid4()", 1),
        ("x = clock.now()", 0),
        ("x = self._clock.now()", 0),
        ("import timeit_like", 0),
    ],
)
def test_the_clock_guard_can_fail(source: str, count: int) -> None:
    assert len(list(clock_reads(Module("m.py", source, ast.parse(source))))) == count


@pytest.mark.parametrize(
    ("clause", "is_broad"),
    [
        ("except:", True),
        ("except Exception:", True),
        ("except (ValueError, Exception):", True),
        ("except builtins.BaseException:", True),
        ("except ValueError:", False),
    ],
)
def test_the_except_guard_can_fail(clause: str, is_broad: bool) -> None:
    assert bool(broad_handlers(ast.parse(f"try:\n  f()\n{clause}\n  g()"))) == is_broad
    assert not broad_handlers(ast.parse(f"try:\n  f()\n{clause}\n  g()\n  raise"))


def test_parameters_are_counted_without_self() -> None:
    function = ast.parse("def f(self, a, /, b, *rest, c=1, **more): pass").body[0]
    assert isinstance(function, Function)
    assert parameters(function) == 5


def broad_handlers(tree: ast.Module) -> list[ast.ExceptHandler]:
    handlers = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    return [one for one in handlers if _is_broad(one.type) and not _raises_again(one)]


def clock_reads(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import) and any(a.name in CHANCE_AND_TIME for a in node.names):
            yield where(module, node)
        if isinstance(node, ast.ImportFrom) and node.module in CHANCE_AND_TIME:
            yield where(module, node)
        if isinstance(node, ast.Attribute) and _is_clock(node):
            yield where(module, node)


def _is_clock(node: ast.Attribute) -> bool:
    owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
    if owner in {"datetime", "date"}:
        return node.attr in CLOCK_CALLS
    return (owner, node.attr) in {("os", "urandom"), ("uuid", "uuid1"), ("uuid", "uuid4")}


def _is_broad(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    if isinstance(kind, ast.Tuple):
        return any(_is_broad(one) for one in kind.elts)
    return (kind.attr if isinstance(kind, ast.Attribute) else getattr(kind, "id", "")) in BROAD


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None
