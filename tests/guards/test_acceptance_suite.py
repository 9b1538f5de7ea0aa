"""The acceptance suite asks for every operation: each test names those that it is seen to ask for."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from source_tree import Module, modules

from tiered_memory.wire.table import OPERATIONS

FOLDER = "tests/acceptance"


def walked(module: Module) -> Iterator[str]:
    """Give the words of each `walks` above a test."""
    for function in module.functions():
        for mark in function.decorator_list:
            if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "walks":
                yield from (one.value for one in mark.args if isinstance(one, ast.Constant))


def test_every_operation_of_the_client_is_walked() -> None:
    found = {name for module in modules(FOLDER) for name in walked(module)}
    assert found == {one.name for one in OPERATIONS if one.remote}
