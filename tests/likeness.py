"""Equality of types as well as of values, through and through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any


def alike(one: Any, other: Any, path: str = "answer") -> None:
    """Check that two values are of the same types, and equal; any mapping is as good as another."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        assert list(one) == list(other), path
        for key in one:
            alike(one[key], other[key], f"{path}[{key!r}]")
        return
    assert type(one) is type(other), f"{path}: {type(one).__name__} and {type(other).__name__}"
    if is_dataclass(one):
        for given in fields(one):
            alike(getattr(one, given.name), getattr(other, given.name), f"{path}.{given.name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            alike(left, right, f"{path}[{number}]")
    else:
        assert other is one if isinstance(one, Enum) else other == one, path
        if isinstance(one, datetime):
            assert one.utcoffset() == other.utcoffset(), path
