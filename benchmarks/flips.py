"""Flipped bytes and truncations in every kind of stored file and in Redis: is anything ever silently wrong?"""

from __future__ import annotations

import random
import shutil
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from benchmarks import damage
from benchmarks.damage import UNTYPED, WRONG, Answers, ask, build, judge
from benchmarks.redis_process import RedisProcess, running
from benchmarks.store import fresh_folder
from benchmarks.suite import Progress
from tiered_memory.tiers.redis_server import find_redis_server

UNREAD = {"owner.lock", "owner.pid", "owner.sock", "state.db-shm", "ballast.bin"}
CUT_SHARE = 0.25
REDIS_SHARE = 0.15
TTL_MS = 3_600_000
VECTOR = 256
LANCE = ("data", "_versions", "_transactions", "_deletions", "_indices")


@dataclass(frozen=True, slots=True)
class Flip:
    """One damage: in which kind of file, what was done, and what came of it."""

    kind: str
    what: str
    verdict: str
    where: str


@dataclass(slots=True)
class FlipResult:
    """All damages of a run."""

    flips: list[Flip] = field(default_factory=list)

    def count(self, *verdicts: str) -> int:
        """Return how many had one of the verdicts."""
        return sum(flip.verdict in verdicts for flip in self.flips)

    def by_kind(self) -> dict[str, dict[str, int]]:
        """Return verdicts and their numbers by kind of file."""
        counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for flip in self.flips:
            counted[flip.kind][flip.verdict] += 1
        return {kind: dict(verdicts) for kind, verdicts in sorted(counted.items())}

    def failures(self) -> list[Flip]:
        """Return the damages that led to a silently wrong answer or an exception that is none of the library's."""
        return [flip for flip in self.flips if flip.verdict in {WRONG, UNTYPED}]


class Image(Protocol):
    """A store at rest that can be damaged again and again."""

    async def damaged(self, chance: random.Random) -> Flip:
        """Damage a fresh copy at a random place, ask it everything, and judge the answers."""
        ...


class Files:
    """The files of a store, as a closed process leaves them or as a killed one does."""

    def __init__(self, image: Path, truth: Answers, suffix: str) -> None:
        self._image = image
        self._truth = truth
        self._suffix = suffix
        self._kinds: defaultdict[str, list[Path]] = defaultdict(list)
        for path in sorted(image.rglob("*")):
            if path.is_file() and path.name not in UNREAD and path.stat().st_size:
                self._kinds[kind_of(path.relative_to(image))].append(path.relative_to(image))

    async def damaged(self, chance: random.Random) -> Flip:
        """See `Image`; every kind of file is as likely as any other."""
        kind = chance.choice(sorted(self._kinds))
        name = chance.choice(self._kinds[kind])
        with fresh_folder() as folder:
            copy = folder / "store"
            shutil.copytree(self._image, copy)
            what = spoil(copy / name, chance)
            verdict, where = judge(self._truth, await ask(copy))
        return Flip(kind + self._suffix, what, verdict, where)


class RedisValues:
    """What a store has in Redis, beside its undamaged files."""

    def __init__(self, image: Path, truth: Answers, server: RedisProcess, saved: dict[bytes, bytes]) -> None:
        self._image = image
        self._truth = truth
        self._server = server
        self._saved = saved

    async def damaged(self, chance: random.Random) -> Flip:
        """See `Image`; one byte of one field or entry is flipped, or the value is cut."""
        with fresh_folder() as folder, self._server.admin() as client:
            copy = folder / "store"
            shutil.copytree(self._image, copy)
            restore(client, self._saved)
            key = chance.choice(sorted(self._saved))
            what = _spoil_value(client, key, chance)
            verdict, where = judge(self._truth, await ask(copy, self._server.url))
        return Flip(f"redis:{key.rpartition(b':')[2].decode()}", what, verdict, where)


async def run_flips(count: int, seed: int, progress: Progress) -> FlipResult:
    """Damage `count` (>= 0) copies of small stores, one after the other, from the seed."""
    chance, result = random.Random(seed), FlipResult()
    async with _images() as images:
        progress.stage("flips", count)
        for _ in range(count):
            result.flips.append(await _drawn(images, chance).damaged(chance))
            progress.step()
    return result


def _drawn(images: dict[str, Image], chance: random.Random) -> Image:
    if "redis" in images and chance.random() < REDIS_SHARE:
        return images["redis"]
    return images[chance.choice(["closed", "killed"])]


