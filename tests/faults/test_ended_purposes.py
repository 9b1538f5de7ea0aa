"""A purpose that ended stays ended: across kills at any step, and in what is restored from an older backup."""

from __future__ import annotations

import asyncio
import multiprocessing
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import TWO_PURPOSES, contents, opened, parts_of, sealed_in_cold, sqlite_rows

from tiered_memory import TieredMemory, User, failpoints
from tiered_memory.errors import NotFoundError
from tiered_memory.model import Durability
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
CONTEXT = multiprocessing.get_context("spawn")
BEGUN = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = (
    TWO_PURPOSES
    + """
[purposes.insight]
lawful_basis = "legitimate_interests"
documentation = "balancing test 7"
max_sensitivity = "restricted"
"""
)


def settings_in(folder: Path) -> dict[str, Any]:
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    return {"policy": str(policy), "redis_url": "local"}


async def filled(memory: TieredMemory, clock: ManualClock, name: str = "alice") -> User:
    user = memory.user(name)
    await user.consent.grant("advice", notice="n1", expires_at=clock.now() + DAY)
    for purpose in ("advice", "service", "insight"):
        for number in range(2):
            await user.add(f"{purpose} {number}", session="s1", importance=0.9, purpose=purpose)
        await user.add(f"{purpose} so so", session="s1", importance=0.0, purpose=purpose)
    await memory.drain()
    return user


async def restored(source: Path, archive: Path, target: Path) -> None:
    await TieredMemory.restore(archive, target, erased_list=source / "erased.log")
    (target / "keys").mkdir(exist_ok=True)
    shutil.copy(source / "keys" / "root.key", target / "keys" / "root.key")
    shutil.copytree(source / "keys" / "epochs", target / "keys" / "epochs", dirs_exist_ok=True)


async def shows_nothing_of(memory: TieredMemory, purpose: str, ids: list[str]) -> None:
    alice = memory.user("alice")
    assert not [one for one in await contents(alice) if purpose in one]
    assert not [hit for hit in await alice.search(f"{purpose} 0", limit=20) if purpose in hit.memory.content]
    assert f"{purpose} so so" not in (await alice.context(f"{purpose} 1?", session="s1")).render()
    for one in ids:
        with pytest.raises(NotFoundError):
            await alice.get(one)
        with pytest.raises(NotFoundError):
            await alice.explain(one)
        with pytest.raises(NotFoundError):
            await alice.restore(one)
    assert await alice.forgotten() == []


ENDS = ["withdrawn", "refused", "expired", "objected"]


async def end(memory: TieredMemory, clock: ManualClock, how: str) -> None:
    alice = memory.user("alice")
    if how == "withdrawn":
        await alice.consent.withdraw("advice")
    elif how == "refused":
        await alice.consent.refuse("advice", notice="n2")
    elif how == "expired":
        clock.advance(DAY)
        await memory.forget()
    else:
        await alice.object_to("insight")


@pytest.mark.parametrize("how", ENDS)
async def test_an_older_backup_reveals_nothing_of_what_ended(tmp_path: Path, how: str) -> None:
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    settings, clock = settings_in(tmp_path), ManualClock(BEGUN)
    purpose, other = ("insight", "advice") if how == "objected" else ("advice", "insight")
    async with opened(store, settings=settings, clock=clock) as memory:
        alice = await filled(memory, clock)
        ids = [one.id for one in await alice.list() if one.purpose == purpose and "so" not in one.content]
        await memory.backup(archive)
        await end(memory, clock, how)
        await shows_nothing_of(memory, purpose, ids)
    await restored(store, archive, fresh)
    # The restored machine's clock does not matter: what expires is not what keeps it shut.
    async with opened(fresh, settings=settings, clock=ManualClock(BEGUN + timedelta(hours=1))) as memory:
        await shows_nothing_of(memory, purpose, ids)
        alice = memory.user("alice")
        assert {f"{other} 0", "service 0", "service 1"} <= set(await contents(alice))
        kept = await alice.add("something new", importance=0.9, purpose=purpose)
        assert kept.durability is Durability.EPHEMERAL
        if how == "objected":
            assert [one.status for one in await alice.objections()] == ["objected"]
        else:
            assert (await alice.consent.history("advice"))[-1].action == "withdrawn"
    held = {row["purpose"] for row in sqlite_rows(fresh, "data_keys")}
    assert held == {"_subject", "service", other}
    assert {row["purpose"] for row in sqlite_rows(fresh, "memories")} == {"service", other}
    assert {row["purpose"] for row in sqlite_rows(fresh, "session_tail")} == {"service", other}
    assert len(sealed_in_cold(fresh)) == 4


