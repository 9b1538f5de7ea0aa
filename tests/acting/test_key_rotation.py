"""Rotation goes on beside reads and writes, loses nothing, and is the end of every backup from before it."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import consenting, contents, opened, parts_of, sqlite_rows, state_of

from tiered_memory import TieredMemory
from tiered_memory.clock import SystemEntropy, to_us
from tiered_memory.crypto.envelope import SealingKey
from tiered_memory.crypto.keyring import EpochRecord, Keyring
from tiered_memory.crypto.kms import read_root_key
from tiered_memory.errors import (
    CorruptionError,
    EpochEndedError,
    KeyUnavailableError,
    NotFoundError,
    RootKeyError,
    SubjectErasedError,
)
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.state import commands as c
from tiered_memory.state.epochs import EndEpoch, KeysUnder

pytestmark = pytest.mark.anyio

LOCAL: dict[str, Any] = {"redis_url": "local"}
USERS = [f"user {number}" for number in range(6)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


async def fill(memory: TieredMemory, tenant: str = "acme") -> None:
    for name in USERS:
        user = await consenting(memory, name, tenant)
        await user.add(f"{name} decided on the blue plan", session="s", importance=0.9)


def guards(store: Path) -> list[Path]:
    return sorted((store / "keys" / "epochs").iterdir())


def epochs(store: Path) -> list[int]:
    return [row["epoch"] for row in sqlite_rows(store, "epoch_keys")]


async def test_a_rotation_moves_every_key_and_seals_nothing_anew(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await fill(memory)
        await memory.drain()
        before, old = sqlite_rows(store, "data_keys"), guards(store)
        heard: list[tuple[int, int]] = []
        report = await memory.keys.rotate(progress=lambda done, of: heard.append((done, of)))
        after = sqlite_rows(store, "data_keys")
        assert (report.tenants, report.subjects, report.keys) == (1, len(USERS), len(before))
        assert (report.epochs_ended, report.left, report.unguarded) == (1, 0, 0)
        assert heard[-1] == (len(before), len(before))
        assert {row["key_id"] for row in after} == {row["key_id"] for row in before}
        assert ({row["epoch"] for row in before}, {row["epoch"] for row in after}) == ({1}, {2})
        assert epochs(store) == [2]
        assert not set(guards(store)) & set(old)
        events = [leaf["leaf"] for leaf in sqlite_rows(store, "audit")]
        for event in (AuditEvent.EPOCH_BEGUN, AuditEvent.EPOCH_ENDED):
            assert sum(f'"event":"{event}"'.encode() in leaf for leaf in events) == 1
        assert (await memory.ledger.verify()).sound
    async with opened(store, settings=LOCAL) as memory:
        for name in USERS:
            user = memory.user(name, tenant="acme")
            assert await contents(user) == [f"{name} decided on the blue plan"]
            assert await user.damaged() == []


async def test_reads_and_writes_go_on_meanwhile(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await fill(memory)
        done = anyio.Event()
        added = dict.fromkeys(USERS, 0)

        async def go_on(name: str) -> None:
            user = memory.user(name, tenant="acme")
            while not done.is_set() or added[name] < 3:
                await user.add(f"note {added[name]}", importance=0.9)
                added[name] += 1
                assert await user.search("which plan", limit=1)
                parts_of(memory).directory.forget(await parts_of(memory).directory.touch(user.subject))

        async def newcomers() -> None:
            number = 0
            while not done.is_set() or number < 3:
                user = await consenting(memory, f"newcomer {number}")
                await user.add("I came while keys were changing", importance=0.9)
                number += 1

        async with anyio.create_task_group() as tasks:
            for name in USERS[:3]:
                tasks.start_soon(go_on, name)
            tasks.start_soon(newcomers)
            for _ in range(5):
                await memory.keys.rotate()
            done.set()
        assert epochs(store) == [6]
        assert {row["epoch"] for row in sqlite_rows(store, "data_keys")} == {6}
    async with opened(store, settings=LOCAL) as memory:
        for name in USERS[:3]:
            assert len(await contents(memory.user(name, tenant="acme"))) == 1 + added[name]


async def test_one_tenant_is_rotated_alone(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await fill(memory, "acme")
        await fill(memory, "other")
        assert (await memory.keys.rotate("other")).tenants == 1
        states = [(one.epoch, one.state) for one in await memory.keys.status()]
        assert sorted(states) == [(1, "current"), (1, "ended"), (2, "current")]
        with pytest.raises(NotFoundError, match="holds nothing"):
            await memory.keys.rotate("nobody")
        await memory.keys.rotate()
        assert sorted(epochs(store)) == [2, 3]


async def test_an_erasure_during_a_rotation_wins(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await fill(memory)
        core = parts_of(memory).core
        tenant = core.names.tenant("acme")
        epochs_of = parts_of(memory).directory.epochs
        new = await epochs_of.begin(tenant)
        rows = await core.state.read(KeysUnder(tenant, 1, (b"", ""), 100))
        await memory.user(USERS[0], tenant="acme").erase(reason="request")
        await memory.keys.rotate()
        held = {row["subject"] for row in sqlite_rows(store, "data_keys")}
        assert (new.epoch, len(held)) == (2, len(USERS) - 1)
        assert len({row.subject for row in rows}) == len(USERS)
    assert epochs(store) == [3]


async def test_a_key_made_for_an_epoch_that_has_ended_is_made_again(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        alice = await consenting(memory)
        parts = parts_of(memory)
        active = await parts.directory.touch(alice.subject)
        _, late = await parts.directory.new_key(active, "late")
        await memory.keys.rotate()
        with pytest.raises(EpochEndedError, match="Repeat"):
            await parts.core.state.write(c.PutKey(late))
        stale = await _stale_epoch(memory)
        parts.directory.epochs._known[active.tenant].live = {1: stale}
        assert (await parts.directory.key_for(active, "late")).epoch == 2
        parts.directory.epochs._known[active.tenant].live = {1: stale}
        await consenting(memory, "bob")
    assert {row["epoch"] for row in sqlite_rows(store, "data_keys")} == {2}


async def _stale_epoch(memory: TieredMemory) -> SealingKey:
    core = parts_of(memory).core
    return Keyring(bytes(32), SystemEntropy()).new_epoch(core.names.tenant("acme"), 1, core.now_us())[0]


async def test_an_epoch_with_keys_in_it_does_not_end(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await consenting(memory)
        parts = parts_of(memory)
        tenant = parts.core.names.tenant("acme")
        await parts.directory.epochs.begin(tenant)
        ending = EndEpoch(tenant, 1, *_ending(memory, tenant))
        assert not await parts.core.state.write(ending)
    assert epochs(store) == [1, 2]


def _ending(memory: TieredMemory, tenant: bytes) -> tuple[Any, Any]:
    from tiered_memory.formats.leaf import AuditLeaf
    from tiered_memory.register import Entry

    parts = parts_of(memory)
    now_us = parts.core.now_us()
    entry = Entry(id="1", kind="epoch", status="ending", at_us=now_us, fields={"guard": ""})
    leaf = AuditLeaf(AuditEvent.EPOCH_ENDED, now_us, tenant.hex(), "", 0)
    return parts.key_epochs._register.common_row(tenant, entry), leaf


async def test_a_damaged_key_keeps_its_epoch_alive_until_it_is_given_up(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await fill(memory)
    with contextlib.closing(state_of(store)) as db:
        subject = db.execute("SELECT subject FROM data_keys LIMIT 1").get
        db.execute("UPDATE data_keys SET wrapped = zeroblob(90) WHERE subject = ?", (subject,))
    async with opened(store, settings=LOCAL) as memory:
        report = await memory.keys.rotate()
        assert (report.left, report.epochs_ended, epochs(store)) == (2, 0, [1, 2])
        assert [one.state for one in await memory.keys.status()] == ["leaving", "current"]
        report = await memory.keys.rotate(discard_damaged=True)
        assert (report.left, report.epochs_ended, epochs(store)) == (0, 2, [3])
        readable = [len(await contents(memory.user(name, tenant="acme"))) for name in USERS]
    assert sorted(readable) == [0, 1, 1, 1, 1, 1]


async def test_a_backup_from_before_a_rotation_reveals_nothing_at_all(store: Path, tmp_path: Path) -> None:
    """Not to the tool, and not to somebody who holds the archive, the root key and today's guards."""
    archive, fresh = tmp_path / "archive", tmp_path / "fresh"
    async with opened(store, settings=LOCAL) as memory:
        await fill(memory)
        await memory.backup(archive)
        await memory.user(USERS[0], tenant="acme").erase(reason="request")
        await memory.keys.rotate()
    await TieredMemory.restore(archive, fresh)
    shutil.copytree(store / "keys", fresh / "keys")
    keyring = Keyring(read_root_key(fresh / "keys" / "root.key"), SystemEntropy(), _AnyGuard(fresh))
    for row in sqlite_rows(fresh, "epoch_keys"):
        with pytest.raises(CorruptionError):
            keyring.open_epoch(EpochRecord(**row))
    async with opened(fresh, settings=LOCAL) as memory:
        assert {one.state for one in await memory.keys.status()} == {"unreadable"}
        for name in USERS:
            user = memory.user(name, tenant="acme")
            for call in (user.list(), user.search("the blue plan"), user.add("more", importance=0.9)):
                with pytest.raises(KeyUnavailableError, match="has ended"):
                    await call
        assert (await memory.user(USERS[1], tenant="acme").erase(reason="to begin anew")).verified
        again = await consenting(memory, USERS[1])
        await again.add("a new beginning", importance=0.9)
    async with opened(fresh, settings=LOCAL) as memory:
        assert await contents(memory.user(USERS[1], tenant="acme")) == ["a new beginning"]
        assert {(one.epoch, one.state) for one in await memory.keys.status()} == {
            (1, "unreadable"),
            (2, "current"),
        }
        await memory.keys.rotate(discard_damaged=True)
        assert [one.state for one in await memory.keys.status()] == ["ended", "ended", "current"]