@asynccontextmanager
async def _images() -> AsyncIterator[dict[str, Image]]:
    """Make the stores. Raises ValueError when an undamaged copy does not answer as another one does."""
    with fresh_folder() as folder:
        images: dict[str, Image] = {}
        for name, crashed in (("closed", False), ("killed", True)):
            image = folder / name
            await build(folder / f"{name} at work", image, crashed=crashed)
            images[name] = Files(image, await _truth(image), " (killed)" if crashed else "")
        if find_redis_server() is None:
            yield images
            return
        async with running() as server:
            images["redis"] = await _redis_image(folder, server)
            yield images


async def _truth(image: Path, url: str = "local", prepare: Any = None) -> Answers:
    answers = []
    for _ in range(2):
        with fresh_folder() as folder:
            shutil.copytree(image, folder / "store")
            if prepare is not None:
                prepare()
            answers.append(await ask(folder / "store", url))
    if judge(answers[0], answers[1])[0] != damage.IDENTICAL or answers[0].counted:
        raise ValueError(f"an undamaged store does not answer twice alike: {judge(*answers)}")
    return answers[0]


async def _redis_image(folder: Path, server: RedisProcess) -> RedisValues:
    image = folder / "with redis"
    await build(folder / "with redis at work", image, crashed=False, redis_url=server.url)
    with server.admin() as client:
        saved: dict[bytes, Any] = {key: client.dump(key) for key in client.scan_iter("tm:*")}
        truth = await _truth(image, server.url, lambda: restore(client, saved))
    return RedisValues(image, truth, server, saved)


def kind_of(path: Path) -> str:
    """Return what kind of file a path of the data directory is."""
    if path.parts[0] != "cold":
        return path.name
    folder = next((part for part in path.parts if part in LANCE), None)
    return f"lance {folder.strip('_')}" if folder else f"lance {path.name}"


def spoil(path: Path, chance: random.Random) -> str:
    """Flip one byte of a file, or cut it at one; return what was done."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    data, what = _spoiled(path.read_bytes(), chance)
    path.write_bytes(data)
    path.chmod(mode)
    return f"{path.name}: {what}"


def _spoiled(data: bytes, chance: random.Random) -> tuple[bytes, str]:
    at = chance.randrange(len(data))
    if chance.random() < CUT_SHARE:
        return data[:at], f"cut at {at} of {len(data)}"
    mask = 1 << chance.randrange(8) if chance.random() < 0.5 else chance.randrange(1, 256)
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :], f"byte {at} of {len(data)} xor {mask}"


def restore(client: Any, saved: dict[bytes, bytes]) -> None:
    """Make a server hold what was saved of it, and nothing else."""
    client.flushall()
    for key, value in saved.items():
        client.restore(key, TTL_MS, value)


def _spoil_value(client: Any, key: bytes, chance: random.Random) -> str:
    match client.type(key):
        case b"hash":
            name = chance.choice(sorted(client.hkeys(key)))
            value, what = _spoiled(client.hget(key, name), chance)
            client.hset(key, name, value)
        case b"list":
            at = chance.randrange(client.llen(key))
            value, what = _spoiled(client.lindex(key, at), chance)
            client.lset(key, at, value)
        case _:
            name, score = chance.choice(client.zrange(key, 0, -1, withscores=True))
            value, what = _spoiled(name, chance)
            client.zrem(key, name)
            client.zadd(key, {value: score})
    return what


async def bare_lance(count: int, seed: int) -> int:
    """Return how many of `count` flipped bytes a plain LanceDB table answers wrong to without a word."""
    import lancedb

    chance, wrong = random.Random(seed), 0
    rows = [
        {"id": f"{number:032x}", "text": text, "vector": [chance.random() for _ in range(VECTOR)]}
        for number, (text, _) in enumerate(damage.SAID)
    ]
    with fresh_folder() as folder:
        table = lancedb.connect(str(folder)).create_table("memories", pa.Table.from_pylist(rows))
        truth = table.to_arrow().to_pylist()
        [path] = (folder / "memories.lance" / "data").iterdir()
        whole = path.read_bytes()
        for _ in range(count):
            at = chance.randrange(len(whole))
            path.write_bytes(whole[:at] + bytes([whole[at] ^ chance.randrange(1, 256)]) + whole[at + 1 :])
            wrong += _answer(folder) not in (truth, None)
    return wrong


def _answer(folder: Path) -> list[dict[str, Any]] | None:
    """Return the table's rows, or None when the engine notices that something is wrong."""
    import lancedb

    try:
        rows: list[dict[str, Any]] = (
            lancedb.connect(str(folder)).open_table("memories").to_arrow().to_pylist()
        )
    except Exception:  # noqa: BLE001 - foreign code under test: whatever it raises, it has noticed
        return None
    return rows
