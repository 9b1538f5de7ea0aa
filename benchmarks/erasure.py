"""`erasure`: how fast a person is gone, that nothing of theirs is left anywhere, and that nothing brings them back.

Users are erased while others stay. What is left is decoded and searched for the erased users' words, names and ids
and for anything sealed under one of their keys; the same search must find every one of them before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread
from rich.table import Table

from benchmarks.full_disk import full_disk_ok
from benchmarks.metrics import percentile
from benchmarks.remains import everything, hits, state_of
from benchmarks.schedules import run_schedules
from benchmarks.store import NOTICE, PURPOSE, engines, fresh_folder
from benchmarks.suite import Benchmark, Measured, Progress, Request, Results
from benchmarks.synthetic import Writer
from benchmarks.timing import since_ms
from tiered_memory import TieredMemory, User
from tiered_memory.clock import stopwatch
from tiered_memory.config import Settings, load_settings
from tiered_memory.failpoints import arm
from tiered_memory.tiers.redis_server import PrivateRedis, find_redis_server

TENANT = "erasure"
TURNS = 20
LATE_TURNS = 5
NEIGHBOURS = 5
KEY_GONE = "erase.after_checkpoint"
IMPORTANCES = (0.9, 0.9, 0.5, 0.0)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is tried."""

    users: int
    schedules: int


QUICK = Extent(users=100, schedules=2_000)
FULL = Extent(users=1_000, schedules=20_000)


@dataclass(slots=True)
class _Times:
    """Milliseconds from the call until the keys were gone from disk, and until it returned."""

    key_gone: list[float] = field(default_factory=list)
    online: list[float] = field(default_factory=list)


class HarnessError(RuntimeError):
    """The search finds nothing where there is something: its zero would prove nothing."""


async def run(request: Request) -> Measured:
    """Try what quick or full asks for."""
    return await measure(request, FULL if request.full else QUICK)


async def measure(request: Request, extent: Extent) -> Measured:
    """Erase users, look what is left, run the schedules, erase on a full disk."""
    with fresh_folder() as folder:
        if find_redis_server() is None:
            config, results = await _erase_users(folder / "data", None, extent.users, request)
        else:
            async with PrivateRedis() as server:
                config, results = await _erase_users(folder / "data", server.url, extent.users, request)
    scheduled = await run_schedules(extent.schedules, request.seed, request.progress)
    on_full_disk, why = await full_disk_ok()
    results |= {
        "schedules": scheduled.schedules,
        "resurrected": scheduled.resurrected,
        "bricked": scheduled.bricked,
        "full_disk_ok": None if on_full_disk is None else int(on_full_disk),
    }
    failures = [f"seed {one.seed}: {one.sort}: {one.what}" for one in scheduled.failures[:20]]
    return Measured({**config, "full_disk": why, "schedule_failures": failures}, results)


async def _erase_users(
    data: Path, redis_url: str | None, count: int, request: Request
) -> tuple[Results, Results]:
    settings = load_settings(data_dir=data, redis_url=redis_url or "local")
    names = [f"person{number:04}of{request.seed}" for number in range(count)]
    needles = await _fill(settings, names, request)
    await anyio.to_thread.run_sync(_check_search, needles, data, redis_url)
    times, waiting = _Times(), {}
    async with TieredMemory.open(settings) as memory:
        for name in names:
            waiting[name] = memory.user(name, tenant=TENANT)
            needles[name] += await _say_more(waiting[name], name)
        with _timed_keys() as keys_gone_at:
            await _erase_all(list(waiting.values()), keys_gone_at, times, request.progress)
        stayed = [
            await _count(memory.user(f"neighbour{number}", tenant=TENANT)) for number in range(NEIGHBOURS)
        ]
    found = await anyio.to_thread.run_sync(lambda: hits(needles, everything(data, redis_url)))
    if min(stayed) == 0:
        raise HarnessError("a neighbour's memories went with the erased")
    config = {**engines(settings), "turns_of_each": TURNS + LATE_TURNS, "found": sorted(found)[:20]}
    return config, {
        "users": len(names),
        "key_gone_p99_ms": percentile(times.key_gone, 99),
        "online_p99_ms": percentile(times.online, 99),
        "marker_hits": sum(found.values()),
    }