async def test_a_consent_given_again_survives_a_restore(tmp_path: Path) -> None:
    """The list says up to which consent it ended: a later one is another."""
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    settings, clock = settings_in(tmp_path), ManualClock(BEGUN)
    async with opened(store, settings=settings, clock=clock) as memory:
        alice = await filled(memory, clock)
        await alice.consent.withdraw("advice")
        await alice.object_to("insight")
        clock.advance(timedelta(seconds=1))
        await alice.consent.grant("advice", notice="n2")
        await alice.lift_objection("insight")
        await alice.add("advice anew", importance=0.9)
        await alice.add("insight anew", importance=0.9, purpose="insight")
        await memory.drain()
        await memory.backup(archive)
    await restored(store, archive, fresh)
    async with opened(fresh, settings=settings, clock=clock) as memory:
        found = set(await contents(memory.user("alice")))
        assert {"advice anew", "insight anew"} <= found
        assert "advice 0" not in found


async def test_documented_grounds_restrict_after_a_restore_too(tmp_path: Path) -> None:
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    settings, clock = settings_in(tmp_path), ManualClock(BEGUN)
    async with opened(store, settings=settings, clock=clock) as memory:
        alice = await filled(memory, clock)
        await memory.backup(archive)
        await alice.object_to("insight", compelling_grounds="case 4711 in court")
    await restored(store, archive, fresh)
    async with opened(fresh, settings=settings, clock=clock) as memory:
        alice = memory.user("alice")
        await shows_nothing_of(memory, "insight", [])
        assert [one.status for one in await alice.objections()] == ["restricted"]
        await alice.lift_objection("insight")
        assert {"insight 0", "insight 1"} <= set(await contents(alice))


async def test_a_list_that_was_cut_is_completed_from_what_the_store_knows(tmp_path: Path) -> None:
    store, archive, fresh = tmp_path / "store", tmp_path / "archive", tmp_path / "fresh"
    settings, clock = settings_in(tmp_path), ManualClock(BEGUN)
    async with opened(store, settings=settings, clock=clock) as memory:
        await filled(memory, clock)
        await memory.backup(archive)
        await end(memory, clock, "withdrawn")
    (store / "erased.log").unlink()
    async with opened(store, settings={**settings, "accept_rollback": True}, clock=clock) as memory:
        purposes = [one for one in await parts_of(memory).core.marks.erased() if one.purpose]
        assert len(purposes) == 1
    await restored(store, archive, fresh)
    async with opened(fresh, settings=settings, clock=clock) as memory:
        await shows_nothing_of(memory, "advice", [])


# --- killed on the way ---------------------------------------------------------------------------------------------


def _end_and_die(data: Path, settings: dict[str, Any], how: str, point: str) -> None:
    async def work() -> None:
        clock = ManualClock(BEGUN)
        async with opened(data, settings=settings, clock=clock) as memory:
            await filled(memory, clock)
            failpoints.arm(failpoints.killing(point))
            await end(memory, clock, how)

    asyncio.run(work())


@pytest.mark.parametrize("how", ["expired", "objected"])
@pytest.mark.parametrize(
    "point",
    [
        "list.after_entry",
        "withdraw.after_commit",
        "withdraw.after_checkpoint",
        "remove.after_cold",
        "remove.after_rows",
    ],
)
async def test_an_end_that_was_killed_is_finished(tmp_path: Path, how: str, point: str) -> None:
    data, settings = tmp_path / "data", settings_in(tmp_path)
    writer = CONTEXT.Process(target=_end_and_die, args=(data, settings, how, point), daemon=True)
    writer.start()
    await asyncio.to_thread(writer.join)
    assert writer.exitcode == -signal.SIGKILL
    purpose = "insight" if how == "objected" else "advice"
    clock = ManualClock(BEGUN + DAY)
    async with opened(data, settings=settings, clock=clock) as memory:
        if how == "objected" and point == "list.after_entry":
            # Nobody was told that it is in force: the person says it again.
            assert await memory.user("alice").objections() == []
            await memory.user("alice").object_to("insight")
        if how == "expired":
            await memory.forget()
        await shows_nothing_of(memory, purpose, [])
        assert "service 0" in await contents(memory.user("alice"))
    assert purpose not in {row["purpose"] for row in sqlite_rows(data, "data_keys")}
    assert purpose not in {row["purpose"] for row in sqlite_rows(data, "memories")}
    ended = [row["action"] for row in sqlite_rows(data, "consent_events")]
    assert ended == ["given", "expired"]
