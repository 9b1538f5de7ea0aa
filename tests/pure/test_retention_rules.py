"""Retention rules compose to the strictest of what applies, whatever their order; contradictions name both rules."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import PolicyError
from tiered_memory.forgetting.decay import DAY_US, curve_for
from tiered_memory.forgetting.placement import (
    CEILING,
    FLOOR,
    HOLD,
    Due,
    Keep,
    Purge,
    deadline,
    plan_forgetting,
)
from tiered_memory.forgetting.retention import UNTIL_EVENT, Terms, kept, resolved
from tiered_memory.model import Kind, Sensitivity
from tiered_memory.policy.compose import TENANT_RULE, bounds_for
from tiered_memory.policy.load import parse_policy
from tiered_memory.policy.retention_rules import (
    INGESTED,
    NO_BOUNDS,
    Bound,
    Bounds,
    KeepRule,
    bounds_of_rule,
    composed,
    record_floor,
)
from tiered_memory.policy.rules import Policy, RetentionRule
from tiered_memory.policy.variants import as_toml, changed
from tiered_memory.wiring import load_policy, shipped_policies

POLICIES = Path(__file__).parents[2] / "policies"
DAYS = st.floats(0, 36_500) | st.none()
TRIGGERS = st.sampled_from([INGESTED, "contract_end", "last_order"])
CURVE = curve_for(Policy().decay)


@st.composite
def rules(draw: st.DrawFn) -> KeepRule:
    least, most = draw(DAYS), draw(DAYS)
    if least is None and most is None:
        least = draw(st.floats(0, 36_500))
    return KeepRule(
        name=draw(st.text("abc", min_size=1, max_size=3)),
        record_class=draw(st.sampled_from(["memory", "internal", "restricted", "profile"])),
        basis=draw(st.sampled_from(["x", "y"])),
        purpose=draw(st.sampled_from([None, "personalization"])),
        min_keep_days=least,
        max_keep_days=most,
        trigger=draw(TRIGGERS),
    )


BOUNDS = st.lists(rules(), max_size=4).map(lambda some: composed(bounds_of_rule(one) for one in some))
EVENTS = st.dictionaries(st.sampled_from(["contract_end", "last_order"]), st.integers(0, 10**16))
INGESTIONS = st.integers(0, 10**16)


@given(BOUNDS, BOUNDS, BOUNDS)
def test_composition_is_associative_commutative_and_idempotent(a: Bounds, b: Bounds, c: Bounds) -> None:
    assert a.also(b).also(c) == a.also(b.also(c))
    assert a.also(b) == b.also(a)
    assert a.also(a) == a
    assert a.also(NO_BOUNDS) == a


@given(st.lists(rules(), max_size=6).flatmap(lambda some: st.tuples(st.just(some), st.permutations(some))))
def test_the_order_of_rules_does_not_matter(both: tuple[list[KeepRule], list[KeepRule]]) -> None:
    given_order, other = both
    assert composed(map(bounds_of_rule, given_order)) == composed(map(bounds_of_rule, other))


@given(BOUNDS, rules(), EVENTS, INGESTIONS)
def test_another_rule_never_lengthens_a_ceiling_nor_lowers_a_floor(
    before: Bounds, rule: KeepRule, events: dict[str, int], ingested_us: int
) -> None:
    old = resolved(before, ingested_us, events)
    new = resolved(before.also(bounds_of_rule(rule)), ingested_us, events)
    assert _ceiling(new.ceiling_days) <= _ceiling(old.ceiling_days)
    assert (new.floor_days or 0) >= (old.floor_days or 0)


def _ceiling(days: float | None) -> float:
    return math.inf if days is None else days


@given(BOUNDS, EVENTS, INGESTIONS)
def test_what_is_not_refused_at_load_never_contradicts_itself_later(
    bounds: Bounds, events: dict[str, int], ingested_us: int
) -> None:
    found = resolved(bounds, ingested_us, events)
    if bounds.conflict() is None and found.floor_days is not None:
        # Rounding: an event's distance is a float of days.
        assert found.floor_days <= _ceiling(found.ceiling_days) + 1e-6


@given(BOUNDS, EVENTS, INGESTIONS, st.booleans())
def test_a_hold_never_shortens_and_a_ceiling_always_binds(
    bounds: Bounds, events: dict[str, int], ingested_us: int, pinned: bool
) -> None:
    span, state = resolved(bounds, ingested_us, events), CURVE.start(0.5, ingested_us)
    free = deadline(state, CURVE, span, 48, pinned=pinned)
    held = deadline(state, CURVE, span, 48, pinned=pinned, held=True)
    assert (held.at_us, held.rule) == (None, HOLD)
    if span.ceiling_days is not None:
        assert free.at_us is not None
        assert free.at_us <= ingested_us + round(span.ceiling_days * DAY_US)


def test_a_ceiling_comes_from_whoever_asks_for_the_shortest() -> None:
    policy = Policy(retention_rules=(rule("short", max_keep_days=20), rule("shorter", max_keep_days=10)))
    found = bounds_for(policy, sensitivity=Sensitivity.INTERNAL, kind="profile", purpose="personalization")
    assert found.ceilings == (Bound(10, "shorter", "because"),)
    narrowed = bounds_for(policy, sensitivity=Sensitivity.INTERNAL, tenant_ceiling_days=3)
    assert narrowed.ceilings[0].rule == TENANT_RULE
    widened = bounds_for(policy, sensitivity=Sensitivity.INTERNAL, tenant_ceiling_days=3000)
    assert widened.ceilings == found.ceilings


def rule(name: str, record_class: str = "memory", basis: str = "because", **more: object) -> KeepRule:
    return KeepRule(name=name, record_class=record_class, basis=basis, **more)  # type: ignore[arg-type]


def test_a_rule_binds_its_class_its_purpose_and_its_jurisdiction_only() -> None:
    named = (
        rule("profiles", "profile", max_keep_days=9),
        rule("ads", purpose="ads", max_keep_days=8),
        rule("there", jurisdiction="EU", max_keep_days=7),
    )
    here = Policy(
        purposes={**Policy().purposes, "ads": Policy().purposes["personalization"]}, retention_rules=named
    )

    def ceiling(policy: Policy, kind: str, purpose: str) -> str:
        level = Sensitivity.INTERNAL
        return bounds_for(policy, sensitivity=level, kind=kind, purpose=purpose).ceilings[0].rule

    assert ceiling(here, "semantic", "personalization") == "retention.internal"
    assert ceiling(here, "profile", "personalization") == "profiles"
    assert ceiling(here, "profile", "ads") == "ads"
    there = Policy(purposes=here.purposes, retention_rules=named, jurisdiction="EU")
    assert ceiling(there, "semantic", "personalization") == "there"


BASE = 'schema = 1\n{}[[retention_rules]]\nname = "keep"\nrecord_class = "memory"\nbasis = "b"\n{}'


@pytest.mark.parametrize(
    ("top", "rest", "says"),
    [
        (
            "",
            "min_keep_days = 400",
            (
                "p.toml: retention of public semantic memories for 'personalization': rule 'keep' keeps at least 400 "
                "days from 'ingested' and rule 'retention.public' keeps at most 365 days from 'ingested'; both cannot "
                "hold: change one of them"
            ),
        ),
        (
            "",
            'min_keep_days = 1\ntrigger = "contract_end"',
            "rule 'keep' keeps at least 1 days from 'contract_end'",
        ),
        (
            "",
            "min_keep_day = 1",
            "number 1: min_keep_day is not a key of a retention rule; did you mean 'min_keep",
        ),
        ("", "", "gives neither min_keep_days nor max_keep_days"),
        ("", "max_keep_days = -1", "number 1: max_keep_days is -1, must be a number from 0 to 36500"),
        ("", 'max_keep_days = 1\ntrigger = "occurred"', "trigger 'occurred' is known to sealed records only"),
        ("", 'max_keep_days = 1\npurpose = "x"', "purpose 'x' is not among the purposes: personalization"),
        ("", 'max_keep_days = 1\ndata_category = "x"', "data_category is not a key of a retention rule"),
    ],
)
def test_what_cannot_be_kept_is_refused(top: str, rest: str, says: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse_policy(BASE.format(top, rest), "p.toml")
    assert says in str(refused.value)
    assert str(refused.value).startswith("p.toml: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("schema = 1\nretention_rules = 3", "must be a list of tables"),
        ('schema = 1\n[[retention_rules]]\nname = "x"\nmax_keep_days = 1', "needs record_class, basis"),
        (
            BASE.format("", "max_keep_days = 1").replace('"memory"', '"moon"'),
            "record_class is 'moon', must be one of",
        ),
        (BASE.format("", "max_keep_days = 1").replace('"memory"', '"audit"'), "only ever appended"),
        (
            BASE.format("", 'min_keep_days = 1\ntrigger = "e"').replace('"memory"', '"audit"'),
            "neither purpose nor",
        ),
        (
            BASE.format("", "max_keep_days = 1").replace('"keep"', '"retention.public"'),
            "another rule of this name",
        ),
    ],
)
def test_a_wrong_rule_is_refused_with_what_to_do(text: str, says: str) -> None:
    with pytest.raises(PolicyError, match=r"p\.toml") as refused:
        parse_policy(text, "p.toml")
    assert says in str(refused.value)


def test_a_contradiction_of_what_cannot_exist_is_none() -> None:
    limited = "[purposes.personalization]\nmax_sensitivity = 'internal'\n"
    text = (
        limited
        + '[[retention_rules]]\nname = "r"\nrecord_class = "restricted"\nbasis = "b"\nmin_keep_days = 300'
    )
    assert parse_policy("schema = 1\n" + text, "p.toml").retention_rules[0].name == "r"
    with pytest.raises(PolicyError, match=r"rule 'r'.*rule 'retention\.restricted'"):
        parse_policy("schema = 1\n" + text.replace("'internal'", "'restricted'"), "p.toml")


def test_rules_are_written_and_read_back_and_move_the_version() -> None:
    found = parse_policy(BASE.format('jurisdiction = "EU"\n', "max_keep_days = 30"), "p.toml")
    assert parse_policy(as_toml(found), "again") == found
    assert found.version != Policy().version
    assert changed(found, ["decay.threshold=0.2"]).retention_rules == found.retention_rules
    assert Policy(name="custom").version == Policy().version


# --- triggers ------------------------------------------------------------------------------------------------

WAITING = Bounds((Bound(30, "least", trigger="contract_end"),), (Bound(60, "most", trigger="contract_end"),))


def test_until_the_event_a_minimum_holds_on_and_a_maximum_does_not_run() -> None:
    waiting = resolved(WAITING, 0, {})
    assert (waiting.floor_days, waiting.ceiling_days) == (UNTIL_EVENT, None)
    due = deadline(CURVE.start(0.3, 0), CURVE, waiting, 48)
    assert (due.at_us, due.rule) == (None, FLOOR)


def test_after_the_event_both_count_from_it_and_from_ingestion_at_the_earliest() -> None:
    ran = resolved(WAITING, 0, {"contract_end": 100 * DAY_US})
    assert (ran.floor_days, ran.ceiling_days) == (130, 160)
    earlier = resolved(WAITING, 100 * DAY_US, {"contract_end": 0})
    assert (earlier.floor_days, earlier.ceiling_days) == (30, 60)


def test_a_memory_under_a_waiting_floor_is_kept_by_decay_and_by_a_quota() -> None:
    policy = Policy(
        retention={level: RetentionRule() for level in Sensitivity},
        retention_rules=(rule("until", min_keep_days=5, max_keep_days=9, trigger="end"),),
    )
    state = CURVE.start(0.25, 0)
    item = Due("m", "u", state, kind=Kind.SEMANTIC.value, purpose="personalization")
    late = 400 * DAY_US
    assert plan_forgetting([item], late, policy, {"u": 1}).decisions == (Keep("m", None, FLOOR),)
    ended = Due("m", "u", state, kind="semantic", terms=Terms({"end": 0}))
    assert plan_forgetting([ended], late, policy, {"u": 1}).decisions == (Purge("m", CEILING),)


# --- what is shipped -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped_policies())
def test_every_shipped_policy_loads_and_says_what_it_binds(name: str) -> None:
    assert load_policy(name).name == name
    head = (POLICIES / f"{name}.toml").read_text().split("schema = 1")[0]
    if name not in {"default", "seed"}:
        assert "# Binds:" in head
        assert "# Does not bind:" in head


@pytest.mark.parametrize(
    ("name", "record_class", "days"),
    [
        ("hipaa", "ledger", 2192),
        ("hipaa", "consent", 2192),
        ("sox", "audit", 2557),
        ("pci_dss", "audit", 366),
    ],
)
def test_a_framework_binds_its_records_and_lengthens_no_memory(
    name: str, record_class: str, days: float
) -> None:
    policy = load_policy(name)
    floor = record_floor(policy.retention_rules, record_class, policy.jurisdiction)
    assert floor is not None
    assert floor.days == days
    for level in Sensitivity:
        for kind in Kind:
            found = bounds_for(policy, sensitivity=level, kind=kind.value, purpose="personalization")
            assert found.floors == ()
            default = Policy().retention[level].ceiling_days
            assert default is not None
            assert found.ceilings[0].days <= default


def test_a_framework_of_another_jurisdiction_does_not_bind() -> None:
    assert record_floor(load_policy("hipaa").retention_rules, "ledger", "EU") is None


def test_the_strict_ones_are_strict() -> None:
    strict, ephemeral = load_policy("strict"), load_policy("ephemeral")
    assert strict.forgetting.undo_days == 0
    assert strict.purposes["personalization"].max_sensitivity is Sensitivity.CONFIDENTIAL
    for level in Sensitivity:
        days, default = strict.retention[level].ceiling_days, Policy().retention[level].ceiling_days
        assert days is not None
        assert default is not None
        assert days < default
        assert ephemeral.retention[level].ceiling_days == 0
    assert not any(purpose.keeps for purpose in ephemeral.purposes.values())


def test_every_memory_under_gdpr_has_a_ceiling_that_a_rule_explains() -> None:
    policy = load_policy("gdpr")
    for level in Sensitivity:
        found = kept(policy, sensitivity=level, kind="semantic", purpose="personalization", ingested_us=0)
        assert found.ceiling is not None
        assert found.ceiling_days is not None
