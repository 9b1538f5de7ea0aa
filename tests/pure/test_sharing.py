"""The access list of a shared memory: deny by default, never without a manager, bounded, and the same when read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import InvalidInputError
from tiered_memory.privacy.sharing import (
    MOST_CHANGES,
    MOST_MEMBERS,
    AccessList,
    Grant,
    MemberKind,
    SharedRight,
    Step,
)

READ, WRITE, MANAGE = SharedRight.READ, SharedRight.WRITE, SharedRight.MANAGE
NAMES = st.sampled_from(["a", "b", "c", "founder"])
RIGHTS = st.frozensets(st.sampled_from(SharedRight))
STEPS = st.lists(st.tuples(st.sampled_from(["grant", "revoke", "leave", "note"]), NAMES, RIGHTS), max_size=30)


def new() -> AccessList:
    return AccessList.created("personalization", "founder", MemberKind.USER, 1)


def after(
    steps: list[tuple[str, str, frozenset[SharedRight]]],
) -> tuple[AccessList, dict[str, frozenset[SharedRight]]]:
    """Return the list after the steps that are accepted, and what a plain dictionary says by then."""
    access, expected = new(), {"founder": frozenset(SharedRight)}
    for number, (what, name, rights) in enumerate(steps, start=2):
        step = Step("founder", number)
        try:
            if what == "grant":
                access = access.granted(name, MemberKind.AGENT, rights, step)
                expected[name] = rights
            elif what == "revoke":
                access = access.revoked(name, step)
                del expected[name]
            elif what == "leave":
                access = access.left(name, number)
                expected.pop(name, None)
            else:
                access = access.noted("deleted", "m", step)
        except InvalidInputError:
            continue
    return access, expected


@given(STEPS)
def test_a_member_has_what_was_granted_last_and_nobody_else_has_anything(
    steps: list[tuple[str, str, frozenset[SharedRight]]],
) -> None:
    access, expected = after(steps)
    for name in ("a", "b", "c", "founder", "stranger", ""):
        for right in SharedRight:
            assert access.may(name, right) == (right in expected.get(name, frozenset()))


@given(STEPS)
def test_a_list_reads_back_as_it_was(steps: list[tuple[str, str, frozenset[SharedRight]]]) -> None:
    access, _ = after(steps)
    assert AccessList.of(access.as_fields()) == access


@given(STEPS.filter(lambda steps: all(what != "leave" for what, _, _ in steps)))
def test_only_an_erasure_leaves_a_list_without_a_manager(
    steps: list[tuple[str, str, frozenset[SharedRight]]],
) -> None:
    access, _ = after(steps)
    assert any(MANAGE in grant.rights for grant in access.members.values())


@given(STEPS, NAMES)
def test_who_left_is_named_nowhere(steps: list[tuple[str, str, frozenset[SharedRight]]], name: str) -> None:
    access, _ = after(steps)
    gone = access.left(name, 99)
    assert name not in gone.members
    assert name not in {grant.by for grant in gone.members.values()}
    assert name not in {word for one in gone.changes for word in (one.by, one.about)}
    assert gone.changes[-1].change == "left"


def test_the_founder_may_do_everything_and_the_change_is_told() -> None:
    access = new()
    assert access.members == {"founder": Grant(MemberKind.USER, frozenset(SharedRight), 1, "founder")}
    assert [one.change for one in access.changes] == ["created"]


def test_the_last_manager_stays_until_there_is_another() -> None:
    access = new().granted("a", MemberKind.USER, {READ}, Step("founder", 2))
    with pytest.raises(InvalidInputError, match="manage"):
        access.revoked("founder", Step("founder", 3))
    with pytest.raises(InvalidInputError, match="manage"):
        access.granted("founder", MemberKind.USER, {READ}, Step("founder", 3))
    shared = access.granted("a", MemberKind.USER, {MANAGE}, Step("founder", 3))
    assert not shared.revoked("founder", Step("founder", 4)).may("founder", READ)


def test_after_the_last_manager_was_erased_the_list_can_be_changed_still() -> None:
    access = new().granted("a", MemberKind.USER, {READ, WRITE}, Step("founder", 2)).left("founder", 3)
    again = access.granted("b", MemberKind.AGENT, {READ}, Step("", 4))
    assert again.may("b", READ)


@pytest.mark.parametrize("rights", [(), frozenset()])
def test_no_right_is_no_membership(rights: tuple[()]) -> None:
    with pytest.raises(InvalidInputError, match="at least one"):
        new().granted("a", MemberKind.USER, rights, Step("founder", 2))


def test_who_is_no_member_cannot_be_revoked() -> None:
    with pytest.raises(InvalidInputError, match="no such member"):
        new().revoked("a", Step("founder", 2))


def test_a_list_is_bounded() -> None:
    access = new()
    for number in range(MOST_MEMBERS - 1):
        access = AccessList(
            access.purpose,
            {**access.members, str(number): Grant(MemberKind.AGENT, frozenset({READ}), 1, "founder")},
            access.changes,
        )
    with pytest.raises(InvalidInputError, match="1000"):
        access.granted("one more", MemberKind.AGENT, {READ}, Step("founder", 2))
    assert access.granted("0", MemberKind.AGENT, {WRITE}, Step("founder", 2)).may("0", WRITE)
    for number in range(MOST_CHANGES + 5):
        access = access.noted("deleted", str(number), Step("founder", number))
    assert len(access.changes) == MOST_CHANGES
    assert access.changes[-1].about == str(MOST_CHANGES + 4)
