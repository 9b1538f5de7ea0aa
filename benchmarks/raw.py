"""The engines alone: the least that the product could take, to measure it against."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median as middle

import anyio.to_thread
import numpy as np
from redis import asyncio as redis

from benchmarks.suite import Progress, Request, Results
from benchmarks.synthetic import Writer
from benchmarks.timing import median, since_ms, timed
from tiered_memory.clock import stopwatch
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.tiers.redis_server import PrivateRedis, find_redis_server

BLOB = bytes(range(256)) * 4
BEST = 10
FACE = "from tiered_memory import TieredMemory"


async def raw_engines(folder: Path, calls: int, sizes: Sequence[int], request: Request) -> Results:
    """Return the contract's `raw`: one commit, one Redis call, one embedding, one scan of the vectors by size."""
    request.progress.stage("the engines alone", 3 * calls + len(sizes))
    texts = Writer(request.seed).messages(calls)
    embedder = StaticEmbedder()
    results: Results = {
        "journal_commit_ms": await anyio.to_thread.run_sync(_commit_ms, folder, calls),
        "redis_ms": await _redis_ms(calls, request.progress),
        "embed_ms": median(await timed(lambda text: embedder.embed([text]), texts, request.progress)),
    }
    results["scan_ms"] = {str(size): _scan_ms(size, embedder.dimensions, request.seed) for size in sizes}
    return results


def _commit_ms(folder: Path, calls: int) -> float:
    """One insert of 1 KiB and its fsync, with the settings of the state store."""
    folder.mkdir()
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE journal (seq INTEGER PRIMARY KEY, sealed BLOB)")
    taken = []
    for _ in range(calls):
        begun = stopwatch()
        connection.execute("INSERT INTO journal (sealed) VALUES (?)", (BLOB,))
        taken.append(since_ms(begun))
    connection.close()
    return median(taken)


async def _redis_ms(calls: int, progress: Progress) -> float | None:
    """One SET of 1 KiB over a unix socket; None without a server."""
    if find_redis_server() is None:
        return None
    async with PrivateRedis() as server:
        client = redis.from_url(server.url)
        try:
            return median(await timed(lambda key: client.set(key, BLOB), map(str, range(calls)), progress))
        finally:
            await client.aclose()


def _scan_ms(size: int, dimensions: int, seed: int) -> float:
    """Cosine of one vector to all, and the best ten, in numpy."""
    draw = np.random.default_rng(seed)
    matrix = draw.standard_normal((size, dimensions), dtype=np.float32)
    taken = []
    for query in draw.standard_normal((50, dimensions), dtype=np.float32):
        begun = stopwatch()
        np.argpartition(matrix @ query, -min(BEST, size))[-BEST:]
        taken.append(since_ms(begun))
    return median(taken)


async def import_ms(processes: int, progress: Progress) -> Results:
    """Return what importing costs a fresh interpreter beyond starting: the package, and its main class."""
    progress.stage("import", 3 * processes)
    statements = {"bare": "pass", "package": "import tiered_memory", "face": FACE}
    taken: dict[str, list[float]] = {name: [] for name in statements}
    for _ in range(processes):
        for name, statement in statements.items():
            taken[name].append(await anyio.to_thread.run_sync(_process_ms, statement))
            progress.step()
    medians = {name: middle(one) for name, one in taken.items()}
    return {
        "import_ms": max(0.0, medians["package"] - medians["bare"]),
        "import_face_ms": max(0.0, medians["face"] - medians["bare"]),
    }


def _process_ms(statement: str) -> float:
    begun = stopwatch()
    subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", statement], check=True, cwd=Path(__file__).parent.parent
    )
    return since_ms(begun)
