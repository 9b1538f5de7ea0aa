"""The cold tier of one user fails: acknowledged words stay in the journal, rights are in force or refused, others go on.

Each test is a cell of `docs/degraded-modes.md`; what a full cold disk does is in `test_degraded_disk.py`.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from support import PURPOSE, consenting, contents, opened, parts_of, sealed_in_cold

from tiered_memory import TieredMemory, User
from tiered_memory.errors import ColdTierError, ErasureIncompleteError
from tiered_memory.metrics import JournalState, RecordingObserver
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

LOCAL = {"redis_url": "local"}


def table_of(memory: TieredMemory, data: Path, user: User) -> Path:
    names, residents = parts_of(memory).core.names, parts_of(memory).directory.residents()
    ref = next(active.ref for active in residents if active.subject == user.subject)
    return data / "cold" / f"{names.table(ref.pseudonym, ref.incarnation)}.lance"


def break_table(table: Path) -> None:
    """A file where the engine wants its directory: writes, reads and removals fail, whoever asks."""
    table.parent.mkdir(exist_ok=True)
    if table.exists():
        table.rename(table.with_suffix(".aside"))
    table.write_bytes(b"in the way")


def mend_table(table: Path) -> None:
    table.unlink(missing_ok=True)
    if table.with_suffix(".aside").exists():
        table.with_suffix(".aside").rename(table)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def _with_a_memory(memory: TieredMemory) -> User:
    alice = await consenting(memory)
    await alice.add("The bakery opens at six.", session="s1", importance=0.9)
    await memory.drain()
    return alice


async def test_add_search_and_context_go_on_for_who_is_in_ram(data: Path) -> None:
    async with opened(data, settings=LOCAL) as memory:
        alice = await _with_a_memory(memory)
        table = table_of(memory, data, alice)
        break_table(table)
        await alice.add("It has rye bread.", session="s1", importance=0.9)
        assert {hit.memory.content for hit in await alice.search("bakery bread")} == {
            "The bakery opens at six.",
            "It has rye bread.",
        }
        assert "rye" in (await alice.context("bread", session="s1")).render()
        with pytest.raises(ColdTierError):
            await memory.drain()
        mend_table(table)
        await memory.drain()
        assert len(sealed_in_cold(data)) == 2


async def test_who_is_not_in_ram_gets_a_typed_error_and_others_are_served(data: Path) -> None:
    async with opened(data, settings=LOCAL) as memory:
        alice = await _with_a_memory(memory)
        table = table_of(memory, data, alice)
    break_table(table)
    async with opened(data, settings=LOCAL) as memory:
        alice, bob = memory.user("alice", tenant="acme"), await consenting(memory, "bob")
        for call in (alice.add("x"), alice.search("x"), alice.context("x"), alice.list(), alice.damaged()):
            with pytest.raises(ColdTierError):
                await call
        await bob.add("others go on", importance=0.9)
        assert await contents(bob) == ["others go on"]
        mend_table(table)
        assert await contents(alice) == ["The bakery opens at six."]


async def test_consent_is_given(data: Path) -> None:
    async with opened(data, settings=LOCAL) as memory:
        alice = await _with_a_memory(memory)
        break_table(table_of(memory, data, alice))
        await alice.consent.grant(PURPOSE, notice="notice 2")
        assert (await alice.consent.current())[PURPOSE].details["notice"] == "notice 2"
        mend_table(table_of(memory, data, alice))


async def test_a_deletion_is_in_force_and_finished_later(data: Path) -> None:
    async with opened(data, settings=LOCAL) as memory:
        alice = await _with_a_memory(memory)
        table, [doomed] = table_of(memory, data, alice), await alice.list()
        break_table(table)
        with pytest.raises(ColdTierError):
            await alice.delete(doomed.id)
        assert await contents(alice) == []
        assert await alice.search("bakery") == []
        mend_table(table)
        await memory.forget()
        assert sealed_in_cold(data) == []


async def test_an_erasure_is_not_called_done_until_it_is(data: Path) -> None:
    async with opened(data, settings=LOCAL) as memory:
        alice = await _with_a_memory(memory)
        table = table_of(memory, data, alice)
        break_table(table)
        with pytest.raises(ErasureIncompleteError, match="keys are destroyed"):
            await alice.erase(reason="request")
        mend_table(table)
    async with opened(data, settings=LOCAL) as memory:
        alice = memory.user("alice", tenant="acme")
        assert await contents(alice) == []
        assert not table.exists()
        assert (await alice.erase(reason="request")).verified


async def test_forgetting_goes_on_and_says_what_it_could_not_remove(data: Path) -> None:
    clock = ManualClock()
    async with opened(data, settings=LOCAL, clock=clock) as memory:
        alice = await consenting(memory)
        secret = await alice.add("A secret of mine.", importance=0.9, sensitivity="restricted")
        await alice.add("It rained a little.", importance=0.25)
        await memory.drain()
        table = table_of(memory, data, alice)
        break_table(table)
        clock.advance(31 * 86_400.0)
        with pytest.raises(ColdTierError):
            await memory.forget()
        assert await contents(alice) == []
        mend_table(table)
        report = await memory.forget()
        assert secret.id not in report.removed
        assert len(sealed_in_cold(data)) == 1


async def test_the_operator_sees_the_journal_grow(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    observer, clock = RecordingObserver(), ManualClock()
    settings = {**LOCAL, "background": True}
    async with opened(data, settings=settings, clock=clock, observer=observer) as memory:
        alice = await consenting(memory)
        break_table(table_of(memory, data, alice))
        await alice.add("It has rye bread.", importance=0.9)
        for _ in range(8):
            await clock.run_for(1.0)
        assert observer.of(JournalState)[-1].records == 1
        assert observer.of(JournalState)[-1].oldest_unapplied_seconds > 1.0
        assert caplog.text.count("flushing one user failed") == 1
        assert "rye" not in caplog.text
        mend_table(table_of(memory, data, alice))
