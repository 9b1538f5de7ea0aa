"""Policy files: TOML text in, a frozen `Policy` out; every mistake is refused with its file, table and key."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

from tiered_memory.errors import PolicyError
from tiered_memory.model import LawfulBasis, Sensitivity
from tiered_memory.policy.access_rules import AccessRole, AccessRule, default_access
from tiered_memory.policy.consent_rules import ConsentRules
from tiered_memory.policy.guard_rules import GuardRules
from tiered_memory.policy.pii_rules import PiiRules, rules_from
from tiered_memory.policy.rules import (
    SCHEMA,
    DecayRules,
    ForgettingRules,
    HotRules,
    Policy,
    PurposeRule,
    QuotaRules,
    RetentionRule,
    RoutingRules,
    WarmRules,
    contradiction,
    default_purposes,
    default_retention,
    undocumented,
)
from tiered_memory.policy.specs import SPEC, NumberSpec

NO_BOUND = "none"
SECTIONS: Mapping[str, type] = MappingProxyType(
    {
        "routing": RoutingRules,
        "hot": HotRules,
        "warm": WarmRules,
        "decay": DecayRules,
        "forgetting": ForgettingRules,
        "quota": QuotaRules,
        "consent": ConsentRules,
        "guard": GuardRules,
    }
)
RulesT = TypeVar("RulesT")


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of one file, so that every refusal can say where it happened."""

    source: str
    path: str
    values: Mapping[str, Any]

    def refuse(self, message: str, key: str = "") -> NoReturn:
        where = " ".join(part for part in (f"[{self.path}]" if self.path else "", key) if part)
        raise PolicyError(f"{self.source}: {where} {message}" if where else f"{self.source}: {message}")

    def sub(self, key: str) -> _Table:
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            self.refuse(f"must be a table, not {type(value).__name__}", key)
        return _Table(self.source, f"{self.path}.{key}" if self.path else key, value)

    def refuse_unknown(self, known: Collection[str]) -> None:
        for key in self.values:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(sorted(known))}"
                self.refuse(f"is not a key of a policy; {hint}", key)


def parse_policy(text: str, source: str) -> Policy:
    """Return the policy written in `text` (TOML); a key that is not given has its default.

    `source` names the file in errors. Raises `PolicyError` for text that is no TOML, an unknown or misspelt key,
    a wrong type, a number out of range, a floor above its ceiling, an undocumented lawful basis, or a default
    purpose that is not among the purposes.
    """
    top = _Table(source, "", _toml(text, source))
    top.refuse_unknown({rule.name for rule in fields(Policy)})
    _check_schema(top)
    sections = {name: _rules(top.sub(name), kind()) for name, kind in SECTIONS.items()}
    purposes = _purposes(top.sub("purposes"))
    return Policy(
        **sections,
        name=_plain(top, "name", Policy().name),
        retention=_retention(top.sub("retention")),
        purposes=purposes,
        pii=_pii(top.sub("pii")),
        default_purpose=_default_purpose(top, purposes),
        access=_access(top.sub("access")),
    )


def _toml(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"{source}: is not valid TOML: {error}") from error


def _check_schema(top: _Table) -> None:
    schema = top.values.get("schema")
    if isinstance(schema, bool) or schema != SCHEMA:
        top.refuse(f"must be {SCHEMA}, the only schema this version reads", "schema")


def _rules(table: _Table, defaults: RulesT) -> RulesT:
    """Return `defaults` with the table's values in place of those it gives."""
    specs = {rule.name: rule.metadata[SPEC] for rule in fields(defaults)}  # type: ignore[arg-type]
    table.refuse_unknown(specs)
    given = {key: _value(table, key, specs[key]) for key in table.values}
    merged = {key: given.get(key, getattr(defaults, key)) for key in specs}
    return type(defaults)(**merged)


def _value(table: _Table, key: str, spec: Any) -> Any:
    value = table.values[key]
    numeric = isinstance(spec, NumberSpec)
    if numeric and spec.optional and value == NO_BOUND:
        return None
    problem = spec.problem(value)
    if problem:
        table.refuse(problem, key)
    if isinstance(value, list):
        return tuple(value)
    return float(value) if numeric and not spec.whole else value


def _retention(table: _Table) -> Mapping[Sensitivity, RetentionRule]:
    table.refuse_unknown([level.value for level in Sensitivity])
    defaults = default_retention()
    return MappingProxyType({level: _bounds(table.sub(level), defaults[level]) for level in Sensitivity})


def _bounds(table: _Table, default: RetentionRule) -> RetentionRule:
    """Return the class's bounds; what is not given keeps that class's default, so no ceiling gets lost."""
    specs = {rule.name: rule.metadata[SPEC] for rule in fields(RetentionRule)}
    table.refuse_unknown(specs)
    given = {key: _value(table, key, specs[key]) for key in table.values}
    floor = given.get("floor_days", default.floor_days)
    ceiling = given.get("ceiling_days", default.ceiling_days)
    problem = contradiction(floor, ceiling)
    if problem:
        table.refuse(problem)
    return RetentionRule(floor, ceiling)


def _access(table: _Table) -> Mapping[AccessRole, AccessRule]:
    """Return the access table; what is not given keeps that role's default."""
    table.refuse_unknown([role.value for role in AccessRole])
    defaults = default_access()
    return MappingProxyType({role: _rules(table.sub(role), defaults[role]) for role in AccessRole})


def _purposes(table: _Table) -> Mapping[str, PurposeRule]:
    if not table.values:
        return default_purposes()
    for name in table.values:
        if name.startswith("_"):
            table.refuse(
                "begins with an underscore: such names are reserved for the runtime's own keys", name
            )
    return MappingProxyType({name: _purpose(table.sub(name)) for name in table.values})


def _purpose(table: _Table) -> PurposeRule:
    specs = {rule.name: rule.metadata[SPEC] for rule in fields(PurposeRule)}
    table.refuse_unknown(specs)
    given = {key: _value(table, key, specs[key]) for key in table.values}
    default = PurposeRule()
    basis = LawfulBasis(given.get("lawful_basis", default.lawful_basis))
    documentation = given.get("documentation")
    problem = undocumented(basis, documentation)
    if problem:
        table.refuse(problem)
    level = Sensitivity(given.get("max_sensitivity", default.max_sensitivity))
    return PurposeRule(**{**given, "lawful_basis": basis, "max_sensitivity": level})


def _pii(table: _Table) -> PiiRules:
    try:
        return rules_from(table.values)
    except PolicyError as error:
        raise PolicyError(f"{table.source}: {error}") from None


def _default_purpose(top: _Table, purposes: Mapping[str, PurposeRule]) -> str:
    purpose = _plain(top, "default_purpose", Policy().default_purpose)
    if purpose not in purposes:
        top.refuse(
            f"is '{purpose}', which is not among the purposes: {', '.join(purposes)}", "default_purpose"
        )
    return purpose


def _plain(top: _Table, key: str, default: str) -> str:
    value = top.values.get(key, default)
    if not isinstance(value, str) or not value.strip():
        top.refuse("must be text that is not blank", key)
    return value
