"""Ending every key epoch of many users while they read and write: no call may fail, nothing may be lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from benchmarks.store import NOTICE, PURPOSE
from benchmarks.suite import Progress
from tiered_memory import TieredMemory
from tiered_memory.config import load_settings
from tiered_memory.errors import TieredMemoryError
from tiered_memory.key_epochs import RotationReport

QUICK_SUBJECTS, FULL_SUBJECTS = 1_000, 10_000
TENANT = "rotation"
CLIENTS = 4
AT_ONCE = 50
SAID = "we chose the blue plan"


@dataclass(slots=True)
class _Traffic:
    """What clients did while keys were changing, and what went wrong."""

    calls: int = 0
    newcomers: int = 0
    errors: list[str] = field(default_factory=list)
    over: bool = False


async def rotate(folder: Path, subjects: int, progress: Progress, seed: int = 0) -> dict[str, Any]:
    """Fill a store in `folder` with users, end their epoch under reads and writes, and read every user again.

    Returns `rotation_errors` (calls that failed, and users whose memory was not what it should be), `seconds`,
    `subjects`, `keys`, and the calls that were made meanwhile.
    """
    settings = load_settings(data_dir=folder, redis_url="local", background=True)
    traffic = _Traffic()
    async with TieredMemory.open(settings) as memory:
        await _fill(memory, subjects, progress)
        async with anyio.create_task_group() as clients:
            for client in range(CLIENTS):
                clients.start_soon(_use, memory, subjects, seed + client, traffic)
            report = await memory.keys.rotate(TENANT)
            traffic.over = True
    async with TieredMemory.open(settings) as memory:
        lost = await _lost(memory, subjects, progress)
    return _figures(report, traffic, lost)


def _figures(report: RotationReport, traffic: _Traffic, lost: int) -> dict[str, Any]:
    return {
        "rotation_errors": len(traffic.errors) + lost + report.left,
        "seconds": report.seconds,
        "subjects": report.subjects,
        "keys": report.keys,
        "epochs_ended": report.epochs_ended,
        "calls_meanwhile": traffic.calls,
        "newcomers_meanwhile": traffic.newcomers,
        "errors": sorted(set(traffic.errors))[:5],
    }


async def _fill(memory: TieredMemory, subjects: int, progress: Progress) -> None:
    progress.stage("users", subjects)
    for begun in range(0, subjects, AT_ONCE):
        async with anyio.create_task_group() as tasks:
            for number in range(begun, min(begun + AT_ONCE, subjects)):
                tasks.start_soon(_come, memory, f"user {number}")
        progress.step(min(AT_ONCE, subjects - begun))


async def _come(memory: TieredMemory, name: str) -> None:
    user = memory.user(name, tenant=TENANT)
    await user.consent.grant(PURPOSE, notice=NOTICE)
    await user.add(SAID, importance=0.9)


async def _use(memory: TieredMemory, subjects: int, client: int, traffic: _Traffic) -> None:
    """Read, write and arrive until the rotation is over, and at least once."""
    turn = 0
    while turn == 0 or not traffic.over:
        user = memory.user(f"user {(client * 7919 + turn * 104_729) % subjects}", tenant=TENANT)
        try:
            if not await user.search("which plan?", limit=1):
                traffic.errors.append("a search found nothing")
            await user.add(f"noted in turn {turn}", importance=0.9)
            if turn % 10 == 0:
                await _come(memory, f"newcomer {client} {turn}")
                traffic.newcomers += 1
        except TieredMemoryError as error:
            traffic.errors.append(type(error).__name__)
        turn, traffic.calls = turn + 1, traffic.calls + 2


async def _lost(memory: TieredMemory, subjects: int, progress: Progress) -> int:
    """Count users whose first memory is not there after the store was opened anew."""
    lost = 0
    progress.stage("users read again", subjects)
    for number in range(subjects):
        user = memory.user(f"user {number}", tenant=TENANT)
        lost += SAID not in {one.content for one in await user.list(limit=1000)}
        progress.step()
    return lost
