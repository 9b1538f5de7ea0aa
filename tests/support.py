"""What the tests of the whole runtime share: opening it, looking into its stores, searching every stored byte."""

from __future__ import annotations

import base64
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import apsw
import redis

from tiered_memory import TieredMemory, User
from tiered_memory.clock import SystemClock, SystemEntropy
from tiered_memory.config import load_settings
from tiered_memory.crypto.envelope import _HEADER, MAGIC
from tiered_memory.crypto.keyring import Keyring
from tiered_memory.crypto.kms import read_root_key
from tiered_memory.runtime import Parts
from tiered_memory.state.sqlite_state import _connect

PURPOSE = "personalization"
TWO_PURPOSES = """
schema = 1
name = "two"
default_purpose = "advice"

[purposes.advice]
lawful_basis = "consent"
max_sensitivity = "restricted"

[purposes.service]
lawful_basis = "contract"
documentation = "the order form"
max_sensitivity = "restricted"
"""


@asynccontextmanager
async def opened(
    path: Path, *, settings: dict[str, Any] | None = None, **parts: Any
) -> AsyncIterator[TieredMemory]:
    """Open a memory whose background work the test drives itself, unless `settings` say otherwise."""
    chosen = load_settings(**{"data_dir": path, "background": False, **(settings or {})})
    async with TieredMemory.open(chosen, **parts) as memory:
        yield memory


async def consenting(memory: TieredMemory, user: str = "alice", tenant: str = "acme") -> User:
    """Return a user who has consented to the default purpose."""
    face = memory.user(user, tenant=tenant)
    await face.consent.grant(PURPOSE, notice="notice 1", explicit=True)
    return face


async def contents(user: User) -> list[str]:
    """Return the contents of everything the user has, newest first."""
    return [memory.content for memory in await user.list(limit=10_000)]


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return when `condition` holds; fails after `seconds`."""
    with anyio.fail_after(seconds):
        while not condition():
            await SystemClock().sleep(0.005)


def parts_of(memory: TieredMemory) -> Parts:
    """Return the runtime's inner parts."""
    assert memory._runtime is not None
    return memory._runtime.parts


# --- Redis ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def redis_of(memory: TieredMemory) -> Iterator[redis.Redis]:
    """Return a client of the memory's private server."""
    pool: Any = parts_of(memory).core.hot._tier._pipeline._redis.connection_pool  # type: ignore[attr-defined]
    with redis.Redis(unix_socket_path=pool.connection_kwargs["path"], protocol=2) as client:
        yield client


def redis_pid(memory: TieredMemory) -> int:
    """Return the private server's process id."""
    with redis_of(memory) as client:
        return int(client.info("server")["process_id"])


def redis_bytes(memory: TieredMemory) -> list[bytes]:
    """Return every key and every value, as stored and as dumped."""
    with redis_of(memory) as client:
        return [piece for key in client.keys("*") for piece in (key, client.dump(key), *_values(client, key))]


def _values(client: redis.Redis, key: bytes) -> Iterable[bytes]:
    match client.type(key):
        case b"hash":
            return [piece for pair in client.hgetall(key).items() for piece in pair]
        case b"list":
            return client.lrange(key, 0, -1)
        case b"zset":
            return client.zrange(key, 0, -1)
        case b"string":
            return [client.get(key)]
    raise AssertionError(key)


# --- files ---------------------------------------------------------------------------------------------------


def files_of(path: Path) -> list[Path]:
    return [one for one in path.rglob("*") if one.is_file()]


def raw_bytes(path: Path) -> list[bytes]:
    """Return the bytes of every file and of every path's name."""
    return [one.read_bytes() for one in files_of(path)] + [
        str(one.relative_to(path)).encode() for one in path.rglob("*")
    ]


def lance_values(path: Path) -> list[bytes]:
    """Return every value of every column of every cold table, decoded by the engine."""
    import lancedb

    connection = lancedb.connect(str(path / "cold"))
    names = [one.stem for one in (path / "cold").glob("*.lance")]
    tables = [connection.open_table(name).to_arrow() for name in names]
    return [_as_bytes(value) for table in tables for column in table.columns for value in column.to_pylist()]


