from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.scoring.ranking import Scored
from tiered_memory.scoring.succession import SUCCESSION, Successions, current_first, last_heirs

IDS = "abcdef"
LONG = 20_000


def ranked(ids: str) -> list[Scored]:
    """Rows with falling scores, each of one term."""
    count = len(ids)
    return [
        Scored(one, float(count - place), {"vector": float(count - place)}) for place, one in enumerate(ids)
    ]


def order(found: list[Scored]) -> str:
    return "".join(one.id for one in found)


def test_without_successions_nothing_changes() -> None:
    assert current_first(ranked("abc"), Successions()) == ranked("abc")


def test_an_heir_takes_the_place_of_what_it_superseded() -> None:
    found = current_first(ranked("abc"), Successions(successor={"a": "c"}))
    assert order(found) == "cb"
    assert found[0].score == 3.0
    assert found[0].terms == {"vector": 1.0, SUCCESSION: 2.0}


def test_an_heir_that_is_not_ranked_comes_all_the_same() -> None:
    found = current_first(ranked("ab"), Successions(successor={"a": "z"}))
    assert order(found) == "zb"
    assert found[0] == Scored("z", 2.0, {SUCCESSION: 2.0})


def test_an_heir_that_stands_higher_stays_where_it_is() -> None:
    found = current_first(ranked("cab"), Successions(successor={"a": "c"}))
    assert order(found) == "cb"
    assert SUCCESSION not in found[0].terms


def test_a_chain_leads_to_its_last() -> None:
    found = current_first(ranked("abc"), Successions(successor={"a": "b", "b": "c"}))
    assert order(found) == "c"


def test_what_may_not_be_returned_leaves_a_gap() -> None:
    assert order(current_first(ranked("abc"), Successions(successor={"b": None}))) == "ac"


def test_the_newer_of_two_that_differ_stands_above_the_older() -> None:
    found = current_first(ranked("abc"), Successions(newer={"a": ["c"]}))
    assert order(found) == "cab"
    assert [one.score for one in found] == [3.0, 3.0, 2.0]


def test_a_newer_one_that_is_not_ranked_comes_all_the_same() -> None:
    assert order(current_first(ranked("ab"), Successions(newer={"a": ["z"]}))) == "zab"


def test_the_newer_of_what_is_superseded_by_it_is_placed_once() -> None:
    found = current_first(ranked("abcd"), Successions(successor={"a": "d"}, newer={"b": ["d"], "d": ["c"]}))
    assert order(found) == "cdb"


@pytest.mark.parametrize(
    "successions",
    [Successions(successor={"a": "b", "b": "a"}), Successions(newer={"a": ["b"], "b": ["a"]})],
)
def test_a_circle_is_cut(successions: Successions) -> None:
    found = current_first(ranked("abc"), successions)
    assert found[-1].id == "c"
    assert len(found) == len({one.id for one in found})


def test_a_chain_may_be_long() -> None:
    links = {str(one): str(one + 1) for one in range(LONG)}
    rows = [Scored("0", 2.0, {"vector": 2.0}), Scored(str(LONG), 1.0, {"vector": 1.0})]
    assert order(current_first(rows, Successions(successor=links))) == str(LONG)


def test_so_may_be_a_row_of_things_said_otherwise() -> None:
    newer = {str(one): [str(one + 1)] for one in range(LONG)}
    found = current_first([Scored("0", 2.0, {"vector": 2.0})], Successions(newer=newer))
    assert [one.id for one in found] == [str(one) for one in range(LONG, -1, -1)]


def test_each_of_a_chain_has_the_last_as_heir() -> None:
    links = {str(one): str(one + 1) for one in range(LONG)}
    assert set(last_heirs(links).values()) == {str(LONG)}
    assert last_heirs({}) == {}


def test_a_circle_has_no_heir_nor_has_what_leads_into_it() -> None:
    found = last_heirs({"z": "a", "a": "b", "b": "c", "c": "a", "x": "y"})
    assert found == {"z": None, "a": None, "b": None, "c": None, "x": "y"}


@given(st.dictionaries(st.sampled_from(IDS), st.sampled_from([*IDS, "z"])))
def test_the_last_heir_is_the_one_a_walk_ends_at(links: dict[str, str]) -> None:
    found = last_heirs(links)
    assert found.keys() == links.keys()
    for start, last in found.items():
        one = start
        for _ in links:
            one = links.get(one, one)
        assert last == (None if one in links else one)


@given(
    st.permutations(IDS),
    st.dictionaries(st.sampled_from(IDS), st.sampled_from([*IDS, "z", None]), max_size=3),
    st.dictionaries(st.sampled_from(IDS), st.lists(st.sampled_from([*IDS, "y"]), max_size=3), max_size=4),
)
def test_scores_fall_terms_add_up_and_nothing_superseded_remains(
    ids: list[str], successor: dict[str, str | None], newer: dict[str, list[str]]
) -> None:
    found = current_first(ranked("".join(ids)), Successions(successor=successor, newer=newer))
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(sum(one.terms.values()) == pytest.approx(one.score) for one in found)
    assert len({one.id for one in found}) == len(found)
    assert not {one.id for one in found} & successor.keys()
    assert set(IDS) - successor.keys() <= {one.id for one in found}
