"""The `[[retention_rules]]` of a policy file, read with refusals that name the file, the rule and the key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tiered_memory.errors import PolicyError
from tiered_memory.policy.retention_rules import KeepRule
from tiered_memory.policy.specs import SPEC, NumberSpec

TABLE = "retention_rules"
REQUIRED = ("name", "record_class", "basis")


def parse_rules(value: object, source: str) -> tuple[KeepRule, ...]:
    """Return the rules of `[[retention_rules]]`; raises PolicyError for anything that is not one."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise PolicyError(f"{source}: {TABLE} must be a list of tables: begin each rule with [[{TABLE}]]")
    return tuple(_rule(one, f"{source}: [[{TABLE}]] number {at}") for at, one in enumerate(value, 1))


def _rule(values: Mapping[str, Any], where: str) -> KeepRule:
    specs = {one.name: one.metadata[SPEC] for one in fields(KeepRule)}
    for key in values:
        if key not in specs:
            close = difflib.get_close_matches(key, specs, n=1, cutoff=0.5)
            hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(sorted(specs))}"
            raise PolicyError(f"{where}: {key} is not a key of a retention rule; {hint}")
    missing = [key for key in REQUIRED if key not in values]
    if missing:
        raise PolicyError(f"{where}: needs {', '.join(missing)}")
    given = {key: _value(value, specs[key], f"{where}: {key}") for key, value in values.items()}
    try:
        return KeepRule(**given)
    except PolicyError as error:
        raise PolicyError(f"{where}: {error}") from None


def _value(value: Any, spec: Any, where: str) -> Any:
    numeric = isinstance(spec, NumberSpec)
    if numeric and value == "none":
        return None
    problem = spec.problem(value)
    if problem:
        raise PolicyError(f"{where} {problem}")
    return float(value) if numeric else value
