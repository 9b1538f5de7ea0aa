"""Bad input stops at the door, with a typed error that says what to do; good input passes unchanged."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import InvalidInputError
from tiered_memory.intake import (
    accept,
    check_count,
    check_id,
    check_memory_id,
    check_metadata,
    check_moment,
    check_share,
    check_subject,
)
from tiered_memory.model import Interaction, Kind, Role, Sensitivity

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
GOOD = Interaction(content="hello")
LIMIT = 1000


def accepted(**changes: Any) -> Interaction:
    return accept(replace(GOOD, **changes), NOW, LIMIT).interaction


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        ("a\x00b", "NUL"),
        ("x" * 1001, "1001 bytes"),
        ("é" * 501, "1002 bytes"),
        ("\ud800", "surrogate"),
        (b"bytes", "decode bytes"),
        (None, "text"),
        (7, "text"),
    ],
)
def test_bad_content_is_refused(content: Any, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        accepted(content=content)


@pytest.mark.parametrize("name", ["session", "agent", "author"])
@pytest.mark.parametrize("value", ["", "x" * 257, "a\nb", "a\x00", "\u2028", "\udcff", 5, b"x"])
def test_bad_names_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=name):
        accepted(**{name: value})


@pytest.mark.parametrize(
    "value", ["../x", "'; DROP TABLE users", '"quoted"', "a|b", "日本", "\u202eright", "😀", " "]
)
def test_hostile_looking_ids_are_only_text(value: str) -> None:
    assert check_id(value, "user") == value
    assert check_subject(value, value).user == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.01, 1.01, True, "0.5", None, [1]])
def test_a_share_is_a_number_from_0_to_1(value: Any) -> None:
    with pytest.raises(InvalidInputError):
        check_share(value, "importance")


def test_importance_may_be_left_out_but_not_be_wrong() -> None:
    assert accepted(importance=None).importance is None
    assert accepted(importance=1).importance == 1.0
    with pytest.raises(InvalidInputError, match="importance"):
        accepted(importance=math.nan)


@pytest.mark.parametrize(
    ("moment", "says"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None), "aware"),
        (datetime(1899, 12, 31, tzinfo=UTC), "1900"),
        (NOW + timedelta(days=1, seconds=1), "future"),
        ("2026-01-01", "datetime"),
        (1_700_000_000, "datetime"),
    ],
)
def test_bad_moments_are_refused(moment: Any, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        check_moment(moment, "occurred_at", NOW)


def test_a_moment_keeps_its_offset() -> None:
    moment = datetime(2026, 3, 1, 9, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert accept(replace(GOOD, occurred_at=moment), NOW, LIMIT).occurred_at.utcoffset() == moment.utcoffset()
    assert accept(GOOD, NOW, LIMIT).occurred_at == NOW


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": math.nan},
        {1: "x"},
        {"a": {2: "x"}},
        {"a": object()},
        {"a": "\ud800"},
        {"a": "x" * 17_000},
        {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}},
        ["a"],
        "a",
        {"a": b"bytes"},
    ],
)
def test_bad_metadata_is_refused(metadata: Any) -> None:
    with pytest.raises(InvalidInputError, match="metadata"):
        check_metadata(metadata)


def test_metadata_is_copied() -> None:
    tags = ["a"]
    given = {"tags": tags}
    checked = check_metadata(given)
    tags.append("b")
    assert checked == {"tags": ["a"]}


def test_words_become_their_enums() -> None:
    one = accepted(role="assistant", kind="semantic", sensitivity="restricted")
    assert (one.role, one.kind, one.sensitivity) == (Role.ASSISTANT, Kind.SEMANTIC, Sensitivity.RESTRICTED)
    for name in ("role", "kind", "sensitivity"):
        with pytest.raises(InvalidInputError, match=f"{name} must be one of"):
            accepted(**{name: "emperor"})


@pytest.mark.parametrize("value", [0, -1, 10_001, 2.0, True, "5", None])
def test_a_count_is_whole_and_in_range(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="limit"):
        check_count(value, "limit")


@pytest.mark.parametrize("value", ["", "0" * 31, "0" * 33, "G" * 32, "0A" * 16, "' OR 1=1 --", None, 5])
def test_a_memory_id_is_opaque_hex(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="memory id"):
        check_memory_id(value)


def test_what_is_no_interaction_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="Interaction"):
        accept({"content": "x"}, NOW, LIMIT)  # type: ignore[arg-type]


@given(st.text(max_size=300))
def test_any_text_is_accepted_unchanged_or_refused_by_name(value: str) -> None:
    usable = bool(value.strip()) and "\x00" not in value and len(value.encode(errors="ignore")) <= LIMIT
    if usable and value.isprintable():
        assert accepted(content=value).content == value
    elif not usable:
        with pytest.raises(InvalidInputError, match="content"):
            accepted(content=value)
