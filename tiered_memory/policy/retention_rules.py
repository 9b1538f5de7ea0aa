"""Named retention rules and how they compose: the strictest floor and the strictest ceiling, whatever the order.

A rule binds a class of records for at least `min_keep_days`, at most `max_keep_days`, counted from its trigger. Of
the rules that apply to a class the floor is the largest minimum and the ceiling the smallest maximum, for each
trigger by itself. That is a semilattice: composition is associative, commutative and idempotent, and a further rule
can only raise a floor or lower a ceiling. Taking the longest of all frameworks' periods instead would be no stricter
policy but the one that keeps the most (GDPR Art. 5(1)(e)).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from tiered_memory.errors import PolicyError
from tiered_memory.model import Kind, Sensitivity
from tiered_memory.policy.specs import Checked, days_or_none, text

INGESTED = "ingested"
UNKEPT_TRIGGERS = frozenset({"occurred", "session_end"})
"""Moments that stand in sealed records only: a deadline in the state store cannot be computed from them."""
MEMORY = "memory"
RECORDS = ("audit", "consent", "ledger")
"""Classes besides memories: the ledger's leaves (`audit` and `ledger` are the same) and consent records."""
CLASSES = (MEMORY, *(one.value for one in Sensitivity), *(one.value for one in Kind), *RECORDS)


@dataclass(frozen=True, slots=True)
class KeepRule(Checked):
    """One rule: what it binds (`record_class`, and a `purpose` or a `jurisdiction` if it says so), for how long, why.

    `basis` names what the rule rests on. `trigger` is "ingested", or a named event of the person's
    (`user.retention.event`): until that event a minimum holds on and a maximum does not run.
    """

    name: str = text("")
    record_class: str = text(MEMORY)
    basis: str = text("")
    purpose: str | None = text(None, optional=True)
    jurisdiction: str | None = text(None, optional=True)
    min_keep_days: float | None = days_or_none()
    max_keep_days: float | None = days_or_none()
    trigger: str = text(INGESTED)

    def __post_init__(self) -> None:
        """Refuse what binds nothing, or what cannot be carried out."""
        Checked.__post_init__(self)
        problem = self._problem()
        if problem:
            raise PolicyError(f"retention rule '{self.name}': {problem}")

    def _problem(self) -> str | None:
        if self.record_class not in CLASSES:
            return f"record_class is '{self.record_class}', must be one of {', '.join(CLASSES)}"
        if self.min_keep_days is None and self.max_keep_days is None:
            return "gives neither min_keep_days nor max_keep_days"
        if self.trigger in UNKEPT_TRIGGERS:
            return (
                f"trigger '{self.trigger}' is known to sealed records only; use '{INGESTED}', or a named event "
                "that the application reports"
            )
        return self._record_problem() if self.record_class in RECORDS else None

    def _record_problem(self) -> str | None:
        if self.max_keep_days is not None:
            return f"max_keep_days cannot be kept for '{self.record_class}': those records are only ever appended"
        if self.purpose is not None or self.trigger != INGESTED:
            return f"'{self.record_class}' records know neither purpose nor trigger"
        return None

    def binds(self, sensitivity: str, kind: str, purpose: str, jurisdiction: str | None) -> bool:
        """Tell whether the rule applies to such memories under such a law."""
        of_class = self.record_class in {MEMORY, sensitivity, kind}
        for_purpose = self.purpose is None or self.purpose == purpose
        return of_class and for_purpose and self.jurisdiction in {None, jurisdiction}


@dataclass(frozen=True, slots=True)
class Bound:
    """Days since a trigger, with the rule that says so and what that rests on."""

    days: float
    rule: str
    basis: str = ""
    trigger: str = INGESTED


