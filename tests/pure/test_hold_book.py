"""Which memories a hold covers; another hold only ever adds to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.privacy.holds import Covered, HoldBook, stays

NAMES = st.sampled_from([b"a", b"b"])
PURPOSES = st.sampled_from(["x", "y"])
IDS = st.sampled_from(["1", "2", "3"])
SCOPES = st.builds(
    Covered,
    tenant=st.none() | NAMES,
    subject=st.none() | NAMES,
    memory_ids=st.frozensets(IDS, max_size=2),
    purpose=st.none() | PURPOSES,
)
MEMORIES = st.tuples(NAMES, NAMES, IDS, PURPOSES)
Of = tuple[bytes, bytes, str, str]


def book(scopes: list[Covered]) -> HoldBook:
    made = HoldBook()
    for at, one in enumerate(scopes):
        made.enter(f"h{at}", one)
    return made


@given(st.lists(SCOPES, max_size=4), SCOPES, MEMORIES)
def test_another_hold_only_adds(scopes: list[Covered], more: Covered, memory: Of) -> None:
    before, after = book(scopes), book([*scopes, more])
    assert set(before.names_over(*memory)) <= set(after.names_over(*memory))
    assert after.covers(*memory) == (before.covers(*memory) or more.covers(*memory))


@given(st.lists(SCOPES, max_size=4), st.integers(0, 3), MEMORIES)
def test_a_release_takes_back_that_hold_alone(scopes: list[Covered], which: int, memory: Of) -> None:
    made = book(scopes)
    before = made.names_over(*memory)
    made.strike(f"h{which}")
    assert made.names_over(*memory) == [name for name in before if name != f"h{which}"]
    assert bool(made) == (len(scopes) - (which < len(scopes)) > 0)


@given(SCOPES, MEMORIES)
def test_what_covers_a_memory_touches_its_person(scope: Covered, memory: Of) -> None:
    if scope.covers(*memory):
        assert book([scope]).touching(memory[0], memory[1]) == ["h0"]


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (Covered(tenant=b"a"), True),
        (Covered(tenant=b"b"), False),
        (Covered(tenant=b"a", subject=b"s"), True),
        (Covered(subject=b"t"), False),
        (Covered(memory_ids=frozenset({"m"})), True),
        (Covered(memory_ids=frozenset({"n"})), False),
        (Covered(purpose="p", tenant=b"a"), True),
        (Covered(purpose="q"), False),
    ],
)
def test_every_part_that_is_given_must_apply(scope: Covered, covered: bool) -> None:
    assert scope.covers(b"a", b"s", "m", "p") is covered


def test_a_certificate_says_how_many_why_and_until_when_and_names_no_hold() -> None:
    assert stays([]) == ()
    assert stays([(0, "e", "2027-01-01")]) == ()
    one, two = stays([(2, "b", "2027-01-01"), (1, "e", "2028-01-01")])
    assert one.startswith("1 memory under a legal hold: GDPR Art. 17(3)(e)")
    assert "2028-01-01" in one
    assert two.startswith("2 memories under a legal hold: GDPR Art. 17(3)(b)")
