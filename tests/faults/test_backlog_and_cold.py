"""A journal that is full and a cold tier that fails: nothing acknowledged is lost, and both are got over."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
from support import consenting, contents, opened, parts_of, sealed_in_cold, sqlite_rows

from tiered_memory import Interaction, TieredMemory, User
from tiered_memory.errors import BacklogFullError, ColdTierError

pytestmark = pytest.mark.anyio

LIMIT = {"journal_max_records": 100}


async def _filled(alice: User, count: int = 100) -> None:
    await alice.add_many([Interaction(content=f"turn {number}", importance=0.9) for number in range(count)])


async def test_a_full_journal_refuses_and_loses_nothing(data: Path) -> None:
    async with opened(data, settings=LIMIT) as memory:
        alice = await consenting(memory)
        await _filled(alice)
        for _ in range(3):
            with pytest.raises(BacklogFullError, match="100"):
                await alice.add("one too many", session="s1", importance=0.9, operation_id="late")
        assert len(await alice.list()) == 100
        assert (await alice.context("x", session="s1")).items != ()
        await memory.drain()
        assert not (await alice.add("one too many", importance=0.9, operation_id="late")).repeated
        assert len(await alice.list(limit=200)) == 101
    async with opened(data, settings=LIMIT) as memory:
        assert len(await memory.user("alice", tenant="acme").list(limit=200)) == 101


async def test_a_group_that_does_not_fit_is_refused_whole(data: Path) -> None:
    async with opened(data, settings=LIMIT) as memory:
        alice = await consenting(memory)
        await _filled(alice, 95)
        with pytest.raises(BacklogFullError):
            await _filled(alice, 6)
        await _filled(alice, 5)
        assert len(sqlite_rows(data, "journal")) == 100


async def test_a_full_journal_does_not_stop_what_needs_none(data: Path) -> None:
    async with opened(data, settings=LIMIT) as memory:
        alice = await consenting(memory)
        await alice.add("asked before", importance=0.9, operation_id="op")
        await _filled(alice, 99)
        assert (await alice.add("asked before", importance=0.9, operation_id="op")).repeated
        assert (await memory.user("guest").add("without a basis")).id
        assert (await alice.add("hm", session="s1", importance=0.0)).id
        await alice.delete((await alice.list(limit=1, before=50))[0].id)
        await alice.add("room for one", importance=0.9)


async def test_a_full_journal_is_still_full_after_a_restart(data: Path) -> None:
    async with opened(data, settings=LIMIT) as memory:
        alice = await consenting(memory)
        await _filled(alice)
        _break_all(memory, data)
    async with opened(data, settings=LIMIT) as memory:
        with pytest.raises(BacklogFullError):
            await (await consenting(memory, "bob")).add("no room", importance=0.9)
        _mend(data)
        await memory.drain()
        assert len(sealed_in_cold(data)) == 100


def _table(memory: TieredMemory, data: Path, user: User) -> Path:
    core, subject = parts_of(memory).core, user.subject
    active = next(a for a in parts_of(memory).directory.residents() if a.subject == subject)
    return data / "cold" / f"{core.names.table(active.ref.pseudonym, active.ref.incarnation)}.lance"


def _break(table: Path) -> None:
    """A file where the engine wants its directory: writes and reads fail, whoever asks."""
    table.parent.mkdir(exist_ok=True)
    if table.exists():
        table.rename(table.with_suffix(".aside"))
    table.write_bytes(b"in the way")


def _break_all(memory: TieredMemory, data: Path) -> None:
    for active in parts_of(memory).directory.residents():
        name = parts_of(memory).core.names.table(active.ref.pseudonym, active.ref.incarnation)
        _break(data / "cold" / f"{name}.lance")


def _mend(data: Path) -> None:
    for table in (data / "cold").glob("*.lance"):
        if table.is_file():
            table.unlink()
    for aside in (data / "cold").glob("*.aside"):
        aside.rename(aside.with_suffix(".lance"))


@pytest.mark.parametrize("existed", [True, False])
async def test_cold_fails_and_recovers(data: Path, *, existed: bool) -> None:
    async with opened(data) as memory:
        alice, bob = await consenting(memory), await consenting(memory, "bob")
        if existed:
            await alice.add("before", importance=0.9)
            await memory.drain()
        table = _table(memory, data, alice)
        _break(table)
        await alice.add("during", session="s1", importance=0.9)
        await bob.add("bob's", importance=0.9)
        with pytest.raises(ColdTierError):
            await memory.drain()
        assert "during" in await contents(alice)
        assert (await alice.search("during"))[0].memory.content == "during"
        assert [row["subject"] for row in sqlite_rows(data, "journal")] == [
            parts_of(memory).core.names.subject(alice.subject)
        ]
        _mend(data)
        await memory.drain()
        assert sqlite_rows(data, "journal") == []
        said = await contents(alice)
    async with opened(data) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == said
        assert await contents(memory.user("bob", tenant="acme")) == ["bob's"]


async def test_closing_with_a_broken_cold_loses_nothing(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(data) as memory:
        alice, bob = await consenting(memory), await consenting(memory, "bob")
        await alice.add("alice's", importance=0.9)
        await bob.add("bob's", importance=0.9)
        _break(_table(memory, data, alice))
    assert "closing" in caplog.text
    assert "alice's" not in caplog.text
    async with opened(data) as memory:
        assert await contents(memory.user("bob", tenant="acme")) == ["bob's"]
        with pytest.raises(ColdTierError):
            await contents(memory.user("alice", tenant="acme"))
        _mend(data)
        assert await contents(memory.user("alice", tenant="acme")) == ["alice's"]


async def test_one_user_s_trouble_does_not_keep_the_store_shut(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A deletion was acknowledged, its removal from cold could not be finished, the process ended."""
    async with opened(data) as memory:
        alice, bob = await consenting(memory), await consenting(memory, "bob")
        doomed = await alice.add("alice's", importance=0.9)
        await bob.add("bob's", importance=0.9)
        await memory.drain()
        table = _table(memory, data, alice)
        _break(table)
        with pytest.raises(ColdTierError):
            await alice.delete(doomed.id)
        assert await contents(alice) == []
    caplog.set_level(logging.WARNING)
    async with opened(data) as memory:
        assert "removal could not be finished" in caplog.text
        assert await contents(memory.user("bob", tenant="acme")) == ["bob's"]
        _mend(data)
        await memory.forget()
        assert len(sealed_in_cold(data)) == 1
        assert await contents(memory.user("alice", tenant="acme")) == []


async def test_withdrawal_with_a_broken_cold_is_in_force_at_once(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        await alice.add("on consent", session="s1", importance=0.9)
        await memory.drain()
        _break(_table(memory, data, alice))
        with pytest.raises(ColdTierError):
            await alice.consent.withdraw("personalization")
        assert await contents(alice) == []
        assert (await alice.context("x", session="s1")).items == ()
        assert await alice.consent.current() == {}
        _mend(data)
        await memory.forget()
        assert sealed_in_cold(data) == []


async def test_the_whole_cold_directory_is_lost(data: Path) -> None:
    """Nothing is made up: what was in it is gone, what was in the journal is not, and writing goes on."""
    async with opened(data) as memory:
        alice = await consenting(memory)
        await alice.add("was in cold", importance=0.9)
        await memory.drain()
        await alice.add("was in the journal", importance=0.9)
        _break(_table(memory, data, alice))
    shutil.rmtree(data / "cold")
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        assert await contents(alice) == ["was in the journal"]
        await alice.add("goes on", importance=0.9)
        await memory.drain()
        assert len(sealed_in_cold(data)) == 2
