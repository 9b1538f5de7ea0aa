"""kill -9 at every named fail point: nothing acknowledged is lost, doubled or half done, nothing removed is back."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.crash_book import Account, Book, Faults
from benchmarks.durability import RECOVERY_BAR_MS
from benchmarks.kill_cycles import Cycles, deaths
from benchmarks.suite import Silent
from tiered_memory.failpoints import POINTS

pytestmark = pytest.mark.anyio

SLOWEST_RECOVERY_MS = 2 * RECOVERY_BAR_MS
"""Twice what the benchmark allows: tests run beside others, and a fresh process imports the engines."""


async def test_a_kill_at_any_fail_point_loses_nothing() -> None:
    outcome = await Cycles(seed=11, redis="local").run(deaths(len(POINTS), seed=11), Silent())
    assert outcome.faults.named == []
    assert outcome.hit == set(POINTS)
    assert outcome.cycles == len(POINTS)
    assert outcome.acked >= 10 * len(POINTS)
    assert max(outcome.recoveries_ms) < SLOWEST_RECOVERY_MS


@pytest.mark.parametrize("cycles", [len(POINTS), 60, 200])
def test_the_plan_goes_by_every_fail_point(cycles: int) -> None:
    plans = deaths(cycles, seed=3)
    assert len(plans) == cycles
    assert {death.point for plan in plans for death in plan} >= set(POINTS)


def test_opening_is_interrupted_only_where_there_is_something_to_recover() -> None:
    for plan in deaths(len(POINTS), seed=4):
        if (plan[-1].point or "").startswith("open."):
            assert len(plan) == 2


def said(what: str, call: str, **more: Any) -> dict[str, Any]:
    return {"what": what, "call": call, "user": "u", **more}


def added(what: str, *marks: str, operation: str = "o") -> dict[str, Any]:
    ids = {"ids": [f"id {mark}" for mark in marks]} if what == "done" else {}
    return said(what, "add", operation=operation, marks=list(marks), session="s", **ids)


def judged(lines: list[dict[str, Any]], *found: str) -> Faults:
    """Return what is wrong with a store that has the marks `found` after a writer told `lines`."""
    book = Book()
    for line in lines:
        book.take(line)
    account = book.accounts.get("u", Account())
    return account.compare("u", {mark: [f"id {mark}"] * found.count(mark) for mark in found})


ADDED = [added("begin", "a", "b"), added("done", "a", "b")]
DELETING = said("begin", "delete", marks=["a"], ids=["id a"])
DELETED = [*ADDED, DELETING, said("done", "delete", marks=["a"], ids=["id a"])]
ERASING = [*ADDED, said("begin", "erase")]
ERASED = [*ERASING, said("done", "erase")]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (ADDED, "ab"),
        (ADDED[:1], ""),
        (ADDED[:1], "ab"),
        ([*ADDED, DELETING], "ab"),
        ([*ADDED, DELETING], "b"),
        (DELETED, "b"),
        (ERASING, "ab"),
        (ERASING, ""),
        (ERASED, ""),
        ([*ERASED, added("begin", "c"), added("done", "c")], "c"),
    ],
)
def test_the_book_accepts_what_may_be(lines: list[dict[str, Any]], found: str) -> None:
    assert judged(lines, *found).named == []


@pytest.mark.parametrize(
    ("lines", "found", "sort"),
    [
        (ADDED, "a", "lost"),
        (ADDED, "aab", "duplicated"),
        (ADDED[:1], "a", "half"),
        (DELETED, "ab", "half"),
        (DELETED, "", "lost"),
        (ERASING, "a", "half"),
        (ERASED, "a", "half"),
    ],
)
def test_the_book_notices_what_may_not_be(lines: list[dict[str, Any]], found: str, sort: str) -> None:
    faults = judged(lines, *found)
    assert faults.total == 1
    assert getattr(faults, sort) == 1


def test_a_memory_under_another_id_is_another_memory() -> None:
    account = Account(held={"a": "id a"})
    assert account.compare("u", {"a": ["id z"]}).duplicated == 1
