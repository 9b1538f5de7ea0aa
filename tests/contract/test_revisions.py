"""New versions of memories in the state store: with their batch or not at all, and only of what is as it was read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from test_sqlite_state import ALICE, BOB, KEY, batch, entry, hold, key, memory

from tiered_memory.state import commands as c
from tiered_memory.state.base import (
    Appended,
    MemoryState,
    OperationRow,
    Revision,
    Stale,
    StateChange,
    StrengthUpdate,
)
from tiered_memory.state.sqlite_state import SqliteState

pytestmark = pytest.mark.anyio


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[SqliteState]:
    state = SqliteState(tmp_path / "state.db", KEY, lambda *_: None)
    await state.open()
    yield state
    await state.close()


def revision(number: int, version: int = 2, *, strength: float | None = None) -> Revision:
    made = replace(entry(number), version=version, sealed=b"sealed %d version %d" % (number, version))
    update = (
        None if strength is None else StrengthUpdate(made.memory_id, strength, 9, 1.5, "w", 90, 95, "decay")
    )
    return Revision(made, 77, update)


def revising(*revisions: Revision, **changes: object) -> c.Append:
    given = replace(batch(8), revisions=revisions, purpose="p", key_id=b"k" * 16)
    return c.Append(replace(given, **changes))  # type: ignore[arg-type]


async def test_a_revision_is_written_with_the_rest_of_its_batch(state: SqliteState) -> None:
    await hold(state)
    await state.write(c.Append(batch(7)))
    appended = await state.write(revising(revision(7, strength=0.75)))
    assert isinstance(appended, Appended)
    assert [one.version for one in await state.read(c.Journal())] == [1, 1, 2]
    assert [one.seq for one in await state.read(c.Journal())][1:] == list(appended.seqs)
    rows = {row.order: row for row in await state.read(c.Memories(ALICE))}
    assert rows[8] == memory(8)
    changed = {"strength_last": 0.75, "t_last_us": 9, "n_spaced": 1.5, "policy_version": "w"}
    moved = {"forget_at_us": 90, "deadline_us": 95}
    assert rows[7] == replace(memory(7), version=2, bytes=77, **changed, **moved)


async def test_a_revision_may_come_alone_and_leave_the_strength(state: SqliteState) -> None:
    await hold(state)
    await state.write(c.Append(batch(7)))
    await state.write(revising(revision(7), entries=(), memories=()))
    assert await state.read(c.Memories(ALICE)) == [replace(memory(7), version=2, bytes=77)]


@pytest.mark.parametrize("version", [1, 3])
async def test_a_revision_of_another_version_is_refused_with_its_whole_batch(
    state: SqliteState, version: int
) -> None:
    await hold(state)
    await state.write(c.Append(batch(7)))
    operation = OperationRow(ALICE, b"op", 0, b"f", "p", b"receipt", 100)
    outcome = await state.write(
        revising(revision(7, version), operation=operation, routing={("cold", "x"): 1})
    )
    assert outcome == Stale((f"{7:032x}",))
    assert await state.read(c.Memories(ALICE)) == [memory(7)]
    assert [one.memory_id for one in await state.read(c.Journal())] == [f"{7:032x}"]
    assert await state.read(c.GetOperation(ALICE, b"op")) is None
    assert await state.read(c.RoutingCounts()) == []


@pytest.mark.parametrize("moved", [MemoryState.FORGOTTEN, MemoryState.REMOVING])
async def test_only_what_is_active_is_revised(state: SqliteState, moved: MemoryState) -> None:
    await hold(state)
    await state.write(c.Append(batch(7)))
    await state.write(c.ChangeStates(ALICE, 0, (StateChange(f"{7:032x}", moved, 5, "r"),), ()))
    assert await state.write(revising(revision(7))) == Stale((f"{7:032x}",))


async def test_a_revision_keeps_to_its_purpose_and_its_subject(state: SqliteState) -> None:
    await hold(state)
    await hold(state, BOB)
    await state.write(c.PutKey(key(ALICE, purpose="q")))
    await state.write(c.Append(batch(7)))
    assert await state.write(revising(revision(7), purpose="q")) == Stale((f"{7:032x}",))
    others = replace(batch(8, BOB), revisions=(revision(7),), purpose="p")
    assert await state.write(c.Append(others)) == Stale((f"{7:032x}",))
    assert await state.read(c.Memories(ALICE)) == [memory(7)]


async def test_of_two_revisions_of_one_version_the_first_wins(state: SqliteState) -> None:
    await hold(state)
    await state.write(c.Append(batch(7)))
    alone = {"entries": (), "memories": ()}
    async with anyio.create_task_group() as tasks:
        found: list[object] = []

        async def write() -> None:
            found.append(await state.write(revising(revision(7), **alone)))

        for _ in range(3):
            tasks.start_soon(write)
    assert sorted(type(one).__name__ for one in found) == ["Appended", "Stale", "Stale"]
    assert [row.version for row in await state.read(c.Memories(ALICE))] == [2]


async def test_removing_a_memory_takes_all_its_versions_out_of_the_journal(state: SqliteState) -> None:
    await hold(state)
    free = replace(batch(7), memories=tuple(replace(one, held=False) for one in batch(7).memories))
    await state.write(c.Append(free))
    await state.write(revising(revision(7)))
    change = StateChange(f"{7:032x}", MemoryState.REMOVING, 5, "deleted")
    await state.write(c.ChangeStates(ALICE, 0, (change,), ()))
    assert [one.memory_id for one in await state.read(c.Journal())] == [f"{8:032x}"]
