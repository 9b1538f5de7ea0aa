"""API keys: made once, verified in RAM, rotated with an overlap, ended at once."""

from __future__ import annotations

import statistics
import timeit
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from api_key_tools import refused
from support import opened, parts_of, sqlite_rows

from tiered_memory import TieredMemory
from tiered_memory import api_keys as acting
from tiered_memory.errors import (
    AccessDeniedError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
)
from tiered_memory.principals import Grant
from tiered_memory.privacy.api_keys import key_text
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)


# --- made, listed, verified ----------------------------------------------------------------------------------


async def test_a_key_is_good_for_what_it_was_made_for(memory: TieredMemory) -> None:
    made = await memory.api_keys.create(
        "support bot",
        grants={Grant.READ, "memories:write"},
        tenant="acme",
        user="alice",
        roles=("support", "agent"),
        actor="bot 7",
    )
    found = memory.api_keys.verify(made.secret)
    assert (found.name, found.tenant, found.user, found.actor) == (made.key.id, "acme", "alice", "bot 7")
    found.check(Grant.READ, tenant="acme", user="alice")
    with pytest.raises(AccessDeniedError):
        found.check(Grant.ERASE, tenant="acme", user="alice")
    with pytest.raises(AccessDeniedError):
        found.check(Grant.READ, tenant="acme", user="bob")
    assert found.caller("support").actor == "bot 7"
    with pytest.raises(AccessDeniedError):
        found.caller("admin")


async def test_it_is_listed_with_everything_but_its_secret(memory: TieredMemory, clock: ManualClock) -> None:
    end = clock.now() + 30 * DAY
    made = await memory.api_keys.create("ci", grants=["metrics", "audit"], expires_at=end)
    (listed,) = await memory.api_keys.list()
    assert listed == made.key
    assert (listed.name, listed.grants, listed.roles) == ("ci", (Grant.AUDIT, Grant.METRICS), ("agent",))
    assert (listed.created_at, listed.expires_at) == (clock.now(), end)
    assert made.secret.startswith(listed.prefix)
    secret = made.secret.removeprefix(listed.prefix)
    assert len(secret) == 43
    assert secret not in repr(listed) + repr(made)


async def test_every_secret_is_another(memory: TieredMemory) -> None:
    made = [await memory.api_keys.create("same", grants=["audit"]) for _ in range(5)]
    assert len({one.secret[-43:] for one in made}) == len({one.key.id for one in made}) == 5


async def test_whatever_is_wrong_the_answer_is_the_same(memory: TieredMemory, clock: ManualClock) -> None:
    good = await memory.api_keys.create("good", grants=["audit"])
    gone = await memory.api_keys.create("gone", grants=["audit"])
    late = await memory.api_keys.create("late", grants=["audit"], expires_at=clock.now() + DAY)
    await memory.api_keys.revoke(gone.key.id, "lost")
    clock.advance(DAY.total_seconds())
    other = "A" if good.secret[-1] != "A" else "B"
    wrong: list[Any] = [
        gone.secret,
        late.secret,
        good.secret[:-1] + other,
        good.secret.replace(good.key.id, gone.key.id),
        key_text("0" * 16, bytes(32)),
        key_text(good.key.id, bytes(32)),
        "",
        "Bearer " + good.secret,
        good.secret + "\n",
        None,
        b"tm_",
    ]
    assert len({refused(memory, one) for one in wrong}) == 1
    assert memory.api_keys.verify(good.secret).name == good.key.id


async def test_another_spelling_of_the_same_bytes_is_another_secret(memory: TieredMemory) -> None:
    """The last of 43 characters has two bits to spare: four spellings decode alike."""
    made = await memory.api_keys.create("x", grants=["audit"])
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(made.secret[-1])
    for twin in range(last - last % 4, last - last % 4 + 4):
        if twin != last:
            refused(memory, made.secret[:-1] + alphabet[twin])


async def test_a_key_of_another_store_is_unknown(memory: TieredMemory, tmp_path: Path) -> None:
    async with opened(tmp_path / "other") as other:
        made = await other.api_keys.create("x", grants=["admin"])
        other.api_keys.verify(made.secret)
    refused(memory, made.secret)