@dataclass(frozen=True, slots=True)
class Bounds:
    """A class's floors and ceilings: at most one of each for each trigger, in the order of the triggers' names."""

    floors: tuple[Bound, ...] = ()
    ceilings: tuple[Bound, ...] = ()

    def also(self, other: Bounds) -> Bounds:
        """Return both together: the larger floors, the smaller ceilings."""
        return Bounds(
            _strictest((*self.floors, *other.floors), sign=-1),
            _strictest((*self.ceilings, *other.ceilings), sign=1),
        )

    def conflict(self) -> tuple[Bound, Bound] | None:
        """Return a floor and a ceiling that cannot both be kept, if there are such.

        Days from one trigger compare; a clock never starts before a memory came, so that a floor from ingestion
        compares with any ceiling. A floor that waits for an event may outlast every ceiling but that event's own.
        """
        pairs = product(self.floors, self.ceilings)
        return next((pair for pair in pairs if _clash(*pair)), None)


def _clash(floor: Bound, ceiling: Bound) -> bool:
    if floor.trigger not in {INGESTED, ceiling.trigger}:
        return True
    return floor.days > ceiling.days


def _strictest(bounds: Iterable[Bound], *, sign: int) -> tuple[Bound, ...]:
    """Of equal ones the first by name is given: the result depends on what there is, not on its order."""
    best: dict[str, Bound] = {}
    for one in sorted(bounds, key=lambda one: (sign * one.days, one.rule, one.basis)):
        best.setdefault(one.trigger, one)
    return tuple(best[trigger] for trigger in sorted(best))


NO_BOUNDS = Bounds()


def bounds_of_rule(rule: KeepRule) -> Bounds:
    """Return what one rule asks for."""
    least, most = rule.min_keep_days, rule.max_keep_days
    floors = () if least is None else (Bound(least, rule.name, rule.basis, rule.trigger),)
    ceilings = () if most is None else (Bound(most, rule.name, rule.basis, rule.trigger),)
    return Bounds(floors, ceilings)


def composed(parts: Iterable[Bounds]) -> Bounds:
    """Return everything together; the order does not matter."""
    found = NO_BOUNDS
    for part in parts:
        found = found.also(part)
    return found


def applying(
    rules: Iterable[KeepRule], sensitivity: str, kind: str, purpose: str, jurisdiction: str | None
) -> Bounds:
    """Return what the rules that apply to such memories come to."""
    bound = (rule for rule in rules if rule.binds(sensitivity, kind, purpose, jurisdiction))
    return composed(bounds_of_rule(rule) for rule in bound)


def record_floor(rules: Iterable[KeepRule], record_class: str, jurisdiction: str | None) -> Bound | None:
    """Return how long records that are no memories are kept at least; None when no rule says."""
    found = composed(
        bounds_of_rule(rule)
        for rule in rules
        if rule.record_class == record_class and rule.jurisdiction in {None, jurisdiction}
    )
    return found.floors[0] if found.floors else None


def check_names(rules: Iterable[KeepRule], taken: Iterable[str] = ()) -> None:
    """Refuse two rules of one name: what explains a deadline must name one."""
    seen = set(taken)
    for rule in rules:
        if rule.name in seen:
            raise PolicyError(f"retention rule '{rule.name}': there is another rule of this name")
        seen.add(rule.name)


def check_purposes(rules: Iterable[KeepRule], purposes: Mapping[str, object]) -> None:
    """Refuse a rule for a purpose that nothing is kept for: it would be misspelt, and bind nothing."""
    for rule in rules:
        if rule.purpose is not None and rule.purpose not in purposes:
            raise PolicyError(
                f"retention rule '{rule.name}': purpose '{rule.purpose}' is not among the purposes: "
                f"{', '.join(purposes)}"
            )


def refusal(floor: Bound, ceiling: Bound, where: str) -> str:
    """Return why a policy is refused, naming both rules."""
    least, most = _words("at least", floor), _words("at most", ceiling)
    return (
        f"retention of {where}: rule '{floor.rule}' keeps {least} and rule '{ceiling.rule}' keeps {most}; "
        "both cannot hold: change one of them"
    )


def _words(limit: str, bound: Bound) -> str:
    return f"{limit} {bound.days:g} days from '{bound.trigger}'"
