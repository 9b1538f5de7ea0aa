"""kill -9 while data is taken out or in: no half archive is found, and an import is finished by repeating it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from support import PURPOSE, consenting, opened

from tiered_memory import Interaction

pytestmark = pytest.mark.anyio

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tiered_memory.wiring", "tiered_memory.memory", "support", "lancedb"])
SETTINGS = {"redis_url": "local"}
COUNT = 250


def _die_at(wanted: int) -> object:
    def told(done: int, _total: int) -> None:
        if done >= wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    return told


def _export_and_die(data: Path, target: Path) -> None:
    asyncio.run(_export(data, target))


async def _export(data: Path, target: Path) -> None:
    async with opened(data, settings=SETTINGS) as memory:
        await memory.user("alice", tenant="acme").export(target, progress=_die_at(200))  # type: ignore[arg-type]


def _import_and_die(data: Path, source: Path) -> None:
    asyncio.run(_import(data, source))


async def _import(data: Path, source: Path) -> None:
    async with opened(data, settings=SETTINGS) as memory:
        await memory.user("alice", tenant="acme").import_archive(source, progress=_die_at(200))  # type: ignore[arg-type]


async def _died(work: object, *arguments: Path) -> None:
    process = CONTEXT.Process(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
    process.start()
    await asyncio.to_thread(process.join)
    assert process.exitcode == -signal.SIGKILL


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    async with opened(tmp_path / "data", settings=SETTINGS) as memory:
        alice = await consenting(memory)
        await alice.add_many([Interaction(content=f"fact number {n}", importance=0.9) for n in range(COUNT)])
        await memory.drain()
    return tmp_path / "data"


async def test_an_export_that_was_killed_left_no_file(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    await _died(_export_and_die, data, folder / "x.zip")
    assert not (folder / "x.zip").exists()
    assert [one for one in folder.iterdir() if not one.name.startswith(".")] == []
    async with opened(data, settings=SETTINGS) as memory:
        assert (await memory.user("alice", tenant="acme").export(folder / "y.zip")).memories == COUNT


async def test_an_import_that_was_killed_is_finished_by_repeating_it(data: Path, tmp_path: Path) -> None:
    async with opened(data, settings=SETTINGS) as memory:
        alice = memory.user("alice", tenant="acme")
        made = await alice.export(tmp_path / "x.zip")
        await alice.erase(reason="request")
        await alice.consent.grant(PURPOSE, notice="n")
    await _died(_import_and_die, data, made.path)
    async with opened(data, settings=SETTINGS) as memory:
        alice = memory.user("alice", tenant="acme")
        report = await alice.import_archive(made.path)
        assert (report.added, report.skipped) == (COUNT - 200, 200)
        said = [one.content for one in await alice.list(limit=10_000)]
        assert sorted(said) == sorted(f"fact number {n}" for n in range(COUNT))
        assert (await memory.ledger.verify()).sound
