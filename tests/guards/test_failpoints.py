"""Every place at which a process may be killed is named, is passed by the package, and is one at which a test kills it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from source_tree import Module, modules

from tiered_memory import failpoints


def groups() -> dict[str, tuple[str, ...]]:
    return {name: value for name, value in vars(failpoints).items() if name.endswith("POINTS")}


def named() -> list[str]:
    return [point for group in groups().values() for point in group]


def reached(module: Module) -> Iterator[str]:
    """Yield the points that a module passes; anything but a plain name is a mistake."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and _called(node) == "reach":
            [point] = node.args
            assert isinstance(point, ast.Constant), f"{module.name}:{node.lineno} passes no plain name"
            yield str(point.value)


def tried(modules_of_tests: tuple[Module, ...]) -> set[str]:
    """Return the points that tests kill or fail at: those they name, and those of the groups they go through."""
    found = set[str]()
    for module in modules_of_tests:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value.partition(":")[0])
            name = (
                node.id
                if isinstance(node, ast.Name)
                else node.attr
                if isinstance(node, ast.Attribute)
                else ""
            )
            found.update(groups().get(name, ()))
    return found


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def test_no_point_is_named_twice() -> None:
    assert len(named()) == len(set(named())) > 40


def test_the_package_passes_every_point_that_is_named_and_no_other() -> None:
    passed = {point for module in modules("tiered_memory") for point in reached(module)}
    assert passed == set(named())


def test_some_test_fails_at_every_point() -> None:
    every = tuple(m for m in modules("tests") if m.name != "tests/guards/test_failpoints.py")
    assert set(named()) - tried(every) == set()


def test_this_guard_can_fail() -> None:
    source = 'reach("x.y")\narm("hold.after_place")\nother(KEY_POINTS)'
    module = Module("m.py", source, ast.parse(source))
    assert list(reached(module)) == ["x.y"]
    assert tried((module,)) & set(named()) == {"hold.after_place", *failpoints.KEY_POINTS}
    with pytest.raises(AssertionError):
        list(reached(Module("m.py", "", ast.parse("reach(f'{x}')"))))
