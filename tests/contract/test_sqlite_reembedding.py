"""The state store's part in a move to another embedder: one commit, fenced by the generation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_sqlite_state import ALICE, BOB, KEY, SESSION, batch, hold, leaf, memory, tail

from tiered_memory.errors import SubjectErasedError
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.state import commands as c
from tiered_memory.state.sqlite_state import SqliteState

pytestmark = pytest.mark.anyio


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[SqliteState]:
    state = SqliteState(tmp_path / "state.db", KEY, lambda _jobs, _seconds: None)
    await state.open()
    yield state
    await state.close()


def move(subject: bytes = ALICE, generation: int = 0) -> c.MoveSubject:
    return c.MoveSubject(
        subject=subject,
        generation=generation,
        incarnation=b"n" * 16,
        embedder="another",
        tails=(),
        sizes=(),
        mark=b"the old table",
    )


async def test_a_mark_is_put_replaced_and_taken_away(state: SqliteState) -> None:
    assert await state.read(c.GetMeta(c.REEMBEDDING)) is None
    for mark in (b"first", b"second"):
        await state.write(c.MarkReembedding(mark))
        assert await state.read(c.GetMeta(c.REEMBEDDING)) == mark
    for _ in range(2):
        await state.write(c.MarkReembedding(None))
        assert await state.read(c.GetMeta(c.REEMBEDDING)) is None


async def test_a_move_changes_table_embedder_and_mark_of_one_subject(state: SqliteState) -> None:
    await hold(state)
    await hold(state, BOB)
    before, beside = await state.read(c.GetSubject(ALICE)), await state.read(c.GetSubject(BOB))
    assert before is not None
    await state.write(move())
    assert await state.read(c.GetSubject(ALICE)) == replace(before, incarnation=b"n" * 16, embedder="another")
    assert await state.read(c.GetSubject(BOB)) == beside
    assert await state.read(c.GetMeta(c.REEMBEDDING)) == b"the old table"


async def test_sizes_and_turns_are_those_named(state: SqliteState) -> None:
    await hold(state)
    turns = (replace(tail(1), sealed=b"one"), replace(tail(2), sealed=b"two"), replace(tail(3), sealed=None))
    await state.write(c.Append(replace(batch(1), memories=(memory(1), memory(2)), tails=turns)))
    assert [row.sealed for row in await state.read(c.SealedTails(ALICE))] == [b"one", b"two"]
    assert await state.read(c.SealedTails(BOB)) == []
    resealed = replace(tail(2), sealed=b"two anew")
    await state.write(replace(move(), tails=(resealed,), sizes=((memory(2).memory_id, 777),)))
    kept = await state.read(c.Tail(ALICE, SESSION))
    assert [row.sealed for row in kept] == [b"one", b"two anew", None]
    assert kept == [turns[0], resealed, turns[2]]
    rows = {row.memory_id: row for row in await state.read(c.Memories(ALICE))}
    first, second = memory(1), memory(2)
    assert rows == {first.memory_id: first, second.memory_id: replace(second, bytes=777)}


async def test_an_erased_subject_is_not_moved(state: SqliteState) -> None:
    await hold(state)
    await state.write(c.BeginErasure(ALICE, 0, leaf(AuditEvent.ERASURE_BEGUN)))
    row = await state.read(c.GetSubject(ALICE))
    for generation in (0, 1):
        with pytest.raises(SubjectErasedError):
            await state.write(move(generation=generation))
    assert await state.read(c.GetSubject(ALICE)) == row
    assert await state.read(c.GetMeta(c.REEMBEDDING)) is None
