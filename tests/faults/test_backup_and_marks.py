"""Backups bring back what was there and nobody who was erased; an older state file put in place is noticed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import consenting, contents, opened

from tiered_memory import TieredMemory
from tiered_memory.backup import MANIFEST, verify_archive
from tiered_memory.errors import (
    ConfigurationError,
    CorruptionError,
    InvalidInputError,
    KeyUnavailableError,
    NotFoundError,
    RolledBackError,
    RootKeyError,
    StorageError,
)

pytestmark = pytest.mark.anyio

LOCAL = {"redis_url": "local"}


async def filled(path: Path) -> None:
    async with opened(path, settings=LOCAL) as memory:
        for name in ("alice", "bob"):
            user = await consenting(memory, name)
            for number in range(5):
                await user.add(f"{name} decided on plan {number}", session="s", importance=0.9)
        await memory.drain()
        await (memory.user("alice", tenant="acme")).add("alice: still in the journal", importance=0.9)


def moved_in(archive: Path, target: Path, source: Path, **given: Any) -> Any:
    """Restore an archive and bring the keys along, as an operator does."""

    async def restored() -> None:
        await TieredMemory.restore(archive, target, **given)
        shutil.copytree(source / "keys", target / "keys")

    return restored()


async def test_a_backup_taken_while_running_restores_everything(tmp_path: Path) -> None:
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    await filled(store)
    async with opened(store, settings=LOCAL) as memory:
        alice = memory.user("alice", tenant="acme")
        before = await contents(alice)

        async def go_on() -> None:
            for number in range(20):
                await alice.add(f"added meanwhile {number}", importance=0.9)
                await memory.drain()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(go_on)
            report = await memory.backup(archive)
    assert (report.users, len(before)) == (2, 6)
    await moved_in(archive, fresh, store)
    async with opened(fresh, settings=LOCAL) as memory:
        held = await contents(memory.user("alice", tenant="acme"))
        assert set(before) <= set(held)
        assert len(held) == len(set(held))
        assert len(await contents(memory.user("bob", tenant="acme"))) == 5
        hits = await memory.user("bob", tenant="acme").search("which plan did bob decide on", limit=3)
        assert len(hits) == 3


async def test_the_erased_stay_erased_after_a_restore(tmp_path: Path) -> None:
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    await filled(store)
    async with opened(store, settings=LOCAL) as memory:
        await memory.backup(archive)
        bob = memory.user("bob", tenant="acme")
        doomed = (await bob.list())[0]
        await bob.delete(doomed.id)
        await memory.user("alice", tenant="acme").erase(reason="request")
    await moved_in(archive, fresh, store, erased_list=store / "erased.log")
    async with opened(fresh, settings=LOCAL) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == []
        bob = memory.user("bob", tenant="acme")
        assert len(await contents(bob)) == 4
        with pytest.raises(NotFoundError):
            await bob.get(doomed.id)
        again = await consenting(memory, "alice")
        await again.add("a new beginning", importance=0.9)
    async with opened(fresh, settings=LOCAL) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == ["a new beginning"]


TWO_BASES = "schema = 1\ndefault_purpose = 'personalization'\n" + "".join(
    f"[purposes.{name}]\nlawful_basis = '{basis}'\ndocumentation = 'file 7'\nmax_sensitivity = 'restricted'\n"
    for name, basis in {"personalization": "consent", "insight": "legitimate_interests"}.items()
)


async def _ended_in_every_way(store: Path, archive: Path, settings: dict[str, Any]) -> None:
    """Take a backup, then erase one user, and let others' memory, consent and purpose end."""
    async with opened(store, settings=settings) as memory:
        carol, dave = await consenting(memory, "carol"), await consenting(memory, "dave")
        await carol.add("we chose the blue plan", importance=0.9)
        await dave.add("we chose the blue plan", purpose="insight", importance=0.9)
        await memory.backup(archive)
        bob = memory.user("bob", tenant="acme")
        await bob.delete((await bob.list())[0].id)
        await memory.user("alice", tenant="acme").erase(reason="request")
        await carol.consent.withdraw("personalization")
        await dave.object_to("insight", compelling_grounds="claims in court, file 9")


