"""Turns: those whose names meet go one after another as they came, the others side by side."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiered_memory.inflight import Turns

pytestmark = pytest.mark.anyio

NAMES = st.frozensets(st.sampled_from("abcd"), max_size=3)


async def _pauses(count: int) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


@settings(max_examples=60, deadline=None)
@given(calls=st.lists(st.tuples(NAMES, st.integers(0, 4), st.none() | st.integers(0, 6)), max_size=12))
async def test_names_never_meet_and_go_in_the_order_they_came(
    calls: list[tuple[frozenset[str], int, int | None]],
) -> None:
    """Though some give up, waiting or at work."""
    turns, inside = Turns(), set[int]()
    began = list[int]()

    async def call(number: int, started: anyio.Event) -> None:
        names, pauses, patience = calls[number]
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                if patience is not None:
                    group.start_soon(_give_up, scope, patience)
                started.set()
                async with turns.held(names):
                    assert all(names.isdisjoint(calls[other][0]) for other in inside)
                    inside.add(number)
                    began.append(number)
                    try:
                        await _pauses(pauses)
                    finally:
                        inside.discard(number)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as everyone:
            for number in range(len(calls)):
                started = anyio.Event()
                everyone.start_soon(call, number, started)
                await started.wait()
    for name in "abcd":
        had = [number for number in began if name in calls[number][0]]
        assert had == sorted(had)
    assert {number for number, one in enumerate(calls) if one[2] is None} <= set(began)
    assert turns._lines == {}


async def _give_up(scope: anyio.CancelScope, patience: int) -> None:
    await _pauses(patience)
    scope.cancel()


async def test_a_call_without_names_waits_for_nobody_and_is_not_counted() -> None:
    turns = Turns()
    async with turns.held({"a"}):
        with anyio.fail_after(20):
            async with turns.held(frozenset()):
                assert turns.ended == 0
        assert turns.ended == 0
    assert turns.ended == 1


async def test_an_error_ends_a_turn() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError):
        async with turns.held({"a", "b"}):
            raise ZeroDivisionError
    with anyio.fail_after(20):
        async with turns.held({"a"}):
            assert turns.ended == 1


async def test_who_waits_behind_one_that_gave_up_still_waits_for_the_first() -> None:
    turns, order, first = Turns(), list[str](), anyio.Event()

    async def named(name: str, until: anyio.Event | None = None) -> None:
        async with turns.held({"a"}):
            if until is not None:
                await until.wait()
            order.append(name)

    async with anyio.create_task_group() as group:
        group.start_soon(named, "first", first)
        await _pauses(2)
        async with anyio.create_task_group() as impatient:
            impatient.start_soon(named, "second")
            await _pauses(2)
            group.start_soon(named, "third")
            await _pauses(2)
            impatient.cancel_scope.cancel()
        await _pauses(5)
        assert order == []
        first.set()
    assert order == ["first", "third"]
