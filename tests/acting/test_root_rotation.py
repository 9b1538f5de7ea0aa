"""A new root key takes the old one's place: all of a store opens with it alone, and nothing from before opens."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import vault_server
from support import consenting, contents, opened, parts_of, sqlite_rows, state_of

from tiered_memory import TieredMemory
from tiered_memory.clock import SeededEntropy
from tiered_memory.config import load_settings
from tiered_memory.crypto.keyring import GUARDED_FORMAT, Keyring
from tiered_memory.crypto.kms import read_root_key
from tiered_memory.errors import (
    ConfigurationError,
    RootKeyError,
    StateStoreError,
    StorageError,
    TenantUnavailableError,
)
from tiered_memory.failpoints import ROOT_POINTS, arm
from tiered_memory.key_keeping import escrow_keys, recover_keys, rotate_root
from tiered_memory.state import commands as c

pytestmark = pytest.mark.anyio

LOCAL: dict[str, Any] = {"redis_url": "local"}
WORDS = "correct horse battery staple"
N = 2**10


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("hvac")
    with vault_server.running() as address:
        monkeypatch.setenv("VAULT_ADDR", address)
        monkeypatch.setenv("VAULT_TOKEN", vault_server.TOKEN)
        monkeypatch.setenv("NO_PROXY", "*")
        yield "vault:transit/memory"


async def fill(memory: TieredMemory) -> None:
    """`shared` lies in the store, `moderate` apart under the same root key, `strict` apart under its own."""
    for tenant in ("moderate", "strict"):
        await memory.tenants.register(tenant, isolation=tenant)
    for tenant in ("shared", "moderate", "strict"):
        await (await consenting(memory, tenant=tenant)).add(f"kept by {tenant}", importance=0.9)
    await memory.drain()


async def check_readable(store: Path, **more: Any) -> None:
    async with opened(store, settings={**LOCAL, **more}) as memory:
        for tenant in ("shared", "moderate", "strict"):
            assert await contents(memory.user("alice", tenant=tenant)) == [f"kept by {tenant}"]
            newcomer = await consenting(memory, "bob", tenant)
            assert await newcomer.damaged() == []


def key_files(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "keys").iterdir())


def roots(store: Path) -> list[bytes]:
    return sorted(read_root_key(path) for path in store.rglob("root.key"))


async def test_every_store_opens_with_its_new_root_key_alone(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await fill(memory)
        before = roots(store)
        report = await memory.keys.rotate_root()
        assert (report.stores, report.epochs, report.guarded, report.left) == (3, 3, 0, 0)
        await (await consenting(memory, "carol", "newcomers")).add("after it", importance=0.9)
        assert not parts_of(memory).core.keyring.turning
        for tenant in ("shared", "moderate", "strict"):
            assert (await memory.tenants.ledger(tenant).verify()).sound
    assert not set(before) & set(roots(store))
    assert len(roots(store)) == 2
    assert key_files(store) == ["epochs", "root.key"]
    assert oct((store / "keys" / "root.key").stat().st_mode & 0o777) == "0o400"
    leaves = b"".join(row["leaf"] for row in sqlite_rows(store, "audit"))
    assert leaves.count(b'"event":"root_rotated"') == 1
    for root in before:
        with pytest.raises(RootKeyError):
            Keyring(root, SeededEntropy(1)).open_state_key((store / "state.key").read_bytes())
    await check_readable(store)
    assert (await rotate_root(load_settings(data_dir=store, **LOCAL))).stores == 3
    await check_readable(store)


async def test_archives_and_escrow_files_from_before_open_nothing(store: Path, tmp_path: Path) -> None:
    settings = load_settings(data_dir=store, **LOCAL)
    async with opened(store, settings=LOCAL) as memory:
        await fill(memory)
        await memory.backup(tmp_path / "old")
    escrow_keys(settings, tmp_path / "escrow", WORDS, n=N)
    async with opened(store, settings=LOCAL) as memory:
        await memory.keys.rotate_root()
        await memory.backup(tmp_path / "new")
    with pytest.raises(RootKeyError, match="another one"):
        recover_keys(settings, tmp_path / "escrow", WORDS)
    for name in ("old", "new"):
        await TieredMemory.restore(tmp_path / name, tmp_path / f"from-{name}")
        shutil.copytree(store / "keys", tmp_path / f"from-{name}" / "keys")
    with pytest.raises(RootKeyError, match="does not open this store"):
        async with opened(tmp_path / "from-old", settings=LOCAL):
            pass
    async with opened(tmp_path / "from-new", settings=LOCAL) as memory:
        assert await contents(memory.user("alice", tenant="shared")) == ["kept by shared"]


async def test_an_epoch_without_a_guard_gets_one(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        parts = parts_of(memory)
        guards, parts.core.keyring._guards = parts.core.keyring._guards, None
        await (await consenting(memory)).add("from before guards", importance=0.9)
        parts.core.keyring._guards = guards
        assert [row["format"] for row in sqlite_rows(store, "epoch_keys")] == [1]
        report = await memory.keys.rotate_root()
        assert (report.epochs, report.guarded) == (1, 1)
        assert [row["format"] for row in sqlite_rows(store, "epoch_keys")] == [GUARDED_FORMAT]
        assert (await memory.keys.rotate()).unguarded == 0
    async with opened(store, settings=LOCAL) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == ["from before guards"]


async def test_work_and_rotations_go_on_meanwhile(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await fill(memory)
        done = anyio.Event()

        async def newcomers() -> None:
            number = 0
            while not done.is_set() or number < 5:
                user = await consenting(memory, "alice", f"tenant {number}")
                await user.add("I came meanwhile", importance=0.9)
                number += 1

        async def epochs_end() -> None:
            while not done.is_set():
                await memory.keys.rotate("shared")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(newcomers)
            tasks.start_soon(epochs_end)
            for _ in range(3):
                await memory.keys.rotate_root()
            done.set()
    await check_readable(store)
    async with opened(store, settings=LOCAL) as memory:
        for number in range(5):
            assert await contents(memory.user("alice", tenant=f"tenant {number}")) == ["I came meanwhile"]
        assert "unreadable" not in {one.state for one in await memory.keys.status()}


# --- cut short -----------------------------------------------------------------------------------------------

ACT = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {here!r}]
from support import opened
from test_root_rotation import fill

async def main():
    async with opened(Path({data!r}), settings={{"redis_url": "local"}}) as memory:
        await fill(memory)
        await memory.keys.rotate_root()
asyncio.run(main())
"""
CASES = [
    *ROOT_POINTS,
    "root.after_next:2",
    "root.after_commit:2",
    "root.after_state_key:2",
    "root.after_done:2",
]


