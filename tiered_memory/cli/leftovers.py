"""Looks for words in everything a store has put anywhere: files as they are, and each engine's own decoding of them.

This reads with the engines' bare drivers and none of this package's code, so that it may find what that code
overlooks; the state store's pages are opened with the root key. A word counts in UTF-8 and UTF-16, in any case,
in hex and in base64. A short word stands in other words, and in bytes by chance: it counts where it stands alone.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread
import apsw

from tiered_memory.cli.demo.facts import Traces
from tiered_memory.clock import SystemEntropy
from tiered_memory.config import Settings
from tiered_memory.crypto.keyring import Keyring
from tiered_memory.crypto.kms import read_or_create_state_key
from tiered_memory.key_files import load_root

LIVE_FILES = ("state.db", "owner.lock")
"""Opening and closing these from inside their owner would let go of the locks on them."""
KEY_PREFIX = "tm:*"
MEMORY_TABLE = "memory"
SHORT = 6
"""Characters below which a word is short."""
ALONE = (
    rb"(?<![0-9a-z])%b(?![0-9a-z])",
    rb"(?<![0-9a-z]\0)%b(?![0-9a-z]\0)",
    rb"(?<!3[0-9])(?<![46][1-9a-f])(?<![57][0-9a])%b(?!3[0-9]|[46][1-9a-f]|[57][0-9a])",
)
"""How a short word stands alone in UTF-8, UTF-16 and hex: no letter and no digit in front of it or behind it."""
ALONE_IN_BASE64 = rb"(?<![0-9A-Za-z+/])%b(?![0-9A-Za-z+/])"


@dataclass(slots=True)
class _Finder:
    """Counts in how many values each word appears."""

    words: Sequence[str]
    found: Counter[str] = field(default_factory=Counter)
    values: int = 0
    _sought: dict[str, Callable[[bytes, bytes], bool]] = field(init=False)

    def __post_init__(self) -> None:
        self._sought = {word: _alone(word) if is_short(word) else _anywhere(word) for word in self.words}

    def look(self, value: Any) -> None:
        """Look into one decoded value."""
        if isinstance(value, str):
            value = value.encode("utf-8", "surrogatepass")
        if isinstance(value, bytes | bytearray | memoryview):
            self.values += 1
            self._look_into(bytes(value))
        elif isinstance(value, dict):
            self.look_all([*value.keys(), *value.values()])
        elif isinstance(value, list | tuple | set):
            self.look_all(value)

    def look_all(self, values: Iterable[Any]) -> None:
        """Look into several values."""
        for value in values:
            self.look(value)

    def _look_into(self, data: bytes) -> None:
        lower = data.lower()
        for word, stands in self._sought.items():
            if stands(data, lower):
                self.found[word] += 1


def is_short(word: str) -> bool:
    """Tell whether a word has so few characters that it may be found by chance."""
    return len(word) < SHORT


def _anywhere(word: str) -> Callable[[bytes, bytes], bool]:
    """Return what finds a word in data, given besides in lower case."""
    folded, encoded = _foldable(word), tuple(_base64(word))
    return lambda data, lower: any(one in lower for one in folded) or any(one in data for one in encoded)


def _alone(word: str) -> Callable[[bytes, bytes], bool]:
    """Like `_anywhere`, where it is no part of another word; in base64, where it was encoded by itself."""
    folded = [re.compile(how % re.escape(one)) for how, one in zip(ALONE, _foldable(word), strict=True)]
    encoded = re.compile(ALONE_IN_BASE64 % re.escape(b64encode(word.encode()).rstrip(b"=")))
    return lambda data, lower: any(one.search(lower) for one in folded) or bool(encoded.search(data))


def _foldable(word: str) -> tuple[bytes, ...]:
    text = word.lower()
    return text.encode(), text.encode("utf-16-le"), text.encode().hex().encode()


def _base64(word: str) -> Iterator[bytes]:
    """Yield what base64 makes of a word at each of the three places it can begin at, less the ends others share."""
    for skipped in range(3):
        encoded = b64encode(bytes(skipped) + word.encode())
        first = (skipped * 8 + 5) // 6
        last = (skipped + len(word.encode())) * 8 // 6
        yield encoded[first:last]


async def traces(settings: Settings, redis_url: str | None, words: Sequence[str], *, live: bool) -> Traces:
    """Return what lies in the data directory and in Redis. `live` is for a store that is open."""
    return await anyio.to_thread.run_sync(_traces, settings, redis_url, words, live)


def _traces(settings: Settings, redis_url: str | None, words: Sequence[str], live: bool) -> Traces:
    data_dir = settings.data_dir
    finder = _Finder(words)
    paths = sorted(path for path in data_dir.rglob("*") if path.is_file())
    finder.look_all(str(path.relative_to(data_dir)) for path in paths)
    for path in paths:
        if not (live and path.name.startswith(LIVE_FILES)):
            finder.look(path.read_bytes())
    tables = _lance(data_dir / "cold", finder)
    _sqlite(data_dir / "state.db", _state_key(settings), finder)
    analytics_rows = _duckdb(data_dir / "analytics.duckdb", finder)
    keys = 0 if redis_url is None else _redis(redis_url, finder)
    return Traces(
        files=len(paths),
        bytes=sum(path.stat().st_size for path in paths),
        cold_tables=tables,
        redis_keys=keys,
        analytics_rows=analytics_rows,
        values_decoded=finder.values,
        found={word: finder.found[word] for word in words},
    )


def _lance(directory: Path, finder: _Finder) -> int:
    names = sorted(path.stem for path in directory.glob("*.lance"))
    if not names:
        return 0
    import lancedb

    connection = lancedb.connect(directory)
    for name in names:
        for row in connection.open_table(name).to_arrow().to_pylist():
            finder.look(row)
    return len(names)


def _state_key(settings: Settings) -> bytes:
    """Return the key of the state store's pages, as whoever holds the root key can get it."""
    entropy = SystemEntropy()
    keyring = Keyring(load_root(settings), entropy)
    return read_or_create_state_key(settings.data_dir / "state.key", keyring, entropy)


def _sqlite(path: Path, key: bytes, finder: _Finder) -> None:
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
        connection.execute("PRAGMA cipher = 'chacha20'")
        connection.execute(f"PRAGMA key = 'raw:{key.hex()}'")
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (name,) in names:
            finder.look_all(connection.execute(f'SELECT * FROM "{name}"'))  # noqa: S608 - a name from the schema


def _duckdb(path: Path, finder: _Finder) -> int:
    """Return how many memories the projection holds a row of; none when there is no projection."""
    if not path.is_file():
        return 0
    import duckdb

    counted = 0
    with closing(duckdb.connect(str(path), read_only=True)) as connection:
        for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            rows = connection.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608 - as above
            finder.look_all(rows)
            counted += len(rows) if name == MEMORY_TABLE else 0
    return counted


def _redis(url: str, finder: _Finder) -> int:
    import redis

    with closing(redis.Redis.from_url(url)) as client:
        keys = list(client.scan_iter(KEY_PREFIX))
        for key in keys:
            finder.look(key)
            finder.look(_redis_value(client, key))
    return len(keys)


def _redis_value(client: Any, key: bytes) -> Any:
    kind = client.type(key).decode()
    match kind:
        case "string":
            return client.get(key)
        case "hash":
            return client.hgetall(key)
        case "list":
            return client.lrange(key, 0, -1)
        case "set":
            return client.smembers(key)
        case "zset":
            return client.zrange(key, 0, -1)
        case _:
            return client.dump(key)
