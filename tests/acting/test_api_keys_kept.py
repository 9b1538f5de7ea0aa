"""API keys are kept sealed, and are gone to the last byte with the person or tenant they were bound to."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from api_key_tools import leaves, lived, refused
from support import everything_at_rest, log_bytes, opened, parts_of, raw_bytes, seen, sqlite_rows, state_pages

from tiered_memory import TieredMemory
from tiered_memory.errors import (
    ErasureIncompleteError,
    StateStoreError,
    TenantUnavailableError,
    TenantUnknownError,
)
from tiered_memory.principals import Grant
from tiered_memory.privacy.api_keys import key_text
from tiered_memory.state.register import DropEntries, Entries, PutEntries
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
STRICT_POLICY = """
schema = 1
default_purpose = "advice"
[purposes.advice]
lawful_basis = "contract"
documentation = "the order form"
max_sensitivity = "restricted"
[tenancy]
require_registration = true
"""


async def test_keys_are_what_they_were_after_a_restart(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        good = await memory.api_keys.create("good", grants=["audit"], tenant="acme", user="alice")
        gone = await memory.api_keys.create("gone", grants=["audit"])
        old = await memory.api_keys.create("old", grants=["audit"])
        new = await memory.api_keys.rotate(old.key.id)
        await memory.api_keys.revoke(gone.key.id, "lost")
        before = await memory.api_keys.list()
    async with opened(data, clock=clock) as memory:
        assert await memory.api_keys.list() == before
        assert [memory.api_keys.verify(one.secret).name for one in (good, old, new)] == [
            one.key.id for one in (good, old, new)
        ]
        refused(memory, gone.secret)


async def test_the_day_of_the_last_use_is_kept_and_nothing_finer(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        used = await memory.api_keys.create("used", grants=["audit"])
        idle = await memory.api_keys.create("idle", grants=["audit"])
        memory.api_keys.verify(used.secret)
        refused(memory, key_text(idle.key.id, bytes(32)))
        shown = {one.id: one.last_used_on for one in await memory.api_keys.list()}
        assert shown == {used.key.id: clock.now().date(), idle.key.id: None}
        assert type(shown[used.key.id]) is date
    clock.advance(DAY.total_seconds())
    async with opened(data, clock=clock) as memory:
        assert {one.id: one.last_used_on for one in await memory.api_keys.list()} == shown


async def test_a_day_s_uses_are_written_once(memory: TieredMemory, data: Path, clock: ManualClock) -> None:
    made = await memory.api_keys.create("x", grants=["audit"])
    for _ in range(20):
        memory.api_keys.verify(made.secret)
        await parts_of(memory).api_keys.flush()
    assert [row["version"] for row in sqlite_rows(data, "register")] == [2]
    clock.advance(DAY.total_seconds())
    memory.api_keys.verify(made.secret)
    await parts_of(memory).api_keys.flush()
    assert [row["version"] for row in sqlite_rows(data, "register")] == [3]
    await memory.api_keys.revoke(made.key.id, "still the newest version")


async def test_nothing_of_a_key_is_in_clear_at_rest_or_in_the_ledger(data: Path, clock: ManualClock) -> None:
    words = {
        "name": "canary-name-7f3a",
        "tenant": "canary-tenant-91bc",
        "user": "canary-user-55d0",
        "actor": "canary-actor-0e2f",
    }
    reason, role = "canary-reason-aa41", "canary-role-c3d2"
    async with opened(data, clock=clock) as memory:
        made = await memory.api_keys.create(grants=["audit"], roles=[role], **words)
        new = await memory.api_keys.rotate(made.key.id)
        await memory.api_keys.revoke(made.key.id, reason)
        hidden = [*words.values(), reason, role, made.secret[-43:], new.secret[-43:]]
        found = await leaves(memory)
        assert seen([*hidden, made.key.id, new.key.id], [found]) == set()
        assert [found.count(f'"api_key_{what}"'.encode()) for what in ("created", "rotated", "revoked")] == [
            2, 1, 1,
        ]  # fmt: skip
        assert seen(hidden, raw_bytes(data)) == set()
    assert seen(hidden, everything_at_rest(data)) == set()


async def test_a_key_whose_bytes_were_swapped_is_refused(data: Path) -> None:
    async with opened(data) as memory:
        made = [await memory.api_keys.create("x", grants=[one]) for one in ("audit", "admin")]
        rows = {row["entry_id"]: row["sealed"] for row in sqlite_rows(data, "register")}
        state = parts_of(memory).core.state
        weak, strong = (one.key.id for one in made)
        await _overwrite(state, weak, rows[strong])
    async with opened(data) as memory:
        refused(memory, made[0].secret)
        assert memory.api_keys.verify(made[1].secret).grants == {Grant.ADMIN}


async def _overwrite(state: Any, entry_id: str, sealed: bytes) -> None:
    """Do what somebody with the state store's key could do."""
    (row,) = [one for one in await state.read(Entries(b"", "api_key")) if one.entry_id == entry_id]
    await state.write(DropEntries(b"", "api_key", (entry_id,)))
    assert await state.write(PutEntries((replace(row, sealed=sealed),)))


