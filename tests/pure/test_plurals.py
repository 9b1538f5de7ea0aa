"""Numbers stand with the noun that belongs to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.key_epochs import told_of_lost
from tiered_memory.plurals import counted


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 users"), (1, "1 user"), (2, "2 users"), (12_345, "12,345 users")]
)
def test_a_number_stands_with_its_noun(count: int, said: str) -> None:
    assert counted(count, "user") == said


@given(st.integers(0, 10**9))
def test_only_one_is_singular(count: int) -> None:
    assert counted(count, "memory", "memories").endswith(" memory") == (count == 1)


def test_one_lost_epoch_and_several() -> None:
    assert told_of_lost(1).startswith("1 key epoch has ended, or its guard")
    assert told_of_lost(1_200).startswith("1,200 key epochs have ended, or their guards")
