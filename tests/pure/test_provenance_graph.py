"""What came from a source, what derives from it, and who takes the place of whom without it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.model import SourceKind
from tiered_memory.privacy.provenance_graph import Node, Origin, descendants, heirs_without, tainted

NAMES = st.sampled_from("abcdefgh")
GRAPHS = st.dictionaries(NAMES, st.lists(NAMES, max_size=4))
LINKS = st.dictionaries(NAMES, NAMES)


def node(name: str, *parents: str, source: SourceKind = SourceKind.USER, **given: object) -> Node:
    values: dict[str, object] = {
        "channel": None,
        "session": None,
        "agent": None,
        "model": None,
        "stored_us": 5,
    }
    return Node(id=name, source=source, parents=parents, **{**values, **given})  # type: ignore[arg-type]


@given(GRAPHS, st.sets(NAMES))
def test_the_closure_is_closed_and_least(parents: dict[str, list[str]], roots: set[str]) -> None:
    found = descendants(parents, roots)
    reached = found | roots
    assert not found & roots
    assert all(child in reached for child, its in parents.items() if reached & set(its))
    grown, before = set(roots), -1
    while before != len(grown):
        before = len(grown)
        grown |= {child for child, its in parents.items() if grown & set(its)}
    assert reached == grown


@given(GRAPHS, st.sets(NAMES), st.sets(NAMES))
def test_more_roots_take_no_less(parents: dict[str, list[str]], roots: set[str], more: set[str]) -> None:
    assert descendants(parents, roots) | roots <= descendants(parents, roots | more) | roots | more


def test_cycles_and_unknown_parents_do_no_harm() -> None:
    assert descendants({"a": ["b"], "b": ["a"], "c": ["nobody"]}, ["a"]) == {"b"}
    assert descendants({"a": ["a"]}, ["a"]) == set()


@given(LINKS, st.sets(NAMES))
def test_who_takes_over_stays_and_is_another(links: dict[str, str], gone: set[str]) -> None:
    for one, heir in heirs_without(links, gone).items():
        assert one not in gone
        assert links[one] in gone
        assert heir is None or (heir not in gone and heir != one)


def test_the_next_that_stays_takes_over() -> None:
    links = {"a": "b", "b": "c", "c": "d"}
    assert heirs_without(links, {"b"}) == {"a": "c"}
    assert heirs_without(links, {"b", "c"}) == {"a": "d"}
    assert heirs_without(links, {"d"}) == {"c": None}
    assert heirs_without(links, {"x"}) == {}
    assert heirs_without({"a": "b", "b": "c", "c": "b"}, {"b", "c"}) == {"a": None}


def test_what_is_matched_is_not_counted_as_derived() -> None:
    nodes = [
        node("a", source=SourceKind.DOCUMENT, channel="web"),
        node("b", "a", source=SourceKind.DOCUMENT, channel="web"),
        node("c", "b", source=SourceKind.AGENT),
        node("d"),
    ]
    found = tainted(nodes, Origin(channel="web"))
    assert (found.matched, found.derived, found.every) == (("a", "b"), ("c",), ("a", "b", "c"))


def test_the_end_of_a_time_is_not_part_of_it() -> None:
    nodes = [node("a", stored_us=1), node("b", stored_us=2), node("c", stored_us=3)]
    assert tainted(nodes, Origin(since_us=2, until_us=3)).matched == ("b",)
    assert Origin().is_open
    assert not Origin(agent="x").is_open
