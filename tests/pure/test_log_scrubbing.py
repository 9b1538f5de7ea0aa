from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import HotTierError, NotFoundError, StorageError
from tiered_memory.logs import scrubbing
from tiered_memory.logs.scrubbing import (
    FIELDS,
    LIBRARY_MESSAGE,
    WITHHELD,
    fields,
    message,
    one_line,
    stack,
    text,
    trouble,
    word,
)

CANARY = "canary-3f9"
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.text())
)
WILD_TEXT = st.text(st.characters(exclude_categories=[]))


def record(name: str, msg: Any, *args: Any) -> logging.LogRecord:
    return logging.LogRecord(name, logging.INFO, "/a/b/lib/site-packages/x/y.py", 7, msg, args, None)


class QuotingError(StorageError):
    """A class of somebody else's."""


def fail(error: BaseException) -> None:
    raise error


def raised(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as caught:
        fail(error)
    return caught.value


# --- values --------------------------------------------------------------------------------------------------


@given(WILD_TEXT, st.integers(1, 200))
def test_text_is_valid_and_bounded(value: str, most: int) -> None:
    told = text(value, most)
    assert len(told) <= most
    assert told.encode("utf-8").decode("utf-8") == told


def test_surrogates_in_pairs_are_one_character_and_alone_none() -> None:
    assert text("a\ud83d\ude00b\ud83d") == "a😀b�"


@given(WILD_TEXT)
def test_one_line_is_one_line_and_moves_no_cursor(value: str) -> None:
    told = one_line(value)
    assert len(told.splitlines()) <= 1
    assert not any(ord(one) < 32 or 0x7F <= ord(one) < 0xA0 for one in told)


@given(st.dictionaries(st.one_of(st.sampled_from(sorted(FIELDS)), st.text()), ANYTHING))
def test_only_known_fields_in_their_form_are_told(given: dict[str, Any]) -> None:
    told = fields(given)
    assert set(told) <= set(FIELDS)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert all(len(value) <= scrubbing.MOST_TEMPLATE for value in told.values() if isinstance(value, str))


@pytest.mark.parametrize("value", ["a b", "a\n", "é", "", "x" * 65, 'a"', "\ud800", b"op", 1.5, ["op"]])
def test_what_is_no_word_is_withheld(value: Any) -> None:
    assert word(value) == WITHHELD
    assert fields({"op": value}) == {"op": WITHHELD}


def test_content_among_the_extras_is_dropped() -> None:
    given = {"content": CANARY, "user": CANARY, "op": "add", "seconds": 0.123_456_789, "status": 200}
    assert fields(given) == {"op": "add", "seconds": 0.123_457, "status": 200}


@pytest.mark.parametrize(
    ("value", "told"), [("GET", "GET"), (CANARY, "_OTHER"), ("get", "_OTHER"), (b"GET", "_OTHER")]
)
def test_a_method_is_a_known_one(value: Any, told: str) -> None:
    assert fields({"method": value}) == {"method": told}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "12"])
def test_a_number_is_finite(value: Any) -> None:
    assert fields({"seconds": value}) == {"seconds": WITHHELD}


# --- messages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "msg", "args", "told"),
    [
        ("tiered_memory", "%s under a hold: %d", ("3 memories", 4), "3 memories under a hold: 4"),
        ("tiered_memory.x", "failed: %s", (HotTierError("Redis is loading"),), "failed: Redis is loading"),
        ("tiered_memory", "failed: %s", (ValueError(CANARY),), "failed: ValueError"),
        ("tiered_memory", "failed: %s", (QuotingError(CANARY),), "failed: QuotingError"),
        ("tiered_memory", "failed: %s", ({"content": CANARY},), "failed: (dict)"),
        ("tiered_memory", "failed: %s", ([CANARY],), "failed: (list)"),
        ("tiered_memory", "wrong %d", ("x",), "wrong %d"),
        ("tiered_memory", ValueError(CANARY), (), "(ValueError)"),
        ("uvicorn.error", "Started server process [%d]", (77,), "Started server process [77]"),
        ("uvicorn.error", '%s - "WebSocket %s" 403', ("1.2.3.4:5", f"/ws/{CANARY}"), '(withheld) - "WebSocket (withheld)" 403'),
        ("uvicorn.error", "%s", (ValueError(CANARY),), "ValueError"),
        ("opentelemetry.sdk.trace.export", "failed after %ss", (1.5,), "failed after 1.5s"),
        ("uvicornish", CANARY, (), LIBRARY_MESSAGE),
        ("asyncio", f"Task exception was never retrieved {CANARY}", (), LIBRARY_MESSAGE),
        ("root", CANARY, (), LIBRARY_MESSAGE),
    ],
)  # fmt: skip
def test_messages_are_told_without_what_may_be_content(
    name: str, msg: Any, args: tuple[Any, ...], told: str
) -> None:
    assert message(record(name, msg, *args)) == told


