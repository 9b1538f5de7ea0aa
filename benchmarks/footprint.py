"""The memory that active users take: measured in a process that does nothing else.

python -m benchmarks.footprint DIRECTORY POLICY USERS
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from pathlib import Path

import anyio.to_thread

from benchmarks.latency_reads import TENANT, fill
from benchmarks.machine import resident_mib
from benchmarks.store import settings_for
from benchmarks.suite import Request
from benchmarks.synthetic import Writer
from tiered_memory import TieredMemory, User
from tiered_memory.config import Settings


async def active_users_mib(settings: Settings, users: int, each: int, request: Request) -> float:
    """Return by how many MiB a fresh process grows when `users` with `each` memories become active in it."""
    writer = Writer(request.seed)
    request.progress.stage("users to hold in memory", users * each)
    async with TieredMemory.open(settings) as memory:
        for number in range(users + 1):
            await fill(_user(memory, number), writer.messages(each), request.progress)
        await memory.drain()
    return await anyio.to_thread.run_sync(_in_another_process, settings, users)


def _in_another_process(settings: Settings, users: int) -> float:
    command = [
        sys.executable,
        "-m",
        "benchmarks.footprint",
        str(settings.data_dir),
        settings.policy,
        str(users),
    ]
    told = subprocess.run(  # noqa: S603 - this module, by this interpreter
        command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )
    return float(told.stdout)


async def _growth(settings: Settings, users: int) -> float:
    """Loading one user first brings the engines in, which are not the users' share."""
    async with TieredMemory.open(settings) as memory:
        await _user(memory, users).search("anything")
        gc.collect()
        before = resident_mib()
        for number in range(users):
            await _user(memory, number).search("anything")
        gc.collect()
        return resident_mib() - before


def _user(memory: TieredMemory, number: int) -> User:
    return memory.user(f"user {number}", tenant=TENANT)


if __name__ == "__main__":
    given = settings_for(Path(sys.argv[1]), sys.argv[2])
    print(asyncio.run(_growth(given, int(sys.argv[3]))))
