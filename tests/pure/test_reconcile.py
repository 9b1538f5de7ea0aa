"""What a new memory does to held ones, told purely: close, merge, conflict, and what is never done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.model import Kind, Role, Sensitivity
from tiered_memory.scoring.reconcile import (
    Claim,
    Close,
    Conflict,
    Merge,
    Rival,
    reconcile,
)
from tiered_memory.scoring.supersession import UNRELATED, Judgement, Relation, Statement
from tiered_memory.scoring.text import analyze

RELATIONS = {relation: Judgement(relation, 0.9, f"told {relation}", None) for relation in Relation}
UPDATES, CONFLICTS = RELATIONS[Relation.UPDATES], RELATIONS[Relation.CONFLICTS]
DUPLICATE = RELATIONS[Relation.DUPLICATE]
LEVELS = list(Sensitivity)


def claim(
    order: int, content: str = "Some words about something.", at_us: int | None = None, **more: Any
) -> Claim:
    when = order * 10 if at_us is None else at_us
    statement = Statement(content, Role.USER, None, when, analyze(content).terms)
    return Claim(id=f"id {order}", order=order, statement=statement, **more)


def rival(order: int, told: Judgement | None = None, near: float = 0.5, **more: Any) -> Rival:
    return Rival(claim(order, **more), near, told)


def test_an_update_closes_the_older_one_at_its_own_moment() -> None:
    found = reconcile(claim(7), [rival(1, UPDATES), rival(2, UNRELATED)])
    assert found == [Close("id 1", "id 7", 70, "told updates")]


def test_several_older_ones_are_closed_at_once() -> None:
    found = reconcile(claim(7), [rival(1, UPDATES), rival(2, UPDATES)])
    assert [one.old_id for one in found if isinstance(one, Close)] == ["id 1", "id 2"]


def test_one_that_arrives_late_is_closed_by_the_earliest_that_followed() -> None:
    late = claim(9, at_us=5)
    found = reconcile(late, [rival(2, UPDATES), rival(1, UPDATES)])
    assert found == [Close("id 9", "id 1", 10, "told updates")]


def test_at_the_same_moment_the_order_of_arrival_decides() -> None:
    assert reconcile(claim(9, at_us=10), [rival(1, UPDATES)]) == [Close("id 1", "id 9", 10, "told updates")]


@pytest.mark.parametrize("old", LEVELS)
@pytest.mark.parametrize("new", LEVELS)
def test_nothing_is_closed_by_something_less_sensitive(new: Sensitivity, old: Sensitivity) -> None:
    found = reconcile(claim(7, sensitivity=new), [rival(1, UPDATES, sensitivity=old)])
    assert bool(found) == (LEVELS.index(new) >= LEVELS.index(old))


@pytest.mark.parametrize("old", LEVELS)
@pytest.mark.parametrize("new", LEVELS)
def test_nothing_is_merged_into_something_less_sensitive(new: Sensitivity, old: Sensitivity) -> None:
    repeated = claim(7, sensitivity=new, mergeable=True)
    assert bool(reconcile(repeated, [rival(1, DUPLICATE, sensitivity=old)])) == (
        LEVELS.index(new) <= LEVELS.index(old)
    )


def test_a_repetition_merges_into_the_nearest_and_does_nothing_else() -> None:
    rivals = [rival(1, DUPLICATE, 0.98), rival(2, DUPLICATE, 0.99), rival(3, UPDATES), rival(4, CONFLICTS)]
    assert reconcile(claim(7, mergeable=True), rivals) == [Merge("id 2", "id 7")]


@pytest.mark.parametrize(
    "other",
    [
        {"mergeable": False},
        {"metadata": {"a": 1}},
        {"agent": "another"},
        {"kind": Kind.SEMANTIC},
    ],
)
def test_a_repetition_that_asks_for_something_of_its_own_is_not_merged(other: dict[str, Any]) -> None:
    asking = replace(claim(7, mergeable=True), **other)
    assert reconcile(asking, [rival(1, DUPLICATE)]) == []


def test_another_speaker_s_same_words_are_not_merged() -> None:
    new = claim(7, mergeable=True)
    for change in ({"role": Role.ASSISTANT}, {"author": "Bob"}):
        spoken = replace(new, statement=replace(new.statement, **change))  # type: ignore[arg-type]
        assert reconcile(spoken, [rival(1, DUPLICATE)]) == []


def test_a_conflict_leaves_both() -> None:
    assert reconcile(claim(7), [rival(1, CONFLICTS)]) == [Conflict("id 1", "id 7")]


def test_the_rules_read_what_no_model_was_asked_about() -> None:
    new, old = claim(7, "I moved to Munich."), claim(1, "I live in Berlin.")
    assert [type(one) for one in reconcile(new, [Rival(old, 0.6)])] == [Close]
    assert reconcile(new, [Rival(old, 0.6, UNRELATED)]) == []
    same = claim(7, "I live in Berlin.", mergeable=True)
    assert reconcile(same, [Rival(old, 1.0)]) == [Merge("id 1", "id 7")]


def test_the_rules_read_pairs_in_both_directions_of_time() -> None:
    late = claim(7, "I live in Berlin.", at_us=5)
    moved = claim(1, "I moved to Munich.")
    (found,) = reconcile(late, [Rival(moved, 0.6)])
    assert isinstance(found, Close)
    assert (found.old_id, found.by, found.at_us) == ("id 7", "id 1", 10)


def profile(order: int, content: str, key: object = "theme", **more: Any) -> Claim:
    return claim(order, content, kind=Kind.PROFILE, metadata={"key": key}, **more)


def test_a_profile_key_is_asked_and_not_read() -> None:
    new = profile(7, "light")
    held = [
        Rival(profile(1, "dark"), 0.0),
        Rival(profile(2, "light", "editor"), 1.0, DUPLICATE),
        Rival(claim(3, "light"), 1.0, UPDATES),
    ]
    assert reconcile(new, held) == [Close("id 1", "id 7", 70, "same profile key")]


def test_the_same_profile_value_merges_or_takes_its_place() -> None:
    held = [Rival(profile(1, "dark"), 1.0)]
    assert reconcile(profile(7, "dark", mergeable=True), held) == [Merge("id 1", "id 7")]
    assert reconcile(profile(7, "dark"), held) == [Close("id 1", "id 7", 70, "same profile key")]


def test_a_key_that_is_no_text_is_no_key() -> None:
    assert profile(7, "dark", 3).profile_key is None
    assert replace(profile(7, "dark"), kind=Kind.SEMANTIC).profile_key is None


@given(st.data())
def test_findings_name_the_new_one_and_its_rivals_only(data: st.DataObject) -> None:
    """Whatever is told: a merge comes alone, nothing is closed twice, the newer one is never closed by the older."""
    told = st.sampled_from([*RELATIONS.values(), None])
    orders = data.draw(st.lists(st.integers(1, 50), unique=True, max_size=8))
    rivals = [
        rival(
            one,
            data.draw(told),
            at_us=data.draw(st.integers(0, 9)),
            sensitivity=data.draw(st.sampled_from(LEVELS)),
        )
        for one in orders
    ]
    new = claim(99, at_us=data.draw(st.integers(0, 9)), mergeable=data.draw(st.booleans()))
    moments = {one.claim.id: one.claim.statement.occurred_at_us for one in rivals} | {
        new.id: new.statement.occurred_at_us
    }
    found = reconcile(new, rivals)
    closes = [one for one in found if isinstance(one, Close)]
    assert any(isinstance(one, Merge) for one in found) <= (len(found) == 1)
    assert len({one.old_id for one in closes}) == len(closes)
    for one in closes:
        assert new.id in {one.old_id, one.by}
        assert moments[one.old_id] <= moments[one.by] == one.at_us
    assert {one.old_id for one in found if isinstance(one, Conflict)} <= moments.keys() - {new.id}
