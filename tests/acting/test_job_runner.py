"""The runner of background jobs, driven by a clock that moves when told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise

import anyio
import pytest
from support import until

from tiered_memory.clock import SeededEntropy
from tiered_memory.errors import ClosedError, ColdTierError, NotFoundError
from tiered_memory.job_model import JobOutcome
from tiered_memory.jobs import Job, JobRunner
from tiered_memory.metrics import JobPaused, JobRun, RecordingObserver
from tiered_memory.schedule import backoff, cadence
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

MINUTE = cadence(60.0)


class Bench:
    """A runner on a clock of its own, with jobs that count their runs."""

    def __init__(self, seed: int = 1) -> None:
        self.clock = ManualClock()
        self.observer = RecordingObserver()
        self.runner = JobRunner(self.clock, SeededEntropy(seed), self.observer)
        self.ran: list[str] = []
        self.begun: list[float] = []

    def counting(self, name: str) -> Job:
        async def work() -> None:
            self.ran.append(name)
            self.begun.append(self.clock.monotonic())

        return self.add(name, work)

    def failing(self, name: str, error: Exception) -> Job:
        async def work() -> None:
            self.ran.append(name)
            self.begun.append(self.clock.monotonic())
            raise error

        return self.add(name, work)

    def waiting(self, name: str, gate: anyio.Event, **given: float) -> Job:
        async def work() -> None:
            self.ran.append(f"{name} begun")
            await gate.wait()
            self.ran.append(f"{name} ended")

        return self.add(name, work, **given)

    def add(self, name: str, work: Callable[[], object], **given: float) -> Job:
        job = Job(name=name, about=f"does {name}", work=work, cadence=MINUTE, **given)  # type: ignore[arg-type]
        self.runner.add(job)
        return job

    def outcomes(self, name: str) -> list[str]:
        return [one.outcome for one in self.observer.of(JobRun) if one.job == name]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.runner.run_all)
            await anyio.wait_all_tasks_blocked()
            yield
            tasks.cancel_scope.cancel()


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_job_runs_at_least_once_an_interval_and_not_much_sooner(bench: Bench) -> None:
    bench.counting("one")
    async with bench.running():
        await bench.clock.run_for(600.0)
    waits = [after - before for before, after in zip([0.0, *bench.begun], bench.begun, strict=False)]
    assert all(54.0 <= wait <= 60.0 + 1e-6 for wait in waits)
    assert 10 <= len(waits) <= 11
    assert len(set(waits)) == len(waits)  # chance spreads them


async def test_the_same_seed_gives_the_same_turns_and_another_others() -> None:
    async def turns(seed: int) -> list[float]:
        bench = Bench(seed)
        bench.counting("one")
        async with bench.running():
            await bench.clock.run_for(121.0)
        return bench.begun

    assert await turns(1) == await turns(1) != await turns(2)


async def test_the_status_tells_what_happened_and_what_is_due(bench: Bench) -> None:
    bench.counting("one")
    start = bench.clock.now()
    fresh = bench.runner.status("one")
    assert (fresh.last_run, fresh.last_outcome, fresh.next_due, fresh.runs) == (None, None, None, 0)
    async with bench.running():
        waiting = bench.runner.status("one").next_due
        assert waiting is not None
        assert timedelta(seconds=54) <= waiting - start <= timedelta(seconds=60)
        await bench.clock.run_for(61.0)
        told = bench.runner.status("one")
        assert (told.runs, told.last_outcome, told.failures_in_a_row) == (1, JobOutcome.OK, 0)
        assert (told.running, told.paused, told.last_error) == (False, False, None)
        assert told.last_run == start + timedelta(seconds=bench.begun[0])
        assert told.next_due is not None
        assert told.next_due > bench.clock.now()
        assert told.about == "does one"
    assert bench.runner.status("one").next_due is None  # nothing runs by itself any more
    assert bench.outcomes("one") == ["ok"]


async def test_a_job_that_fails_backs_off_and_keeps_the_others_going(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.failing("bad", ColdTierError())
    bench.counting("good")
    async with bench.running():
        await bench.clock.run_for(1_200.0)
        told = bench.runner.status("bad")
    begun = [at for name, at in zip(bench.ran, bench.begun, strict=True) if name == "bad"]
    waits = [after - before for before, after in pairwise(begun)]
    for failed, wait in enumerate(waits, start=1):
        assert 0.9 * backoff(MINUTE, failed) <= wait <= backoff(MINUTE, failed) + 1e-6
    assert waits[-1] > 200.0
    assert bench.ran.count("good") >= 20
    assert (told.last_outcome, told.last_error) == (JobOutcome.ERROR, "ColdTierError")
    assert told.failures_in_a_row == told.runs == len(begun)
    assert set(bench.outcomes("bad")) == {"failed"}
    assert caplog.text.count("job bad failed and is tried again") == len(begun)


async def test_after_a_success_the_pace_is_the_old_one(bench: Bench) -> None:
    broken = True

    async def work() -> None:
        bench.begun.append(bench.clock.monotonic())
        if broken:
            raise ColdTierError

    bench.add("one", work)
    async with bench.running():
        await bench.clock.run_for(600.0)
        broken = False
        await bench.clock.run_for(301.0)
        assert bench.runner.status("one").failures_in_a_row == 0
        bench.begun.clear()
        await bench.clock.run_for(180.0)
        assert len(bench.begun) >= 3


async def test_an_unforeseen_error_is_loud(bench: Bench) -> None:
    bench.failing("bad", ZeroDivisionError())
    bench.counting("good")
    with pytest.raises(ExceptionGroup) as raised:
        async with bench.running():
            await bench.clock.run_for(61.0)
    assert raised.group_contains(ZeroDivisionError)
    assert bench.runner.status("bad").last_error == "ZeroDivisionError"
    assert bench.outcomes("bad") == ["failed"]
    with pytest.raises(ZeroDivisionError):
        await bench.runner.run("bad")


async def test_a_run_that_takes_too_long_is_cut_short_and_tried_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    gate = anyio.Event()
    bench.waiting("slow", gate, timeout_seconds=30.0)
    async with bench.running():
        await bench.clock.run_for(59.9)
        assert bench.ran == ["slow begun"]
        assert bench.runner.status("slow").running
        await bench.clock.run_for(31.0)
        told = bench.runner.status("slow")
        assert (told.last_outcome, told.failures_in_a_row) == (JobOutcome.TIMEOUT, 1)
        assert (told.running, told.last_error) == (False, None)
        gate.set()
        await bench.clock.run_for(61.0)
        assert bench.runner.status("slow").last_outcome == JobOutcome.OK
    assert bench.ran == ["slow begun", "slow begun", "slow ended"]
    assert bench.outcomes("slow") == ["failed", "ok"]
    assert "job slow was cut short after 30 s" in caplog.text


async def test_a_job_never_runs_twice_at_once(bench: Bench) -> None:
    gate = anyio.Event()
    bench.waiting("one", gate)
    async with bench.running():
        await bench.clock.run_for(61.0)
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(bench.runner.run, "one")
            await anyio.wait_all_tasks_blocked()
            assert bench.ran == ["one begun"]
            gate.set()
    assert bench.ran == ["one begun", "one ended"] * 4


async def test_a_run_that_was_asked_for_moves_the_next_turn(bench: Bench) -> None:
    bench.counting("one")
    async with bench.running():
        await bench.clock.run_for(40.0)
        await bench.runner.run("one")
        await bench.clock.run_for(53.0)
        assert bench.begun == [40.0]
        await bench.clock.run_for(7.1)
        assert len(bench.begun) == 2


async def test_a_paused_job_is_skipped_visibly_and_goes_on_within_a_minute(bench: Bench) -> None:
    looked: list[float] = []

    async def look() -> None:
        looked.append(bench.clock.monotonic())
        raise ColdTierError  # what looks may fail, and is no reason to stop

    async def work() -> None:
        bench.ran.append("one")

    bench.runner.add(Job(name="one", about="", work=work, cadence=cadence(3_600.0), when_paused=look))
    since = bench.clock.now()
    assert bench.runner.pause("one")
    assert not bench.runner.pause("one")
    async with bench.running():
        bench.clock.advance(3_200.0)
        await bench.clock.run_for(640.0)
        told = bench.runner.status("one")
        assert (told.paused, told.paused_since, told.runs) == (True, since, 0)
        assert "one" not in bench.ran
        assert 5 <= len(looked) == bench.outcomes("one").count("skipped")
        assert all(after - before <= 60.0 for before, after in pairwise(looked))
        assert bench.runner.resume("one")
        assert not bench.runner.resume("one")
        await bench.clock.run_for(60.0)
        assert bench.ran.count("one") == 1
        assert bench.runner.status("one").paused_since is None
    assert bench.observer.of(JobPaused) == [JobPaused("one", paused=True), JobPaused("one", paused=False)]


async def test_a_paused_job_still_runs_when_it_is_asked_to(bench: Bench) -> None:
    bench.counting("one")
    bench.runner.pause("one")
    await bench.runner.run("one")
    assert bench.ran == ["one"]
    assert bench.runner.status("one").paused


async def test_closing_cuts_short_what_runs_and_refuses_what_waits(bench: Bench) -> None:
    never, outcomes = anyio.Event(), list[str]()

    async def ask() -> None:
        try:
            await bench.runner.run("slow")
        except ClosedError:
            outcomes.append("closed")

    bench.waiting("slow", never)
    with anyio.fail_after(10.0):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            await bench.runner.close()
    assert outcomes == ["closed", "closed"]
    assert bench.ran == ["slow begun"]
    with pytest.raises(ClosedError):
        await bench.runner.run("slow")


async def test_a_caller_that_leaves_ends_its_run(bench: Bench) -> None:
    bench.waiting("slow", anyio.Event())
    asking = asyncio.create_task(bench.runner.run("slow"))
    await until(lambda: bench.runner.status("slow").running)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    told = bench.runner.status("slow")
    assert (told.running, told.runs, told.last_outcome) == (False, 0, None)


async def test_a_job_that_follows_events_has_no_turns(bench: Bench) -> None:
    held, begun = list[bool](), anyio.Event()

    async def follow() -> None:
        begun.set()
        await anyio.sleep_forever()

    async def work() -> None:
        bench.ran.append("drained")

    bench.runner.add(Job(name="flush", about="", work=work, cadence=MINUTE, follow=follow, hold=held.append))
    async with bench.running():
        await bench.clock.run_for(600.0)
        assert begun.is_set()
        assert bench.ran == []
        bench.runner.note("flush", 0.25, None)
        told = bench.runner.status("flush")
        assert (told.interval_seconds, told.next_due, told.last_seconds) == (None, None, 0.25)
        assert told.last_run == bench.clock.now()
        bench.runner.note("flush", 0.5, ColdTierError())
        assert bench.runner.status("flush").last_error == "ColdTierError"
        await bench.runner.run("flush")
        assert bench.ran == ["drained"]
        bench.runner.pause("flush")
        bench.runner.resume("flush")
    assert held == [True, False]
    assert bench.outcomes("flush") == ["ok", "failed", "ok"]


async def test_the_first_turn_may_be_told(bench: Bench) -> None:
    async def soon() -> float:
        return 5.0

    async def work() -> None:
        bench.begun.append(bench.clock.monotonic())

    bench.runner.add(Job(name="one", about="", work=work, cadence=MINUTE, first_wait=soon))
    async with bench.running():
        await bench.clock.run_for(6.0)
    assert bench.begun == [5.0]


@pytest.mark.parametrize("act", ["status", "pause", "resume"])
async def test_what_is_no_job_is_refused(bench: Bench, act: str) -> None:
    with pytest.raises(NotFoundError, match="no such job"):
        getattr(bench.runner, act)("nonsense")
    with pytest.raises(NotFoundError, match="no such job"):
        await bench.runner.run("nonsense")
    assert not bench.runner.paused("nonsense")


async def test_nothing_is_logged_of_what_goes_well(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tiered_memory")
    bench.counting("one")
    await bench.runner.run("one")
    assert [one for one in caplog.records if one.name == "tiered_memory"] == []
