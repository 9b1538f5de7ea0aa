"""A hold's key lies under a key epoch: backups from before its release die with the epoch, a live hold outlives it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support import PURPOSE, consenting, opened, parts_of, sqlite_rows

from tiered_memory import TieredMemory
from tiered_memory.errors import NotFoundError
from tiered_memory.failpoints import KEY_POINTS
from tiered_memory.hold_keys import ACTIVE, HOLD_KEY, STORE
from tiered_memory.hold_model import HoldScope
from tiered_memory.register import Register
from tiered_memory.runtime import Parts

pytestmark = pytest.mark.anyio

LOCAL: dict[str, Any] = {"redis_url": "local"}
REVIEW = datetime(2199, 1, 1, tzinfo=UTC)
SCOPES = [
    HoldScope(tenant="acme"),
    HoldScope(tenant="acme", user="alice"),
    HoldScope(purpose=PURPOSE),
]


async def place(memory: TieredMemory, scope: HoldScope) -> None:
    await memory.holds.place("case-7", scope=scope, owner="counsel", reason="dispute 12", review_at=REVIEW)


async def held(memory: TieredMemory, scope: HoldScope) -> None:
    """Of alice there is a copy under a hold, and nothing else."""
    alice = await consenting(memory)
    await alice.add("the quagga is ours", importance=0.9)
    await memory.drain()
    await place(memory, scope)
    assert (await alice.erase(reason="asked")).retained


async def exported(memory: TieredMemory, target: Path) -> str:
    await memory.holds.export("case-7", target)
    return target.read_text()


async def key_fields(parts: Parts) -> list[dict[str, Any]]:
    found = await Register(parts.core).everywhere(HOLD_KEY, ACTIVE)
    return [dict(one.fields) for _, one in found if one is not None]


async def restored(archive: Path, target: Path, source: Path) -> None:
    """Everything there is besides the archive: the root key, the guards that live, the erased list."""
    await TieredMemory.restore(archive, target, erased_list=source / "erased.log")
    shutil.copytree(source / "keys", target / "keys", dirs_exist_ok=True)


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_backup_from_during_a_hold_dies_with_the_epoch(tmp_path: Path, scope: HoldScope) -> None:
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    async with opened(store, settings=LOCAL) as memory:
        await held(memory, scope)
        await memory.backup(archive)
        assert "quagga" in await exported(memory, tmp_path / "before")
        await memory.holds.release("case-7", "settled")
        await memory.keys.rotate()
    (store / "erased.log").write_bytes(b"")  # who has the archive does not apply it
    await restored(archive, fresh, store)
    async with opened(fresh, settings=LOCAL) as memory:
        [fields] = await key_fields(parts_of(memory))
        assert "secret" not in fields
        assert [one.kept for one in await memory.holds.list()] == [1]
        assert await exported(memory, tmp_path / "after") == ""
        assert await parts_of(memory).holds._vault.keys.of("case-7") == {}
        await memory.holds.release("case-7", "settled")


@pytest.mark.parametrize("scope", SCOPES)
async def test_the_same_backup_is_whole_while_the_epoch_lives(tmp_path: Path, scope: HoldScope) -> None:
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    async with opened(store, settings=LOCAL) as memory:
        await held(memory, scope)
        await memory.backup(archive)
    await restored(archive, fresh, store)
    async with opened(fresh, settings=LOCAL) as memory:
        assert "quagga" in await exported(memory, tmp_path / "after")


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_a_live_hold_goes_along_with_a_rotation(
    tmp_path: Path, scope: HoldScope, tenant: str | None
) -> None:
    async with opened(tmp_path / "store", settings=LOCAL) as memory:
        await held(memory, scope)
        await memory.keys.rotate(tenant)
        report = await memory.keys.rotate(tenant)
        assert (report.tenants, report.left) == (1, 0)
        [fields] = await key_fields(parts_of(memory))
        assert fields["epoch"] == 3
        assert len(sqlite_rows(tmp_path / "store", "epoch_keys")) == (2 if scope.tenant is None else 1)
        assert len(list((tmp_path / "store" / "keys" / "epochs").iterdir())) == len(
            sqlite_rows(tmp_path / "store", "epoch_keys")
        )
        assert "quagga" in await exported(memory, tmp_path / "now")
    async with opened(tmp_path / "store", settings=LOCAL) as memory:
        assert "quagga" in await exported(memory, tmp_path / "later")
        await (await consenting(memory, "bob")).add("the moa is ours", importance=0.9)


async def test_a_tenant_without_data_and_with_a_hold_is_rotated(tmp_path: Path) -> None:
    async with opened(tmp_path, settings=LOCAL) as memory:
        await place(memory, HoldScope(tenant="acme"))
        assert (await memory.keys.rotate("acme")).epochs_ended == 1
        await memory.holds.release("case-7", "settled")
        assert (await memory.keys.rotate("acme")).epochs_ended == 1
        with pytest.raises(NotFoundError):
            await memory.keys.rotate("nobody")


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_key_of_an_earlier_version_opens_and_is_wrapped_at_the_next_rotation(
    tmp_path: Path, scope: HoldScope
) -> None:
    async with opened(tmp_path / "store", settings=LOCAL) as memory:
        await place(memory, scope)
        await bare(parts_of(memory))
        alice = await consenting(memory)
        await alice.add("the quagga is ours", importance=0.9)
        await alice.erase(reason="asked")
        assert "quagga" in await exported(memory, tmp_path / "one")
        [before] = await key_fields(parts_of(memory))
        assert "wrapped" not in before
        await memory.keys.rotate()
        [after] = await key_fields(parts_of(memory))
        assert "secret" not in after
        assert after["id"] == before["id"]
    async with opened(tmp_path / "store", settings=LOCAL) as memory:
        assert "quagga" in await exported(memory, tmp_path / "two")


async def bare(parts: Parts) -> None:
    """Lay the only hold's key down as an earlier version did."""
    register = Register(parts.core)
    [(owner, entry)] = await register.everywhere(HOLD_KEY, ACTIVE)
    assert entry is not None
    await register.put_common(owner, replace(entry, fields={"id": b"i" * 16, "secret": b"s" * 32}))


