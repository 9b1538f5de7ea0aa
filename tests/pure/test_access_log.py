"""Accesses folded into tallies: none is lost, whatever the order and the bound, and the bound holds."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.privacy.access_log import Access, AccessCall, AccessCounts, Tally, bounded, one_access

accesses = st.builds(
    Access,
    tenant=st.just("t"),
    subject=st.sampled_from(["s1", "s2", "s3", "s4"]),
    generation=st.integers(0, 1),
    call=st.sampled_from(AccessCall),
    category=st.sampled_from(["", "health"]),
    role=st.sampled_from(["", "agent"]),
)
calls = st.lists(st.tuples(accesses, st.integers(0, 9), st.integers(0, 1_000)), max_size=60)


def folded(made: list[tuple[Access, int, int]], most_keys: int = 1_000) -> AccessCounts:
    counts = AccessCounts(most_keys)
    for access, memories, now_us in made:
        counts.add(access, one_access(memories, now_us))
    return counts


@given(calls)
def test_each_access_is_counted_once_under_its_own_key(made: list[tuple[Access, int, int]]) -> None:
    taken = dict(folded(made).take())
    assert {access: tally.calls for access, tally in taken.items()} == Counter(one for one, _, _ in made)
    for access, tally in taken.items():
        mine = [(memories, at) for one, memories, at in made if one == access]
        assert tally.memories == sum(memories for memories, _ in mine)
        assert (tally.first_us, tally.last_us) == (min(at for _, at in mine), max(at for _, at in mine))


@given(calls, st.integers(1, 5))
def test_beyond_the_bound_calls_are_counted_without_saying_whose(
    made: list[tuple[Access, int, int]], most_keys: int
) -> None:
    counts = folded(made, most_keys)
    assert len(counts) <= most_keys + len(AccessCall)
    taken = counts.take()
    by_call = Counter[AccessCall]()
    for access, tally in taken:
        by_call[access.call] += tally.calls
    assert by_call == Counter(one.call for one, _, _ in made)
    named = [access for access, _ in taken if access.subject]
    assert len(named) <= most_keys


@given(calls, calls)
def test_what_could_not_be_written_is_counted_again(
    made: list[tuple[Access, int, int]], meanwhile: list[tuple[Access, int, int]]
) -> None:
    counts = folded(made)
    taken = counts.take()
    for access, memories, now_us in meanwhile:
        counts.add(access, one_access(memories, now_us))
    counts.put_back(taken)
    assert dict(counts.take()) == dict(folded([*made, *meanwhile]).take())


@given(calls)
def test_taking_begins_anew_in_order_of_time(made: list[tuple[Access, int, int]]) -> None:
    counts = folded(made)
    assert counts.first_us == (min(at for _, _, at in made) if made else None)
    taken = counts.take()
    assert [tally.first_us for _, tally in taken] == sorted(tally.first_us for _, tally in taken)
    assert len(counts) == 0
    assert counts.first_us is None
    assert counts.take() == []


def test_tallies_add_up() -> None:
    assert Tally(1, 2, 30, 40).plus(Tally(5, 6, 10, 35)) == Tally(6, 8, 10, 40)


def test_words_have_a_bound() -> None:
    long = Access("t", "s", 0, AccessCall.GET, "c" * 100, "r" * 100, "a" * 100)
    short = bounded(long)
    assert (len(short.category), len(short.role), len(short.actor)) == (64, 64, 64)
    assert (short.tenant, short.subject, short.call) == ("t", "s", AccessCall.GET)
    assert bounded(short) is short
