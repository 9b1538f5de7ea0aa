"""Everything a store has put anywhere, as bytes: files as they are, and each engine's own decoding of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import redis

from tiered_memory.clock import SystemEntropy
from tiered_memory.crypto.keyring import Keyring
from tiered_memory.crypto.kms import read_root_key
from tiered_memory.state.sqlite_state import _connect


def everything(data: Path, redis_url: str | None) -> Iterator[bytes]:
    """Give every file, every decoded value of cold, state and analytics, and every value of Redis."""
    yield from files(data)
    yield from cold_values(data)
    yield from state_values(data)
    yield from analytics_values(data)
    if redis_url is not None:
        yield from redis_values(redis_url)


def hits(needles: Mapping[str, Iterable[bytes]], values: Iterable[bytes]) -> dict[str, int]:
    """Return, for each name of which some needle lies in some value, in how many values."""
    every = [(name, needle) for name, some in needles.items() for needle in some]
    found: dict[str, int] = {}
    for value in values:
        for name in {name for name, needle in every if needle in value}:
            found[name] = found.get(name, 0) + 1
    return found


def files(data: Path) -> Iterator[bytes]:
    """Give the bytes of every file, and every name."""
    for path in data.rglob("*"):
        yield str(path.relative_to(data)).encode()
        if path.is_file():
            yield path.read_bytes()


def cold_values(data: Path) -> Iterator[bytes]:
    """Give every value of every column of every cold table."""
    import lancedb

    connection = lancedb.connect(str(data / "cold"))
    for path in (data / "cold").glob("*.lance"):
        for column in connection.open_table(path.stem).to_arrow().columns:
            yield from map(_as_bytes, column.to_pylist())


def state_values(data: Path) -> Iterator[bytes]:
    """Give every value of every table of the state store, opened with its keys."""
    with closing(state_of(data)) as state:
        names = [name for (name,) in state.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for name in names:
            for row in state.execute(f'SELECT * FROM "{name}"'):  # noqa: S608 - a name from the schema
                yield from map(_as_bytes, row)


def state_of(data: Path) -> apsw.Connection:
    """Open the state store of a directory with the root key in it."""
    keyring = Keyring(read_root_key(data / "keys" / "root.key"), SystemEntropy())
    return _connect(data / "state.db", keyring.open_state_key((data / "state.key").read_bytes()))


def analytics_values(data: Path) -> Iterator[bytes]:
    """Give every value of the analytics projection, where there is one."""
    import duckdb

    path = data / "analytics.duckdb"
    if not path.exists():
        return
    with closing(duckdb.connect(str(path), read_only=True)) as projection:
        names = projection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        for (name,) in names:
            for row in projection.execute(f'SELECT * FROM "{name}"').fetchall():  # noqa: S608 - as above
                yield from map(_as_bytes, row)


def redis_values(url: str) -> Iterator[bytes]:
    """Give every key and every value, as it is and as dumped."""
    with closing(redis.Redis.from_url(url)) as client:
        for key in client.scan_iter("*"):
            yield key
            yield client.dump(key) or b""
            yield from _redis_values(client, key)


def _redis_values(client: Any, key: bytes) -> Iterable[bytes]:
    match client.type(key):
        case b"hash":
            return [piece for pair in client.hgetall(key).items() for piece in pair]
        case b"list":
            return list(client.lrange(key, 0, -1))
        case b"zset":
            return list(client.zrange(key, 0, -1))
        case b"set":
            return list(client.smembers(key))
        case _:
            return [client.get(key) or b""]


def _as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
