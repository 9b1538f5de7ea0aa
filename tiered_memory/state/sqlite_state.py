"""The state store on SQLite: WAL, full fsync, secure delete, one writer thread with group commit."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio.to_thread

from tiered_memory.errors import ClosedError, StateStoreError
from tiered_memory.state.base import Read, Write
from tiered_memory.state.group_commit import GroupCommitWriter
from tiered_memory.state.queries import load_sql
from tiered_memory.state.sqlite_rows import READERS
from tiered_memory.state.sqlite_writes import HANDLERS

T = TypeVar("T")
SCHEMA_VERSION = 1
BUSY_TIMEOUT_SECONDS = 5.0


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _migrated(path: Path) -> sqlite3.Connection:
    connection = _connect(path)
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        connection.close()
        raise StateStoreError(
            f"the state store has schema {version}, this version knows {SCHEMA_VERSION}: use a newer release"
        )
    if version == 0:
        script = f"BEGIN;\n{load_sql('schema_1.sql')}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;"
        connection.executescript(script)
    return connection


class SqliteState:
    """Implements `StateStore` in one file."""

    def __init__(self, path: Path, on_commit: Callable[[int, float], None]) -> None:
        self._path = path
        self._writer = GroupCommitWriter(lambda: _migrated(path), on_commit)
        self._reader: sqlite3.Connection | None = None
        self._reading = threading.Lock()

    async def open(self) -> None:
        """Create or migrate the file; raises StateStoreError when it is not a readable state store."""
        try:
            await self._writer.start()
            self._reader = _connect(self._path)
        except sqlite3.Error as error:
            raise StateStoreError(f"the state store cannot be opened ({type(error).__name__})") from error
        self._path.chmod(0o600)

    async def write(self, command: Write[T]) -> T:
        """Carry out one change in one transaction; return after its fsync."""
        handler: Callable[[sqlite3.Connection, Write[T]], T] = HANDLERS[type(command)]
        return await self._writer.run(lambda connection: handler(connection, command))

    async def read(self, query: Read[T]) -> T:
        """Answer from what is committed."""
        return await anyio.to_thread.run_sync(self._answer, query)

    async def checkpoint(self) -> None:
        """Move the log into the database and truncate it, so that removed bytes are gone from both files."""
        await anyio.to_thread.run_sync(self._truncate_log)

    async def close(self) -> None:
        """Commit what is queued and release the files."""
        await self._writer.close()
        with self._reading:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _answer(self, query: Read[T]) -> T:
        answer: Callable[[sqlite3.Connection, Read[T]], T] = READERS[type(query)]
        with self._reading:
            if self._reader is None:
                raise ClosedError
            try:
                return answer(self._reader, query)
            except sqlite3.Error as error:
                raise StateStoreError(
                    f"the state store could not be read ({type(error).__name__})"
                ) from error

    def _truncate_log(self) -> None:
        with self._reading:
            if self._reader is None:
                raise ClosedError
            try:
                busy = self._reader.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            except sqlite3.Error as error:
                raise StateStoreError("the state store's log could not be truncated") from error
        if busy:
            raise StateStoreError("the state store's log is in use and could not be truncated; try again")
