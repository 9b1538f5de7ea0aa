"""Policies made from policies: one as TOML text, one with some keys changed, and a small grid around the default."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from itertools import product
from typing import Any

from tiered_memory.errors import PolicyError
from tiered_memory.model import Sensitivity
from tiered_memory.policy.load import NO_BOUND, SECTIONS, parse_policy
from tiered_memory.policy.pii_rules import PiiRules
from tiered_memory.policy.retention_rules import KeepRule
from tiered_memory.policy.rules import Policy, PurposeRule

SOURCE = "--set"
THRESHOLDS = (0.05, 0.2)
DAILY_RATES = (0.04, 0.12)
COLD_THRESHOLDS = (0.1, 0.35)


def as_toml(policy: Policy) -> str:
    """Return a policy file's text: what differs from the defaults; `parse_policy` gives the same policy back."""
    return _text(_document(policy))


def changed(policy: Policy, settings: Sequence[str]) -> Policy:
    """Return `policy` with settings like `decay.threshold=0.05` applied, all at once.

    A value is written as in a policy file; a bare word is text.

    Raises:
        PolicyError: a setting has no value, is given twice, or makes no valid policy; names the key.
    """
    document, seen = _document(policy), set[str]()
    for setting in settings:
        path, equals, value = (part.strip() for part in setting.partition("="))
        if not (path and equals and value):
            raise PolicyError(f"{SOURCE}: {setting!r} is no setting; write it as decay.threshold=0.05")
        if path in seen:
            raise PolicyError(f"{SOURCE}: {path} is given twice")
        seen.add(path)
        _put(document, path.split("."), _value(value))
    return parse_policy(_text(document), SOURCE)


def around(policy: Policy) -> list[Policy]:
    """Return eight variants: a lower and a higher forgetting threshold, daily rate and cold threshold.

    Their names tell the numbers: t05-r04-g10 is threshold .05, daily rate .04, gate (cold threshold) .10.
    """
    return [
        replace(
            policy,
            name=f"t{threshold * 100:02.0f}-r{rate * 100:02.0f}-g{gate * 100:02.0f}",
            decay=replace(policy.decay, threshold=threshold, daily_rate=rate),
            routing=replace(policy.routing, cold_threshold=gate),
        )
        for threshold, rate, gate in product(THRESHOLDS, DAILY_RATES, COLD_THRESHOLDS)
    ]


def _document(policy: Policy) -> dict[str, Any]:
    """Return what a policy file would hold: keys of the top level, then tables."""
    defaults = Policy()
    found: dict[str, Any] = {"schema": policy.schema, "name": policy.name}
    found["default_purpose"] = policy.default_purpose
    for section in SECTIONS:
        found[section] = _differing(getattr(policy, section), getattr(defaults, section))
    found["retention"] = {
        level.value: _differing(policy.retention[level], defaults.retention[level]) for level in Sensitivity
    }
    found["access"] = {
        role.value: _differing(rule, defaults.access[role]) for role, rule in policy.access.items()
    }
    found["pii"] = {} if policy.pii == defaults.pii else _pii(policy.pii)
    if policy.jurisdiction is not None:
        found["jurisdiction"] = policy.jurisdiction
    if policy.retention_rules:
        found["retention_rules"] = [_keep_rule(rule) for rule in policy.retention_rules]
    if policy.purposes != defaults.purposes:
        found["purposes"] = {name: _purpose(rule) for name, rule in policy.purposes.items()}
    return found


def _differing(rules: Any, defaults: Any) -> dict[str, Any]:
    pairs = ((one.name, getattr(rules, one.name)) for one in fields(rules))
    return {
        key: NO_BOUND if value is None else value for key, value in pairs if value != getattr(defaults, key)
    }


def _pii(rules: PiiRules) -> dict[str, Any]:
    """Every mode is written: what is to be masked must not hang on a default."""
    found: dict[str, Any] = {level.value: mode.value for level, mode in rules.modes.items()}
    found |= {"also": sorted(one.value for one in rules.also), "min_confidence": rules.min_confidence}
    if rules.region_hint is not None:
        found["region_hint"] = rules.region_hint
    if rules.types:
        found["types"] = {kind.value: mode.value for kind, mode in rules.types.items()}
    return found


def _keep_rule(rule: KeepRule) -> dict[str, Any]:
    given = {one.name: getattr(rule, one.name) for one in fields(rule)}
    return {key: value for key, value in given.items() if value is not None}


def _purpose(rule: PurposeRule) -> dict[str, Any]:
    given = {one.name: getattr(rule, one.name) for one in fields(rule)}
    keeps = {} if given.pop("keeps") else {"keeps": False}
    lists = {key: list(value) for key, value in given.items() if isinstance(value, tuple) and value}
    words = {key: str(value) for key, value in given.items() if value and not isinstance(value, tuple)}
    return {**lists, **words, **keeps}


def _put(document: dict[str, Any], path: Sequence[str], value: Any) -> None:
    table = document
    for key in path[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise PolicyError(f"{SOURCE}: {'.'.join(path)}: {key} is no table")
    if isinstance(table.get(path[-1]), dict):
        raise PolicyError(f"{SOURCE}: {'.'.join(path)} is a table; set one of its keys")
    table[path[-1]] = value


def _value(text: str) -> Any:
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return found["value"] if len(found) == 1 else text


def _text(document: Mapping[str, Any]) -> str:
    return "\n".join(_lines(document, ())) + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterable[str]:
    values = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lists = {key: values.pop(key) for key in list(values) if _holds_tables(values[key])}
    if values and path:
        yield f"\n[{'.'.join(map(_key, path))}]"
    for key, value in values.items():
        yield f"{_key(key)} = {_literal(value)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _lines(value, (*path, key))
    for key, rows in lists.items():
        for row in rows:
            yield f"\n[[{'.'.join(map(_key, (*path, key)))}]]"
            yield from (f"{_key(name)} = {_literal(value)}" for name, value in row.items())


def _holds_tables(value: Any) -> bool:
    return isinstance(value, Sequence) and bool(value) and isinstance(value[0], Mapping)


def _key(key: str) -> str:
    plain = key.isascii() and key.replace("_", "").isalnum()
    return key if plain else _literal(key)


def _literal(value: Any) -> str:
    """Return a value as TOML writes it; its basic strings are JSON's, but for DEL."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value) if isinstance(value, bool) else str(value)
