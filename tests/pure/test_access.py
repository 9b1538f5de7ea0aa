"""The access table: whatever the call, no role gets a level beyond it; what the table does not know is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.caller import Caller
from tiered_memory.errors import InvalidInputError, PolicyError
from tiered_memory.intake import check_caller, levels_of
from tiered_memory.model import Interaction, Sensitivity
from tiered_memory.policy.access_rules import (
    CEILINGS,
    NOTHING,
    AccessAction,
    AccessRole,
    AccessRule,
    default_access,
)
from tiered_memory.policy.load import parse_policy
from tiered_memory.policy.rules import Policy
from tiered_memory.policy.variants import as_toml, changed
from tiered_memory.privacy.access import (
    ACTION_OF,
    BY_LEVEL,
    LEVELLESS,
    Allowed,
    Refused,
    decide_access,
    decide_call,
    levels_for,
)

LEVELS = tuple(Sensitivity)
RULES = st.builds(AccessRule, **{action.value: st.sampled_from(CEILINGS) for action in AccessAction})
TABLES = st.dictionaries(st.sampled_from(AccessRole), RULES)
OPS = st.sampled_from([*ACTION_OF, "rights", "something_new", ""])
ROLES = st.one_of(st.sampled_from(AccessRole).map(str), st.text(max_size=12))


def rank(ceiling: str) -> int:
    return CEILINGS.index(ceiling)


# --- the default table ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", AccessAction)
@pytest.mark.parametrize("level", LEVELS)
def test_a_caller_that_names_no_role_may_do_everything(action: AccessAction, level: Sensitivity) -> None:
    assert decide_access(Policy(), Caller(), action, level) == Allowed(frozenset(LEVELS))


EXPECTED = {
    AccessRole.ADMIN: {
        action: ("confidential" if action is AccessAction.SEARCH else "restricted") for action in AccessAction
    },
    AccessRole.EXPORT: {AccessAction.EXPORT: "restricted"},
    AccessRole.AUDITOR: {AccessAction.AUDIT: "restricted"},
    AccessRole.SUPPORT: {AccessAction.SEARCH: "internal", AccessAction.READ: "internal"},
}


@pytest.mark.parametrize("role", EXPECTED)
@pytest.mark.parametrize("action", AccessAction)
@pytest.mark.parametrize("level", LEVELS)
def test_the_other_roles_may_do_what_their_names_say(
    role: AccessRole, action: AccessAction, level: Sensitivity
) -> None:
    ceiling = EXPECTED[role].get(action, NOTHING)
    found = decide_access(Policy(), Caller(role=role.value), action, level)
    assert isinstance(found, Allowed) == (rank(level) <= rank(ceiling))


def test_a_refusal_names_role_action_level_and_key() -> None:
    found = decide_access(Policy(), Caller(role="support"), AccessAction.READ, Sensitivity.RESTRICTED)
    assert found == Refused("support", "read", "restricted", "[access.support] read")
    assert all(word in found.reason for word in ("support", "read", "restricted", "[access.support] read"))


@pytest.mark.parametrize("role", ["", "root", "Agent", "agent ", "AGENT", "none"])
@pytest.mark.parametrize("op", sorted(ACTION_OF))
def test_a_role_that_nobody_knows_may_do_nothing(role: str, op: str) -> None:
    found = decide_call(Policy(), Caller(role=role), op, names_memories=True)
    assert isinstance(found, Refused)
    assert found.role == "unknown"
    assert "agent, admin, export, auditor, support" in found.reason


def test_a_role_that_the_table_leaves_out_may_do_nothing() -> None:
    policy = Policy(access={AccessRole.ADMIN: AccessRule()})
    assert isinstance(decide_call(policy, Caller(), "search"), Refused)


def test_a_call_that_is_not_in_the_table_of_calls_needs_everything() -> None:
    assert isinstance(decide_call(Policy(), Caller(), "new"), Allowed)
    assert isinstance(decide_call(Policy(), Caller(role="admin"), "new"), Refused)


def test_a_call_that_cannot_tell_levels_apart_needs_all_of_them() -> None:
    policy = changed(Policy(), ["access.agent.erase=confidential"])
    assert isinstance(decide_call(policy, Caller(), "forget"), Refused)
    assert isinstance(decide_call(policy, Caller(), "delete", names_memories=True), Allowed)


# --- properties ----------------------------------------------------------------------------------------------


@given(TABLES, ROLES, OPS, st.booleans())
def test_no_call_deals_with_a_level_beyond_the_table(
    table: dict[AccessRole, AccessRule], role: str, op: str, named: bool
) -> None:
    found = decide_call(Policy(access=table), Caller(role=role), op, names_memories=named)
    if isinstance(found, Refused):
        return
    rule = table[AccessRole(role)]
    actions = [ACTION_OF[op]] if op in ACTION_OF else list(AccessAction)
    for action in actions:
        ceiling = rule.ceiling(action)
        assert ceiling != NOTHING
        assert action in LEVELLESS or all(rank(level) <= rank(ceiling) for level in found.levels)
    if op not in BY_LEVEL and not named:
        assert not found.limited


@given(TABLES, ROLES, st.sampled_from(AccessAction), st.sampled_from(Sensitivity))
def test_the_decision_and_the_levels_agree(
    table: dict[AccessRole, AccessRule], role: str, action: AccessAction, level: Sensitivity
) -> None:
    policy, caller = Policy(access=table), Caller(role=role)
    levels = levels_for(policy, caller, action)
    assert isinstance(decide_access(policy, caller, action, level), Allowed) == (level in levels)
    highest = max((LEVELS.index(one) for one in levels), default=-1)
    assert levels == set(LEVELS[: highest + 1])


@given(RULES, st.sampled_from(AccessAction))
def test_a_higher_ceiling_never_takes_a_level_away(rule: AccessRule, action: AccessAction) -> None:
    higher = replace(rule, **{action.value: CEILINGS[min(rank(rule.ceiling(action)) + 1, 4)]})
    before, after = (
        levels_for(Policy(access={AccessRole.ADMIN: one}), Caller(role="admin"), action)
        for one in (rule, higher)
    )
    assert before <= after


@given(TABLES)
def test_a_table_survives_being_written_down(table: dict[AccessRole, AccessRule]) -> None:
    policy = Policy(access={**default_access(), **table})
    assert parse_policy(as_toml(policy), "again.toml").access == policy.access


# --- the policy file -----------------------------------------------------------------------------------------


def test_what_is_not_given_keeps_the_roles_default() -> None:
    policy = parse_policy('schema = 1\n[access.support]\nread = "confidential"', "my.toml")
    assert policy.access[AccessRole.SUPPORT] == AccessRule(search="internal", read="confidential")
    assert policy.access[AccessRole.AGENT] == default_access()[AccessRole.AGENT]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[access.suport]\nread = "none"', "did you mean 'support'?"),
        ('[access.support]\nraed = "none"', "did you mean 'read'?"),
        ('[access.support]\nread = "secret"', "[access.support] read"),
        ("[access.support]\nread = true", "[access.support] read"),
        ("[access]\nsupport = 1", "must be a table"),
    ],
)
def test_a_mistake_is_refused_where_it_stands(text: str, named: str) -> None:
    with pytest.raises(PolicyError, match=r"my\.toml") as refused:
        parse_policy("schema = 1\n" + text, "my.toml")
    assert named in str(refused.value)


# --- intake --------------------------------------------------------------------------------------------------


def test_no_caller_is_an_agent() -> None:
    assert check_caller(None) == Caller(role="agent")


@pytest.mark.parametrize(
    "wrong",
    [
        "agent",
        Caller(role=""),
        Caller(role="a\x00"),
        Caller(actor="\x1fshared"),
        Caller(actor="x" * 257),
        Caller(context="call 555-1234"),
        Caller(context="a@b.example"),
        Caller(context="x" * 41),
        Caller(context=None),  # type: ignore[arg-type]
        Caller(role=7),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_caller_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidInputError):
        check_caller(wrong)


@pytest.mark.parametrize("context", ["", "support chat", "night_shift", "Beratung-Köln"])
def test_a_context_is_a_category(context: str) -> None:
    assert check_caller(Caller(context=context)).context == context


def test_the_levels_of_interactions_are_told_whether_words_or_members() -> None:
    given_ = [
        Interaction(content="a", sensitivity="restricted"),  # type: ignore[arg-type]
        Interaction(content="b"),
        Interaction(content="c", sensitivity=Sensitivity.INTERNAL),
        "no interaction",
    ]
    assert levels_of(given_) == [Sensitivity.INTERNAL, Sensitivity.RESTRICTED]