def killed(store: Path, point: str) -> None:
    here = Path(__file__).parent
    code = ACT.format(tests=str(here.parent), here=str(here), data=str(store))
    env = {**os.environ, "TIERED_MEMORY_FAILPOINT": point}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize("point", CASES)
async def test_killed_anywhere_it_is_finished_when_the_store_opens(store: Path, point: str) -> None:
    killed(store, point)
    if point.startswith(("root.after_done", "root.after_destroy")) and point[-1] != "2":
        assert (store / "keys" / "root.key.done").exists()
    await check_readable(store)
    left = [path for path in store.rglob("*") if path.suffix in {".next", ".done"}]
    assert left == []
    with state_of(store) as db:  # the root key that is there opens it alone
        assert db.execute("SELECT COUNT(*) FROM epoch_keys").get >= 1
    await check_readable(store)


async def test_while_it_is_half_done_its_keys_are_not_handed_out(store: Path, tmp_path: Path) -> None:
    killed(store, "root.after_commit")
    settings = load_settings(data_dir=store, **LOCAL)
    with pytest.raises(RootKeyError, match="open the store once"):
        escrow_keys(settings, tmp_path / "escrow", WORDS, n=N)
    await check_readable(store)
    assert escrow_keys(settings, tmp_path / "escrow", WORDS, n=N).root