async def _fill(settings: Settings, names: Sequence[str], request: Request) -> dict[str, list[bytes]]:
    """Give every user memories in every tier; return what each can be known by."""
    writer = Writer(request.seed)
    neighbours = [f"neighbour{number}" for number in range(NEIGHBOURS)]
    request.progress.stage("writing", len(names) + len(neighbours))
    needles: dict[str, list[bytes]] = {}
    async with TieredMemory.open(settings) as memory:
        for name in [*names, *neighbours]:
            face = memory.user(name, tenant=TENANT)
            await face.consent.grant(PURPOSE, notice=NOTICE)
            needles[name] = [name.encode(), *await _say(face, name, writer.messages(TURNS))]
            request.progress.step()
        await memory.drain()
    keys = await anyio.to_thread.run_sync(_keys_by_id, settings.data_dir, needles)
    return {name: [*needles[name], *keys[name]] for name in names}


async def _say(face: User, name: str, texts: Sequence[str]) -> list[bytes]:
    """Say texts that bear the user's name; return the ids of what is on disk of them."""
    ids = []
    for turn, text in enumerate(texts):
        importance = IMPORTANCES[turn % len(IMPORTANCES)]
        receipt = await face.add(
            f"{name} says: {text}", session=f"session of {name}", author=name, importance=importance
        )
        ids += [receipt.id.encode()]
    return ids


async def _say_more(face: User, name: str) -> list[bytes]:
    """What is still in the journal when the erasure comes."""
    return await _say(face, name, [f"{name} added remark {number}" for number in range(LATE_TURNS)])


def _keys_by_id(data: Path, needles: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    """Return the ids of each user's keys: they stand in everything that is sealed under them."""
    with closing(state_of(data)) as state:
        owners: dict[Any, Any] = dict(state.execute("SELECT memory_id, subject FROM memories"))
        keys: list[Any] = state.execute("SELECT subject, key_id FROM data_keys").fetchall()
    subjects = {
        name: {owners[one.decode()] for one in known if one.decode() in owners}
        for name, known in needles.items()
    }
    return {name: [key for subject, key in keys if subject in mine] for name, mine in subjects.items()}


def _check_search(needles: dict[str, list[bytes]], data: Path, redis_url: str | None) -> None:
    """Before the erasure the search must find every user; else finding none after it would mean nothing."""
    found = hits(needles, everything(data, redis_url))
    if found.keys() != needles.keys():
        raise HarnessError(f"{len(needles.keys() - found.keys())} users are not found before they are erased")


@contextmanager
def _timed_keys() -> Iterator[list[float]]:
    """Note when keys are destroyed and the log that held them is truncated."""
    moments: list[float] = []

    def note(point: str) -> None:
        if point == KEY_GONE:
            moments.append(stopwatch())

    arm(note)
    try:
        yield moments
    finally:
        arm(None)


async def _erase_all(
    faces: Sequence[User], keys_gone_at: list[float], times: _Times, progress: Progress
) -> None:
    progress.stage("erasing", len(faces))
    for face in faces:
        keys_gone_at.clear()
        begun = stopwatch()
        await face.erase(reason="asked for it")
        times.online.append(since_ms(begun))
        times.key_gone.append((keys_gone_at[0] - begun) * 1e3)
        progress.step()


async def _count(face: User) -> int:
    return len(await face.list(limit=1_000))


def tables(results: Results) -> list[Table]:
    """Return times and counts."""
    table = Table(title="erasure")
    table.add_column("")
    table.add_column("figure", justify="right")
    table.add_row("users erased", str(results["users"]))
    table.add_row("key gone, p99", f"{results['key_gone_p99_ms']:.1f} ms")
    table.add_row("erased everywhere, p99", f"{results['online_p99_ms']:.1f} ms")
    table.add_row("found afterwards", str(results["marker_hits"]))
    table.add_row("schedules", str(results["schedules"]))
    table.add_row("resurrected", str(results["resurrected"]))
    table.add_row("bricked", str(results["bricked"]))
    works = {None: "needs root", 1: "yes", 0: "no"}[results["full_disk_ok"]]
    table.add_row("works on a full disk", works)
    return [table]


def missed(results: Results) -> list[str]:
    """Name what is worse than it may be: anything that is left, or back, or a right that a full disk denies."""
    never = ("marker_hits", "resurrected", "bricked")
    worse = [f"{name.replace('_', ' ')} is {results[name]}, not 0" for name in never if results[name]]
    return worse + (["a full disk stands in the way of rights"] if results["full_disk_ok"] == 0 else [])


BENCHMARK = Benchmark("erasure", run, tables, missed=missed)
