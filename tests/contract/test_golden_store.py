"""A data directory that an earlier release left, killed, is opened by this one: nothing is lost, nothing is back."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))

import make_store as golden

from tiered_memory import TieredMemory
from tiered_memory.crypto.envelope import MAGIC
from tiered_memory.errors import CorruptionError, NotFoundError, RolledBackError
from tiered_memory.highwater import Listed, decode_mark
from tiered_memory.privacy.merkle import leaf_hash, tree_root
from tiered_memory.state import commands as c
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

MOST_BYTES = 300_000
NAMES = (
    b"/home/",
    b"/Users/",
    *map(os.fsencode, (tempfile.gettempdir(), Path.home(), Path.cwd(), socket.gethostname())),
)
LONG_ENOUGH = 4
"""Sealed bytes hold any two or three letters by chance."""


@pytest.fixture(scope="module")
def answered() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(golden.ANSWERS.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A copy to work with: what a clone of the repository has lost is the mode of the key's file."""
    copy = tmp_path / "store"
    shutil.copytree(golden.STORE, copy)
    (copy / "keys" / "root.key").chmod(0o400)
    return copy


def holds(read: Any, listed: Any) -> bool:
    """Tell whether everything listed is read; later releases may say more."""
    match listed:
        case dict():
            return isinstance(read, dict) and all(
                key in read and holds(read[key], value) for key, value in listed.items()
            )
        case list():
            return len(read) == len(listed) and all(map(holds, read, listed))
        case _:
            return bool(read == listed)


async def held(memory: TieredMemory, name: str) -> list[str]:
    return [one.content for one in await memory.user(name, golden.TENANT).list()]


# --- reading -----------------------------------------------------------------------------------------------------


async def test_everything_is_read_as_it_was_written(store: Path, answered: dict[str, Any]) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        read = await golden.answers(memory)
    for name, listed in answered["users"].items():
        for question, answer in listed.items():
            assert holds(read["users"][name][question], answer), (name, question)
    assert read["listed"] == answered["listed"]
    assert {name for name, said in read["users"].items() if said["memories"]} == set(golden.USERS)


async def test_what_was_in_the_journal_only_comes_to_cold(store: Path) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        cold, state = golden.parts(memory).core.cold, golden.parts(memory).core.state
        waiting = await state.read(c.Journal())
        assert len(waiting) == 2 * len(golden.USERS) + 1
        ref, _ = await golden.row_of(memory, "alice")
        before = {one.id for one in await cold.scan(ref)}
        await memory.drain()
        after = {one.id for one in await cold.scan(ref)}
        assert after - before == {one.memory_id for one in waiting if one.subject == ref.pseudonym}
        assert await state.read(c.Journal()) == []


async def test_the_ledger_is_the_same_tree(store: Path, answered: dict[str, Any]) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        await memory.user("bob", golden.TENANT).erase(reason="a later request")
        leaves = await golden.parts(memory).core.state.read(c.Leaves())
    assert all(leaf_hash(leaf) == stored for _, leaf, stored in leaves)
    first = answered["ledger"]["leaves"]
    assert len(leaves) > first
    assert tree_root([stored for _, _, stored in leaves[:first]]).hex() == answered["ledger"]["root"]


async def test_what_faded_can_be_brought_back_while_there_is_time(store: Path) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        user = memory.user("alice", golden.TENANT)
        [faded] = await user.forgotten()
        assert faded.content == golden.FAINT
        assert (await user.restore(faded.id)).content == golden.FAINT
        assert golden.FAINT in await held(memory, "alice")
        later: ManualClock = golden.parts(memory).core.clock
        later.advance(timedelta(days=8).total_seconds())
        await memory.forget()
        other = memory.user("bob", golden.TENANT)
        assert await other.forgotten() == []
        assert golden.FAINT not in await held(memory, "bob")


async def test_what_was_erased_or_deleted_stays_gone(store: Path, answered: dict[str, Any]) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        with pytest.raises(NotFoundError):
            await memory.user("bob", golden.TENANT).get(answered["deleted"])
        erased = memory.user(golden.ERASED, golden.TENANT)
        assert await held(memory, golden.ERASED) == []
        assert await erased.search("to be erased") == []
        _, row = await golden.row_of(memory, golden.ERASED)
        assert (row.state, row.identity) == ("erased", None)
        await erased.consent.grant(golden.PURPOSE, notice="notice 3")
        await erased.add("a new beginning", importance=0.9)
    async with golden.opened(store, golden.ASKED_AT) as memory:
        assert await held(memory, golden.ERASED) == ["a new beginning"]


async def test_a_pinned_memory_outlives_the_others(store: Path) -> None:
    async with golden.opened(store, golden.ASKED_AT + timedelta(days=320)) as memory:
        await memory.forget(confirmed=True)
        assert await held(memory, "alice") == [golden.SAID[3][0]]
        assert await held(memory, "bob") == []


