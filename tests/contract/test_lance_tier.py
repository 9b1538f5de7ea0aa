"""The cold tier on the real engine: the contract, and what Lance alone does not promise."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tiered_memory.errors import ColdTierError
from tiered_memory.testing import TierContract, record_numbered, subject_named
from tiered_memory.tiers.base import SubjectRef
from tiered_memory.tiers.durable_files import files_below
from tiered_memory.tiers.lance_tier import LanceTier

pytestmark = pytest.mark.anyio


def table_name(subject: SubjectRef) -> str:
    return f"{subject.pseudonym.hex()}-{subject.incarnation.hex()}"


@pytest.fixture
async def tier(tmp_path: Path) -> AsyncIterator[LanceTier]:
    tier = LanceTier(tmp_path / "cold", table_name, embedder="test-embedder")
    yield tier
    await tier.close()


class TestLanceTier(TierContract):
    capacity = 300


async def test_a_second_handle_finds_what_the_first_put(tier: LanceTier, tmp_path: Path) -> None:
    alice = subject_named("alice")
    await tier.put(alice, [record_numbered(1)])
    other = LanceTier(tmp_path / "cold", table_name, embedder="test-embedder")
    assert await other.scan(alice) == [record_numbered(1)]


async def test_removed_payloads_are_in_no_file(tier: LanceTier, tmp_path: Path) -> None:
    alice = subject_named("alice")
    secrets = [os.urandom(64) for _ in range(40)]
    for order, secret in enumerate(secrets):
        await tier.put(alice, [record_numbered(order, payload=secret)])
    gone = range(0, 40, 3)
    assert await tier.remove(alice, [record_numbered(order).id for order in gone]) == len(gone)
    stored = b"".join(path.read_bytes() for path in files_below(tmp_path))
    assert [order for order in gone if secrets[order] in stored] == []
    assert len(await tier.scan(alice)) == 40 - len(gone)


async def test_one_removed_of_many_leaves_no_bytes(tier: LanceTier, tmp_path: Path) -> None:
    """A tenth or less of a fragment's rows: the engine's own compaction would keep them."""
    alice = subject_named("alice")
    secret = os.urandom(64)
    others = [record_numbered(order, payload=os.urandom(64)) for order in range(200)]
    await tier.put(alice, [*others, record_numbered(200, payload=secret)])
    await tier.remove(alice, [record_numbered(200).id])
    assert not any(secret in path.read_bytes() for path in files_below(tmp_path))
    assert await tier.scan(alice) == others[::-1]


async def test_dropping_leaves_no_files(tier: LanceTier, tmp_path: Path) -> None:
    alice = subject_named("alice")
    await tier.put(alice, [record_numbered(order) for order in range(5)])
    leftover = tmp_path / "cold" / f"{table_name(alice)}.lance" / "data" / ".tmp-of-a-killed-writer"
    leftover.write_bytes(b"x")
    assert tier.exists(alice)
    assert await tier.drop(alice) == 5
    assert not tier.exists(alice)
    assert files_below(tmp_path / "cold") == []


async def test_a_stale_handle_cannot_bring_a_dropped_table_back(tmp_path: Path) -> None:
    """Two handles on one directory: the second one's put makes a new table under the name it means, or fails."""
    alice = subject_named("alice")
    first = LanceTier(tmp_path / "cold", table_name, embedder="test-embedder")
    second = LanceTier(tmp_path / "cold", table_name, embedder="test-embedder")
    await first.put(alice, [record_numbered(1)])
    assert await second.scan(alice) == [record_numbered(1)]
    await first.drop(alice)
    reborn = SubjectRef(alice.pseudonym, 1, b"another incarnat")
    await first.put(reborn, [record_numbered(2)])
    assert await first.scan(reborn) == [record_numbered(2)]


async def test_a_damaged_table_is_a_typed_error_and_can_be_dropped(tier: LanceTier, tmp_path: Path) -> None:
    alice, bob = subject_named("alice"), subject_named("bob")
    await tier.put(alice, [record_numbered(1)])
    await tier.put(bob, [record_numbered(2)])
    await tier.close()
    for path in files_below(tmp_path / "cold" / f"{table_name(alice)}.lance"):
        path.write_bytes(b"damaged")
    with pytest.raises(ColdTierError):
        await tier.scan(alice)
    assert await tier.scan(bob) == [record_numbered(2)]
    await tier.drop(alice)
    assert not tier.exists(alice)


async def test_leftovers_of_killed_writers_are_swept(tier: LanceTier, tmp_path: Path) -> None:
    alice = subject_named("alice")
    await tier.put(alice, [record_numbered(order) for order in range(3)])
    table = tmp_path / "cold" / f"{table_name(alice)}.lance"
    leftovers = [table / "data" / ".tmp123", table / "_versions" / "7.manifest#1"]
    for leftover in leftovers:
        leftover.write_bytes(b"secret")
    await tier.remove(alice, [record_numbered(1).id])
    assert not any(leftover.exists() for leftover in leftovers)


async def test_many_puts_compact_by_themselves(tmp_path: Path) -> None:
    tier = LanceTier(tmp_path / "cold", table_name, embedder="test-embedder", compact_every_puts=10)
    alice = subject_named("alice")
    for order in range(30):
        await tier.put(alice, [record_numbered(order)])
    assert len(files_below(tmp_path / "cold")) < 10
    assert len(await tier.scan(alice)) == 30


async def test_scans_and_removals_of_one_table_do_not_disturb_each_other(tier: LanceTier) -> None:
    alice = subject_named("alice")
    await tier.put(alice, [record_numbered(order) for order in range(60)])

    async def remove(start: int) -> None:
        await tier.remove(alice, [record_numbered(order).id for order in range(start, start + 5)])

    async def look() -> None:
        orders = {record.order for record in await tier.scan(alice)}
        assert set(range(40, 60)) <= orders

    async with anyio.create_task_group() as tasks:
        for start in range(0, 40, 5):
            tasks.start_soon(remove, start)
            tasks.start_soon(look)
            tasks.start_soon(tier.put, alice, [record_numbered(100 + start)])
    assert {r.order for r in await tier.scan(alice)} == set(range(40, 60)) | {
        100 + s for s in range(0, 40, 5)
    }


async def test_what_put_returned_for_was_fsynced(tmp_path: Path, fsynced: set[str]) -> None:
    tier = LanceTier(tmp_path / "cold", table_name, embedder="test-embedder")
    await tier.put(subject_named("alice"), [record_numbered(1)])
    written = {str(path) for path in files_below(tmp_path / "cold")}
    assert written
    assert written <= fsynced
    assert str(tmp_path / "cold") in fsynced


@pytest.fixture
def fsynced(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every path that reaches the operating system's fsync, through the real call."""
    seen: set[str] = set()
    real = os.fsync

    def watched(descriptor: int) -> None:
        seen.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    return seen