def test_a_mapping_of_arguments_fills_by_name() -> None:
    given = record("tiered_memory", "%(a)s of %(b)s", {"a": 1, "b": ValueError(CANARY)})
    assert message(given) == "1 of ValueError"


@given(
    st.sampled_from(["tiered_memory", "uvicorn.error", "mcp"]),
    ANYTHING | WILD_TEXT,
    st.lists(ANYTHING, max_size=3),
)
def test_no_record_breaks_the_telling(name: str, msg: Any, args: list[Any]) -> None:
    told = message(record(name, msg, *args))
    assert len(told) <= scrubbing.MOST_TEXT
    told.encode("utf-8")


# --- errors --------------------------------------------------------------------------------------------------


def test_a_foreign_error_is_told_without_its_message() -> None:
    told = trouble(raised(KeyError(CANARY)))
    assert told["type"] == "KeyError"
    assert "message" not in told
    assert CANARY not in json.dumps(told)


def test_our_error_says_its_message_and_its_cause_does_not() -> None:
    def outer(secret: str) -> None:
        try:
            fail(ValueError(secret))
        except ValueError as error:
            raise NotFoundError from error

    with pytest.raises(NotFoundError) as caught:
        outer(CANARY)
    told = trouble(caught.value)
    assert told["message"] == "No such memory is held for this subject."
    assert [one["type"] for one in told["causes"]] == ["ValueError"]
    assert told["stack"][-1].endswith(" outer")
    assert "tests/pure/test_log_scrubbing.py:" in told["stack"][-1]
    assert CANARY not in json.dumps(told)


def test_a_class_of_somebody_else_s_says_nothing() -> None:
    assert "message" not in trouble(QuotingError(CANARY))


def test_a_group_s_members_are_causes() -> None:
    group = ExceptionGroup(CANARY, [KeyError(CANARY), ExceptionGroup(CANARY, [HotTierError()])])
    told = trouble(raised(group))
    assert [one["type"] for one in told["causes"]] == ["KeyError", "ExceptionGroup", "HotTierError"]
    assert CANARY not in json.dumps(told)


def test_causes_in_a_circle_end() -> None:
    one, other = ValueError(), TypeError()
    one.__cause__, other.__cause__ = other, one
    assert [cause["type"] for cause in trouble(one)["causes"]] == ["TypeError"]


def test_many_causes_are_bounded() -> None:
    error = ValueError()
    for _ in range(1000):
        outer = ValueError()
        outer.__cause__ = error
        error = outer
    assert len(trouble(error)["causes"]) == scrubbing.MOST_CAUSES


def test_a_deep_stack_keeps_its_innermost_frames() -> None:
    def deeper(left: int) -> None:
        if not left:
            raise ValueError
        deeper(left - 1)

    with pytest.raises(ValueError) as caught:  # noqa: PT011 - only the stack counts
        deeper(100)
    told = stack(caught.value.__traceback__)
    assert len(told) == scrubbing.MOST_FRAMES
    assert all("deeper" in one for one in told)


def test_a_file_is_named_without_whose_home_it_lies_in() -> None:
    assert scrubbing.place("/a/b/lib/site-packages/uvicorn/server.py") == "site-packages/uvicorn/server.py"
    assert scrubbing.place("<string>") == "<string>"