async def test_a_repeated_operation_is_answered_as_then(store: Path, answered: dict[str, Any]) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        for name in golden.USERS:
            receipt = await memory.user(name, golden.TENANT).add(
                golden.REPEATED, importance=0.8, operation_id="op-1"
            )
            [known] = [
                one for one in answered["users"][name]["memories"] if one["content"] == golden.REPEATED
            ]
            assert receipt.id == known["id"]


# --- going on ----------------------------------------------------------------------------------------------------


async def test_it_is_written_to_closed_and_opened_again(store: Path, answered: dict[str, Any]) -> None:
    for number in range(3):
        async with golden.opened(store, golden.ASKED_AT) as memory:
            for name in golden.USERS:
                await memory.user(name, golden.TENANT).add(f"written later {number}", importance=0.9)
            await memory.user("alice", golden.TENANT).delete(
                (await memory.user("alice", golden.TENANT).list(limit=1))[0].id
            )
            if number == 1:
                await memory.drain()
    before = {name: [one["content"] for one in answered["users"][name]["memories"]] for name in golden.USERS}
    async with golden.opened(store, golden.ASKED_AT) as memory:
        assert await held(memory, "alice") == before["alice"]
        for name in ("bob", "dora"):
            assert await held(memory, name) == [*(f"written later {n}" for n in (2, 1, 0)), *before[name]]
            assert await memory.user(name, golden.TENANT).damaged() == []


async def test_a_backup_of_it_restores(store: Path, tmp_path: Path) -> None:
    async with golden.opened(store, golden.ASKED_AT) as memory:
        await memory.backup(tmp_path / "archive")
        before = {name: await held(memory, name) for name in golden.USERS}
    await TieredMemory.restore(tmp_path / "archive", tmp_path / "fresh", erased_list=store / "erased.log")
    shutil.copytree(store / "keys", tmp_path / "fresh" / "keys")
    async with golden.opened(tmp_path / "fresh", golden.ASKED_AT) as memory:
        assert {name: await held(memory, name) for name in golden.USERS} == before
        assert await held(memory, golden.ERASED) == []


# --- what guards it ----------------------------------------------------------------------------------------------


async def test_its_marks_still_hold(store: Path) -> None:
    """Without the log's end it is older than its mark says, and without a line its erased list is."""
    log, erased = (store / name for name in ("state.db-wal", "erased.log"))
    whole = log.read_bytes(), erased.read_bytes()
    log.unlink()
    with pytest.raises(RolledBackError, match="older than it was"):
        async with golden.opened(store, golden.ASKED_AT):
            pass
    log.write_bytes(whole[0])
    erased.write_bytes(b"".join(whole[1].splitlines(keepends=True)[:-1]))
    with pytest.raises(RolledBackError, match="shorter than it was"):
        async with golden.opened(store, golden.ASKED_AT):
            pass
    erased.write_bytes(whole[1])
    async with golden.opened(store, golden.ASKED_AT) as memory:
        key = golden.parts(memory).core.names.marks_key
    noted = decode_mark((golden.STORE / "highwater").read_bytes(), key).erased
    assert isinstance(noted, Listed)
    assert noted.bytes == len(whole[1])


async def test_a_flipped_byte_of_a_row_is_no_answer(store: Path) -> None:
    """The comparison with what is listed can fail."""
    for path in store.glob("cold/*/data/*.lance"):
        data = bytearray(path.read_bytes())
        data[data.index(MAGIC) + 200] ^= 1
        path.write_bytes(data)
    async with golden.opened(store, golden.ASKED_AT) as memory:
        user = memory.user("alice", golden.TENANT)
        [lost] = await user.damaged()
        with pytest.raises(CorruptionError):
            await user.get(lost)


def test_it_is_small_and_names_no_machine() -> None:
    files = [path for path in golden.STORE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    assert {path.name for path in files}.isdisjoint(golden.NOT_STORED)
    assert all(path.suffix not in {".sock", ".pid", ".lock", ".new"} for path in files)
    searched = [name for name in NAMES if len(name) >= LONG_ENOUGH]
    found = [path.name for path in files for name in searched if name in path.read_bytes()]
    assert found == []


async def test_the_script_makes_such_a_store(tmp_path: Path, answered: dict[str, Any]) -> None:
    """Of a later release it may have other ids and other bytes, and it holds the same."""
    await golden.make(tmp_path / "store", tmp_path / "answers.json")
    made = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    for name, said in answered["users"].items():
        for question in ("memories", "forgotten"):
            contents = [one["content"] for one in made["users"][name][question]]
            assert contents == [one["content"] for one in said[question]]
    assert len(made["listed"]) == len(answered["listed"])
