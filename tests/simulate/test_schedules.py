"""Nothing erased comes back, and nobody is shut out by an erasure, in whatever order things happen."""

from __future__ import annotations

import os
import sys

import pytest

from benchmarks.rights_schedules import RightsSchedule
from benchmarks.schedules import ScheduleResult, run_schedules
from benchmarks.suite import Silent

pytestmark = pytest.mark.anyio

FULL = bool(os.environ.get("TIERED_MEMORY_FULL"))
LOCAL, ON_LANCE, OF_RIGHTS = (20_000, 600, 6000) if FULL else (2000, 60, 300)


@pytest.mark.slow
async def test_an_erasure_wins_in_every_order(capsys: pytest.CaptureFixture[str]) -> None:
    result = await run_schedules(LOCAL, 0, Silent())
    _report(result, capsys)
    assert result.failures == ()
    assert result.kills > LOCAL // 20


@pytest.mark.slow
async def test_whatever_rights_meet_nothing_comes_back_and_nothing_is_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = await run_schedules(OF_RIGHTS, 0, Silent(), kind=RightsSchedule)
    _report(result, capsys)
    assert result.failures == ()
    assert result.kills > OF_RIGHTS // 20


@pytest.mark.slow
async def test_on_lance_it_wins_too(capsys: pytest.CaptureFixture[str]) -> None:
    result = await run_schedules(ON_LANCE, 0, Silent(), real_cold=True)
    _report(result, capsys)
    assert result.failures == ()


async def test_a_seed_is_one_interleaving() -> None:
    first, second = [await run_schedules(10, 77, Silent()) for _ in range(2)]
    assert first == second


def _report(result: ScheduleResult, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        sys.stdout.write(
            f" {result.schedules} schedules, {result.works} calls, {result.kills} kills: "
            f"{result.resurrected} resurrected, {result.bricked} bricked "
        )
