"""Policy files: what is left out has its default, what is wrong is refused where it stands."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import PolicyError
from tiered_memory.model import LawfulBasis, Sensitivity
from tiered_memory.policy.load import SECTIONS, parse_policy
from tiered_memory.policy.rules import (
    SPEC,
    DecayRules,
    Policy,
    PurposeRule,
    RetentionRule,
    WarmRules,
)
from tiered_memory.policy.specs import NumberSpec

POLICIES = Path(__file__).parents[2] / "policies"
MINIMAL = 'schema = 1\nname = "custom"\n'


def load(text: str) -> Policy:
    return parse_policy(text, "my.toml")


def refusal(text: str) -> str:
    with pytest.raises(PolicyError) as refused:
        load(text)
    return str(refused.value)


def test_an_empty_policy_is_the_default() -> None:
    assert load("schema = 1") == Policy()


def test_the_shipped_default_states_the_defaults() -> None:
    text = (POLICIES / "default.toml").read_text()
    assert parse_policy(text, "default.toml") == replace(Policy(), name="default")


def test_the_shipped_default_states_every_key() -> None:
    text = (POLICIES / "default.toml").read_text()
    missing = [
        rule.name for kind in SECTIONS.values() for rule in fields(kind) if f"\n{rule.name} = " not in text
    ]
    assert missing == []


def test_the_seeds_numbers() -> None:
    seed = parse_policy((POLICIES / "seed.toml").read_text(), "seed.toml")
    assert seed.routing.cold_threshold == 0.7
    assert seed.hot.ttl_seconds == 3600
    assert (seed.decay.daily_rate, seed.decay.importance_slowdown) == (0.05, 0)
    assert seed.retention[Sensitivity.PUBLIC].ceiling_days == 365
    assert set(seed.purposes) == {"personalization", "analytics", "marketing"}


def test_what_is_given_replaces_the_default_and_nothing_else() -> None:
    policy = load("schema = 1\n[decay]\nthreshold = 0.2\n[warm]\ntoken_budget = 1000")
    assert policy == replace(
        Policy(), decay=replace(DecayRules(), threshold=0.2), warm=replace(WarmRules(), token_budget=1000)
    )


def test_a_whole_number_will_do_for_a_number() -> None:
    ttl = load("schema = 1\n[hot]\nttl_seconds = 60").hot.ttl_seconds
    assert (ttl, type(ttl)) == (60.0, float)


def test_a_class_keeps_the_ceiling_it_does_not_mention() -> None:
    policy = load("schema = 1\n[retention.restricted]\nfloor_days = 1")
    assert policy.retention[Sensitivity.RESTRICTED] == RetentionRule(1.0, 30.0)


def test_a_ceiling_is_lifted_in_so_many_words() -> None:
    policy = load('schema = 1\n[retention.public]\nceiling_days = "none"')
    assert policy.retention[Sensitivity.PUBLIC] == RetentionRule(None, None)


def test_purposes_are_what_the_file_says() -> None:
    policy = load(
        'schema = 1\ndefault_purpose = "support"\n[purposes.support]\nlawful_basis = "contract"\n'
        'documentation = "records of processing, entry 4"\nmax_sensitivity = "internal"'
    )
    rule = PurposeRule(LawfulBasis.CONTRACT, "records of processing, entry 4", Sensitivity.INTERNAL)
    assert dict(policy.purposes) == {"support": rule}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[decay]\ndaily_rat = 0.1",
            "my.toml: [decay] daily_rat is not a key of a policy; did you mean 'daily_rate'?",
        ),
        ("[dekay]\n", "my.toml: dekay is not a key of a policy; did you mean 'decay'?"),
        (
            "[routing]\nzzz = 1",
            "my.toml: [routing] zzz is not a key of a policy; known keys: cold_quantile, cold_threshold, gate, merge_duplicates",
        ),
        (
            "[retention.publik]\n",
            "my.toml: [retention] publik is not a key of a policy; did you mean 'public'?",
        ),
        (
            "[retention.public]\nceiling = 3",
            "my.toml: [retention.public] ceiling is not a key of a policy; did you mean 'ceiling_days'?",
        ),
        (
            "[purposes.p]\nlawful = 3",
            "my.toml: [purposes.p] lawful is not a key of a policy; did you mean 'lawful_basis'?",
        ),
        ("[decay]\nthreshold = 1.5", "my.toml: [decay] threshold is 1.5, must be a number from 0 to 0.99"),
        ("[decay]\nthreshold = nan", "my.toml: [decay] threshold is nan, must be a number from 0 to 0.99"),
        ("[decay]\nthreshold = -0.1", "my.toml: [decay] threshold is -0.1, must be a number from 0 to 0.99"),
        ("[decay]\nthreshold = true", "my.toml: [decay] threshold must be a number from 0 to 0.99, not bool"),
        ('[decay]\nthreshold = "low"', "my.toml: [decay] threshold must be a number from 0 to 0.99, not str"),
        (
            "[hot]\nttl_seconds = inf",
            "my.toml: [hot] ttl_seconds is inf, must be a number from 1 to 31536000",
        ),
        (
            "[warm]\ntoken_budget = 10.5",
            "my.toml: [warm] token_budget must be a whole number from 1 to 1000000, not float",
        ),
        (
            '[decay]\ncurve = "linear"',
            "my.toml: [decay] curve is 'linear', must be one of exponential, power",
        ),
        (
            "[retention.public]\nceiling_days = -1",
            'my.toml: [retention.public] ceiling_days is -1, must be a number from 0 to 36500 or "none"',
        ),
        (
            "[retention.restricted]\nfloor_days = 90",
            "my.toml: [retention.restricted] floor_days = 90 is above ceiling_days = 30; both cannot hold",
        ),
        (
            '[purposes.personalization]\nlawful_basis = "contract"',
            (
                "my.toml: [purposes.personalization] lawful_basis = 'contract' needs documentation: "
                "where is recorded that it applies?"
            ),
        ),
        (
            '[purposes.personalization]\ndocumentation = " "',
            "my.toml: [purposes.personalization] documentation must be text that is not blank",
        ),
        (
            '[purposes.support]\nlawful_basis = "consent"',
            "my.toml: default_purpose is 'personalization', which is not among the purposes: support",
        ),
        ("[purposes]\np = 1", "my.toml: [purposes] p must be a table, not int"),
    ],
)
def test_mistakes_are_refused_where_they_stand(text: str, message: str) -> None:
    assert refusal(MINIMAL + text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "my.toml: schema must be 1, the only schema this version reads"),
        ("schema = 2", "my.toml: schema must be 1, the only schema this version reads"),
        ("schema = true", "my.toml: schema must be 1, the only schema this version reads"),
        ("schema = 1\nname = 3", "my.toml: name must be text that is not blank"),
        ("schema = 1\ndecay = 3", "my.toml: decay must be a table, not int"),
    ],
)
def test_mistakes_at_the_top_are_refused(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize(
    "text", ["schema = ", "[" * 5000, "schema = 1\nschema = 1", f"schema = {'9' * 5000}"]
)
def test_what_is_no_toml_is_refused(text: str) -> None:
    assert refusal(text).startswith("my.toml: is not valid TOML: ")


@given(st.text())
def test_text_without_a_schema_is_refused_whatever_it_is(text: str) -> None:
    if "schema" not in text:
        assert refusal(text).startswith("my.toml: ")


NUMBERS = [
    (kind, rule.name, rule.metadata[SPEC])
    for kind in (*SECTIONS.values(), RetentionRule)
    for rule in fields(kind)
    if isinstance(rule.metadata.get(SPEC), NumberSpec)
]


@pytest.mark.parametrize(("kind", "key", "spec"), NUMBERS)
def test_every_number_has_its_range_in_code_too(kind: type, key: str, spec: NumberSpec) -> None:
    for wrong in (math.nan, spec.low - 1, spec.high + 1, True, "1"):
        with pytest.raises(PolicyError, match=key):
            kind(**{key: wrong})
    for right in (spec.low, spec.high):
        value = int(right) if spec.whole else right
        assert getattr(kind(**{key: value}), key) == value


def test_rules_made_in_code_are_checked_alike() -> None:
    with pytest.raises(PolicyError, match="floor_days = 9 is above ceiling_days = 8"):
        RetentionRule(9, 8)
    with pytest.raises(PolicyError, match="needs documentation"):
        PurposeRule(LawfulBasis.LEGITIMATE_INTERESTS)
    with pytest.raises(PolicyError, match="schema is 2"):
        Policy(schema=2)
    with pytest.raises(PolicyError, match="default_purpose 'other' is not among"):
        Policy(default_purpose="other")
    with pytest.raises(PolicyError, match="no rule for internal, confidential, restricted"):
        Policy(retention={Sensitivity.PUBLIC: RetentionRule()})


def test_a_version_changes_with_whatever_moves_a_deadline() -> None:
    base = Policy()
    assert base.version == Policy().version
    assert base.version.startswith("custom@")
    moved = (
        load("schema = 1\n[decay]\nthreshold = 0.2"),
        load("schema = 1\n[retention.public]\nceiling_days = 9"),
    )
    assert len({base.version, *(policy.version for policy in moved)}) == 3
    assert load("schema = 1\n[hot]\nttl_seconds = 9").version == base.version
