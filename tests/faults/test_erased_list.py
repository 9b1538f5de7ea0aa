"""The list of what was erased: lines cut from it are noticed, and a crash while it is written is never mistaken for that."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import consenting, contents, opened, parts_of

from tiered_memory import TieredMemory, User
from tiered_memory.erased_list import ErasedList
from tiered_memory.errors import ConfigurationError, CorruptionError, NotFoundError, RolledBackError
from tiered_memory.highwater import (
    ErasedEntry,
    Listed,
    decode_erased,
    decode_mark,
    encode_erased,
    encode_mark,
)

pytestmark = pytest.mark.anyio

LOCAL = {"redis_url": "local"}
ACCEPTING = {**LOCAL, "accept_rollback": True}
KEY = bytes(range(32))


async def plans_of(memory: TieredMemory, name: str) -> User:
    user = await consenting(memory, name)
    for number in range(3):
        await user.add(f"{name} decided on plan {number}", importance=0.9)
    return user


async def erased_store(store: Path, archive: Path) -> list[str]:
    """Make a store whose list has four entries, and a backup from before them; return the ids of the removed."""
    async with opened(store, settings=LOCAL) as memory:
        alice, bob = await plans_of(memory, "alice"), await plans_of(memory, "bob")
        await memory.drain()
        await memory.backup(archive)
        removed = [one.id for one in (await bob.list())[:2]]
        for one in removed:
            await bob.delete(one)
        await alice.erase(reason="request")
        await (await plans_of(memory, "alice")).erase(reason="once more")
    assert (store / "erased.log").read_bytes().count(b"\n") == 4
    return removed


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    await erased_store(tmp_path / "store", tmp_path / "archive")
    return tmp_path / "store"


def cut(store: Path, lines: int) -> bytes:
    """Cut lines from the end of the list; return it as it was."""
    path = store / "erased.log"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-lines]))
    return whole


async def opens(store: Path, **more: Any) -> None:
    async with opened(store, settings={**LOCAL, **more}) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == []
        assert await contents(memory.user("bob", tenant="acme")) == ["bob decided on plan 0"]


def mark_of(store: Path, key: bytes) -> Any:
    return decode_mark((store / "highwater").read_bytes(), key)


# --- what is cut or altered --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [1, 2, 3, 4])
async def test_lines_cut_from_the_end_are_noticed(store: Path, lines: int) -> None:
    whole = cut(store, lines)
    for _ in range(2):
        with pytest.raises(
            RolledBackError, match=r"erased.log\) is shorter .* newest copy .* accept_rollback"
        ):
            await opens(store)
    (store / "erased.log").write_bytes(whole)
    await opens(store)


async def test_a_list_that_was_taken_away_is_noticed(store: Path) -> None:
    (store / "erased.log").unlink()
    with pytest.raises(RolledBackError, match="shorter than it was"):
        await opens(store)


async def test_a_cut_that_is_accepted_is_completed_from_the_state_store(tmp_path: Path) -> None:
    """Whom the list had lost stays gone all the same when the older backup is restored with it."""
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    removed = await erased_store(store, archive)
    whole = cut(store, 3)
    await opens(store, accept_rollback=True)
    key = await key_of(store)
    (tmp_path / "whole").write_bytes(whole)
    assert names(store / "erased.log", key) == names(tmp_path / "whole", key)
    await opens(store)

    await TieredMemory.restore(archive, fresh, erased_list=store / "erased.log")
    shutil.copytree(store / "keys", fresh / "keys")
    await opens(fresh)
    async with opened(fresh, settings=LOCAL) as memory:
        for one in removed:
            with pytest.raises(NotFoundError):
                await memory.user("bob", tenant="acme").get(one)


async def test_a_store_is_restored_in_its_own_place_with_its_own_list(tmp_path: Path) -> None:
    store, archive = tmp_path / "store", tmp_path / "archive"
    await erased_store(store, archive)
    for lost in (*store.glob("state.*"), *(store / "cold").iterdir()):
        shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    (store / "cold").rmdir()
    await TieredMemory.restore(archive, store, erased_list=store / "erased.log")
    await opens(store)


async def test_an_older_list_given_to_a_restore_in_place_is_noticed(tmp_path: Path) -> None:
    store, archive = tmp_path / "store", tmp_path / "archive"
    await erased_store(store, archive)
    older = tmp_path / "older"
    older.write_bytes((store / "erased.log").read_bytes()[:-200])
    shutil.rmtree(store / "cold")
    for lost in store.glob("state.*"):
        lost.unlink()
    await TieredMemory.restore(archive, store, erased_list=older)
    with pytest.raises(RolledBackError, match="shorter than it was"):
        await opens(store)


async def test_a_list_that_cannot_be_read_begins_no_restore(tmp_path: Path) -> None:
    await erased_store(tmp_path / "store", tmp_path / "archive")
    with pytest.raises(ConfigurationError, match=r"cannot be read .*nothing was written"):
        await TieredMemory.restore(tmp_path / "archive", tmp_path / "fresh", erased_list=tmp_path / "absent")
    assert not (tmp_path / "fresh").exists()


async def key_of(store: Path) -> bytes:
    async with opened(store, settings=LOCAL) as memory:
        return parts_of(memory).core.names.marks_key


def names(path: Path, key: bytes) -> set[tuple[str, str | int]]:
    return {(one.subject, one.memory or one.generation) for one in decode_erased(path.read_bytes(), key)}


@pytest.mark.parametrize("accept", [False, True])
async def test_an_altered_list_is_refused_at_any_opening(store: Path, accept: bool) -> None:
    path = store / "erased.log"
    path.write_bytes(path.read_bytes().replace(b'"generation":1', b'"generation":0', 1))
    with pytest.raises(CorruptionError, match=r"erased.log\) was altered"):
        await opens(store, accept_rollback=accept)
    path.unlink()  # the way out that the error names
    await opens(store, accept_rollback=True)
    await opens(store)


async def test_a_line_cut_from_the_middle_is_refused(store: Path) -> None:
    path = store / "erased.log"
    first, _, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, *rest, rest[-1], rest[-1]]))
    with pytest.raises(CorruptionError, match="altered"):
        await opens(store)


# --- what a crash leaves -----------------------------------------------------------------------------------------


async def test_a_list_longer_than_noted_is_sound(tmp_path: Path) -> None:
    """A kill between the entry and the mark."""
    store = tmp_path / "store"
    async with opened(store, settings=LOCAL) as memory:
        bob = await plans_of(memory, "bob")
        marks = parts_of(memory).core.marks
        noted = (store / "highwater").read_bytes()
        await bob.delete((await bob.list())[0].id)
        listed = marks._list.listed
        assert mark_of(store, marks._key).erased == listed
    (store / "highwater").write_bytes(noted)
    async with opened(store, settings=LOCAL) as memory:
        assert parts_of(memory).core.marks._list.listed == listed
        assert len(await parts_of(memory).core.marks.erased()) == 1
    assert mark_of(store, marks._key).erased == listed


@pytest.mark.parametrize("left", [b'{"at_us":17', bytes(4096), bytes(700) + b"\n" + bytes(9), b"{}\r\n\n"])
async def test_what_a_crash_left_of_a_line_is_no_damage(
    store: Path, left: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = store / "erased.log"
    whole = path.read_bytes()
    path.write_bytes(whole + left)
    with caplog.at_level(logging.WARNING, "tiered_memory"):
        await opens(store)
    assert "what a crash left" in caplog.text
    async with opened(store, settings=LOCAL) as memory:
        bob = memory.user("bob", tenant="acme")
        await bob.delete((await bob.list())[0].id)
        assert len(await parts_of(memory).core.marks.erased()) == 5
    assert path.read_bytes().startswith(whole)
    assert path.read_bytes().count(b"\n") == 5
    async with opened(store, settings=LOCAL) as memory:
        assert await contents(memory.user("bob", tenant="acme")) == []


async def test_a_mark_of_format_1_is_read_and_becomes_one_of_format_2(store: Path) -> None:
    key = await key_of(store)
    known = mark_of(store, key)
    (store / "highwater").write_bytes(
        encode_mark(type(known)(known.incarnation, known.journal_seq, known.leaf_index, known.commits), key)
    )
    assert b'"format":1' in (store / "highwater").read_bytes()
    cut(store, 2)  # such a mark cannot tell
    await opens(store)
    assert mark_of(store, key).erased.bytes == (store / "erased.log").stat().st_size
    cut(store, 1)
    with pytest.raises(RolledBackError):
        await opens(store)


async def test_a_mark_that_cannot_be_written_keeps_nobody_from_deleting(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(store, settings=LOCAL) as memory:
        bob = memory.user("bob", tenant="acme")
        (store / "highwater.new").mkdir()
        await bob.delete((await bob.list())[0].id)
        assert "length cannot be noted" in caplog.text
        (store / "highwater.new").rmdir()
    cut(store, 1)  # closing has noted it
    with pytest.raises(RolledBackError):
        await opens(store)


# --- any cut, any mark -------------------------------------------------------------------------------------------


def entry(number: int) -> ErasedEntry:
    return ErasedEntry(f"{number:064x}", number, 1_000 + number, "0a" * 16 if number % 2 else "")


@given(total=st.integers(0, 6), counted=st.integers(0, 6), data=st.data())
def test_nothing_counted_is_ever_missing(
    tmp_path_factory: pytest.TempPathFactory, total: int, counted: int, data: st.DataObject
) -> None:
    """Whatever is left of the file: it is refused, or it has every entry that the mark counted, and only true ones."""
    path = tmp_path_factory.mktemp("list") / "erased.log"
    written, marks = ErasedList(path, KEY), [Listed(0, ErasedList(path, KEY).listed.sha256)]
    for number in range(total):
        written.append([entry(number)])
        marks.append(written.listed)
    counted = min(counted, total)
    whole = path.read_bytes() if total else b""
    left = whole[: data.draw(st.integers(0, len(whole)))]
    path.write_bytes(left)
    opened_again = ErasedList(path, KEY)
    if len(left) < marks[counted].bytes:
        with pytest.raises(RolledBackError):
            opened_again.check(marks[counted], accept_shorter=False)
        assert opened_again.check(marks[counted], accept_shorter=True)
    else:
        assert not opened_again.check(marks[counted], accept_shorter=False)
        assert len(opened_again.entries()) >= counted
    assert opened_again.entries() == [entry(number) for number in range(len(opened_again.entries()))]
    opened_again.append([entry(len(opened_again.entries()))])
    again = ErasedList(path, KEY)
    assert not again.check(opened_again.listed, accept_shorter=False)
    assert again.listed == opened_again.listed


@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_no_flipped_byte_of_what_was_counted_goes_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, position: int, flip: int
) -> None:
    path = tmp_path_factory.mktemp("list") / "erased.log"
    written = ErasedList(path, KEY)
    written.append([entry(number) for number in range(3)])
    spoiled = bytearray(path.read_bytes())
    spoiled[position % len(spoiled)] ^= flip
    path.write_bytes(spoiled)
    with pytest.raises(CorruptionError):
        ErasedList(path, KEY).check(written.listed, accept_shorter=True)
    assert encode_erased(entry(0), KEY).count(b"\n") == 1