def sealed_in_cold(path: Path) -> list[bytes]:
    """Return the sealed payloads of all cold tables."""
    return [value for value in lance_values(path) if value.startswith(MAGIC)]


def state_of(path: Path) -> apsw.Connection:
    """Open a stopped or running store's state with its keys, as somebody who stole the directory would."""
    root = read_root_key(path / "keys" / "root.key")
    key = Keyring(root, SystemEntropy()).open_state_key((path / "state.key").read_bytes())
    return _connect(path / "state.db", key)


def state_pages(path: Path) -> bytes:
    """Return every page of a copy of the state store as it is under its encryption, free pages and all.

    Pages in the log are the copy's newest; what an older frame of the log holds is seen by `log_bytes` alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        for file in path.glob("state.db*"):
            shutil.copy(file, folder)
        shutil.copytree(path / "keys", Path(folder) / "keys")
        shutil.copy(path / "state.key", folder)
        with contextlib.closing(state_of(Path(folder))) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            db.execute("PRAGMA journal_mode = DELETE").fetchall()
            db.execute("PRAGMA rekey = ''").fetchall()
        return (Path(folder) / "state.db").read_bytes()


def log_bytes(path: Path) -> int:
    """Return how long the state store's log is: a truncated one holds no older frames."""
    log = path / "state.db-wal"
    return log.stat().st_size if log.exists() else 0


def sqlite_rows(path: Path, table: str) -> list[dict[str, Any]]:
    """Return all rows of one table of the state store."""
    with contextlib.closing(state_of(path)) as db:
        names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        return [dict(zip(names, row, strict=True)) for row in db.execute(f"SELECT * FROM {table}")]


def sqlite_values(path: Path) -> list[bytes]:
    """Return every value of every column of every table of the state store."""
    with contextlib.closing(state_of(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        rows = [row for table in tables for row in db.execute(f"SELECT * FROM {table}")]
    return [_as_bytes(value) for row in rows for value in row]


def duckdb_values(path: Path) -> list[bytes]:
    """Return every value of every table of the analytics projection."""
    import duckdb

    with duckdb.connect(str(path / "analytics.duckdb"), read_only=True) as db:
        tables = [name for (name,) in db.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        rows = [row for table in tables for row in db.execute(f"SELECT * FROM {table}").fetchall()]
    return [_as_bytes(value) for row in rows for value in row]


def everything_at_rest(path: Path) -> list[bytes]:
    """Return all stored bytes, raw and decoded."""
    decoded = [*lance_values(path), *sqlite_values(path)]
    if (path / "analytics.duckdb").exists():
        decoded += duckdb_values(path)
    return [*raw_bytes(path), *decoded]


def _as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


# --- looking for words ---------------------------------------------------------------------------------------


def forms(word: str) -> list[bytes]:
    """Return the shapes in which a word might lie about: encodings, cases, hex, and base64 at each alignment."""
    plain = word.encode()
    shapes = {
        plain,
        plain.lower(),
        plain.upper(),
        word.encode("utf-16-le"),
        word.encode("utf-16-be"),
        plain[::-1],
    }
    shapes |= {plain.hex().encode(), plain.hex().upper().encode()}
    for lead in range(3):
        encoded = base64.b64encode(bytes(lead) + plain)
        shapes.add(encoded[-(-lead * 4 // 3) + (1 if lead else 0) : -4])
    return [shape for shape in shapes if len(shape) >= 6]


def seen(words: Iterable[str], haystacks: Iterable[bytes]) -> set[str]:
    """Return the words that occur in any of the haystacks in any form."""
    joined = b"\x00\x01\x02".join(haystacks)
    return {word for word in words if any(shape in joined for shape in forms(word))}


def envelopes_in(haystack: bytes) -> list[bytes]:
    """Return the suffixes of `haystack` that begin like a sealed envelope."""
    starts = []
    at = haystack.find(MAGIC + b"\x01\x01")
    while at >= 0:
        if len(haystack) - at > _HEADER.size:
            starts.append(haystack[at:])
        at = haystack.find(MAGIC + b"\x01\x01", at + 1)
    return starts
