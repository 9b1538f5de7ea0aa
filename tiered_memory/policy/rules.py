"""The rules of a policy as frozen values: every number carries its unit in its name and its range beside it.

A value outside its range is refused when the rules are built, whether they come from a file or from code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

from tiered_memory.errors import PolicyError
from tiered_memory.model import LawfulBasis, Sensitivity
from tiered_memory.policy.access_rules import AccessRole, AccessRule, default_access
from tiered_memory.policy.consent_rules import ConsentRules, names, stated
from tiered_memory.policy.guard_rules import GuardRules
from tiered_memory.policy.pii_rules import PiiRules
from tiered_memory.policy.specs import (
    SPEC,
    Checked,
    ChoiceSpec,
    bound,
    choice,
    count,
    days_or_none,
    number,
    switch,
    text,
)

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class RoutingRules(Checked):
    """What goes to cold: an importance strictly above `cold_threshold` (0..1), in its user's top share, or either.

    `gate` says which; `cold_quantile` is that share (0..1) of the user's interactions so far, most important first.
    With `merge_duplicates`, what says the same as a memory that is held strengthens that one and is no second memory.
    """

    gate: str = choice("threshold", ("threshold", "quantile", "either"))
    cold_threshold: float = number(0.2, 0, 1)
    cold_quantile: float = number(0.8, 0, 1)
    merge_duplicates: bool = switch(True)


@dataclass(frozen=True, slots=True)
class HotRules(Checked):
    """The hot tier: how long a record lives there and how many of a user's are kept."""

    ttl_seconds: float = number(3600.0, 1, 31_536_000)
    recent_limit: int = count(50, 0, 10_000)


@dataclass(frozen=True, slots=True)
class WarmRules(Checked):
    """The warm tier's session buffers.

    `token_budget` bounds one session, `tail_turns` how many newest turns its sealed tail keeps.
    """

    token_budget: int = count(4000, 1, 1_000_000)
    tail_turns: int = count(20, 0, 1000)
    session_idle_minutes: float = number(60.0, 0.01, 525_600)
    max_sessions_per_user: int = count(32, 1, 10_000)


@dataclass(frozen=True, slots=True)
class DecayRules(Checked):
    """How strength fades; forgetting/decay.py states the formulas.

    `daily_rate` is the share lost per day at importance 0; `initial_strength` the strength at which a memory of
    importance 1 starts (one of importance i starts at i times that); `threshold` the strength at which a memory
    is forgotten (0: never by decay); `importance_slowdown` is k, `use_slowdown` c, `use_boost` eta;
    `use_half_life_days` that of the trace a use leaves (0: none); `retrieved_boost` the weight (0..1) of being
    returned by a search against being used in a prompt. docs/adr/0014 tells how the defaults were found.
    """

    curve: str = choice("exponential", ("exponential", "power"))
    daily_rate: float = number(0.07, 1e-6, 0.999)
    initial_strength: float = number(1.0, 0.01, 1)
    threshold: float = number(0.1, 0, 0.99)
    importance_slowdown: float = number(2.6, 0, 10)
    use_slowdown: float = number(0.01, 0, 100)
    use_boost: float = number(0.0, 0, 1)
    use_half_life_days: float = number(10.0, 0, 3650)
    retrieved_boost: float = number(0.0, 0, 1)
    grace_hours: float = number(48.0, 0, 87_600)
    max_half_life_days: float = number(3650.0, 1, 36_500)


@dataclass(frozen=True, slots=True)
class ForgettingRules(Checked):
    """How forgetting proceeds.

    What decays away stays restorable for `undo_days`. A cycle that would forget more than `max_share_per_cycle`
    (0..1) of a user's active memories stops and asks, if there are at least `min_memories_for_brake` of them.
    What the application keeps when it is asked is looked at again after `veto_recheck_hours`. After a change of
    the policy a cycle computes `reindex_batch` deadlines anew, until all are those of the present one.
    """

    undo_days: float = number(7.0, 0, 3650)
    max_share_per_cycle: float = number(0.5, 0, 1)
    min_memories_for_brake: int = count(20, 0, 1_000_000_000)
    veto_recheck_hours: float = number(24.0, 0.01, 8760)
    reindex_batch: int = count(10_000, 1, 10_000_000)


@dataclass(frozen=True, slots=True)
class QuotaRules(Checked):
    """What one user may have at most: active memories, and MiB of them unsealed; None is no bound.

    Neither counts what was forgotten and can still be restored.
    """

    max_items: int | None = bound(1, 1_000_000_000, whole=True)
    max_mib: float | None = bound(0.001, 1e9)

    @property
    def max_bytes(self) -> int | None:
        """The bound in bytes."""
        return None if self.max_mib is None else round(self.max_mib * (1 << 20))

    @property
    def bounded(self) -> bool:
        """Whether there is any bound."""
        return self.max_items is not None or self.max_mib is not None