@pytest.mark.parametrize("rotated", [False, True])
async def test_a_restore_whose_guards_come_later_forgets_no_right(tmp_path: Path, rotated: bool) -> None:
    """The list is applied to who can be read, and again when more can be."""
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    await filled(store)
    (tmp_path / "bases.toml").write_text(TWO_BASES)
    settings = {**LOCAL, "policy": str(tmp_path / "bases.toml")}
    await _ended_in_every_way(store, archive, settings)
    kept = tmp_path / "kept"
    shutil.copytree(store / "keys", kept)
    if rotated:
        async with opened(store, settings=settings) as memory:
            await memory.keys.rotate()
    await TieredMemory.restore(archive, fresh, erased_list=store / "erased.log")
    (fresh / "keys").mkdir()
    shutil.copy(kept / "root.key", fresh / "keys")
    for _ in range(2):
        async with opened(fresh, settings=settings) as memory:
            assert await contents(memory.user("alice", tenant="acme")) == []
            for name in ("bob", "carol", "dave"):
                with pytest.raises(KeyUnavailableError, match="has ended"):
                    await memory.user(name, tenant="acme").list()
    shutil.copytree(kept / "epochs", fresh / "keys" / "epochs", dirs_exist_ok=True)
    async with opened(fresh, settings=settings) as memory:
        held = {
            name: await contents(memory.user(name, tenant="acme"))
            for name in ("alice", "bob", "carol", "dave")
        }
        assert {name: len(found) for name, found in held.items()} == {
            "alice": 0,
            "bob": 4,
            "carol": 0,
            "dave": 0,
        }
        assert {one.state for one in await memory.keys.status()} == {"current"}


async def test_without_the_list_a_restore_cannot_know(tmp_path: Path) -> None:
    """Stated in the documentation; issue of key epochs. The test keeps the statement true."""
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    await filled(store)
    async with opened(store, settings=LOCAL) as memory:
        await memory.backup(archive)
        await memory.user("alice", tenant="acme").erase(reason="request")
    await moved_in(archive, fresh, store)
    async with opened(fresh, settings=LOCAL) as memory:
        assert len(await contents(memory.user("alice", tenant="acme"))) == 6


async def test_a_damaged_archive_is_refused_whole(tmp_path: Path) -> None:
    store, archive = tmp_path / "store", tmp_path / "archive"
    await filled(store)
    async with opened(store, settings=LOCAL) as memory:
        await memory.backup(archive)
    files = [path for path in archive.rglob("*") if path.is_file()]
    for number, path in enumerate(files):
        spoiled = tmp_path / f"spoiled {number}"
        shutil.copytree(archive, spoiled)
        target = spoiled / path.relative_to(archive)
        target.write_bytes(target.read_bytes()[:-1] + b"\xff\xfe")
        fresh = tmp_path / f"fresh {number}"
        with pytest.raises(CorruptionError):
            await TieredMemory.restore(spoiled, fresh)
        assert not fresh.exists()
    (archive / MANIFEST).unlink()
    with pytest.raises(CorruptionError, match="no complete archive"):
        verify_archive(archive)


async def test_a_backup_takes_nobody_s_place(tmp_path: Path) -> None:
    (taken := tmp_path / "a file").write_text("mine")
    async with opened(tmp_path / "data") as memory:
        for place in (taken, taken / "below", tmp_path):
            with pytest.raises(InvalidInputError, match="must not exist yet"):
                await memory.backup(place)
    assert taken.read_text() == "mine"


