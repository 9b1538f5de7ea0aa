"""The state store on SQLite: WAL, full fsync, secure delete, one writer thread with group commit.

The build is SQLite3 Multiple Ciphers: every page, those of the log included, is encrypted and authenticated
(ChaCha20-Poly1305). SQLite alone notices few flipped bytes; see `docs/adr/0010`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio.to_thread
import apsw

from tiered_memory.errors import ClosedError, ConfigurationError, StateStoreError
from tiered_memory.state.base import Read, Write
from tiered_memory.state.group_commit import GroupCommitWriter
from tiered_memory.state.queries import load_sql
from tiered_memory.state.sqlite_rows import one_row
from tiered_memory.state.sqlite_verbs import HANDLERS, READERS

T = TypeVar("T")
SCHEMA_VERSION = 3
BUSY_TIMEOUT_MS = 5000
DAMAGE = (apsw.CorruptError, apsw.NotADBError)
"""What the driver raises for a page that does not verify."""
PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "secure_delete = ON",
    "foreign_keys = ON",
    "temp_store = MEMORY",
)


def _connect(path: Path, key: bytes) -> apsw.Connection:
    """Open the file with its key; each page carries a Poly1305 tag, so that damage is an error and no answer."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.execute("PRAGMA cipher = 'chacha20'")
    connection.execute(f"PRAGMA key = 'raw:{key.hex()}'")
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _opened(path: Path, key: bytes) -> apsw.Connection:
    """Open the file, or make it with today's schema; an older one stays as it is until `migrate`."""
    connection = _connect(path, key)
    try:
        version = connection.pragma("user_version")
        if version > SCHEMA_VERSION:
            raise _too_new(version)
        if version == 0:
            _migrate(connection)
    except (apsw.Error, StateStoreError):
        connection.close()
        raise
    return connection


def _too_new(version: int) -> StateStoreError:
    return StateStoreError(
        f"the state store has schema {version}, this version knows {SCHEMA_VERSION}: use a newer release"
    )


def _migrate(connection: apsw.Connection) -> None:
    """Bring the store to today's schema; a step that fails leaves it at the schema before."""
    for number in range(connection.pragma("user_version") + 1, SCHEMA_VERSION + 1):
        step = load_sql(f"schema_{number}.sql")
        try:
            connection.execute(f"BEGIN IMMEDIATE;\n{step}\nPRAGMA user_version = {number};\nCOMMIT;")
        except apsw.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _check_build() -> None:
    """The plain build of the driver answers to the same name and would ignore the key."""
    if not hasattr(apsw, "mc_version"):
        raise ConfigurationError(
            "the installed apsw cannot encrypt: uninstall apsw and install apsw-sqlite3mc in its place"
        )


def _ignore() -> None:
    """Tell nobody."""


class _Commits:
    """Counts commits in the store itself, and tells somebody outside it."""

    def __init__(self) -> None:
        self.listener: Callable[[int], None] | None = None
        self._number = 0

    def count(self, connection: apsw.Connection) -> None:
        """Count one more."""
        self._number = one_row(connection, "commits_count")[0]

    def committed(self) -> None:
        """Tell the number of the last one."""
        if self.listener is not None:
            self.listener(self._number)


class SqliteState:
    """Implements `StateStore` in one file."""

    def __init__(
        self,
        path: Path,
        key: bytes,
        on_commit: Callable[[int, float], None],
        on_damage: Callable[[], None] = _ignore,
    ) -> None:
        self._path = path
        self._key = key
        self._on_damage = on_damage
        self._commits = _Commits()
        self._writer = GroupCommitWriter(lambda: _opened(path, key), on_commit, self._commits)
        self._reader: apsw.Connection | None = None
        self._reading = threading.Lock()

    def tell_commits(self, listener: Callable[[int], None]) -> None:
        """Call `listener` after each commit, before its callers hear of it, with how many there were; in a thread."""
        self._commits.listener = listener

    async def open(self) -> None:
        """Open or create the file; raises StateStoreError when it is not a readable state store."""
        _check_build()
        try:
            await self._writer.start()
            self._reader = _connect(self._path, self._key)
        except apsw.Error as error:
            raise StateStoreError(f"the state store cannot be opened ({type(error).__name__})") from error
        self._path.chmod(0o600)

    async def migrate(self) -> None:
        """Bring an older store to today's schema, in one transaction a step.

        It comes after whatever may still refuse the store, because a refused store must not be changed. Before it
        only what schema 1 had can be asked and written.
        """
        await self._writer.run_alone(_migrate)

    async def write(self, command: Write[T]) -> T:
        """Carry out one change in one transaction; return after its fsync."""
        handler: Callable[[apsw.Connection, Write[T]], T] = HANDLERS[type(command)]
        return await self._writer.run(lambda connection: handler(connection, command))

    async def read(self, query: Read[T]) -> T:
        """Answer from what is committed."""
        return await anyio.to_thread.run_sync(self._answer, query)

    async def checkpoint(self) -> None:
        """Move the log into the database and truncate it, so that removed bytes are gone from both files.

        The writer does it between two commits: beside it, under load, there would never be a moment.
        """
        await self._writer.run_alone(_truncate_log)

    async def snapshot(self, path: Path) -> None:
        """Write a copy of the store as of this moment to a new file, pages encrypted under the same key."""
        await anyio.to_thread.run_sync(self._copy_to, path)

    async def close(self) -> None:
        """Commit what is queued and release the files."""
        await self._writer.close()
        with self._reading:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _answer(self, query: Read[T]) -> T:
        answer: Callable[[apsw.Connection, Read[T]], T] = READERS[type(query)]
        with self._reading:
            if self._reader is None:
                raise ClosedError
            try:
                return answer(self._reader, query)
            except apsw.Error as error:
                if isinstance(error, DAMAGE):
                    self._on_damage()
                raise StateStoreError(
                    f"the state store could not be read ({type(error).__name__})"
                ) from error

    def _copy_to(self, path: Path) -> None:
        """A connection of its own: the copy takes as long as it takes, and readers go on."""
        try:
            source, target = _connect(self._path, self._key), _connect(path, self._key)
            try:
                with target.backup("main", source, "main") as backup:
                    backup.step()
                target.execute("PRAGMA journal_mode = DELETE")
            finally:
                target.close()
                source.close()
        except apsw.Error as error:
            raise StateStoreError(f"the state store could not be copied ({type(error).__name__})") from error
        path.chmod(0o600)


def _truncate_log(connection: apsw.Connection) -> None:
    if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get[0]:
        raise StateStoreError("the state store's log is in use and could not be truncated; try again")
