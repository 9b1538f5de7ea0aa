"""Policies as text and with keys changed: what comes out is what a policy file would have given."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import PolicyError
from tiered_memory.model import LawfulBasis, Sensitivity
from tiered_memory.policy.load import parse_policy
from tiered_memory.policy.rules import (
    DecayRules,
    Policy,
    PurposeRule,
    QuotaRules,
    RetentionRule,
    RoutingRules,
)
from tiered_memory.policy.variants import around, as_toml, changed
from tiered_memory.wiring import load_policy, shipped_policies

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: bool(name.strip()) and not name.startswith("_")
)
BOUNDS = st.builds(
    RetentionRule,
    st.one_of(st.none(), st.floats(0, 50)),
    st.one_of(st.none(), st.floats(50, 36_500)),
)
POLICIES = st.builds(
    Policy,
    name=NAMES,
    decay=st.builds(
        DecayRules,
        curve=st.sampled_from(["exponential", "power"]),
        daily_rate=st.floats(1e-6, 0.999),
        threshold=st.floats(0, 0.99),
    ),
    routing=st.builds(RoutingRules, merge_duplicates=st.booleans(), cold_threshold=st.floats(0, 1)),
    quota=st.builds(
        QuotaRules,
        max_items=st.one_of(st.none(), st.integers(1, 10**9)),
        max_mib=st.one_of(st.none(), st.floats(0.001, 1e9)),
    ),
    retention=st.fixed_dictionaries(dict.fromkeys(Sensitivity, BOUNDS)),
)


@given(POLICIES)
def test_a_policy_survives_being_written(policy: Policy) -> None:
    assert parse_policy(as_toml(policy), "t.toml") == policy


@given(NAMES, NAMES)
def test_purposes_of_any_name_survive_being_written(purpose: str, documentation: str) -> None:
    rule = PurposeRule(LawfulBasis.CONTRACT, documentation)
    policy = Policy(purposes={purpose: rule}, default_purpose=purpose)
    assert parse_policy(as_toml(policy), "t.toml") == policy


@pytest.mark.parametrize("name", shipped_policies())
def test_shipped_policies_survive_being_written(name: str) -> None:
    policy = load_policy(name)
    assert parse_policy(as_toml(policy), "t.toml") == policy


def test_only_what_differs_from_the_defaults_is_written() -> None:
    assert set(tomllib.loads(as_toml(Policy()))) == {"schema", "name", "default_purpose"}
    text = as_toml(Policy(decay=DecayRules(threshold=0.05)))
    assert tomllib.loads(text)["decay"] == {"threshold": 0.05}


@pytest.mark.parametrize(
    ("setting", "section", "key", "value"),
    [
        ("decay.threshold=0.05", "decay", "threshold", 0.05),
        (" decay.curve = power ", "decay", "curve", "power"),
        ('decay.curve="power"', "decay", "curve", "power"),
        ("routing.merge_duplicates=false", "routing", "merge_duplicates", False),
        ("quota.max_items=100", "quota", "max_items", 100),
        ("quota.max_items=none", "quota", "max_items", None),
        ("decay.threshold=0", "decay", "threshold", 0.0),
    ],
)
def test_a_setting_changes_its_key_alone(setting: str, section: str, key: str, value: object) -> None:
    before = Policy(quota=QuotaRules(max_items=7))
    expected = replace(before, **{section: replace(getattr(before, section), **{key: value})})
    assert changed(before, [setting]) == expected


def test_settings_apply_together() -> None:
    """Alone either of them would contradict the default ceiling of the other moment."""
    given_ = ["retention.internal.floor_days=400", "retention.internal.ceiling_days=500"]
    bounds = changed(Policy(), given_).retention[Sensitivity.INTERNAL]
    assert bounds == RetentionRule(400, 500)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["decay.treshold=0.05"], "did you mean 'threshold'"),
        (["decai.threshold=0.05"], "did you mean 'decay'"),
        (["decay.threshold=2"], "threshold is 2"),
        (["decay.threshold=much"], "must be a number"),
        (["decay.threshold=0.1", "decay.threshold=0.2"], "decay.threshold is given twice"),
        (["decay.threshold=0.1", " decay.threshold =0.1"], "given twice"),
        (["retention.internal.floor_days=400"], "both cannot hold"),
        (["decay.threshold.low=0.1", "decay.threshold=0.2"], "is a table"),
        (["decay.threshold=0.2", "decay.threshold.low=0.1"], "is no table"),
        (["decay=0.1"], "is a table"),
        (["decay.threshold"], "is no setting"),
        (["=0.1"], "is no setting"),
        (["decay.threshold="], "is no setting"),
        (["schema=2"], "schema"),
        (["default_purpose=marketing"], "not among the purposes"),
        (["decay.threshold=0.1\nx = 2"], "must be a number"),
        (["decay.threshold=[0.1]"], "must be a number"),
        (["decay.threshold={low = 0.1}"], "must be a number"),
        (["decay.grace_hours=1979-05-27"], "must be a number"),
    ],
)
def test_settings_that_make_no_policy_are_refused_by_key(settings: list[str], named: str) -> None:
    with pytest.raises(PolicyError, match="--set") as refused:
        changed(Policy(), settings)
    assert named in str(refused.value)


def test_the_grid_differs_in_three_numbers_and_says_them() -> None:
    grid = around(Policy(name="default"))
    assert len({one.name for one in grid}) == len(grid) == 8
    assert grid[0].name == "t05-r04-g10"
    first = grid[0]
    assert (first.decay.threshold, first.decay.daily_rate, first.routing.cold_threshold) == (0.05, 0.04, 0.1)
    for one in grid:
        default = DecayRules()
        same = replace(one.decay, threshold=default.threshold, daily_rate=default.daily_rate)
        assert (same, replace(one.routing, cold_threshold=0.2)) == (default, RoutingRules())
        assert parse_policy(as_toml(one), "t.toml") == one