@dataclass(frozen=True, slots=True)
class RetentionRule(Checked):
    """Days since ingestion: kept at least `floor_days`, at most `ceiling_days`; None is no bound."""

    floor_days: float | None = days_or_none()
    ceiling_days: float | None = days_or_none()

    def __post_init__(self) -> None:
        """Refuse a floor above the ceiling."""
        Checked.__post_init__(self)
        problem = contradiction(self.floor_days, self.ceiling_days)
        if problem:
            raise PolicyError(f"RetentionRule: {problem}")


def contradiction(floor_days: float | None, ceiling_days: float | None) -> str | None:
    """Return why both bounds cannot hold, naming both, or None."""
    if floor_days is None or ceiling_days is None or floor_days <= ceiling_days:
        return None
    return f"floor_days = {floor_days:g} is above ceiling_days = {ceiling_days:g}; both cannot hold"


@dataclass(frozen=True, slots=True)
class PurposeRule(Checked):
    """What a purpose rests on (GDPR Art. 6) and how sensitive its data may be.

    Every basis but consent needs `documentation`: where the controller recorded why it applies (Art. 5(2)). The
    rest is what people are told of it; see `policy/disclosure.py` for what stands where nothing is stated.
    """

    lawful_basis: LawfulBasis = field(
        default=LawfulBasis.CONSENT, metadata={SPEC: ChoiceSpec(tuple(LawfulBasis))}
    )
    documentation: str | None = text(None, optional=True)
    max_sensitivity: Sensitivity = field(
        default=Sensitivity.CONFIDENTIAL, metadata={SPEC: ChoiceSpec(tuple(Sensitivity))}
    )
    retention: str = stated()
    recipients: tuple[str, ...] = names()
    data_categories: tuple[str, ...] = names()
    jurisdiction: str = stated()
    controller: str = stated()
    contact: str = stated()

    def __post_init__(self) -> None:
        """Refuse an undocumented basis."""
        Checked.__post_init__(self)
        problem = undocumented(self.lawful_basis, self.documentation)
        if problem:
            raise PolicyError(f"PurposeRule: {problem}")


def undocumented(basis: LawfulBasis, documentation: str | None) -> str | None:
    """Return that a basis other than consent lacks its documentation, or None."""
    if basis == LawfulBasis.CONSENT or documentation:
        return None
    return f"lawful_basis = '{basis}' needs documentation: where is recorded that it applies?"


def default_retention() -> Mapping[Sensitivity, RetentionRule]:
    """Return the default ceilings: a year, half a year for confidential, 30 days for restricted data."""
    ceilings = {
        Sensitivity.PUBLIC: 365.0,
        Sensitivity.INTERNAL: 365.0,
        Sensitivity.CONFIDENTIAL: 180.0,
        Sensitivity.RESTRICTED: 30.0,
    }
    return MappingProxyType({level: RetentionRule(None, days) for level, days in ceilings.items()})


def default_purposes() -> Mapping[str, PurposeRule]:
    """Return the one default purpose: personalization, on consent."""
    return MappingProxyType({"personalization": PurposeRule(max_sensitivity=Sensitivity.RESTRICTED)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Checked):
    """Everything that may be decided by configuration. `retention` has a rule for every sensitivity."""

    schema: int = SCHEMA
    name: str = text("custom")
    routing: RoutingRules = field(default_factory=RoutingRules)
    hot: HotRules = field(default_factory=HotRules)
    warm: WarmRules = field(default_factory=WarmRules)
    decay: DecayRules = field(default_factory=DecayRules)
    forgetting: ForgettingRules = field(default_factory=ForgettingRules)
    quota: QuotaRules = field(default_factory=QuotaRules)
    consent: ConsentRules = field(default_factory=ConsentRules)
    guard: GuardRules = field(default_factory=GuardRules)
    retention: Mapping[Sensitivity, RetentionRule] = field(default_factory=default_retention)
    purposes: Mapping[str, PurposeRule] = field(default_factory=default_purposes)
    pii: PiiRules = field(default_factory=PiiRules)
    default_purpose: str = text("personalization")
    access: Mapping[AccessRole, AccessRule] = field(default_factory=default_access)

    def __post_init__(self) -> None:
        """Refuse a schema, a default purpose or a set of retention rules that cannot be worked with."""
        Checked.__post_init__(self)
        if self.schema != SCHEMA:
            raise PolicyError(f"Policy: schema is {self.schema!r}, this version reads {SCHEMA}")
        if self.default_purpose not in self.purposes:
            raise PolicyError(f"Policy: default_purpose '{self.default_purpose}' is not among the purposes")
        missing = [level.value for level in Sensitivity if level not in self.retention]
        if missing:
            raise PolicyError(f"Policy: retention has no rule for {', '.join(missing)}")

    @property
    def version(self) -> str:
        """Return `name@digest`: 12 hex digits that change with any rule that moves a deadline."""
        bounds = sorted((level.value, asdict(rule)) for level, rule in self.retention.items())
        rules = repr((self.schema, asdict(self.decay), bounds))
        return f"{self.name}@{hashlib.sha256(rules.encode()).hexdigest()[:12]}"