# --- who is bound, and erased --------------------------------------------------------------------------------


async def test_a_key_of_an_erased_person_is_gone_to_the_last_byte(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        await lived(memory)
        mine = await memory.api_keys.create("mine", grants=["rights"], tenant="acme", user="alice")
        namesake = await memory.api_keys.create("n", grants=["rights"], tenant="other", user="alice")
        bob = await memory.api_keys.create("b", grants=["rights"], tenant="acme", user="bob")
        rows = {row["entry_id"]: row["sealed"] for row in sqlite_rows(data, "register")}
        assert rows[mine.key.id] in state_pages(data)
        await memory.user("alice", tenant="acme").erase(reason="request")
        refused(memory, mine.secret)
        assert {one.id for one in await memory.api_keys.list()} == {namesake.key.id, bob.key.id}
        assert log_bytes(data) == 0
        after = state_pages(data)
        assert rows[mine.key.id] not in after
        assert rows[mine.key.id][-48:] not in after
        assert mine.key.id.encode() not in after
        assert rows[bob.key.id] in after
        for one in (namesake, bob):
            memory.api_keys.verify(one.secret)
        assert (await leaves(memory)).count(b'"api_key_revoked"') == 1


async def test_an_ephemeral_person_s_key_goes_too(memory: TieredMemory, data: Path) -> None:
    made = await memory.api_keys.create("x", grants=["rights"], tenant="acme", user="guest")
    (row,) = sqlite_rows(data, "register")
    await memory.user("guest", tenant="acme").erase(reason="request")
    refused(memory, made.secret)
    assert log_bytes(data) == 0
    assert row["sealed"] not in state_pages(data)


async def test_a_key_that_was_made_amid_an_erasure_is_the_next_life_s(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(*_: object, **__: object) -> None:
        raise ErasureIncompleteError

    async with opened(data) as memory:
        await lived(memory)
        old = await memory.api_keys.create("old", grants=["rights"], tenant="acme", user="alice")
        monkeypatch.setattr(parts_of(memory).eraser, "_empty", stuck)
        with pytest.raises(ErasureIncompleteError):
            await memory.user("alice", tenant="acme").erase(reason="request")
        refused(memory, old.secret)
        new = await memory.api_keys.create("new", grants=["rights"], tenant="acme", user="alice")
    async with opened(data) as memory:
        memory.api_keys.verify(new.secret)


async def test_the_next_life_of_a_person_has_keys_of_its_own(data: Path) -> None:
    async with opened(data) as memory:
        await lived(memory)
        await memory.user("alice", tenant="acme").erase(reason="request")
        made = await memory.api_keys.create("x", grants=["rights"], tenant="acme", user="alice")
    async with opened(data) as memory:
        memory.api_keys.verify(made.secret)
        await lived(memory)
    async with opened(data) as memory:
        memory.api_keys.verify(made.secret)


class Refusing:
    """A state store that will not remove entries."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    async def write(self, command: Any) -> Any:
        if isinstance(command, DropEntries):
            raise StateStoreError
        return await self._state.write(command)


@asynccontextmanager
async def keeping_entries(memory: TieredMemory) -> AsyncIterator[None]:
    core = parts_of(memory).core
    real = core.state
    object.__setattr__(core, "state", Refusing(real))
    yield
    object.__setattr__(core, "state", real)


async def test_an_erasure_that_could_not_drop_a_key_does_so_when_repeated(memory: TieredMemory) -> None:
    await lived(memory)
    made = await memory.api_keys.create("x", grants=["rights"], tenant="acme", user="alice")
    async with keeping_entries(memory):
        with pytest.raises(StateStoreError):
            await memory.user("alice", tenant="acme").erase(reason="request")
    assert (await memory.user("alice", tenant="acme").erase(reason="request")).verified
    refused(memory, made.secret)


async def test_what_a_cut_erasure_left_of_a_key_is_dropped_when_the_store_opens(data: Path) -> None:
    async with opened(data) as memory:
        await lived(memory)
        made = await memory.api_keys.create("x", grants=["rights"], tenant="acme", user="alice")
        async with keeping_entries(memory):
            with pytest.raises(StateStoreError):
                await memory.user("alice", tenant="acme").erase(reason="request")
    async with opened(data) as memory:
        refused(memory, made.secret)
        assert await memory.api_keys.list() == []
        assert sqlite_rows(data, "register") == []


async def test_a_backup_from_before_brings_no_key_back_that_ended(data: Path, tmp_path: Path) -> None:
    async with opened(data) as memory:
        await memory.tenants.register("bought")
        bounds: dict[str, Any] = {
            "person": {"tenant": "acme", "user": "alice"},
            "tenant": {"tenant": "bought"},
            "revoked": {},
            "revoked before": {},
            "good": {},
        }
        made = {
            name: await memory.api_keys.create(name, grants=["rights"], **bound)
            for name, bound in bounds.items()
        }
        await memory.api_keys.revoke(made["revoked before"].key.id, "leaked")
        await memory.backup(tmp_path / "archive")
        await lived(memory)
        await memory.user("alice", tenant="acme").erase(reason="request")
        await memory.tenants.erase("bought", "contract ended")
        await memory.api_keys.revoke(made["revoked"].key.id, "leaked")
    again = tmp_path / "again"
    await TieredMemory.restore(tmp_path / "archive", again, erased_list=data / "erased.log")
    _hand_over_keys(data, again)
    async with opened(again) as memory:
        assert {one.name for one in await memory.api_keys.list()} == {"good", "revoked before"}
        memory.api_keys.verify(made.pop("good").secret)
        for one in made.values():
            refused(memory, one.secret)
        assert (await leaves(memory)).count(b"applied again") == 3


def _hand_over_keys(old: Path, new: Path) -> None:
    shutil.copytree(old / "keys", new / "keys", dirs_exist_ok=True)


@pytest.mark.parametrize("isolation", ["minimal", "strict"])
async def test_an_erased_tenant_s_keys_are_gone(data: Path, isolation: str) -> None:
    async with opened(data, settings={"redis_url": "local"}) as memory:
        await memory.tenants.register("acme", isolation=isolation)
        tenant = await memory.api_keys.create("t", grants=["audit"], tenant="acme")
        user = await memory.api_keys.create("u", grants=["audit"], tenant="acme", user="alice")
        free = await memory.api_keys.create("f", grants=["audit"])
        await memory.tenants.erase("acme", "contract ended")
        for one in (tenant, user):
            refused(memory, one.secret)
        assert [one.id for one in await memory.api_keys.list()] == [free.key.id]
        await memory.tenants.register("acme")
        again = await memory.api_keys.create("t", grants=["audit"], tenant="acme")
    async with opened(data, settings={"redis_url": "local"}) as memory:
        memory.api_keys.verify(again.secret)
        refused(memory, tenant.secret)


async def test_a_person_erased_in_a_directory_of_a_tenant_s_own_loses_keys(data: Path) -> None:
    async with opened(data, settings={"redis_url": "local"}) as memory:
        await memory.tenants.register("acme", isolation="moderate")
        await lived(memory)
        made = await memory.api_keys.create("x", grants=["rights"], tenant="acme", user="alice")
        await memory.user("alice", tenant="acme").erase(reason="request")
        refused(memory, made.secret)


async def test_what_a_cut_erasure_in_a_tenant_s_own_directory_left_is_dropped(data: Path) -> None:
    async with opened(data, settings={"redis_url": "local"}) as memory:
        await memory.tenants.register("acme", isolation="moderate")
        await lived(memory)
        made = await memory.api_keys.create("x", grants=["rights"], tenant="acme", user="alice")
        bob = await memory.api_keys.create("x", grants=["rights"], tenant="acme", user="bob")
        async with keeping_entries(memory):
            with pytest.raises(StateStoreError):
                await memory.user("alice", tenant="acme").erase(reason="request")
    async with opened(data, settings={"redis_url": "local"}) as memory:
        refused(memory, made.secret)
        memory.api_keys.verify(bob.secret)


async def test_what_a_tenant_s_cut_erasure_left_is_dropped_when_the_store_opens(data: Path) -> None:
    async with opened(data) as memory:
        await memory.tenants.register("acme")
        made = await memory.api_keys.create("x", grants=["audit"], tenant="acme")
        async with keeping_entries(memory):
            with pytest.raises(StateStoreError):
                await memory.tenants.erase("acme", "contract ended")
        with pytest.raises(TenantUnavailableError):
            await memory.api_keys.create("x", grants=["audit"], tenant="acme")
    async with opened(data) as memory:
        refused(memory, made.secret)
        assert await memory.api_keys.list() == []


async def test_a_key_for_an_unregistered_tenant_needs_a_policy_that_serves_it(
    data: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "strict.toml"
    policy.write_text(STRICT_POLICY)
    async with opened(data, settings={"policy": str(policy)}) as memory:
        with pytest.raises(TenantUnknownError):
            await memory.api_keys.create("x", grants=["audit"], tenant="acme")
        await memory.tenants.register("acme")
        await memory.api_keys.create("x", grants=["audit"], tenant="acme")


# --- that there were keys --------------------------------------------------------------------------------------


async def test_that_there_were_keys_outlives_the_last_of_them(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        assert not memory.api_keys.any_made()
        await lived(memory)
        await memory.api_keys.create("hers", grants=["subjects:erase"], tenant="acme", user="alice")
        await memory.user("alice", tenant="acme").erase(reason="asked")
        assert await memory.api_keys.list() == []
        assert memory.api_keys.any_made()
        old = await memory.api_keys.create("old", grants=["audit"])
        await memory.api_keys.revoke(old.key.id, "lost")
        clock.advance(91 * DAY.total_seconds())
    for _ in range(2):
        async with opened(data, clock=clock) as memory:
            assert await memory.api_keys.list() == []
            assert memory.api_keys.any_made()
