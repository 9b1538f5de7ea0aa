"""The process that is killed: `python -m benchmarks.crash_writer DATA ...`; it tells on stdout what was acknowledged.

It says `ready` once everything is imported and waits for a line on stdin: with a user and a mark in it, it opens the
store, searches for the mark, tells how long that took and is gone; with none it writes until it is killed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from pathlib import Path

from benchmarks.crash_lanes import TENANT, Lane, tell, text_of
from benchmarks.store import NOTICE, PURPOSE
from benchmarks.timing import since_ms
from tiered_memory import TieredMemory
from tiered_memory.clock import stopwatch
from tiered_memory.config import Settings, load_settings

KEEPERS = ("keeper", "keeper", "keeper", "other keeper")
FOREVER = 1_000_000


def settings_of(data: Path, redis_url: str) -> Settings:
    """Return settings under which background work follows writes within a few hundredths of a second."""
    return load_settings(
        data_dir=data,
        redis_url=redis_url,
        flush_age_seconds=0.05,
        flush_max_records=20,
        uses_flush_seconds=0.05,
        ballast_mib=1,
        forget_interval_seconds=0.5,
    )


async def write(settings: Settings, run: int, seed: int, rounds: int) -> None:
    """Open the store and run every lane for `rounds` calls."""
    async with TieredMemory.open(settings) as memory:
        tell({"what": "open"})
        for name in sorted(set(KEEPERS)):
            face = memory.user(name, tenant=TENANT)
            if not await face.consent.current():
                await face.consent.grant(PURPOSE, notice=NOTICE)
        lanes = [Lane(memory, run, number, seed) for number in range(len(KEEPERS) + 2)]
        async with asyncio.TaskGroup() as tasks:
            for name, lane in zip(KEEPERS, lanes, strict=False):
                tasks.create_task(lane.keep(name, rounds))
            tasks.create_task(lanes[-2].leave(-(-rounds // 8)))
            tasks.create_task(lanes[-1].withdraw(-(-rounds // 8)))


async def probe(settings: Settings, user: str, mark: str) -> None:
    """Open the store as this fresh process, search once, tell how long both took together."""
    begun = stopwatch()
    async with TieredMemory.open(settings) as memory:
        hits = await memory.user(user, tenant=TENANT).search(text_of(mark), limit=10)
        taken_ms = since_ms(begun)
        found = any(mark in hit.memory.content for hit in hits)
        tell({"what": "probed", "ms": taken_ms, "found": found})
        os._exit(0)  # gone as by a kill: the next one recovers as well


def main() -> int:
    """Run the writer or the probe that stdin asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crash_writer")
    parser.add_argument("data", type=Path)
    parser.add_argument("--run", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=FOREVER)
    parser.add_argument("--redis", default="private")
    chosen = parser.parse_args()
    logging.getLogger("tiered_memory").setLevel(logging.ERROR)
    tell({"what": "ready"})
    asked = json.loads(sys.stdin.readline() or "{}")
    settings = settings_of(chosen.data, chosen.redis)
    if "mark" in asked:
        asyncio.run(probe(settings, asked["user"], asked["mark"]))
    else:
        asyncio.run(write(settings, chosen.run, chosen.seed, chosen.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
