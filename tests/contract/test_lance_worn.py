"""Compaction of tables that many small writes have left in pieces: bounded, and never a way back for what is gone."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tiered_memory.errors import ColdTierError
from tiered_memory.testing import record_numbered, subject_named
from tiered_memory.tiers.base import Compacting, SubjectRef
from tiered_memory.tiers.durable_files import files_below
from tiered_memory.tiers.lance_tier import LanceTier
from tiered_memory.tiers.lance_worn import LOOKS_A_TABLE, REMEMBERED, WORN_FILES, WornTables, pieces_of

pytestmark = pytest.mark.anyio

ALICE, BOB, CAROL = (subject_named(name) for name in ("alice", "bob", "carol"))


def table_name(subject: SubjectRef) -> str:
    return f"{subject.pseudonym.hex()}-{subject.incarnation.hex()}"


@pytest.fixture
async def tier(tmp_path: Path) -> AsyncIterator[LanceTier]:
    tier = LanceTier(tmp_path / "cold", table_name, embedder="test-embedder")
    yield tier
    await tier.close()


def path_of(tmp_path: Path, subject: SubjectRef) -> Path:
    return tmp_path / "cold" / f"{table_name(subject)}.lance"


async def wear(tier: LanceTier, subject: SubjectRef, puts: int = WORN_FILES) -> None:
    for order in range(puts):
        await tier.append(subject, [record_numbered(order)])


async def test_a_worn_table_is_compacted_and_holds_what_it_held(tier: LanceTier, tmp_path: Path) -> None:
    assert isinstance(tier, Compacting)
    await wear(tier, ALICE)
    held = await tier.scan(ALICE)
    assert pieces_of(path_of(tmp_path, ALICE)) == WORN_FILES
    assert await tier.compact_worn(5) == 1
    assert pieces_of(path_of(tmp_path, ALICE)) == 1
    assert await tier.scan(ALICE) == held
    assert await tier.compact_worn(5) == 0


async def test_a_table_with_few_pieces_is_left_alone(tier: LanceTier, tmp_path: Path) -> None:
    await wear(tier, ALICE, WORN_FILES - 1)
    assert await tier.compact_worn(5) == 0
    assert pieces_of(path_of(tmp_path, ALICE)) == WORN_FILES - 1
    await tier.append(ALICE, [record_numbered(99)])
    assert await tier.compact_worn(5) == 1


async def test_pieces_of_an_earlier_process_count(tier: LanceTier, tmp_path: Path) -> None:
    await wear(tier, ALICE)
    other = LanceTier(tmp_path / "cold", table_name, embedder="test-embedder")
    assert await other.compact_worn(5) == 0
    await other.append(ALICE, [record_numbered(99)])
    assert await other.compact_worn(5) == 1
    assert len(await other.scan(ALICE)) == WORN_FILES + 1


async def test_a_run_compacts_at_most_so_many_and_the_next_goes_on(tier: LanceTier, tmp_path: Path) -> None:
    for subject in (ALICE, BOB, CAROL):
        await wear(tier, subject)
    assert await tier.compact_worn(2) == 2
    assert [pieces_of(path_of(tmp_path, one)) for one in (ALICE, BOB, CAROL)] == [1, 1, WORN_FILES]
    assert await tier.compact_worn(2) == 1
    assert await tier.compact_worn(2) == 0


async def test_a_table_that_fails_keeps_no_other_waiting(tmp_path: Path) -> None:
    worn, done, broken = WornTables(), list[SubjectRef](), {ALICE}
    data = tmp_path / "data"
    data.mkdir()
    for number in range(WORN_FILES):
        (data / f"{number}.lance").write_bytes(b"")

    async def compact(subject: SubjectRef) -> None:
        if subject in broken:
            raise ColdTierError
        done.append(subject)

    for subject in (ALICE, BOB, CAROL):
        worn.note(subject)
    with pytest.raises(ColdTierError):
        await worn.compact(5, lambda _: tmp_path, compact)
    assert done == [BOB, CAROL]
    broken.clear()
    assert await worn.compact(5, lambda _: tmp_path, compact) == 1
    assert done == [BOB, CAROL, ALICE]


async def test_what_was_dropped_does_not_come_back(tier: LanceTier, tmp_path: Path) -> None:
    await wear(tier, ALICE)
    await tier.drop(ALICE)
    assert await tier.compact_worn(5) == 0
    assert not path_of(tmp_path, ALICE).exists()


async def test_compaction_amid_removals_keeps_no_byte_of_what_went(tier: LanceTier, tmp_path: Path) -> None:
    """Removal, compaction and writes of one table at once: they take turns, and none undoes another."""
    secrets = [os.urandom(64) for _ in range(30)]
    for order, secret in enumerate(secrets):
        await tier.append(ALICE, [record_numbered(order, payload=secret)])

    async def remove(order: int) -> None:
        await tier.remove(ALICE, [record_numbered(order).id])

    async with anyio.create_task_group() as tasks:
        for order in range(0, 30, 3):
            tasks.start_soon(remove, order)
            tasks.start_soon(tier.compact_worn, 1)
            tasks.start_soon(tier.append, ALICE, [record_numbered(100 + order)])
    stored = b"".join(path.read_bytes() for path in files_below(tmp_path))
    assert [order for order in range(0, 30, 3) if secrets[order] in stored] == []
    assert len(await tier.scan(ALICE)) == 30


async def test_a_drop_amid_compaction_is_final(tier: LanceTier, tmp_path: Path) -> None:
    await wear(tier, ALICE, 20)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tier.compact_worn, 1)
        tasks.start_soon(tier.drop, ALICE)
        tasks.start_soon(tier.compact_worn, 1)
    assert not path_of(tmp_path, ALICE).exists()
    assert await tier.scan(ALICE) == []


def test_what_is_remembered_has_a_bound() -> None:
    worn = WornTables()
    for number in range(REMEMBERED + 10):
        worn.note(subject_named(str(number % (REMEMBERED + 5))))
    assert len(worn._written) == REMEMBERED


async def test_looking_has_a_bound() -> None:
    worn, looked = WornTables(), list[SubjectRef]()

    def path_of(subject: SubjectRef) -> Path:
        looked.append(subject)
        return Path("nowhere")

    async def compact(subject: SubjectRef) -> None:
        raise AssertionError(subject)

    for number in range(100):
        worn.note(subject_named(str(number)))
    assert await worn.compact(2, path_of, compact) == 0
    assert len(looked) == 2 * LOOKS_A_TABLE


def test_a_place_that_cannot_be_read_has_no_pieces(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    assert pieces_of(tmp_path / "file") == pieces_of(tmp_path / "nothing") == 0
