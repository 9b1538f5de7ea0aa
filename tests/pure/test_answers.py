"""Whether a session ends with a question, as the index tells it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.scoring.recall_index import IndexedTurn, RecallIndex


def turn(order: int, session: str | None, *, question: bool) -> IndexedTurn:
    return IndexedTurn(
        id=f"id{order}",
        order=order,
        session=session,
        author=None,
        occurred_at_us=order,
        characters=1,
        terms={},
        vector=np.zeros(2, np.float32),
        question=question,
    )


def test_a_session_ends_asking_when_its_last_turn_does() -> None:
    index = RecallIndex(2)
    index.add([turn(1, "s", question=True), turn(3, "s", question=False), turn(2, "t", question=True)])
    assert [index.ends_asking(session) for session in ("s", "t", "unknown")] == [False, True, False]
    index.remove(["id3"])
    assert index.ends_asking("s")
    index.remove(["id1"])
    assert not index.ends_asking("s")


turns = st.lists(st.tuples(st.sampled_from(["s", "t", None]), st.booleans()), max_size=12)


@given(turns, st.sets(st.integers(0, 11)), st.randoms(use_true_random=False))
def test_it_is_the_last_of_those_held_in_whatever_order_they_came(
    told: list[tuple[str | None, bool]], removed: set[int], draw: object
) -> None:
    made = [turn(order, session, question=question) for order, (session, question) in enumerate(told)]
    index, jumbled = RecallIndex(2), list(made)
    draw.shuffle(jumbled)  # type: ignore[attr-defined]
    for one in jumbled:
        index.add([one])
    index.remove(f"id{order}" for order in removed)
    for session in ("s", "t"):
        left = [one.question for one in made if one.session == session and one.order not in removed]
        assert index.ends_asking(session) == bool(left and left[-1])
