"""The rules of a policy's `[pii]` section as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from tiered_memory.errors import PolicyError
from tiered_memory.model import Sensitivity
from tiered_memory.policy.pii_types import OPTIONAL, PiiType

_REGION_LETTERS = 2


class PiiMode(StrEnum):
    """What is done about personal data."""

    MASK = "mask"
    REDACT = "redact"
    KEEP_SEALED = "keep_sealed"
    REFUSE = "refuse"


def default_modes() -> Mapping[Sensitivity, PiiMode]:
    """Return keeping it sealed for every sensitivity: only the record has it, what is computed from it does not."""
    return MappingProxyType(dict.fromkeys(Sensitivity, PiiMode.KEEP_SEALED))


@dataclass(frozen=True, slots=True, kw_only=True)
class PiiRules:
    """What is done about personal data, by the text's sensitivity and, before that, by type.

    `modes` has one for every sensitivity. `region_hint` is an ISO 3166-1 alpha-2 code; `also` names optional types;
    spans less certain than `min_confidence` (0..1) are left alone.
    """

    modes: Mapping[Sensitivity, PiiMode] = field(default_factory=default_modes)
    types: Mapping[PiiType, PiiMode] = field(default_factory=lambda: MappingProxyType({}))
    region_hint: str | None = None
    also: frozenset[PiiType] = frozenset()
    min_confidence: float = 0.5

    def __post_init__(self) -> None:
        """Refuse rules that leave a sensitivity without a mode or name what is not there."""
        for problem in self._problems():
            raise PolicyError(f"PiiRules: {problem}")

    def _problems(self) -> list[str]:
        missing = [level.value for level in Sensitivity if level not in self.modes]
        problems = [f"modes has none for {', '.join(missing)}"] if missing else []
        if not 0 <= self.min_confidence <= 1:
            problems.append(f"min_confidence is {self.min_confidence!r}, must be a number from 0 to 1")
        hint = self.region_hint
        if hint is not None and not (len(hint) == _REGION_LETTERS and hint.isascii() and hint.isalpha()):
            problems.append(f"region_hint is {hint!r}, must be two letters (ISO 3166-1)")
        if not self.also <= OPTIONAL:
            problems.append(f"also may name {', '.join(sorted(OPTIONAL))}")
        return problems


def rules_from(section: Mapping[str, object]) -> PiiRules:
    """Build the rules from a policy file's `[pii]` table; what is not given is the default.

    `public`, `internal`, `confidential`, `restricted` name modes; `types` is a table of type to mode; `also` is a
    list of types; `region_hint` and `min_confidence` are as in `PiiRules`. Raises `PolicyError` for anything else.
    """
    known = {*Sensitivity, "types", "also", "region_hint", "min_confidence"}
    unknown = sorted(section.keys() - known)
    if unknown:
        raise PolicyError(f"[pii]: unknown key {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    levels = {Sensitivity(key): _mode(key, section[key]) for key in section if key in set(Sensitivity)}
    return PiiRules(
        modes=MappingProxyType({**default_modes(), **levels}),
        types=_types(section.get("types", {})),
        also=_also(section.get("also", [])),
        region_hint=_hint(section.get("region_hint")),
        min_confidence=_share(section.get("min_confidence", 0.5)),
    )


def _mode(key: str, value: object) -> PiiMode:
    if not isinstance(value, str) or value not in set(PiiMode):
        raise PolicyError(f"[pii]: {key} must be one of {', '.join(PiiMode)}")
    return PiiMode(value)


def _type(name: object) -> PiiType:
    if not isinstance(name, str) or name.upper() not in set(PiiType):
        raise PolicyError(f"[pii]: {name!r} is no type; types are {', '.join(PiiType)}")
    return PiiType(name.upper())


def _types(value: object) -> Mapping[PiiType, PiiMode]:
    if not isinstance(value, Mapping):
        raise PolicyError("[pii]: types must be a table of type to mode")
    return MappingProxyType({_type(name): _mode(str(name), mode) for name, mode in value.items()})


def _also(value: object) -> frozenset[PiiType]:
    if not isinstance(value, list):
        raise PolicyError("[pii]: also must be a list of types")
    return frozenset(_type(name) for name in value)


def _hint(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise PolicyError("[pii]: region_hint must be two letters (ISO 3166-1)")
    return value


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PolicyError("[pii]: min_confidence must be a number from 0 to 1")
    return float(value)
