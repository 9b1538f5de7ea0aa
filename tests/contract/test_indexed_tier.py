"""The cold tier of indexed mode on the real engine: the contract, its candidates, and what it reveals and takes back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from tiered_memory.testing import TierContract, record_numbered, subject_named
from tiered_memory.tiers.base import Probe, Revealed, SubjectRef, TierRecord
from tiered_memory.tiers.durable_files import files_below
from tiered_memory.tiers.indexed_tier import FLAT_LIMIT, IndexedTier
from tiered_memory.tiers.lance_tier import LanceTier

pytestmark = pytest.mark.anyio

DIMENSIONS = 32
ALICE = subject_named("alice")


def table_name(subject: SubjectRef) -> str:
    return f"{subject.pseudonym.hex()}-{subject.incarnation.hex()}"


def vector_of(payload: bytes) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    seed = np.random.default_rng(int.from_bytes(hashlib.sha256(payload).digest()[:8], "big"))
    return seed.normal(size=DIMENSIONS).astype(np.float32)


def token_of(payload: bytes) -> str:
    return hashlib.sha256(b"token" + payload).hexdigest()


async def reveal(subject: SubjectRef, records: Sequence[TierRecord]) -> list[Revealed]:
    del subject
    return [Revealed(vector_of(one.payload), ("common", token_of(one.payload))) for one in records]


def indexed(folder: Path) -> IndexedTier:
    tier = IndexedTier(folder / "cold", table_name, embedder="test-embedder", dimensions=DIMENSIONS)
    tier.reveal = reveal
    return tier


def sealed(folder: Path) -> LanceTier:
    return LanceTier(folder / "cold", table_name, embedder="test-embedder")


@pytest.fixture
async def tier(tmp_path: Path) -> AsyncIterator[IndexedTier]:
    tier = indexed(tmp_path)
    yield tier
    await tier.close()


def numbered(count: int) -> list[TierRecord]:
    return [record_numbered(order, payload=b"payload %d" % order) for order in range(1, count + 1)]


def orders_of(records: Sequence[TierRecord]) -> set[int]:
    return {record.order for record in records}


class TestIndexedTier(TierContract):
    capacity = 300


async def test_a_probe_finds_by_vector_and_by_token_and_brings_the_neighbours(tier: IndexedTier) -> None:
    records = numbered(100)
    await tier.put(ALICE, records)
    by_vector, by_token = records[19].payload, records[79].payload
    probe = Probe(vector_of(by_vector), [token_of(by_token), "unheard-of"], limit=1)
    assert orders_of(await tier.probe(ALICE, probe)) == {19, 20, 21, 79, 80, 81}


async def test_what_was_added_after_the_index_was_made_is_found(tier: IndexedTier) -> None:
    records = numbered(60)
    await tier.put(ALICE, records[:30])
    for record in records[30:]:
        await tier.put(ALICE, [record])
    for record in (records[0], records[45], records[-1]):
        found = await tier.probe(ALICE, Probe(vector_of(b"else"), [token_of(record.payload)], limit=3))
        assert record in found


async def test_a_question_without_terms_and_a_subject_without_rows(tier: IndexedTier) -> None:
    assert await tier.probe(ALICE, Probe(vector_of(b"x"), ["a"], limit=5)) == []
    assert await tier.fetch(ALICE, [record_numbered(1).id]) == []
    await tier.put(ALICE, numbered(3))
    assert len(await tier.probe(ALICE, Probe(vector_of(b"x"), [], limit=5))) == 3


async def test_rows_are_fetched_by_id(tier: IndexedTier) -> None:
    records = numbered(9)
    await tier.put(ALICE, records)
    wanted = [records[2].id, records[7].id, record_numbered(99).id]
    assert orders_of(await tier.fetch(ALICE, wanted)) == {3, 8}
    assert await tier.fetch(ALICE, []) == []


async def test_removed_rows_are_no_candidates_and_nothing_of_them_is_in_a_file(
    tier: IndexedTier, tmp_path: Path
) -> None:
    records = [record_numbered(order, payload=os.urandom(64)) for order in range(1, 81)]
    await tier.put(ALICE, records)
    gone = records[10:14]
    await tier.remove(ALICE, [record.id for record in gone])
    for record in gone:
        probe = Probe(vector_of(record.payload), [token_of(record.payload)], limit=80)
        assert orders_of(await tier.probe(ALICE, probe)) == orders_of(records) - orders_of(gone)
    assert _vectors_in(tmp_path, gone) == []
    assert _vectors_in(tmp_path, records[:1]) == [records[0].order]
    stored = b"".join(path.read_bytes() for path in files_below(tmp_path))
    assert not any(one.payload in stored or token_of(one.payload).encode() in stored for one in gone)


async def test_the_index_of_terms_is_made_anew_after_a_removal(tier: IndexedTier, tmp_path: Path) -> None:
    """Its words are packed so that no search in the bytes would find one: a new file is the proof."""
    await tier.put(ALICE, numbered(30))
    await tier.probe(ALICE, Probe(vector_of(b"x"), ["common"], limit=1))
    before = _indexes(tmp_path)
    await tier.remove(ALICE, [record_numbered(7).id])
    assert len(await tier.probe(ALICE, Probe(vector_of(b"x"), ["common"], limit=100))) == 29
    assert len(before) == len(_indexes(tmp_path)) == 1
    assert before.isdisjoint(_indexes(tmp_path))


async def test_a_table_of_sealed_rows_gets_its_columns_when_it_is_first_used(tmp_path: Path) -> None:
    records = numbered(40)
    await sealed(tmp_path).put(ALICE, records)
    tier = indexed(tmp_path)
    found = await tier.probe(ALICE, Probe(vector_of(records[4].payload), [], limit=1))
    assert records[4] in found
    assert records[30] in await tier.probe(
        ALICE, Probe(vector_of(b"x"), [token_of(records[30].payload)], limit=1)
    )
    assert sorted(orders_of(await tier.scan(ALICE))) == list(range(1, 41))


async def test_without_indexed_mode_what_was_revealed_goes_from_the_files(tmp_path: Path) -> None:
    records = [record_numbered(order, payload=os.urandom(64)) for order in range(1, 41)]
    tier = indexed(tmp_path)
    await tier.put(ALICE, records)
    await tier.compact(ALICE)
    assert _vectors_in(tmp_path, records[:3]) == [1, 2, 3]
    again = sealed(tmp_path)
    assert {record.id: record for record in await again.scan(ALICE)} == {r.id: r for r in records}
    assert _vectors_in(tmp_path, records) == []
    assert not (tmp_path / "cold" / f"{table_name(ALICE)}.lance" / "_indices").exists() or not _indexes(
        tmp_path
    )
    await again.put(ALICE, [record_numbered(41)])
    assert len(await again.scan(ALICE)) == 41


async def test_many_rows_get_an_index_of_vectors(tier: IndexedTier, tmp_path: Path) -> None:
    records = numbered(FLAT_LIMIT + 1)
    await tier.put(ALICE, records)
    await tier.compact(ALICE)
    assert len(_indexes(tmp_path)) == 2
    for order in (1, 5_000, FLAT_LIMIT):
        wanted = records[order - 1]
        assert wanted in await tier.probe(ALICE, Probe(vector_of(wanted.payload), [], limit=5))


def _vectors_in(folder: Path, records: Sequence[TierRecord]) -> list[int]:
    """Return the orders of the records whose vector is in some file."""
    stored = b"".join(path.read_bytes() for path in files_below(folder))
    return [one.order for one in records if vector_of(one.payload).tobytes() in stored]


def _indexes(folder: Path) -> set[str]:
    return {path.name for path in (folder / "cold" / f"{table_name(ALICE)}.lance" / "_indices").iterdir()}
