"""What a policy's keys accept, and the fields that are built from it: refused when a rule is built, wherever it came from."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from tiered_memory.errors import PolicyError

SPEC = "spec"


class Spec(Protocol):
    """What a key accepts."""

    def problem(self, value: object) -> str | None:
        """Return what is wrong with `value`, naming what is accepted, or None."""
        ...


@dataclass(frozen=True, slots=True)
class NumberSpec:
    """A finite number in [`low`, `high`]; `whole` admits integers only, `optional` admits None."""

    low: float
    high: float
    whole: bool = False
    optional: bool = False

    def problem(self, value: object) -> str | None:
        """Return what is wrong with `value`, or None. Truth values are no numbers and NaN is in no range."""
        if value is None and self.optional:
            return None
        accepted = (
            f"{'a whole number' if self.whole else 'a number'} from {self.low:.10g} to {self.high:.10g}"
        )
        accepted += ' or "none"' if self.optional else ""
        kinds = int if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return f"must be {accepted}, not {type(value).__name__}"
        return None if self.low <= value <= self.high else f"is {value!r}, must be {accepted}"


@dataclass(frozen=True, slots=True)
class ChoiceSpec:
    """One of a few words."""

    choices: tuple[str, ...]

    def problem(self, value: object) -> str | None:
        """Return what is wrong with `value`, or None."""
        return None if value in self.choices else f"is {value!r}, must be one of {', '.join(self.choices)}"


@dataclass(frozen=True, slots=True)
class TextSpec:
    """Text that is not blank; `optional` admits None."""

    optional: bool = False

    def problem(self, value: object) -> str | None:
        """Return what is wrong with `value`, or None."""
        if (value is None and self.optional) or (isinstance(value, str) and value.strip()):
            return None
        return "must be text that is not blank"


@dataclass(frozen=True, slots=True)
class SwitchSpec:
    """On or off."""

    def problem(self, value: object) -> str | None:
        """Return what is wrong with `value`, or None."""
        return None if isinstance(value, bool) else f"must be true or false, not {type(value).__name__}"


def number(default: float, low: float, high: float) -> Any:
    """Return a field for a number in [`low`, `high`]."""
    return field(default=default, metadata={SPEC: NumberSpec(low, high)})


def count(default: int, low: int, high: int) -> Any:
    """Return a field for a whole number in [`low`, `high`]."""
    return field(default=default, metadata={SPEC: NumberSpec(low, high, whole=True)})


def bound(low: float, high: float, *, whole: bool = False) -> Any:
    """Return a field for a number in [`low`, `high`], or none."""
    return field(default=None, metadata={SPEC: NumberSpec(low, high, whole=whole, optional=True)})


def days_or_none() -> Any:
    """Return a field for days from 0 to 36500, or none."""
    return bound(0, 36_500)


def choice(default: str, choices: tuple[str, ...]) -> Any:
    """Return a field for one of `choices`."""
    return field(default=default, metadata={SPEC: ChoiceSpec(choices)})


def switch(default: bool) -> Any:
    """Return a field for true or false."""
    return field(default=default, metadata={SPEC: SwitchSpec()})


def text(default: str | None, *, optional: bool = False) -> Any:
    """Return a field for text that is not blank."""
    return field(default=default, metadata={SPEC: TextSpec(optional)})


class Checked:
    """Refuses values outside their spec when built."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for rule in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            spec = rule.metadata.get(SPEC)
            problem = spec.problem(getattr(self, rule.name)) if spec is not None else None
            if problem:
                raise PolicyError(f"{type(self).__name__}: {rule.name} {problem}")
