"""What a restriction stands in the way of: everything but the person's own rights."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.privacy.restriction import OPEN_OPS, READING_OPS, is_frozen


@given(st.text())
def test_a_word_nobody_thought_of_is_frozen(op: str) -> None:
    assert is_frozen(op) or op in OPEN_OPS


@pytest.mark.parametrize(
    "op", ["add", "add_many", "search", "context", "get", "list", "update", "delete", "pin", "use", "import"]
)
def test_what_processes_is_frozen(op: str) -> None:
    assert is_frozen(op)


@pytest.mark.parametrize("op", ["about", "export", "consent_withdraw", "erase", "rights"])
def test_a_right_is_not(op: str) -> None:
    assert not is_frozen(op)
    assert not is_frozen(op, done=True)


def test_of_what_began_before_only_reading_is_discarded() -> None:
    assert is_frozen("search", done=True)
    assert not is_frozen("add", done=True)
    assert not READING_OPS & OPEN_OPS
