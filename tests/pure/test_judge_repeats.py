from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from judge_words import PAIRS, relation, said, sentences

from tiered_memory.model import Role
from tiered_memory.scoring.supersession import (
    Judgement,
    Relation,
    judge,
    worth_comparing,
)

# --- duplicates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("I prefer concise answers.", "I prefer concise answers", True),
        ("I prefer concise answers.", "I always prefer the concise answers!", False),
        ("The code is 4471.", "The code is 4417.", False),
        ("I eat meat.", "I don't eat meat.", False),
        ("Ann met Bo.", "Ann met Cy.", False),
        ("You like tea.", "You like tea?", False),
        ("ok", "yes", False),
        ("Lunch is before the talk.", "Lunch is after the talk.", False),
        ("I moved from Rome to Oslo.", "I moved from Oslo to Rome.", False),
        ("The heating is on.", "The heating is off.", False),
        ("She likes tea.", "He likes tea.", False),
        ("I am allergic to nuts.", "I'm allergic to nuts!", True),
        ("I prefer the concise answers.", "I really prefer concise answers", False),
        ("Well, I prefer tea.", "i prefer tea", True),
        ("I prefer  tea\u2026", "I prefer tea!", True),
        ("We\u2019ve met Ann", "We have met Ann.", True),
        ("temp is -5", "temp is 5", False),
        ("-40 degrees outside", "40 degrees outside", False),
        ("x > y holds", "x < y holds", False),
        ("a != b holds", "a = b holds", False),
        ("\U0001f44d yes to plan", "\U0001f44e yes to plan", False),
        ("50% of budget used", "50 of budget used", False),
        ("I'd go", "I go", False),
        ("I'll go", "I go", False),
        ("I work for US", "I work for us", False),
        ("My dog is so Just", "My dog is just so", False),
        ("I have a few friends", "I have few friends", False),
        ("I liked the city", "I like the city", False),
        ("So many came", "Many came", False),
        ("The answer is 5!", "The answer is 5", False),
        ("Set x!", "Set x", False),
        ("Let's eat, Grandma.", "Let's eat Grandma.", False),
        ("Take the A train", "Take the a train", False),
        ("the myVar one", "the myvar one", False),
        ("!", ".", False),
    ],
)
def test_only_what_says_the_same_repeats(old: str, new: str, same: bool) -> None:
    assert (relation(old, new, 0.99) is Relation.DUPLICATE) is same


_AFFIXES = st.sampled_from(
    ["", "-", "+", "#", "%", "=", "<", ">", "!", "~", "\U0001f44d", "\u2212", "'d", "n't"]
)
_WORDS = st.sampled_from(["I", "us", "US", "so", "just", "the", "Ann", "go", "5", "not", "May", "well,"])
_TOKENS = st.builds("{}{}{}".format, _AFFIXES, _WORDS, _AFFIXES)


def _plain(content: str) -> str:
    """Give the text all that may differ between two that say the same."""
    words = [one if one.isupper() and one != "I" else one.lower() for one in content.split()]
    while len(words) > 1 and words[0] == "well,":
        words.pop(0)
    return " ".join(words).rstrip(".! ")


@given(st.lists(_TOKENS, max_size=5), st.data())
def test_what_repeats_has_the_same_words_and_signs_in_the_same_order(
    some: list[str], data: st.DataObject
) -> None:
    others: list[str] = data.draw(st.permutations(some) | st.lists(_TOKENS, max_size=5))
    changed: bool = data.draw(st.booleans())
    if others and changed:
        others = [*others[:-1], data.draw(_AFFIXES) + others[-1].strip("-+#%=<>!~")]
    new, old = " ".join(some), " ".join(others)
    if relation(old, new, 1.0) is Relation.DUPLICATE:
        assert _plain(new) == _plain(old)


@given(sentences, st.sampled_from(["", "Well, ", "oh, "]), st.sampled_from(["", ".", " ", "\u2026"]))
def test_what_differs_in_its_dress_alone_repeats(content: str, filler: str, end: str) -> None:
    dressed = filler + content.replace(" ", "  ") + end
    assume(content[-1] not in "?!" or not end.strip())
    assert relation(content, dressed, 1.0) is Relation.DUPLICATE


def test_another_author_or_role_does_not_repeat() -> None:
    old = said("I prefer tea.", author="Ann")
    assert judge(said("I prefer tea.", author="Bo"), old, 1.0).relation is not Relation.DUPLICATE
    spoken = said("I prefer tea.", author="Ann", role=Role.ASSISTANT)
    assert judge(spoken, old, 1.0).relation is not Relation.DUPLICATE


# --- cheap rejection -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "Thanks a lot!",
        "How are you?",
        "",
        "ok",
        "That sounds great, well done!",
        "What is my new phone number?",
    ],
)
def test_small_talk_is_not_worth_comparing(content: str) -> None:
    assert not worth_comparing(said(content))


@pytest.mark.parametrize(
    "content", ["I moved to Lisbon.", "No longer on MongoDB.", "rent 950 from May", "Correction: it is 12."]
)
def test_news_is_worth_comparing(content: str) -> None:
    assert worth_comparing(said(content))
    assert not worth_comparing(said(content, role=Role.ASSISTANT))


# --- the pairs of the benchmark --------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["tune", "report"])
def test_most_pairs_are_related_and_no_lookalike_is_closed(split: str) -> None:
    """At a similarity that tells nothing: what the words alone say."""
    found = [
        judge(said(pair.current.content, day=9), said(pair.stale.content), 0.5)
        for pair in PAIRS.pairs
        if pair.split == split
    ]
    related = [one for one in found if one.relation in {Relation.UPDATES, Relation.CONFLICTS}]
    assert len(related) >= 0.85 * len(found)
    alike = [
        judge(said(one.later.content, day=9), said(one.earlier.content), 0.5)
        for one in PAIRS.lookalikes
        if one.split == split
    ]
    assert [one for one in alike if one.relation is Relation.UPDATES] == []


def test_few_true_neighbours_are_closed() -> None:
    found: list[Judgement] = []
    for pair in PAIRS.pairs:
        new = said(pair.current.content, day=9)
        found += [judge(new, said(one.content), 0.4) for one in pair.distractors]
    closed = [one for one in found if one.relation is Relation.UPDATES]
    assert len(closed) <= 0.03 * len(found)
