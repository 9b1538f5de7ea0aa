"""What may be agreed with a tenant, and what follows from it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import AgentNotAllowedError, InvalidInputError, PolicyError
from tiered_memory.policy.load import parse_policy
from tiered_memory.policy.rules import Policy
from tiered_memory.policy.tenancy_rules import TenancyRules
from tiered_memory.privacy.tenancy import (
    Isolation,
    TenantCertificate,
    TenantRules,
    certificate_bytes,
    certificate_of,
    check_residency,
    rules_of,
)
from tiered_memory.tenant_book import Meter

RULES = st.builds(
    TenantRules,
    quota_mib=st.none() | st.floats(0.001, 1e9),
    retention_days=st.none() | st.floats(0, 36_500),
    audit=st.booleans(),
    allowed_agents=st.none() | st.frozensets(st.text(max_size=5), max_size=4),
    residency=st.none() | st.just("eu"),
    isolation=st.sampled_from(Isolation),
)


@given(RULES)
def test_rules_are_read_as_they_were_kept(rules: TenantRules) -> None:
    assert rules_of(rules.fields()) == rules
    assert rules_of({**rules.fields(), "of a later version": 1}) == rules


def test_rules_of_an_earlier_version_have_the_defaults_of_what_they_lack() -> None:
    assert rules_of({}) == TenantRules()


@given(RULES)
def test_a_residency_always_has_a_directory_of_its_own(rules: TenantRules) -> None:
    assert rules.own_directory == (rules.isolation is not Isolation.MINIMAL)
    assert rules.residency is None or rules.own_directory


@pytest.mark.parametrize("quota", [0, -1, 1e10, float("nan"), float("inf"), True, "5"])
def test_a_quota_is_a_number_in_range(quota: float) -> None:
    with pytest.raises(InvalidInputError, match="quota_mib"):
        TenantRules(quota_mib=quota)


def test_agents() -> None:
    some, nobody, anybody = (
        TenantRules(allowed_agents=one) for one in (frozenset({"a"}), frozenset[str](), None)
    )
    for rules in (some, nobody, anybody):
        rules.check_agent(None)
    some.check_agent("a")
    anybody.check_agent("b")
    for rules, agent in ((some, "b"), (some, "A"), (some, "a "), (nobody, "a")):
        with pytest.raises(AgentNotAllowedError):
            rules.check_agent(agent)


def test_an_unknown_residency_is_refused_with_the_known_ones() -> None:
    check_residency(None, ())
    check_residency("eu", ("eu",))
    with pytest.raises(InvalidInputError, match="eu, us"):
        check_residency("asia", ("us", "eu"))
    with pytest.raises(InvalidInputError, match="none"):
        check_residency("eu", ())


def test_the_policys_say() -> None:
    text = 'schema = 1\nname = "n"\n[tenancy]\n'
    assert parse_policy(text, "p.toml").tenancy == TenancyRules(require_registration=False)
    assert parse_policy(text + "require_registration = true", "p.toml").tenancy.require_registration
    with pytest.raises(PolicyError, match=r"p\.toml.*tenancy.*require_registration"):
        parse_policy(text + 'require_registration = "yes"', "p.toml")
    assert Policy().version == replace(Policy(), tenancy=TenancyRules(require_registration=True)).version


def certificate() -> TenantCertificate:
    return TenantCertificate(
        id="1",
        requested_at="2026-01-01T00:00:00+00:00",
        finished_at="2026-01-01T00:00:01+00:00",
        reason="the contract ended",
        generation=1,
        tenant_commitment="aa",
        salt="bb",
        subjects=2,
        subject_commitments=("cc", "dd"),
        keys_destroyed=5,
        directory="shared",
        software_version="0",
        public_key="ee",
        signature="ff",
    )


def test_a_certificates_signature_covers_all_but_itself() -> None:
    whole = certificate()
    assert certificate_bytes(replace(whole, signature="")) == certificate_bytes(whole)
    for name in ("subjects", "keys_destroyed", "generation"):
        assert certificate_bytes(replace(whole, **{name: 9})) != certificate_bytes(whole)


def test_a_certificate_is_read_as_it_was_written() -> None:
    assert certificate_of(json.loads(json.dumps(asdict(certificate())))) == certificate()


@given(st.data())
def test_a_meter_never_says_less_than_is_used(data: st.DataObject) -> None:
    """Writes are reserved, land or fail, and the figure is read anew at any moment between."""
    meter, stored, flying, reads = Meter(used=0), 0, list[int](), list[tuple[int, int]]()
    for _ in range(data.draw(st.integers(0, 30))):
        match data.draw(st.sampled_from(["reserve", "land", "fail", "look", "seen", "leave"])):
            case "reserve":
                flying.append(data.draw(st.integers(1, 100)))
                meter.pending += flying[-1]
            case "land" if flying:
                stored += flying[-1]
                meter.settle(flying.pop(), stored=True)
            case "fail" if flying:
                meter.settle(flying.pop(), stored=False)
            case "look":
                reads.append((meter.landed, stored))
            case "seen" if reads:
                landed, found = reads.pop()
                meter.reread(found, landed)
            case "leave":
                stored -= data.draw(st.integers(0, stored))
        assert (meter.used or 0) >= stored
        assert meter.pending == sum(flying)
        assert meter.over(0, 10**9) == 0
        assert meter.over(1, 0) > 0