async def test_a_backup_or_restore_where_nothing_can_be_written_says_so(tmp_path: Path) -> None:
    store, archive, nowhere = tmp_path / "store", tmp_path / "archive", Path("/dev/null/below")
    await filled(store)
    async with opened(store, settings=LOCAL) as memory:
        with pytest.raises(InvalidInputError):
            await memory.backup(nowhere)
        with pytest.raises(InvalidInputError, match=r"cannot be made \(OSError\)"):
            await memory.backup(tmp_path / ("x" * 300))
        (store / "state.key").rename(store / "aside")
        with pytest.raises(StorageError, match=r"nothing of it is left \(FileNotFoundError\)"):
            await memory.backup(archive)
        assert not archive.exists()
        (store / "aside").rename(store / "state.key")
        await memory.backup(archive)
    for place in (nowhere, archive / MANIFEST):
        with pytest.raises(StorageError, match=r"restore into another, empty directory"):
            await TieredMemory.restore(archive, place)
    verify_archive(archive)


async def test_a_restore_never_overwrites_a_store(tmp_path: Path) -> None:
    store, archive = tmp_path / "store", tmp_path / "archive"
    await filled(store)
    async with opened(store, settings=LOCAL) as memory:
        await memory.backup(archive)
        with pytest.raises(InvalidInputError, match="empty"):
            await memory.backup(archive)
    with pytest.raises(ConfigurationError, match="empty one"):
        await TieredMemory.restore(archive, store)
    async with opened(store, settings=LOCAL) as memory:
        assert len(await contents(memory.user("bob", tenant="acme"))) == 5


async def test_a_restored_store_asks_for_its_root_key(tmp_path: Path) -> None:
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    await filled(store)
    async with opened(store, settings=LOCAL) as memory:
        await memory.backup(archive)
    await TieredMemory.restore(archive, fresh)
    with pytest.raises(RootKeyError, match="missing"):
        async with opened(fresh, settings=LOCAL):
            pass


def copy_of_state(store: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for path in store.glob("state.db*"):
        shutil.copy(path, target / path.name)


def put_back(saved: Path, store: Path) -> None:
    for path in store.glob("state.db*"):
        path.unlink()
    for path in saved.iterdir():
        shutil.copy(path, store / path.name)


async def test_a_rolled_back_state_is_refused_and_can_be_accepted(tmp_path: Path) -> None:
    store, saved = tmp_path / "store", tmp_path / "saved"
    await filled(store)
    copy_of_state(store, saved)
    async with opened(store, settings=LOCAL) as memory:
        bob = memory.user("bob", tenant="acme")
        await bob.delete((await bob.list())[0].id)
        await memory.user("alice", tenant="acme").erase(reason="request")
    put_back(saved, store)
    with pytest.raises(RolledBackError, match="older than it was"):
        async with opened(store, settings=LOCAL):
            pass
    async with opened(store, settings={**LOCAL, "accept_rollback": True}) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == []
        assert len(await contents(memory.user("bob", tenant="acme"))) == 4
    async with opened(store, settings=LOCAL) as memory:
        assert len(await contents(memory.user("bob", tenant="acme"))) == 4


@pytest.mark.parametrize("name", ["highwater", "erased.log"])
async def test_an_altered_mark_is_corruption(tmp_path: Path, name: str) -> None:
    store, saved = tmp_path / "store", tmp_path / "saved"
    await filled(store)
    copy_of_state(store, saved)
    async with opened(store, settings=LOCAL) as memory:
        await memory.user("alice", tenant="acme").erase(reason="request")
    put_back(saved, store)
    path = store / name
    path.write_bytes(
        path.read_bytes()
        .replace(b'"generation":1', b'"generation":0')
        .replace(b'"leaf_index":', b'"leaf_index":-')
    )
    with pytest.raises(CorruptionError, match="altered"):
        async with opened(store, settings={**LOCAL, "accept_rollback": True}):
            pass


async def test_the_marks_hold_no_id(tmp_path: Path) -> None:
    store = tmp_path / "store"
    await filled(store)
    async with opened(store, settings=LOCAL) as memory:
        await memory.user("alice", tenant="acme").erase(reason="request of alice")
    marks = (store / "highwater").read_bytes() + (store / "erased.log").read_bytes()
    assert b"alice" not in marks
    assert b"acme" not in marks
