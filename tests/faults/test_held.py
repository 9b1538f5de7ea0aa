"""Holds when something breaks: a full disk, a restored backup, a tier that cannot be read, a damaged key."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support import PURPOSE, consenting, contents, opened, parts_of, sqlite_rows, state_of
from test_degraded_disk import DISK_MIB, SETTINGS, fill, mounted

from tiered_memory import TieredMemory
from tiered_memory.errors import ColdTierError, CorruptionError, NotFoundError
from tiered_memory.hold_model import HoldScope

pytestmark = pytest.mark.anyio
LOCAL = {"redis_url": "local"}
REVIEW = datetime(2199, 1, 1, tzinfo=UTC)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", DISK_MIB) as disk:
        yield disk


async def held(memory: TieredMemory, user: str = "alice") -> Any:
    face = await consenting(memory, user)
    await face.add(f"{user} decided on plan 4", importance=0.9)
    await memory.drain()
    scope = HoldScope(tenant="acme", user=user)
    await memory.holds.place("case-7", scope=scope, owner="counsel", reason="claim", review_at=REVIEW)
    return face


async def test_an_erasure_under_a_hold_is_carried_out_on_a_full_disk(disk: Path) -> None:
    async with opened(disk / "data", settings=SETTINGS) as memory:
        alice = await held(memory)
        fill(disk)
        certificate = await alice.erase(reason="asked")
        assert certificate.verified
        assert certificate.retained[0].startswith("1 memory")
        assert await contents(memory.user("alice", tenant="acme")) == []
        assert [one.kept for one in await memory.holds.list()] == [1]


async def test_a_deletion_and_a_release_are_carried_out_on_a_full_disk(disk: Path) -> None:
    async with opened(disk / "data", settings=SETTINGS) as memory:
        alice = await held(memory)
        fill(disk)
        await alice.delete((await alice.list())[0].id)
        assert await contents(alice) == []
        await memory.holds.release("case-7", "settled")
        assert sqlite_rows(disk / "data", "memories") == []


async def restored(archive: Path, target: Path, source: Path) -> None:
    await TieredMemory.restore(archive, target, erased_list=source / "erased.log")
    shutil.copytree(source / "keys", target / "keys", dirs_exist_ok=True)


async def test_a_restore_does_not_bring_back_what_a_release_removed(tmp_path: Path) -> None:
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    async with opened(store, settings=LOCAL) as memory:
        alice = await held(memory)
        await alice.erase(reason="asked")
        await memory.backup(archive)
        await memory.holds.release("case-7", "settled")
    await restored(archive, fresh, store)
    async with opened(fresh, settings=LOCAL) as memory:
        # The backup is older than the release: the hold is in force in it, and keeps nothing any more.
        assert [one.kept for one in await memory.holds.list()] == [0]


async def test_an_erasure_that_is_applied_again_keeps_what_is_held(tmp_path: Path) -> None:
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    async with opened(store, settings=LOCAL) as memory:
        alice = await held(memory)
        await alice.add("alice: still in the journal", importance=0.9)
        await memory.backup(archive)
        await alice.erase(reason="asked")
    await restored(archive, fresh, store)
    async with opened(fresh, settings=LOCAL) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == []
        assert [one.kept for one in await memory.holds.list()] == [2]


async def test_without_cold_nothing_is_erased_that_would_have_to_be_kept(data: Path) -> None:
    async with opened(data) as memory:
        alice = await held(memory)
        cold = parts_of(memory).core.cold
        scan = cold.scan

        async def broken(_ref: object) -> Any:
            raise ColdTierError

        cold.scan = broken  # type: ignore[method-assign]
        with pytest.raises(ColdTierError):
            await alice.erase(reason="asked")
        cold.scan = scan  # type: ignore[method-assign]
        alice = memory.user("alice", tenant="acme")
        assert await contents(alice) == ["alice decided on plan 4"]
        assert (await alice.erase(reason="asked")).retained[0].startswith("1 memory")


async def test_a_damaged_hold_key_stops_what_it_would_have_to_keep(data: Path) -> None:
    async with opened(data) as memory:
        await held(memory)
    with contextlib.closing(state_of(data)) as db:
        db.execute("UPDATE register SET sealed = zeroblob(length(sealed)) WHERE kind = 'hold_key'")
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        with pytest.raises(CorruptionError, match="release the hold"):
            await alice.consent.withdraw(PURPOSE)
        assert len(await contents(alice)) == 1
        await memory.holds.release("case-7", "its key is damaged")
        assert (await alice.erase(reason="asked")).retained == ()
        with pytest.raises(NotFoundError):
            await memory.holds.export("case-7", data / "out.jsonl")


async def test_what_was_damaged_before_is_not_told_to_be_kept(data: Path) -> None:
    async with opened(data) as memory:
        alice = await held(memory)
        core = parts_of(memory).core
        scan = core.cold.scan

        async def lost(_ref: object) -> Any:
            return []

        core.cold.scan = lost  # type: ignore[method-assign]
        core.holds.enter("case-7", next(iter(core.holds.scopes())))
        certificate = await alice.erase(reason="asked")
        core.cold.scan = scan  # type: ignore[method-assign]
        assert certificate.retained == ()
