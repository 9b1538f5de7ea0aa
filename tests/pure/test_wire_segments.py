"""Ids in paths: any text is one segment, and comes back as it was."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tiered_memory.errors import InvalidInputError
from tiered_memory.wire.segments import MARK, from_segment, to_segment

TEXTS = st.text(st.characters(codec="utf-8"), max_size=256)
HOSTILE = (
    "",
    ".",
    "..",
    "/",
    "../../etc/passwd",
    "~",
    "~x",
    "%2F",
    "%",
    "a/b",
    "a?b#c",
    "a b",
    "\x00",
    "é",
    "日本",
    "🙂" * 256,
    ".hidden",
)


@given(TEXTS)
@example("..")
@example("~x")
@example("%2F")
@example("x" * 256)
def test_any_text_is_one_segment(text: str) -> None:
    segment = to_segment(text)
    assert re.fullmatch(r"[A-Za-z0-9_@:~-][A-Za-z0-9._@:~-]*", segment)
    assert from_segment(segment) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_ids_survive(text: str) -> None:
    segment = to_segment(text)
    assert not {"/", "%", "?", "#", " "} & set(segment)
    assert segment not in {"", ".", ".."}
    assert from_segment(segment) == text


@given(TEXTS.filter(lambda text: not text.startswith(MARK)))
def test_what_was_percent_encoded_is_understood(text: str) -> None:
    assert from_segment(quote(text, safe="")) == text


@given(TEXTS, TEXTS)
def test_no_two_ids_share_a_segment(one: str, other: str) -> None:
    assert (to_segment(one) == to_segment(other)) is (one == other)


@pytest.mark.parametrize("text", ["\ud800", "x\udfffy"])
def test_a_lone_surrogate_is_no_id(text: str) -> None:
    with pytest.raises(InvalidInputError, match="UTF-8"):
        to_segment(text)


@pytest.mark.parametrize("segment", ["~!", "~a", "~_w", "~=", "%", "%zz", "%ff", "a%2", "~YQ==", "~é"])
def test_segments_that_are_none_are_refused(segment: str) -> None:
    with pytest.raises(InvalidInputError):
        from_segment(segment)


def test_the_documented_example_is_true() -> None:
    told = (Path(__file__).resolve().parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
    assert f"the id `../x` is `{to_segment('../x')}`" in told
