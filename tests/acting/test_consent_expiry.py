"""An expired consent ends like a withdrawn one: by itself, for everybody, whoever is in RAM."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support import PURPOSE, contents, log_bytes, opened, parts_of, sealed_in_cold, sqlite_rows, state_pages

from tiered_memory import TieredMemory, User
from tiered_memory.errors import NotFoundError, StateStoreError
from tiered_memory.state.consents import EndPurpose
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)


async def for_a_day(memory: TieredMemory, clock: ManualClock, name: str = "alice") -> User:
    user = memory.user(name)
    await user.consent.grant(PURPOSE, notice="n1", explicit=True, expires_at=clock.now() + DAY)
    for number in range(3):
        await user.add(f"{name} decided on plan {number}", session="s1", importance=0.9)
    return user


def actions(path: Path) -> list[str]:
    return [row["action"] for row in sqlite_rows(path, "consent_events")]


def events(path: Path) -> list[str]:
    return [row["leaf"].decode().split('"event":"')[1].split('"')[0] for row in sqlite_rows(path, "audit")]


@pytest.mark.parametrize("in_ram", [True, False])
async def test_the_cycle_ends_what_expired_for_everybody(
    data: Path, clock: ManualClock, *, in_ram: bool
) -> None:
    async with opened(data, clock=clock) as memory:
        await for_a_day(memory, clock)
        if in_ram:
            clock.advance(DAY)
            report = await memory.forget()
    if not in_ram:
        clock.advance(DAY)
        async with opened(data, clock=clock) as memory:
            report = await memory.forget()
            assert parts_of(memory).directory.residents() == []
    assert len(report.removed) == 3
    assert report.reasons["expired"] == 3
    assert actions(data) == ["given", "expired"]
    assert events(data).count("consent_expired") == 1
    assert {row["purpose"] for row in sqlite_rows(data, "data_keys")} == {"_subject"}
    assert (
        sqlite_rows(data, "memories")
        == sqlite_rows(data, "journal")
        == sqlite_rows(data, "session_tail")
        == []
    )
    assert sealed_in_cold(data) == []


async def test_nothing_is_ended_before_its_time_or_twice(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        await for_a_day(memory, clock)
        clock.advance(DAY - timedelta(microseconds=1))
        assert (await memory.forget()).removed == ()
        clock.advance(timedelta(microseconds=1))
        assert len((await memory.forget()).removed) == 3
        assert (await memory.forget()).removed == ()
    assert actions(data) == ["given", "expired"]


async def test_the_first_touch_shows_nothing_that_rested_on_it(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        ids = [one.id for one in await (await for_a_day(memory, clock)).list()]
        await memory.drain()
    doomed = next(row["wrapped"] for row in sqlite_rows(data, "data_keys") if row["purpose"] == PURPOSE)
    clock.advance(DAY)
    async with opened(data, clock=clock) as memory:
        alice = memory.user("alice")
        assert await alice.search("which plan?") == []
        assert "decided" not in (await alice.context("which plan?", session="s1")).render()
        for one in ids:
            with pytest.raises(NotFoundError):
                await alice.get(one)
        assert doomed not in state_pages(data)
        assert log_bytes(data) == 0
        await memory.forget()
        assert sealed_in_cold(data) == []


async def test_it_ends_while_the_subject_is_in_ram(memory: TieredMemory, clock: ManualClock) -> None:
    alice = await for_a_day(memory, clock)
    assert len(await contents(alice)) == 3
    clock.advance(DAY)
    assert await contents(alice) == []
    assert await alice.forgotten() == []


async def test_what_was_renewed_in_time_stays(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        alice = await for_a_day(memory, clock)
        clock.advance(DAY / 2)
        await alice.consent.grant(PURPOSE, notice="n1", explicit=True, expires_at=clock.now() + DAY)
        clock.advance(DAY / 2)
        assert (await memory.forget()).removed == ()
        assert len(await contents(alice)) == 3
        clock.advance(DAY / 2)
        assert len((await memory.forget()).removed) == 3
    assert actions(data) == ["given", "renewed", "expired"]


async def test_a_renewal_that_comes_between_wins(
    memory: TieredMemory, data: Path, clock: ManualClock
) -> None:
    """The commit looks once more whether the consent it ends is the latest."""
    alice = await for_a_day(memory, clock)
    parts = parts_of(memory)
    async with alice._using("consents") as (_, active):
        lapsed = active.consents[-1]
        await alice.consent.grant(PURPOSE, notice="n1", explicit=True)
        await parts.expiry._end(active, lapsed)
    assert len(await contents(alice)) == 3
    assert actions(data) == ["given", "renewed"]
    assert PURPOSE in {row["purpose"] for row in sqlite_rows(data, "data_keys")}


@pytest.mark.parametrize("one", [True, False])
async def test_a_dry_run_says_what_would_go_and_changes_nothing(
    data: Path, clock: ManualClock, *, one: bool
) -> None:
    async with opened(data, clock=clock) as memory:
        alice = await for_a_day(memory, clock)
        ids = {memory.id for memory in await alice.list()}
        clock.advance(DAY)
        report = await (alice.forget(dry_run=True) if one else memory.forget(dry_run=True))
        assert {planned.memory_id for planned in report.planned} == set(report.removed) == ids
        assert {planned.rule for planned in report.planned} == {"expired"}
        assert actions(data) == ["given"]
        assert len(sqlite_rows(data, "memories")) == 3


async def test_what_is_due_anyway_is_counted_once(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        await for_a_day(memory, clock)
        clock.advance(timedelta(days=800))
        report = await memory.forget(dry_run=True)
        assert len(report.removed) == report.evaluated == 3
        assert report.forgotten == ()


async def test_one_subjects_trouble_does_not_keep_the_others_waiting(
    data: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(data, clock=clock) as memory:
        for name in ("alice", "bob", "carol"):
            await for_a_day(memory, clock, name)
        parts = parts_of(memory)
        bob = parts.core.names.subject(memory.user("bob").subject)
        write = parts.core.state.write

        async def failing(command: object) -> object:
            if isinstance(command, EndPurpose) and command.subject == bob:
                raise StateStoreError
            return await write(command)  # type: ignore[arg-type]

        clock.advance(DAY)
        monkeypatch.setattr(parts.core.state, "write", failing)
        assert len((await memory.forget()).removed) == 6
        monkeypatch.setattr(parts.core.state, "write", write)
        assert len((await memory.forget()).removed) == 3
    assert sorted(actions(data)) == ["expired"] * 3 + ["given"] * 3


async def test_other_purposes_and_other_people_keep_theirs(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        await for_a_day(memory, clock)
        bob = memory.user("bob")
        await bob.consent.grant(PURPOSE, notice="n1")
        await bob.add("bob decided otherwise", importance=0.9)
        clock.advance(DAY)
        await memory.forget()
        assert await contents(bob) == ["bob decided otherwise"]
