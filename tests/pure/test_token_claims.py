"""What a verified token must say to be accepted, and who then stands behind it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.daemon.claims import TokenRules, principal_of
from tiered_memory.errors import ConfigurationError, UnauthenticatedError
from tiered_memory.principals import Grant

NOW = 1_800_000_000.0
RULES = TokenRules(issuer="https://id.example", audience="memory", jwks_file="keys.json", leeway_seconds=10)
GOOD: dict[str, Any] = {"sub": "alice", "exp": NOW + 60, "scope": "memories:read openid"}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def refused(claims: dict[str, Any], rules: TokenRules = RULES) -> None:
    with pytest.raises(UnauthenticatedError):
        principal_of(claims, rules, NOW)


def test_its_subject_is_the_user_and_its_scopes_the_grants() -> None:
    found = principal_of(GOOD, RULES, NOW)
    assert (found.name, found.tenant, found.user, found.actor) == ("alice", "default", "alice", "")
    assert (found.grants, found.roles) == ({Grant.READ}, {"agent"})


@pytest.mark.parametrize(
    ("scope", "grants"),
    [
        ("", set()),
        ("openid profile", set()),
        ("memories:read  memories:write", {Grant.READ, Grant.WRITE}),
        (["admin", "x", 7], {Grant.ADMIN}),
        ("memories:readmemories:write", set()),
        ("MEMORIES:READ", set()),
        ("memories:read\tadmin", set()),
        ({"admin": True}, set()),
        (None, set()),
        (7, set()),
    ],
)
def test_only_scopes_that_are_ours_to_the_letter_grant_anything(scope: object, grants: set[Grant]) -> None:
    assert principal_of({**GOOD, "scope": scope}, RULES, NOW).grants == grants


@given(st.floats(-1e4, 1e4))
def test_it_is_good_until_it_expires_and_a_leeway_longer(offset: float) -> None:
    claims = {**GOOD, "exp": NOW + offset}
    if NOW + offset + 10 > NOW:
        principal_of(claims, RULES, NOW)
    else:
        refused(claims)


@pytest.mark.parametrize("name", ["nbf", "iat"])
@given(offset=st.floats(-1e4, 1e4))
def test_it_is_good_from_its_begin_and_a_leeway_before(name: str, offset: float) -> None:
    claims = {**GOOD, name: NOW + offset}
    if NOW + offset - 10 <= NOW:
        principal_of(claims, RULES, NOW)
    else:
        refused(claims)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", [None, "1900000000", True, math.nan, math.inf, [1], {}])
def test_a_moment_is_a_number(name: str, value: object) -> None:
    refused({**GOOD, name: value})


def test_without_an_end_it_has_none() -> None:
    refused({name: value for name, value in GOOD.items() if name != "exp"})


@pytest.mark.parametrize("sub", [None, "", 7, ["alice"], "a\nb", "x" * 257, "\ud800"])
def test_a_subject_is_an_id(sub: object) -> None:
    refused({**GOOD, "sub": sub})


def test_a_tenant_is_what_its_claim_says_and_nothing_else() -> None:
    rules = replace(RULES, tenant_claim="org")
    assert principal_of({**GOOD, "org": "acme"}, rules, NOW).tenant == "acme"
    for value in (None, "", 7, ["acme"]):
        refused({**GOOD, "org": value}, rules)
    refused(GOOD, rules)
    assert principal_of({**GOOD, "org": "acme"}, RULES, NOW).tenant == "default"


def test_a_service_s_token_is_bound_to_nobody_and_only_if_the_rules_say_so() -> None:
    assert principal_of(GOOD, replace(RULES, user_claim=None), NOW).user is None
    rules = replace(RULES, user_claim="email")
    assert principal_of({**GOOD, "email": "a@b.c"}, rules, NOW).user == "a@b.c"
    refused(GOOD, rules)


def test_roles_are_read_only_if_the_rules_say_so() -> None:
    claims = {**GOOD, "roles": ["admin", "auditor", "*", "", 7]}
    assert principal_of(claims, RULES, NOW).roles == {"agent"}
    rules = replace(RULES, roles_claim="roles")
    assert principal_of(claims, rules, NOW).roles == {"admin", "auditor"}
    assert principal_of({**GOOD, "roles": "support"}, rules, NOW).roles == {"support"}
    assert principal_of(GOOD, rules, NOW).roles == set()
    refused({**GOOD, "roles": [f"r{n}" for n in range(17)]}, rules)


def test_who_calls_is_read_only_if_the_rules_say_so() -> None:
    rules = replace(RULES, actor_claim="azp")
    assert principal_of({**GOOD, "azp": "app 1"}, RULES, NOW).actor == ""
    assert principal_of({**GOOD, "azp": "app 1"}, rules, NOW).actor == "app 1"
    refused(GOOD, rules)


@given(
    st.dictionaries(
        st.sampled_from(["sub", "exp", "nbf", "iat", "scope", "org", "roles", "azp"]), json_values
    )
)
def test_whatever_it_says_it_is_accepted_within_bounds_or_refused(claims: dict[str, Any]) -> None:
    rules = replace(RULES, tenant_claim="org", roles_claim="roles", actor_claim="azp")
    try:
        found = principal_of(claims, rules, NOW)
    except UnauthenticatedError:
        return
    assert found.user == claims["sub"]
    assert found.tenant == claims["org"]
    assert claims["exp"] > NOW - 10


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": ""},
        {"audience": ""},
        {"jwks_file": None},
        {"jwks_url": "https://id.example/keys"},
        {"jwks_file": None, "jwks_url": "http://id.example/keys"},
        {"jwks_file": None, "jwks_url": "https://"},
        {"jwks_file": None, "jwks_url": "file:///etc/passwd"},
        {"jwks_file": None, "jwks_url": "http://127.0.0.1.example/keys"},
        {"algorithms": ()},
        {"algorithms": ("HS256",)},
        {"algorithms": ("RS256", "none")},
        {"leeway_seconds": -1},
        {"leeway_seconds": 301},
        {"leeway_seconds": math.nan},
        {"refetch_seconds": 0},
        {"refetch_seconds": 700},
        {"keys_seconds": 90_000},
    ],
)
def test_rules_that_would_accept_too_much_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        replace(RULES, **wrong)


@pytest.mark.parametrize(
    "url", ["https://id.example/keys", "http://127.0.0.1:9/keys", "http://localhost/keys", "http://[::1]/k"]
)
def test_keys_come_over_tls_or_from_this_machine(url: str) -> None:
    assert replace(RULES, jwks_file=None, jwks_url=url).jwks_url == url