@pytest.mark.parametrize("point", ["root.after_next", "root.after_commit", "root.after_done"])
@pytest.mark.parametrize("failure", [StateStoreError("no"), OSError("disk")])
async def test_what_an_engine_refused_the_same_call_finishes(
    store: Path, point: str, failure: Exception
) -> None:
    def refuse(reached: str) -> None:
        if reached == point:
            raise failure

    async with opened(store, settings=LOCAL) as memory:
        await fill(memory)
        before = roots(store)
        arm(refuse)
        try:
            with pytest.raises(StorageError):
                await memory.keys.rotate_root()
        finally:
            arm(None)
        await (await consenting(memory, "dan", "between")).add("written between", importance=0.9)
        await memory.keys.rotate_root()
        assert not set(before) & set(roots(store))
    await check_readable(store)
    async with opened(store, settings=LOCAL) as memory:
        assert await contents(memory.user("dan", tenant="between")) == ["written between"]


# --- refused -------------------------------------------------------------------------------------------------


async def test_a_directory_that_needs_the_key_must_be_open(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await fill(memory)
        shared, strict = (memory.tenants.directory(one) for one in ("moderate", "strict"))
    before = roots(store)
    for directory, message in ((shared, "nothing was changed"), (strict, "the others' were changed")):
        shutil.move(directory / "state.key", store / "aside.key")
        async with opened(store, settings=LOCAL) as memory:
            with pytest.raises(TenantUnavailableError, match=message):
                await memory.keys.rotate_root()
        shutil.move(store / "aside.key", directory / "state.key")
        assert len(set(before) & set(roots(store))) == (2 if directory == shared else 1)
    await check_readable(store)


async def test_half_done_it_waits_for_a_directory_that_needs_both_keys(store: Path) -> None:
    killed(store, "root.after_commit")
    [shut] = [one for one in (store / "tenants").iterdir() if not (one / "keys").exists()]
    shutil.move(shut / "state.key", store / "aside.key")
    async with opened(store, settings=LOCAL) as memory:
        assert await contents(memory.user("alice", tenant="shared")) == ["kept by shared"]
        assert (store / "keys" / "root.key.next").exists()
    shutil.move(store / "aside.key", shut / "state.key")
    await check_readable(store)
    assert key_files(store) == ["epochs", "root.key"]


async def test_a_root_key_from_outside_is_not_changed(store: Path) -> None:
    given = {**LOCAL, "root_key_provider": "env", "root_key": SeededEntropy(3).token(32).hex()}
    async with opened(store, settings=given) as memory:
        await (await consenting(memory)).add("kept", importance=0.9)
        with pytest.raises(RootKeyError, match="given from outside"):
            await memory.keys.rotate_root()
        master = await parts_of(memory).core.state.read(c.GetMeta("master"))
    async with opened(store, settings=given) as memory:
        assert await parts_of(memory).core.state.read(c.GetMeta("master")) == master
    with pytest.raises(ConfigurationError, match="no memory"):
        await rotate_root(load_settings(data_dir=store / "nothing"))


async def test_a_root_key_that_a_service_wraps_is_changed_there(store: Path, vault: str) -> None:
    given = {**LOCAL, "root_key_provider": vault}
    async with opened(store, settings=given) as memory:
        await fill(memory)
        before = (store / "keys" / "root.wrapped").read_bytes()
        await memory.keys.rotate_root()
    assert key_files(store) == ["epochs", "root.wrapped"]
    assert (store / "keys" / "root.wrapped").read_bytes() != before
    await check_readable(store, root_key_provider=vault)


async def test_a_key_that_does_not_come_back_changes_nothing(
    store: Path, vault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**LOCAL, "root_key_provider": vault}
    async with opened(store, settings=given) as memory:
        await (await consenting(memory)).add("kept", importance=0.9)
        with monkeypatch.context() as patched:
            patched.setenv("VAULT_TOKEN", "s.other")
            with pytest.raises(RootKeyError, match="refused"):
                await memory.keys.rotate_root()
        assert key_files(store) == ["epochs", "root.wrapped"]
    async with opened(store, settings=given) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == ["kept"]