async def test_a_restored_hold_whose_epoch_ended_goes_on_with_another_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    async with opened(store, settings=LOCAL) as memory:
        await held(memory, HoldScope(tenant="acme"))
        await memory.backup(archive)
        await memory.keys.rotate()
    await restored(archive, fresh, store)
    async with opened(fresh, settings=LOCAL) as memory:
        bob = await consenting(memory, "bob")
        await bob.add("the moa is ours", importance=0.9)
        assert (await bob.erase(reason="asked")).retained
        assert [one.kept for one in await memory.holds.list()] == [2]
        text = await exported(memory, tmp_path / "after")
        assert ("moa" in text, "quagga" in text) == (True, False)
        assert "1 record under a hold cannot be read" in caplog.text
        report = await memory.keys.rotate()
        assert report.left == 1
        assert (await memory.keys.rotate(discard_damaged=True)).left == 0
        assert "moa" in await exported(memory, tmp_path / "again")
        await memory.holds.release("case-7", "settled")
        assert await key_fields(parts_of(memory)) == []


# --- killed --------------------------------------------------------------------------------------------------

ACT = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {here!r}]
from support import opened
from test_hold_keys import SCOPES, held

async def main():
    async with opened(Path({data!r}), settings={{"redis_url": "local"}}) as memory:
        await held(memory, SCOPES[{which}])
        await memory.keys.rotate()
asyncio.run(main())
"""


CASES = [(point, 2) for point in KEY_POINTS if point != "keys.after_batch"]


def killed(store: Path, point: str, which: int) -> None:
    here = Path(__file__).parent
    code = ACT.format(tests=str(here.parent), here=str(here), data=str(store), which=which)
    env = {**os.environ, "TIERED_MEMORY_FAILPOINT": point}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize(("point", "which"), [*CASES, ("keys.before_end", 0), ("keys.after_end", 0)])
async def test_a_rotation_that_was_killed_keeps_what_is_held(tmp_path: Path, point: str, which: int) -> None:
    store = tmp_path / "store"
    killed(store, point, which)
    async with opened(store, settings=LOCAL) as memory:
        assert "quagga" in await exported(memory, tmp_path / "one")
        await memory.keys.rotate()
        assert "quagga" in await exported(memory, tmp_path / "two")
        tenant = STORE if which == 2 else parts_of(memory).core.names.tenant("acme")
        states = [one.state for one in await memory.keys.status() if one.tenant == tenant.hex()]
        assert set(states) == {"ended", "current"}
        assert states.count("current") == 1
