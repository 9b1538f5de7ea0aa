"""A power cut amid an erasure, a withdrawal or a release under a hold: nothing held is lost, nothing erased comes back."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support import consenting, contents, everything_at_rest, opened, parts_of, seen, sqlite_rows

from tiered_memory import TieredMemory
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.hold_model import HoldScope
from tiered_memory.ledger import leaf_for
from tiered_memory.state import commands as c

pytestmark = pytest.mark.anyio


ACT = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
sys.path.insert(0, {tests!r})
from support import consenting, opened
from tiered_memory.hold_model import HoldScope

async def main():
    async with opened(Path({data!r})) as memory:
        alice = await consenting(memory)
        await alice.add("the quagga is ours", importance=0.9)
        await memory.drain()
        await memory.holds.place("case-7", scope=HoldScope(tenant="acme", user="alice"), owner="c", reason="r",
                                 review_at=datetime(2100, 1, 1, tzinfo=UTC))
        if {act!r} == "erase":
            await alice.erase(reason="asked")
        elif {act!r} == "withdraw":
            await alice.consent.withdraw("personalization")
        else:
            await alice.erase(reason="asked")
            await memory.holds.release("case-7", "over")
asyncio.run(main())
"""


def killed(data: Path, act: str, point: str) -> None:
    code = ACT.format(tests=str(Path(__file__).parents[1]), data=str(data), act=act)
    env = {**os.environ, "TIERED_MEMORY_FAILPOINT": point}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()


@pytest.mark.parametrize(
    "point",
    [
        "erase.after_fence",
        "erase.after_checkpoint",
        "erase.after_hot_and_warm",
        "erase.after_cold",
        "erase.after_purge",
    ],
)
async def test_an_erasure_that_was_cut_short_keeps_the_held_copy(data: Path, point: str) -> None:
    killed(data, "erase", point)
    async with opened(data) as memory:
        assert [one.kept for one in await memory.holds.list()] == [1]
        certificate = await memory.user("alice", tenant="acme").erase(reason="asked")
        assert certificate.retained[0].startswith("1 memory")
        await memory.holds.release("case-7", "over")
    assert seen(["quagga"], everything_at_rest(data)) == set()


@pytest.mark.parametrize("point", ["withdraw.after_commit", "withdraw.after_checkpoint"])
async def test_a_withdrawal_that_was_cut_short_keeps_the_held_copy(data: Path, point: str) -> None:
    killed(data, "withdraw", point)
    async with opened(data) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == []
        assert [one.kept for one in await memory.holds.list()] == [1]
    assert sqlite_rows(data, "memories") == []


async def test_a_cut_before_the_fence_changed_nothing(data: Path) -> None:
    killed(data, "erase", "erase.before_fence")
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        assert await contents(alice) == ["the quagga is ours"]
        assert (await alice.explain((await alice.list())[0].id)).deadline_rule == "hold"


async def test_a_hold_whose_caller_heard_nothing_is_in_force(data: Path) -> None:
    killed(data, "erase", "hold.after_place")
    async with opened(data) as memory:
        assert [one.name for one in await memory.holds.list()] == ["case-7"]
        certificate = await memory.user("alice", tenant="acme").erase(reason="asked")
        assert certificate.retained[0].startswith("1 memory")


@pytest.mark.parametrize(("point", "left"), [("hold.after_list", 1), ("hold.after_release", 0)])
async def test_a_release_that_was_cut_short_can_be_repeated(data: Path, point: str, left: int) -> None:
    killed(data, "release", point)
    async with opened(data) as memory:
        assert len(await memory.holds.list()) == left
        if left:
            await memory.holds.release("case-7", "over")
        assert [one.kept for one in await memory.holds.list(released=True)] == [0]


async def test_a_write_during_the_erasure_is_kept_as_well(memory: TieredMemory) -> None:
    """What comes between the copying and the end of the keys makes the copying begin again."""
    alice = await consenting(memory)
    await alice.add("the quagga is ours", importance=0.9)
    scope, review_at = HoldScope(tenant="acme", user="alice"), datetime(2199, 1, 1, tzinfo=UTC)
    await memory.holds.place("case-7", scope=scope, owner="counsel", reason="claim", review_at=review_at)
    core, scans = parts_of(memory).core, 0
    scan = core.cold.scan

    async def scanned(ref: Any) -> Any:
        nonlocal scans
        scans += 1
        if scans == 1:
            await alice.add("the moa is ours", importance=0.9)
        return await scan(ref)

    await memory.drain()
    core.cold.scan = scanned  # type: ignore[method-assign]
    command = parts_of(memory).eraser._vault
    async with alice._using("rights") as (_, active):
        leaf = leaf_for(active, active.ledger_key, AuditEvent.ERASURE_BEGUN, 1)
        await command.write(active, c.BeginErasure(active.ref.pseudonym, active.ref.generation, leaf))
        active.alive = True
    assert scans == 2
    assert [one.kept for one in await memory.holds.list()] == [2]
