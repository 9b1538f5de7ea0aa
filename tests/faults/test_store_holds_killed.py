"""A power cut between two runtimes: a hold that is in force in the store is so in every directory when it opens again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import opened, sqlite_rows

pytestmark = pytest.mark.anyio

LOCAL: dict[str, Any] = {"redis_url": "local"}
ACT = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
sys.path.insert(0, {tests!r})
from support import consenting, opened
from tiered_memory.hold_model import HoldScope

async def main():
    async with opened(Path({data!r}), settings={{"redis_url": "local"}}) as memory:
        await memory.tenants.register("acme", isolation="strict")
        alice = await consenting(memory)
        await alice.add("the quagga is ours", importance=0.9)
        await memory.holds.place("case-7", scope=HoldScope(purpose="personalization"), owner="c", reason="r",
                                 review_at=datetime(2100, 1, 1, tzinfo=UTC))
        await alice.erase(reason="asked")
        await memory.holds.release("case-7", "over")
asyncio.run(main())
"""


def killed(data: Path, point: str) -> None:
    code = ACT.format(tests=str(Path(__file__).parents[1]), data=str(data))
    env = {**os.environ, "TIERED_MEMORY_FAILPOINT": point}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()


async def test_a_hold_that_reached_the_main_runtime_alone_reaches_the_others(tmp_path: Path) -> None:
    killed(tmp_path, "hold.after_main")
    async with opened(tmp_path, settings=LOCAL) as memory:
        certificate = await memory.user("alice", tenant="acme").erase(reason="asked")
        assert certificate.retained[0].startswith("1 memory")
        assert [one.kept for one in await memory.holds.list()] == [1]


@pytest.mark.parametrize("point", ["hold.after_main_release", "hold.after_list:2", "hold.after_release:2"])
async def test_a_release_that_reached_the_main_runtime_alone_reaches_the_others(
    tmp_path: Path, point: str
) -> None:
    killed(tmp_path, point)
    async with opened(tmp_path, settings=LOCAL) as memory:
        assert await memory.holds.list() == []
        assert [one.kept for one in await memory.holds.list(released=True)] == [0]
        kinds = {row["kind"] for row in sqlite_rows(memory.tenants.directory("acme"), "register")}
        assert not kinds & {"held_record", "hold_key"}
        assert not await memory._branches.parts_of("acme").holds.names()
