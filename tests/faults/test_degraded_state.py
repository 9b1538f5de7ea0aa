"""The state store fails, or keys cannot be opened: nothing is acknowledged that would not last, and rights stay rights.

Each test is a cell of `docs/degraded-modes.md`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import PURPOSE, TWO_PURPOSES, consenting, contents, opened, sealed_in_cold, sqlite_rows, state_of

from tiered_memory import TieredMemory, User
from tiered_memory.errors import ErasureIncompleteError, KeyUnavailableError, StateStoreError
from tiered_memory.metrics import CorruptionDetected, RecordingObserver
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

LOCAL = {"redis_url": "local"}
OWN = "_subject"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@contextlib.contextmanager
def failing(data: Path) -> Iterator[None]:
    """Take the table away that every change has to ask: whatever the store is told, it refuses."""
    with contextlib.closing(state_of(data)) as db:
        db.execute("ALTER TABLE subjects RENAME TO elsewhere")
    try:
        yield
    finally:
        with contextlib.closing(state_of(data)) as db:
            db.execute("ALTER TABLE elsewhere RENAME TO subjects")


async def _with_a_memory(memory: TieredMemory) -> User:
    alice = await consenting(memory)
    await alice.add("The bakery opens at six.", session="s1", importance=0.9)
    await memory.drain()
    return alice


# --- the state store fails -----------------------------------------------------------------------------------


async def test_nothing_is_acknowledged(data: Path) -> None:
    async with opened(data, settings=LOCAL) as memory:
        alice = await _with_a_memory(memory)
        with failing(data):
            with pytest.raises(StateStoreError, match="nothing of it was stored"):
                await alice.add("lost?", session="s1", importance=0.9)
            assert "lost?" not in await contents(alice)
            assert "lost?" not in (await alice.context("lost", session="s1")).render()
        await alice.add("kept", session="s1", importance=0.9)
    async with opened(data, settings=LOCAL) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == ["kept", "The bakery opens at six."]


async def test_who_is_in_ram_is_answered_and_who_is_not_gets_a_typed_error(data: Path) -> None:
    async with opened(data, settings=LOCAL) as memory:
        alice = await _with_a_memory(memory)
        with failing(data):
            assert (await alice.search("bakery"))[0].memory.content == "The bakery opens at six."
            assert "bakery" in (await alice.context("bakery", session="s1")).render()
            for call in (memory.user("bob").search("x"), memory.user("bob").add("x")):
                with pytest.raises(StateStoreError):
                    await call
        assert await memory.user("bob").search("x") == []


async def test_consents_do_not_change(data: Path) -> None:
    async with opened(data, settings=LOCAL) as memory:
        alice = await _with_a_memory(memory)
        with failing(data):
            with pytest.raises(StateStoreError):
                await alice.consent.grant(PURPOSE, notice="notice 2")
            with pytest.raises(StateStoreError):
                await alice.consent.withdraw(PURPOSE)
            assert (await alice.consent.current())[PURPOSE].details["notice"] == "notice 1"
            assert await contents(alice) == ["The bakery opens at six."]
        assert await alice.consent.withdraw(PURPOSE) == 1
        assert await contents(alice) == []
        assert sealed_in_cold(data) == []


async def test_a_deletion_is_refused_and_changes_nothing(data: Path) -> None:
    async with opened(data, settings=LOCAL) as memory:
        alice = await _with_a_memory(memory)
        [doomed] = await alice.list()
        with failing(data):
            with pytest.raises(StateStoreError):
                await alice.delete(doomed.id)
            assert await contents(alice) == ["The bakery opens at six."]
        await alice.delete(doomed.id)
        assert sealed_in_cold(data) == []


async def test_an_erasure_is_refused_and_can_be_repeated(data: Path) -> None:
    async with opened(data, settings=LOCAL) as memory:
        alice = await _with_a_memory(memory)
        with failing(data), pytest.raises(StateStoreError):
            await alice.erase(reason="request")
        assert (await alice.erase(reason="request")).verified
        assert await contents(alice) == []


async def test_an_erasure_that_loses_its_store_half_way_is_finished(data: Path) -> None:
    async with opened(data, settings=LOCAL) as memory:
        alice = await _with_a_memory(memory)
        with contextlib.closing(state_of(data)) as db:
            db.execute("ALTER TABLE journal RENAME TO elsewhere")
        with pytest.raises(ErasureIncompleteError):
            await alice.erase(reason="request")
        with contextlib.closing(state_of(data)) as db:
            db.execute("ALTER TABLE elsewhere RENAME TO journal")
    async with opened(data, settings=LOCAL) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == []
        assert [row["state"] for row in sqlite_rows(data, "subjects")] == ["erased"]


async def test_forgetting_waits(data: Path) -> None:
    clock = ManualClock()
    async with opened(data, settings=LOCAL, clock=clock) as memory:
        alice = await consenting(memory)
        await alice.add("It rained a little.", importance=0.25)
        clock.advance(40 * 86_400.0)
        with failing(data), pytest.raises(StateStoreError):
            await memory.forget()
        assert await contents(alice) == ["It rained a little."]
        assert len((await memory.forget()).forgotten) == 1


# --- a key record is damaged ---------------------------------------------------------------------------------


async def _with_a_damaged_key(data: Path, purpose: str) -> None:
    """Leave a store in which one wrapped key has a flipped bit."""
    policy = data.with_suffix(".toml")
    policy.write_text(TWO_PURPOSES)
    async with opened(data, settings={**LOCAL, "policy": str(policy)}) as memory:
        alice = memory.user("alice", tenant="acme")
        await alice.consent.grant("advice", notice="n1", explicit=True)
        await alice.add("on consent", purpose="advice", session="s1", importance=0.9)
        await alice.add("on contract", purpose="service", importance=0.9)
    with contextlib.closing(state_of(data)) as db:
        [(wrapped,)] = db.execute("SELECT wrapped FROM data_keys WHERE purpose = ?", (purpose,)).fetchall()
        damaged = bytes([*wrapped[:-1], wrapped[-1] ^ 1])
        db.execute("UPDATE data_keys SET wrapped = ? WHERE purpose = ?", (damaged, purpose))


@contextlib.asynccontextmanager
async def _opened(data: Path, observer: RecordingObserver | None = None) -> Iterator[TieredMemory]:  # type: ignore[misc]
    settings = {**LOCAL, "policy": str(data.with_suffix(".toml"))}
    async with opened(data, settings=settings, observer=observer) as memory:
        yield memory


async def test_a_damaged_key_costs_what_it_sealed_and_nothing_else(data: Path) -> None:
    await _with_a_damaged_key(data, "advice")
    observer = RecordingObserver()
    async with _opened(data, observer) as memory:
        alice = memory.user("alice", tenant="acme")
        assert await contents(alice) == ["on contract"]
        assert [hit.memory.content for hit in await alice.search("on")] == ["on contract"]
        assert (await alice.context("on", session="s1")).render() != ""
        [lost] = await alice.damaged()
        with pytest.raises(KeyUnavailableError, match="restore a backup"):
            await alice.add("more", purpose="advice", importance=0.9)
        await alice.add("more", purpose="service", importance=0.9)
        await alice.delete(lost)
        assert await alice.damaged() == []
    assert {fact.store for fact in observer.of(CorruptionDetected)} == {"keyring", "cold"}


async def test_withdrawing_and_granting_again_replaces_a_damaged_key(data: Path) -> None:
    await _with_a_damaged_key(data, "advice")
    async with _opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        await alice.consent.withdraw("advice")
        await alice.consent.grant("advice", notice="n2")
        await alice.add("anew", purpose="advice", importance=0.9)
    async with _opened(data) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == ["anew", "on contract"]


async def test_without_the_own_key_rights_are_fulfilled_and_no_consent_is_taken(data: Path) -> None:
    await _with_a_damaged_key(data, OWN)
    async with _opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        assert await contents(alice) == ["on contract", "on consent"]
        with pytest.raises(KeyUnavailableError, match="damaged"):
            await alice.consent.grant("advice", notice="n2")
        await alice.delete((await alice.list())[0].id)
        assert await alice.consent.withdraw("advice") == 1
        assert await contents(alice) == []
        assert (await alice.erase(reason="request")).verified


async def test_without_the_own_key_forgetting_goes_on(data: Path) -> None:
    await _with_a_damaged_key(data, OWN)
    clock = ManualClock()
    settings = {**LOCAL, "policy": str(data.with_suffix(".toml"))}
    async with opened(data, settings=settings, clock=clock) as memory:
        clock.advance(4000 * 86_400.0)
        assert len((await memory.forget()).removed) == 2
        assert await contents(memory.user("alice", tenant="acme")) == []


@pytest.mark.parametrize("purpose", ["advice", OWN])
async def test_who_has_a_damaged_key_can_be_erased(data: Path, purpose: str) -> None:
    await _with_a_damaged_key(data, purpose)
    async with _opened(data) as memory:
        assert (await memory.user("alice", tenant="acme").erase(reason="request")).verified
    assert list((data / "cold").iterdir()) == []


async def test_a_damaged_epoch_key_closes_a_tenant_and_not_its_rights(data: Path) -> None:
    await _with_a_damaged_key(data, "advice")
    with contextlib.closing(state_of(data)) as db:
        db.execute("UPDATE epoch_keys SET wrapped = zeroblob(100)")
    async with _opened(data) as memory:
        alice, other = memory.user("alice", tenant="acme"), memory.user("bob", tenant="other")
        assert await contents(alice) == []
        assert len(await alice.damaged()) == 2
        with pytest.raises(KeyUnavailableError):
            await alice.add("more", purpose="advice", importance=0.9)
        await other.add("elsewhere", purpose="service", importance=0.9)
        assert (await alice.erase(reason="request")).verified
