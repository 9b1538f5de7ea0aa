"""A store whose ledger tests write, read and tamper with."""

from __future__ import annotations

import contextlib
from pathlib import Path

from support import consenting, opened, parts_of, state_of

from tiered_memory import TieredMemory
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.notary import Notary
from tiered_memory.privacy.checkpoint import CheckpointLog, parse_log
from tiered_memory.state import commands as c

LOCAL = {"redis_url": "local", "ballast_mib": 0}


def notary_of(memory: TieredMemory) -> Notary:
    return parts_of(memory).core.notary


async def add_leaves(memory: TieredMemory, count: int) -> None:
    leaves = tuple(AuditLeaf(AuditEvent.MEMORY_PURGED, number, "t", "s", 0) for number in range(count))
    await parts_of(memory).core.state.write(c.AppendLeaves(leaves))


async def live(store: Path, *users: str) -> None:
    async with opened(store, settings=LOCAL) as memory:
        for user in users:
            await consenting(memory, user)


def log_of(store: Path) -> CheckpointLog:
    path = store / "checkpoints.log"
    return parse_log(path.read_bytes() if path.exists() else b"")


def sizes_of(store: Path) -> list[int]:
    return [one.checkpoint.size for one in log_of(store).notes if one]


def leaves_in(store: Path) -> int:
    with contextlib.closing(state_of(store)) as db:
        [(count,)] = db.execute("SELECT COUNT(*) FROM audit")
    return int(count)


def tampered(store: Path, *statements: str) -> None:
    with contextlib.closing(state_of(store)) as db:
        for statement in statements:
            db.execute(statement)


async def opens(store: Path, **settings: object) -> None:
    async with opened(store, settings={**LOCAL, **settings}):
        pass
