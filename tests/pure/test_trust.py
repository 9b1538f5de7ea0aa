"""Trust by source, inheritance, witnesses, and the rules they are configured by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import PolicyError
from tiered_memory.model import Provenance, Role, SourceKind
from tiered_memory.policy.guard_rules import GuardRules
from tiered_memory.policy.load import parse_policy
from tiered_memory.privacy.trust import (
    Saying,
    independent_sources,
    is_on_probation,
    standing,
    trust_of,
    unknown_parent,
)

RULES = GuardRules()
SHARES = st.floats(0, 1)
SOURCES = st.sampled_from(list(SourceKind))
SAYINGS = st.builds(
    Saying, SOURCES, st.sampled_from([None, "web", "mail"]), st.sampled_from([None, "s1", "s2"])
)


@pytest.mark.parametrize(
    ("role", "source", "trust"),
    [
        (Role.USER, SourceKind.USER, 1.0),
        (Role.ASSISTANT, SourceKind.AGENT, 0.8),
        (Role.TOOL, SourceKind.TOOL, 0.6),
        (Role.USER, SourceKind.DOCUMENT, 0.5),
        (Role.USER, SourceKind.IMPORT, 0.5),
        (Role.TOOL, SourceKind.USER, 0.6),
        (Role.ASSISTANT, SourceKind.USER, 0.8),
    ],
)
def test_the_less_trusted_of_role_and_source_counts(role: Role, source: SourceKind, trust: float) -> None:
    assert trust_of(RULES, role, Provenance(source)) == trust


def test_a_channel_of_the_policy_has_its_own() -> None:
    rules = GuardRules(channels={"crm": 0.95, "web": 0.1})
    assert trust_of(rules, Role.TOOL, Provenance(SourceKind.TOOL, "crm")) == 0.95
    assert trust_of(rules, Role.USER, Provenance(SourceKind.USER, "web")) == 0.1
    assert trust_of(rules, Role.TOOL, Provenance(SourceKind.TOOL, "other")) == 0.6


@given(st.sampled_from(list(Role)), SOURCES, st.lists(SHARES, max_size=5))
def test_nothing_is_trusted_more_than_what_it_derives_from(
    role: Role, source: SourceKind, parents: list[float]
) -> None:
    trust = trust_of(RULES, role, Provenance(source), parents)
    assert all(trust <= one for one in parents)
    assert trust <= trust_of(RULES, role, Provenance(source))


def test_nobody_vouches_for_a_stranger() -> None:
    assert unknown_parent(RULES) == 0.5


@given(st.lists(SAYINGS, min_size=1, max_size=20))
def test_witnesses_are_counted_once(said: list[Saying]) -> None:
    count = independent_sources(said)
    assert count == independent_sources(said + said)
    assert 1 <= count <= len(said)
    elsewhere = [
        Saying(one.source, one.channel, "another") for one in said if one.source is not SourceKind.USER
    ]
    assert independent_sources(said + elsewhere) == count


@given(SHARES, st.integers(1, 10))
def test_standing_is_one_without_probation(trust: float, sources: int) -> None:
    factor = standing(RULES, trust, sources)
    assert 1 - RULES.probation_weight <= factor <= 1
    assert (factor == 1.0) >= (not is_on_probation(RULES, trust, sources))
    assert standing(RULES, RULES.full_trust, 1) == 1.0


def test_the_policy_reads_it() -> None:
    text = "schema = 1\n[guard]\ntrust_tool = 0.2\nchannels = { crm = 0.9 }\n"
    rules = parse_policy(text, "p.toml").guard
    assert (rules.trust_tool, rules.channels["crm"], rules.trust_user) == (0.2, 0.9, 1.0)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("trust_tool = 2", "trust_tool"),
        ("trust_tol = 0.2", "trust_tool"),
        ("channels = { crm = 2 }", "crm"),
        ('channels = "crm"', "channels"),
        ("channels = { crm = true }", "crm"),
        ("min_corroboration = 0", "min_corroboration"),
    ],
)
def test_mistakes_are_refused_where_they_stand(line: str, says: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse_policy(f"schema = 1\n[guard]\n{line}\n", "p.toml")
    assert says in str(refused.value)
    assert "p.toml: [guard]" in str(refused.value)
