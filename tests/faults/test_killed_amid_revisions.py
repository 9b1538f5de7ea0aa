"""kill -9 while an update closes an older memory and a repetition strengthens one: both halves are there, or neither."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from pathlib import Path

import pytest
from support import PURPOSE, opened

from tiered_memory import failpoints
from tiered_memory.model import Filter, Kind, Memory

pytestmark = pytest.mark.anyio

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tiered_memory.wiring", "tiered_memory.memory", "support", "lancedb"])
POINTS = (
    "append.before",
    "append.after",
    "flush.before_put",
    "cold.after_merge",
    "cold.after_sync",
    "flush.after_put",
    "flush.after_trim",
)
SETTINGS = {"redis_url": "local"}
CITY = {"kind": Kind.PROFILE, "metadata": {"key": "city"}}
REPEATED = "I prefer tea over coffee."


def _revise_and_die(data: Path, point: str, together: bool) -> None:
    asyncio.run(_revise(data, point, together=together))


async def _revise(data: Path, point: str, *, together: bool) -> None:
    async with opened(data, settings=SETTINGS) as memory:
        alice = memory.user("alice", tenant="acme")
        await alice.consent.grant(PURPOSE, notice="n")
        await alice.add("Berlin", importance=0.9, **CITY)  # type: ignore[arg-type]
        await alice.add(REPEATED)
        if not together:
            await memory.drain()
        failpoints.arm(failpoints.killing(point))
        await alice.add("Munich", importance=0.9, **CITY)  # type: ignore[arg-type]
        if point != "append.after":
            await alice.add(REPEATED)
        await memory.drain()


async def _died(data: Path, point: str, *, together: bool) -> None:
    writer = CONTEXT.Process(target=_revise_and_die, args=(data, point, together), daemon=True)
    writer.start()
    await asyncio.to_thread(writer.join)
    assert writer.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("point", POINTS)
async def test_a_revision_is_there_with_what_made_it_or_not_at_all(
    tmp_path: Path, point: str, together: bool
) -> None:
    """`together`: the first version is still on its way to cold when the second is written."""
    await _died(tmp_path / "data", point, together=together)
    for _ in range(2):
        async with opened(tmp_path / "data", settings=SETTINGS) as memory:
            alice = memory.user("alice", tenant="acme")
            held = {one.content: one for one in await alice.list(where=Filter(include_superseded=True))}
            _check(held, committed=point != "append.before")
            if point not in {"append.before", "append.after"}:
                assert (held[REPEATED].version, len(held[REPEATED].repeats)) == (2, 1)
            assert await alice.damaged() == []
            await memory.drain()


def _check(held: dict[str, Memory], *, committed: bool) -> None:
    old, new = held["Berlin"], held.get("Munich")
    assert (new is not None) == committed
    if new is None:
        assert (old.version, old.superseded_by, old.valid_to) == (1, None, None)
        return
    assert (old.version, old.superseded_by, old.valid_to) == (2, new.id, new.occurred_at)
    assert new.supersedes == (old.id,)