class _AnyGuard:
    """Offers the one guard there is for any record."""

    def __init__(self, store: Path) -> None:
        self._secrets = [bytes.fromhex(path.read_text()) for path in guards(store)]

    def get(self, guard_id: bytes) -> bytes | None:
        del guard_id
        return self._secrets[0]

    def put(self, guard_id: bytes, secret: bytes) -> None:
        raise AssertionError((guard_id, secret))


async def test_a_backup_of_the_present_epoch_opens_with_its_guards(store: Path, tmp_path: Path) -> None:
    archive, fresh = tmp_path / "archive", tmp_path / "fresh"
    async with opened(store, settings=LOCAL) as memory:
        await fill(memory)
        await memory.keys.rotate()
        await memory.backup(archive)
    await TieredMemory.restore(archive, fresh)
    shutil.copytree(store / "keys", fresh / "keys")
    async with opened(fresh, settings=LOCAL) as memory:
        assert [len(await contents(memory.user(name, tenant="acme"))) for name in USERS] == [1] * len(USERS)


async def test_lost_guards_keep_a_store_shut_that_was_not_restored(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await fill(memory)
    kept = guards(store)[0].read_bytes()
    guards(store)[0].rename(store / "elsewhere")
    with pytest.raises(RootKeyError, match="keys recover"):
        async with opened(store, settings=LOCAL):
            pass
    assert (store / "elsewhere").read_bytes() == kept
    path = store / "keys" / "epochs"
    assert list(path.iterdir()) == []


async def test_a_guard_says_nothing_by_its_name_and_only_its_owner_reads_it(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await fill(memory)
        names = parts_of(memory).core.names
        tenant = names.tenant("acme").hex()
    ((guard),) = guards(store)
    assert oct(guard.stat().st_mode & 0o777) == "0o400"
    assert oct(guard.parent.stat().st_mode & 0o777) == "0o700"
    assert "acme" not in guard.name
    assert tenant[:8] not in guard.name


async def test_an_ended_guard_that_an_old_copy_brings_back_is_destroyed(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await fill(memory)
        old = guards(store)[0]
        copy = old.read_bytes()
        await memory.keys.rotate()
    old.write_bytes(copy)
    async with opened(store, settings=LOCAL):
        assert not old.exists()
    assert len(guards(store)) == 1


async def test_a_write_for_an_erased_generation_stays_refused(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        alice = await consenting(memory)
        parts = parts_of(memory)
        active = await parts.directory.touch(alice.subject)
        _, record = await parts.directory.new_key(active, "late")
        await alice.erase(reason="request")
        with pytest.raises(SubjectErasedError):
            await parts.core.state.write(c.PutKey(record))
        assert record.created_us <= to_us(parts.core.clock.now())
