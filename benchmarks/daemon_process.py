"""A daemon in a process of its own, as `tiered-memory serve` starts it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60.0
QUIET = {"TIERED_MEMORY_DAEMON__LOG_LEVEL": "error", "TIERED_MEMORY_REDIS_URL": "local"}


class DaemonError(RuntimeError):
    """The daemon did not come up, or did not end: the harness, or the product, is broken."""


@dataclass(frozen=True, slots=True)
class Running:
    """The process and its address; it listens already, and may still be opening the memory."""

    process: asyncio.subprocess.Process
    address: str


@asynccontextmanager
async def daemon(data: Path, **environ: str) -> AsyncIterator[Running]:
    """Serve `data` on a free port until the body ends; raises DaemonError when it does not come up."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tiered_memory", "serve", "--json", "--port", "0", "--data", str(data)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **QUIET, **environ},
        cwd=ROOT,
    )
    try:
        yield Running(process, await _address(process))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    try:
        said = await asyncio.wait_for(process.stdout.readuntil(b"}"), START_SECONDS)
    except asyncio.IncompleteReadError:
        raise DaemonError("the daemon ended before it listened") from None
    return str(json.loads(said)["listening"])