@pytest.mark.parametrize(
    "given",
    [
        {"grants": []},
        {"grants": "audit"},
        {"grants": ["everything"]},
        {"grants": None},
        {"name": ""},
        {"name": "a\nb"},
        {"user": "alice"},
        {"tenant": ""},
        {"roles": "agent"},
        {"roles": []},
        {"roles": [f"r{n}" for n in range(17)]},
        {"actor": 7},
        {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"expires_at": datetime(2199, 1, 1)},  # noqa: DTZ001 - without an offset it is no moment
        {"expires": None},
    ],
)
async def test_what_makes_no_key_is_refused(memory: TieredMemory, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        await memory.api_keys.create(**{"name": "x", "grants": ["audit"], **given})
    assert await memory.api_keys.list() == []


async def test_verifying_takes_microseconds(memory: TieredMemory) -> None:
    made = [await memory.api_keys.create(f"k{n}", grants=["audit"], tenant="acme") for n in range(50)]
    verify, text = memory.api_keys.verify, made[25].secret
    verify(text)
    rounds = timeit.repeat(lambda: verify(text), number=200, repeat=25)
    assert statistics.median(rounds) / 200 < 50e-6


# --- revoked, rotated, expired -------------------------------------------------------------------------------


async def test_a_revoked_key_is_refused_at_once_and_told_of(memory: TieredMemory, clock: ManualClock) -> None:
    made = await memory.api_keys.create("x", grants=["audit"])
    ended = await memory.api_keys.revoke(made.key.id, "it leaked")
    refused(memory, made.secret)
    assert (ended.good, ended.revoked_at, ended.revoked_because) == (False, clock.now(), "it leaked")
    clock.advance(60)
    assert await memory.api_keys.revoke(made.key.id, "again") == ended
    assert (await memory.api_keys.list()) == [ended]


@pytest.mark.parametrize("given", ["0" * 16, "", "tm_" + "0" * 16, "*", None])
async def test_an_unknown_key_is_neither_revoked_nor_rotated(memory: TieredMemory, given: Any) -> None:
    with pytest.raises(NotFoundError):
        await memory.api_keys.revoke(given, "x")
    with pytest.raises(NotFoundError):
        await memory.api_keys.rotate(given)


async def test_both_keys_are_good_while_they_overlap(memory: TieredMemory, clock: ManualClock) -> None:
    old = await memory.api_keys.create("x", grants=["audit", "rights"], tenant="acme", roles=["admin"])
    clock.advance(1)
    new = await memory.api_keys.rotate(old.key.id, overlap_hours=2)
    assert (new.key.name, new.key.grants, new.key.tenant) == (old.key.name, old.key.grants, "acme")
    assert new.secret != old.secret
    assert memory.api_keys.verify(old.secret).roles == memory.api_keys.verify(new.secret).roles
    clock.advance(2 * 3600 - 1)
    memory.api_keys.verify(old.secret)
    clock.advance(1)
    refused(memory, old.secret)
    memory.api_keys.verify(new.secret)
    first, second = await memory.api_keys.list()
    assert (first.replaced_by, second.replaced_by) == (second.id, None)
    assert (first.good, second.good) == (False, True)


async def test_without_an_overlap_the_old_one_ends_at_once(memory: TieredMemory) -> None:
    old = await memory.api_keys.create("x", grants=["audit"])
    new = await memory.api_keys.rotate(old.key.id, overlap_hours=0)
    refused(memory, old.secret)
    memory.api_keys.verify(new.secret)


async def test_a_successor_lives_as_long_as_its_predecessor(memory: TieredMemory, clock: ManualClock) -> None:
    old = await memory.api_keys.create("x", grants=["audit"], expires_at=clock.now() + 10 * DAY)
    clock.advance(9.5 * DAY.total_seconds())
    new = await memory.api_keys.rotate(old.key.id, overlap_hours=24)
    assert new.key.expires_at == clock.now() + 10 * DAY
    kept = {one.id: one for one in await memory.api_keys.list()}
    assert kept[old.key.id].expires_at == old.key.expires_at, "an overlap makes no key live longer"


async def test_only_a_good_key_without_a_successor_is_rotated(
    memory: TieredMemory, clock: ManualClock
) -> None:
    revoked, late, old = [
        await memory.api_keys.create("x", grants=["audit"], expires_at=clock.now() + DAY) for _ in range(3)
    ]
    await memory.api_keys.revoke(revoked.key.id, "lost")
    await memory.api_keys.rotate(old.key.id)
    clock.advance(DAY.total_seconds() - 1)
    with pytest.raises(ConflictError):
        await memory.api_keys.rotate(old.key.id)
    clock.advance(1)
    for one in (revoked, late):
        with pytest.raises(ConflictError):
            await memory.api_keys.rotate(one.key.id)


@pytest.mark.parametrize("hours", [-1, 721, float("nan"), "2", True, None])
async def test_an_overlap_is_a_number_of_hours(memory: TieredMemory, hours: Any) -> None:
    made = await memory.api_keys.create("x", grants=["audit"])
    with pytest.raises(InvalidInputError):
        await memory.api_keys.rotate(made.key.id, overlap_hours=hours)


async def test_what_ended_leaves_the_list_after_ninety_days(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        made = await memory.api_keys.create("x", grants=["audit"])
        await memory.api_keys.revoke(made.key.id, "lost")
        clock.advance(89 * DAY.total_seconds())
    async with opened(data, clock=clock) as memory:
        assert [one.id for one in await memory.api_keys.list()] == [made.key.id]
        clock.advance(DAY.total_seconds())
    async with opened(data, clock=clock) as memory:
        assert await memory.api_keys.list() == []
        assert sqlite_rows(data, "register") == []


async def test_there_are_so_many_keys_and_no_more(
    memory: TieredMemory, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "MOST_KEYS", 3)
    made = [await memory.api_keys.create("x", grants=["audit"]) for _ in range(3)]
    with pytest.raises(ConflictError):
        await memory.api_keys.create("x", grants=["audit"])
    with pytest.raises(ConflictError):
        await memory.api_keys.rotate(made[0].key.id)
    await memory.api_keys.revoke(made[0].key.id, "no more")
    clock.advance(90 * DAY.total_seconds())
    await memory.api_keys.create("x", grants=["audit"])
    assert len(await memory.api_keys.list()) == 3


# --- many at once --------------------------------------------------------------------------------------------


async def test_keys_made_used_and_revoked_at_once_stay_apart(memory: TieredMemory) -> None:
    made: list[Any] = []

    async def one(number: int) -> None:
        key = await memory.api_keys.create(f"k{number}", grants=["audit"])
        memory.api_keys.verify(key.secret)
        if number % 2:
            await memory.api_keys.revoke(key.key.id, "odd")
        await parts_of(memory).api_keys.flush()
        made.append((number, key))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, number)
    for number, key in made:
        if number % 2:
            refused(memory, key.secret)
        else:
            memory.api_keys.verify(key.secret)
    assert len(await memory.api_keys.list()) == 20


class GivenUp:
    """A state store whose caller is gone as soon as a command is committed."""

    def __init__(self, state: Any, scope: anyio.CancelScope) -> None:
        self._state, self._scope = state, scope

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    async def write(self, command: Any) -> Any:
        done = await self._state.write(command)
        self._scope.cancel()
        await anyio.lowlevel.checkpoint()
        return done


async def test_who_gives_up_waiting_leaves_no_revoked_key_in_use(memory: TieredMemory) -> None:
    made = await memory.api_keys.create("x", grants=["audit"])
    core = parts_of(memory).core
    real = core.state
    with anyio.CancelScope() as scope:
        object.__setattr__(core, "state", GivenUp(real, scope))
        await memory.api_keys.revoke(made.key.id, "leaked")
    object.__setattr__(core, "state", real)
    assert scope.cancel_called
    refused(memory, made.secret)
    assert [row["status"] for row in sqlite_rows(memory._settings.data_dir, "register")] == ["revoked"]


# --- whom the daemon let in before -----------------------------------------------------------------------------


async def test_whoever_was_let_in_is_known_until_the_key_ends(
    memory: TieredMemory, clock: ManualClock
) -> None:
    lost = await memory.api_keys.create("lost", grants=["audit"])
    brief = await memory.api_keys.create("brief", grants=["audit"], expires_at=clock.now() + DAY)
    first, second = (memory.api_keys.verify(one.secret) for one in (lost, brief))
    assert memory.api_keys.good(first)
    assert memory.api_keys.good(second)
    assert not memory.api_keys.good(replace(first, name="0" * 16))
    assert not memory.api_keys.good(replace(first, grants=frozenset({Grant.ADMIN})))
    await memory.api_keys.revoke(lost.key.id, "lost")
    assert not memory.api_keys.good(first)
    clock.advance(DAY.total_seconds())
    assert not memory.api_keys.good(second)
