"""The background jobs of a memory on a real store: what they do, how they stand, what a pause puts off."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import consenting, contents, opened, parts_of, sealed_in_cold, sqlite_rows, until

from tiered_memory import TieredMemory, User
from tiered_memory.config import load_settings
from tiered_memory.errors import ClosedError, NotFoundError, StateStoreError
from tiered_memory.job_model import JobOutcome, JobStatus
from tiered_memory.jobs import JobRunner
from tiered_memory.metrics import JobRun, OldestOverdueDeletion, RecordingObserver
from tiered_memory.state.base import MemoryState
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

LOCAL: dict[str, Any] = {"redis_url": "local"}
RUNNING = {**LOCAL, "background": True, "uses_flush_seconds": 60.0, "flush_age_seconds": 120.0}
"""Paces at which a virtual minute takes few turns."""
EVERY = ["flush", "uses", "forget", "purge", "sessions", "compact", "key_epoch", "checkpoint", "gauges"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def runner_of(memory: TieredMemory) -> JobRunner:
    assert memory._runtime is not None
    return memory._runtime.jobs


def standing(memory: TieredMemory, name: str) -> JobStatus:
    return runner_of(memory).status(name)


def overdue(observer: RecordingObserver) -> float:
    return observer.of(OldestOverdueDeletion)[-1].seconds


def told(store: Path, event: str) -> list[dict[str, Any]]:
    leaves = [json.loads(row["leaf"]) for row in sqlite_rows(store, "audit")]
    return [leaf for leaf in leaves if leaf["event"] == event]


async def secret_of(user: User) -> str:
    """A memory that the default policy keeps for 30 days at most."""
    return (await user.add("It is the blue door.", importance=1.0, sensitivity="restricted")).id


async def turned(memory: TieredMemory, clock: ManualClock, name: str) -> JobStatus:
    """Let time pass until a job has run once more."""
    runs = standing(memory, name).runs
    while standing(memory, name).runs == runs:
        await stepped(clock, 20.0)
    return standing(memory, name)


async def stepped(clock: ManualClock, seconds: float) -> None:
    """Let time pass at once: a loop that turns every half second would have `run_for` stop there."""
    clock.advance(seconds)
    await anyio.wait_all_tasks_blocked()


# --- what they do ------------------------------------------------------------------------------------------------


async def test_every_job_is_listed_and_can_be_run(store: Path) -> None:
    observer = RecordingObserver()
    async with opened(store, settings=LOCAL, observer=observer) as memory:
        await (await consenting(memory)).add("I like tea", importance=0.9)
        assert [one.name for one in await memory.jobs.list()] == EVERY
        for name in EVERY:
            one = await memory.jobs.run(name)
            assert (one.name, one.last_outcome, one.runs) == (name, JobOutcome.OK, 1)
            assert one.last_seconds is not None
            assert one.last_run is not None
            assert one.last_run.utcoffset() == timedelta(0)
            assert one == await memory.jobs.get(name)
            assert one.about
        assert [one.job for one in observer.of(JobRun)] == EVERY
        assert len(sealed_in_cold(store)) == 1
        assert (store / "checkpoints.log").exists()


async def test_without_background_work_nothing_is_due(store: Path) -> None:
    clock = ManualClock()
    async with opened(store, settings=LOCAL, clock=clock) as memory:
        await stepped(clock, 7_200.0)
        assert [(one.runs, one.next_due) for one in await memory.jobs.list()] == [(0, None)] * len(EVERY)


async def test_the_background_does_them_all(store: Path) -> None:
    clock = ManualClock()
    async with opened(store, settings=RUNNING, clock=clock) as memory:
        alice = await consenting(memory)
        await alice.add("I like tea", importance=0.9)
        await until(lambda: standing(memory, "key_epoch").next_due is not None)
        for name in ("flush", "uses", "forget", "purge", "sessions", "checkpoint", "gauges"):
            one = await turned(memory, clock, name)
            assert (one.last_outcome, one.failures_in_a_row) == (JobOutcome.OK, 0), name
        clock.advance(3_600.0)
        await until(lambda: standing(memory, "key_epoch").runs > 0)
        for one in await memory.jobs.list():
            assert (one.next_due is None) == (one.name == "flush")
    assert len(sealed_in_cold(store)) == 1


async def test_what_is_due_goes_by_itself(store: Path) -> None:
    clock = ManualClock()
    async with opened(store, settings=RUNNING, clock=clock) as memory:
        alice = await consenting(memory)
        await secret_of(alice)
        clock.advance(timedelta(days=31))
        while sqlite_rows(store, "memories"):
            await turned(memory, clock, "forget")
        assert await contents(alice) == []


async def test_what_is_no_job_is_refused(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        for act in (memory.jobs.get, memory.jobs.run, memory.jobs.pause, memory.jobs.resume):
            with pytest.raises(NotFoundError, match="no such job"):
                await act("nonsense")
        with pytest.raises(NotFoundError, match="backup_dir"):
            await memory.jobs.run("backup")
    with pytest.raises(ClosedError):
        await memory.jobs.list()


async def test_an_unforeseen_error_is_loud(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()

    async def broken() -> None:
        raise ZeroDivisionError

    memory = TieredMemory.open(load_settings(data_dir=store, **RUNNING), clock=clock)
    await memory.__aenter__()
    checkpoint = runner_of(memory)._standings["checkpoint"]
    checkpoint.job = replace(checkpoint.job, work=broken)
    with caplog.at_level(logging.CRITICAL):
        await stepped(clock, 61.0)
        await until(lambda: "unforeseen error" in caplog.text)
    with pytest.raises(ExceptionGroup) as raised:
        await memory.close()
    assert raised.group_contains(ZeroDivisionError)


# --- pauses ------------------------------------------------------------------------------------------------------


async def test_a_paused_forgetting_is_seen_to_be_overdue(store: Path) -> None:
    clock, observer = ManualClock(), RecordingObserver()
    async with opened(store, settings=RUNNING, clock=clock, observer=observer) as memory:
        alice = await consenting(memory)
        await secret_of(alice)
        clock.advance(timedelta(days=29))
        [one] = await memory.jobs.pause("forget")
        assert (one.name, one.paused_since, one.paused) == ("forget", clock.now(), True)
        clock.advance(timedelta(days=3))
        while not observer.of(OldestOverdueDeletion) or overdue(observer) < 86_400.0:
            await stepped(clock, 60.0)
        assert standing(memory, "forget").paused_since == one.paused_since
        assert [row["state"] for row in sqlite_rows(store, "memories")] == [MemoryState.ACTIVE]
        [gone_on] = await memory.jobs.resume("forget")
        assert gone_on.paused_since is None
        while sqlite_rows(store, "memories"):
            await stepped(clock, 60.0)
        await turned(memory, clock, "purge")
        assert overdue(observer) == 0.0
    assert [leaf["detail"] for leaf in told(store, "job_paused")] == [{"job": "forget"}]
    assert [leaf["detail"] for leaf in told(store, "job_resumed")] == [{"job": "forget"}]


async def test_what_a_cycle_would_keep_is_not_overdue(store: Path) -> None:
    clock, observer = ManualClock(), RecordingObserver()
    async with opened(store, settings=LOCAL, clock=clock, observer=observer) as memory:
        alice = await consenting(memory)
        kept = await alice.add("I like tea", importance=0.25)
        clock.advance(timedelta(days=40))
        await alice.pin(kept.id)
        await parts_of(memory).sweeper.report_overdue()
        assert overdue(observer) == 0.0
        await alice.add("I like rain", importance=0.25)
        clock.advance(timedelta(days=40))
        await parts_of(memory).sweeper.report_overdue()
        assert overdue(observer) > 86_400.0


async def test_a_paused_purge_leaves_the_bytes_and_hides_the_memory(store: Path) -> None:
    clock, observer = ManualClock(), RecordingObserver()
    async with opened(store, settings=LOCAL, clock=clock, observer=observer) as memory:
        alice = await consenting(memory)
        await secret_of(alice)
        await memory.drain()
        await memory.jobs.pause("purge")
        clock.advance(timedelta(days=31))
        await memory.jobs.run("forget")
        assert await contents(alice) == []
        assert [row["state"] for row in sqlite_rows(store, "memories")] == [MemoryState.REMOVING]
        assert len(sealed_in_cold(store)) == 1
        clock.advance(3_600.0)
        await parts_of(memory).sweeper.report_overdue()
        assert overdue(observer) == 3_600.0
        await memory.jobs.resume("purge")
        await memory.jobs.run("purge")
        assert (sqlite_rows(store, "memories"), sealed_in_cold(store)) == ([], [])
        assert overdue(observer) == 0.0


async def test_a_pause_does_not_put_off_what_a_person_asks_for(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        alice = await consenting(memory)
        secret = await secret_of(alice)
        await memory.drain()
        await memory.jobs.pause()
        await alice.delete(secret)
        assert sealed_in_cold(store) == []
        await secret_of(alice)
        assert (await alice.erase(reason="asked")).ledger_entry


async def test_a_paused_flush_lets_the_journal_fill(store: Path) -> None:
    clock = ManualClock()
    settings = {**RUNNING, "flush_age_seconds": 2.0}
    async with opened(store, settings=settings, clock=clock) as memory:
        alice = await consenting(memory)
        await memory.jobs.pause("flush")
        await alice.add("I like tea", importance=0.9)
        await stepped(clock, 10.0)
        assert parts_of(memory).flusher.size().records == 1
        assert sealed_in_cold(store) == []
        await memory.jobs.resume("flush")
        while parts_of(memory).flusher.size().records:
            await stepped(clock, 1.0)
        assert standing(memory, "flush").last_outcome == JobOutcome.OK
        assert len(sealed_in_cold(store)) == 1


async def test_all_jobs_are_paused_and_no_pause_outlives_the_process(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await memory.jobs.pause("forget")
        assert all(one.paused for one in await memory.jobs.pause())
        assert (await memory.ledger.verify()).sound
    assert [leaf["detail"]["job"] for leaf in told(store, "job_paused")] == [
        "forget",
        *(name for name in EVERY if name != "forget"),
    ]
    async with opened(store, settings=LOCAL) as memory:
        assert not any(one.paused for one in await memory.jobs.list())
        await memory.jobs.resume()
    assert told(store, "job_resumed") == []


async def test_what_cannot_be_recorded_is_not_paused(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        state: Any = parts_of(memory).core.state
        write = state.write

        async def refuse(command: object) -> None:
            raise StateStoreError

        state.write = refuse
        try:
            with pytest.raises(StateStoreError):
                await memory.jobs.pause("forget")
        finally:
            state.write = write
        assert not (await memory.jobs.get("forget")).paused


# --- key epochs, compaction --------------------------------------------------------------------------------------


async def test_old_key_epochs_end_by_themselves(store: Path) -> None:
    clock = ManualClock()
    async with opened(store, settings={**LOCAL, "key_epoch_days": 90}, clock=clock) as memory:
        await (await consenting(memory, tenant="old")).add("I like tea", importance=0.9)
        clock.advance(timedelta(days=60))
        await (await consenting(memory, tenant="young")).add("I like rain", importance=0.9)
        await memory.jobs.run("key_epoch")
        assert {one.state for one in await memory.keys.status()} == {"current"}
        clock.advance(timedelta(days=31))
        await memory.jobs.run("key_epoch")
        ended = [one.tenant for one in await memory.keys.status() if one.state == "ended"]
        young = parts_of(memory).core.names.tenant("young").hex()
        assert ended
        assert young not in ended
        for tenant, text in (("old", "I like tea"), ("young", "I like rain")):
            assert await contents(memory.user("alice", tenant=tenant)) == [text]
        before = await memory.keys.status()
        await memory.jobs.run("key_epoch")
        assert await memory.keys.status() == before


async def test_unless_it_is_set_no_epoch_ends_by_itself(store: Path) -> None:
    clock = ManualClock()
    async with opened(store, settings=LOCAL, clock=clock) as memory:
        await (await consenting(memory)).add("I like tea", importance=0.9)
        clock.advance(timedelta(days=5_000))
        await memory.jobs.run("key_epoch")
        assert {one.state for one in await memory.keys.status()} == {"current"}


async def test_compaction_leaves_reads_and_erasure_as_they_were(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        alice = await consenting(memory)
        for number in range(12):
            await alice.add(f"I like tea number {number}", importance=0.9)
            await memory.drain()
        before = await contents(alice)
        pieces = len(list((store / "cold").glob("*.lance/data/*")))
        await memory.jobs.run("compact")
        assert len(list((store / "cold").glob("*.lance/data/*"))) < pieces
        assert await contents(alice) == before
        await alice.erase(reason="asked")
        await memory.jobs.run("compact")
        assert list((store / "cold").glob("*.lance")) == []


# --- tenants' own directories ------------------------------------------------------------------------------------


async def test_tenants_own_directories_go_along(store: Path, tmp_path: Path) -> None:
    clock = ManualClock()
    settings = {**LOCAL, "backup_dir": tmp_path / "backups", "residencies": {"eu": tmp_path / "eu"}}
    async with opened(store, settings=settings, clock=clock) as memory:
        await memory.tenants.register("own", isolation="moderate")
        await memory.tenants.register("there", residency="eu")
        for tenant in ("own", "there", "shared"):
            await secret_of(await consenting(memory, tenant=tenant))
        await memory.jobs.run("flush")
        assert all(parts.flusher.size().records == 0 for parts in memory._branches.every())
        clock.advance(timedelta(days=31))
        await memory.jobs.run("forget")
        for tenant in ("own", "there", "shared"):
            assert await contents(memory.user("alice", tenant=tenant)) == []
        await memory.jobs.pause("purge")
        assert all(one.jobs.paused("purge") for one in memory._branches.runtimes())
        await memory.jobs.resume("purge")
        assert not any(one.jobs.paused("purge") for one in memory._branches.runtimes())
        await memory.jobs.run("backup")
    archives = list((tmp_path / "backups").rglob("manifest.json"))
    assert len(archives) == 2  # the store's, and that of the tenant without a residency
    assert sum("tenants" in path.parts for path in archives) == 1
    assert not list((tmp_path / "eu").rglob("manifest.json"))


async def test_of_several_directories_the_worst_is_told(store: Path) -> None:
    async with opened(store, settings=LOCAL) as memory:
        await memory.tenants.register("own", isolation="moderate")
        own = memory._branches.runtimes()[1]
        own.jobs.note("flush", 3.0, StateStoreError())
        one = await memory.jobs.get("flush")
        assert (one.last_outcome, one.last_error, one.last_seconds) == (
            JobOutcome.ERROR,
            "StateStoreError",
            3.0,
        )
        assert one.failures_in_a_row == 1
