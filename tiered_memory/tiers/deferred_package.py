"""Importing a part of a package without running the package's own code, where that code costs and is not needed."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any


def defer_package(name: str) -> bool:
    """Let modules below the package `name` be imported; its own code runs when one of its names is first asked for.

    Returns False, having changed nothing, if the package was imported before or is not installed.
    """
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return False
    module, loader = importlib.util.module_from_spec(spec), spec.loader

    def resolve(attribute: str) -> Any:
        module.__dict__.pop("__getattr__", None)
        loader.exec_module(module)
        return getattr(module, attribute)

    module.__dict__["__getattr__"] = resolve
    sys.modules[name] = module
    return True
