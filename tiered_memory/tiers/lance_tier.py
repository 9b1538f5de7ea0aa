"""The cold tier: one LanceDB table per subject, sealed rows, bytes that are really on disk and really gone.

Lance never fsyncs, deletes by hiding, and breaks a table when cleanup races a writer; see `docs/adr/0003`. Every
operation on a table therefore holds that table's lock, every put fsyncs what Lance wrote before it returns, and
removal rewrites the survivors and deletes the old versions.
"""

from __future__ import annotations

import shutil
import warnings
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread

from tiered_memory.errors import ColdTierError, DiskFullError, StorageError
from tiered_memory.failpoints import reach
from tiered_memory.files import sync_path
from tiered_memory.inflight import InFlight
from tiered_memory.tiers.base import SubjectRef, TierRecord
from tiered_memory.tiers.deferred_package import defer_package
from tiered_memory.tiers.durable_files import (
    files_below,
    leftovers_below,
    mark_version,
    prepare_table,
    roll_back,
    sync_files,
)
from tiered_memory.tiers.lance_rows import COLUMNS, any_of, records_of, sealed_rows, sealed_schema
from tiered_memory.tiers.lance_worn import WornTables

HANDLE_LIMIT = 512
COMPACT_EVERY_PUTS = 50
METADATA_CACHE_BYTES = 64 << 20
INDEX_CACHE_BYTES = 16 << 20
CLEANUP_PASSES = 8
NEVER = timedelta(days=36_500)
SCAN_CONCURRENCY = 2
BINDINGS = ("pyo3_", "pyarrow", "lance")
CLIENT_OF_ITS_SERVICE = "lance_namespace_urllib3_client"
"""Half of the import: classes for each call of a web service, made for type hints of which one module is used."""
NOT_OLDER = "source.version >= target.version"
Writing = Callable[[Any, Any], Awaitable[None]]


@dataclass(slots=True)
class TableHandle:
    """An open table, the files of it that are known to be on disk, and how often it was written since compaction."""

    table: Any
    synced: set[Path] = field(default_factory=set)
    puts: int = 0
    prepared: bool = False


@dataclass(slots=True, weakref_slot=True)
class _TableLock:
    """Held while a table is touched; forgotten when nobody waits for it."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)


class LanceTier:
    """Implements `Tier` on LanceDB. `table_name` turns a subject into a name that tells nothing.

    Raises `ColdTierError` whenever the engine fails; what was put before stays.
    """

    def __init__(
        self,
        directory: Path,
        table_name: Callable[[SubjectRef], str],
        *,
        embedder: str,
        compact_every_puts: int = COMPACT_EVERY_PUTS,
    ) -> None:
        self.name = "cold"
        self._directory = directory
        self._table_name = table_name
        self._embedder = embedder
        self._compact_every_puts = compact_every_puts
        self._connection: Any = None
        self._connecting = anyio.Lock()
        # The engine finishes what it was told whoever stops waiting: the table's lock must be held until then.
        self._inflight = InFlight()
        self._handles: OrderedDict[str, TableHandle] = OrderedDict()
        self._locks: WeakValueDictionary[str, _TableLock] = WeakValueDictionary()
        self._scans = anyio.CapacityLimiter(SCAN_CONCURRENCY)
        self._worn = WornTables()

    async def open(self) -> None:
        """Import the engine and connect; without it the first use does so."""
        async with self._connecting:
            if self._connection is None:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                await anyio.to_thread.run_sync(sync_path, self._directory.parent)
                self._connection = await _connect(self._directory)

    async def put(self, subject: SubjectRef, records: Sequence[TierRecord]) -> None:
        """Merge records by id and return once they are on disk."""
        if records:
            await self._inflight.complete(self._write(subject, _newest(records), merge))

    async def append(self, subject: SubjectRef, records: Sequence[TierRecord]) -> None:
        """Add records that no earlier call may have stored, and return once they are on disk.

        It costs a third of a merge; a record given a second time would be there twice.
        """
        if records:
            await self._inflight.complete(self._write(subject, records, _add))

    async def _write(self, subject: SubjectRef, records: Sequence[TierRecord], how: Writing) -> None:
        rows = await self._rows(subject, records)
        async with self._locked(subject) as name:
            handle = await self._handle(name) or await self._create(name)
            await self._prepare(subject, name, handle)
            await how(handle.table, rows)
            reach("cold.after_merge")
            await self._sync(name, handle)
            reach("cold.after_sync")
            handle.puts += 1
            self._worn.note(subject)
            if handle.puts >= self._compact_every_puts:
                await self._compact(name, handle)

    async def scan(self, subject: SubjectRef, *, limit: int | None = None) -> list[TierRecord]:
        """Return the subject's rows, highest order first."""
        async with self._locked(subject) as name, self._scans:
            handle = await self._handle(name)
            if handle is None:
                return []
            rows = await handle.table.query().select(COLUMNS).to_arrow()
        records = records_of(rows)
        records.sort(key=lambda record: record.order, reverse=True)
        return records if limit is None else records[:limit]

    async def remove(self, subject: SubjectRef, ids: Sequence[str]) -> int:
        """Remove rows so that no byte of them stays in the table's files."""
        return await self._inflight.complete(self._remove(subject, ids)) if ids else 0

    async def _remove(self, subject: SubjectRef, ids: Sequence[str]) -> int:
        async with self._locked(subject) as name:
            handle = await self._handle(name)
            if handle is None:
                return 0
            before = await handle.table.count_rows()
            await handle.table.delete(any_of(ids))
            reach("cold.after_delete")
            await self._rewrite(name, handle)
            return int(before - await handle.table.count_rows())

    async def drop(self, subject: SubjectRef) -> int:
        """Remove the subject's table, files and leftovers included; works on a damaged table too."""
        return await self._inflight.complete(self._drop(subject))

    async def _drop(self, subject: SubjectRef) -> int:
        async with self._locked(subject) as name:
            self._handles.pop(name, None)
            path = self._path(name)
            if not path.exists():
                return 0
            count = await self._count_or_unknown(name)
            await anyio.to_thread.run_sync(_remove_folder, path)
            await anyio.to_thread.run_sync(sync_path, self._directory)
            self._handles.pop(name, None)
            return count

    async def compact(self, subject: SubjectRef) -> None:
        """Merge fragments and delete old versions now."""
        await self._inflight.complete(self._compact_now(subject))

    async def _compact_now(self, subject: SubjectRef) -> None:
        async with self._locked(subject) as name:
            handle = await self._handle(name)
            if handle is not None:
                await self._compact(name, handle)

    async def compact_worn(self, most: int) -> int:
        """See `Compacting`."""
        return await self._worn.compact(most, lambda one: self._path(self._table_name(one)), self.compact)

    async def scrub(self, subject: SubjectRef) -> None:
        """Rewrite the table, so that no byte of rows that were replaced stays in its files."""
        await self._inflight.complete(self._scrub(subject))

    async def _scrub(self, subject: SubjectRef) -> None:
        async with self._locked(subject) as name:
            handle = await self._handle(name)
            if handle is not None:
                await self._rewrite(name, handle)

    async def copy(self, subject: SubjectRef, folder: Path) -> None:
        """Copy the subject's table into `folder`, as it is at one moment; nothing when there is none."""
        async with self._locked(subject) as name:
            if self._path(name).exists():
                await anyio.to_thread.run_sync(_copy_table, self._path(name), folder)

    def exists(self, subject: SubjectRef) -> bool:
        """Tell whether any file of the subject's table is there."""
        return self._path(self._table_name(subject)).exists()

    async def close(self) -> None:
        """Forget the handles; the engine holds no files open."""
        self._handles.clear()
        self._connection = None

    async def _rows(self, subject: SubjectRef, records: Sequence[TierRecord]) -> Any:
        """Return the rows of records as a table of the engine's: nothing but what is sealed, and what orders it."""
        del subject
        return sealed_rows(records)

    def _schema(self) -> Any:
        return sealed_schema(self._embedder)

    @asynccontextmanager
    async def _locked(self, subject: SubjectRef) -> AsyncIterator[str]:
        name = self._table_name(subject)
        held = self._locks.get(name)
        if held is None:
            held = self._locks[name] = _TableLock()
        async with held.lock:
            if self._connection is None:
                await self.open()
            with _translated():
                yield name

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.lance"

    async def _handle(self, name: str) -> TableHandle | None:
        handle = self._handles.get(name)
        if handle is not None:
            self._handles.move_to_end(name)
            return handle
        path = self._path(name)
        if not path.exists() or not await anyio.to_thread.run_sync(roll_back, path):
            return None
        handle = self._remember(name, await self._connection.open_table(name))
        await self._strip(name, handle)
        return handle

    async def _strip(self, name: str, handle: TableHandle) -> None:
        """Remove columns that this tier does not write, bytes and all: what indexed mode revealed ends with it."""
        schema = await handle.table.schema()
        extra = sorted(set(schema.names) - set(self._schema().names))
        if not extra:
            return
        for index in await handle.table.list_indices():
            if set(index.columns) <= set(extra):
                await handle.table.drop_index(index.name)
        await handle.table.drop_columns(extra)
        await self._rewrite(name, handle)

    async def _create(self, name: str) -> TableHandle:
        await anyio.to_thread.run_sync(prepare_table, self._path(name))
        table = await self._connection.create_table(name, schema=self._schema(), exist_ok=True)
        return self._remember(name, table)

    def _remember(self, name: str, table: Any) -> TableHandle:
        handle = self._handles[name] = TableHandle(table)
        while len(self._handles) > HANDLE_LIMIT:
            self._handles.popitem(last=False)
        return handle

    async def _rewrite(self, name: str, handle: TableHandle) -> None:
        """Deleted rows survive in old fragments and versions: rewrite what is left, then remove all but that."""
        await handle.table.update(updates_sql={"version": "version"})
        reach("cold.after_rewrite")
        await self._compact(name, handle)
        await anyio.to_thread.run_sync(_sweep_leftovers, self._path(name))
        await self._sync(name, handle)

    async def _compact(self, name: str, handle: TableHandle) -> None:
        """What a cleanup deletes must not be the only thing on disk: what takes its place is synced before."""
        reach("cold.before_compact")
        await handle.table.optimize(cleanup_older_than=NEVER)
        await self._sync(name, handle)
        await self._improve(handle)
        for _ in range(CLEANUP_PASSES):
            stats = await handle.table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
            if stats.prune.old_versions_removed == 0 and stats.compaction.fragments_removed == 0:
                break
        else:
            raise ColdTierError("the cold tier kept old versions after repeated cleanup; run it again")
        handle.puts = 0
        reach("cold.after_compact")
        handle.synced &= set(await anyio.to_thread.run_sync(files_below, self._path(name)))
        await self._sync(name, handle)

    async def _prepare(self, subject: SubjectRef, name: str, handle: TableHandle) -> None:
        """Do what a table needs once before it is first used: nothing here."""

    async def _improve(self, handle: TableHandle) -> None:
        """Do what makes reading faster and is worth doing as rarely as compaction: nothing here."""

    async def _sync(self, name: str, handle: TableHandle) -> None:
        path, version = self._path(name), await handle.table.version()
        handle.synced |= await anyio.to_thread.run_sync(sync_files, path, handle.synced)
        await anyio.to_thread.run_sync(mark_version, path, version)

    async def _count_or_unknown(self, name: str) -> int:
        try:
            with _translated():
                handle = await self._handle(name)
                return int(await handle.table.count_rows()) if handle else 0
        except StorageError:
            return 0


class _translated:  # noqa: N801 - reads as a statement where it is used
    """Turns the engine's plain errors into `ColdTierError` without their texts, which name files and values."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is not None and _is_failure(error):
            if _is_full(error):
                raise DiskFullError from error
            raise ColdTierError(
                f"the cold tier failed ({type(error).__name__}); what was acknowledged stays in the journal"
            ) from error


def _is_failure(error: BaseException) -> bool:
    """Damaged files make the engine panic, which arrives as exceptions of its bindings' own."""
    builtin = isinstance(error, (RuntimeError, ValueError, OSError, MemoryError))
    return builtin or type(error).__module__.startswith(BINDINGS)


def _is_full(error: BaseException) -> bool:
    return "No space left" in str(error)


async def _connect(directory: Path) -> Any:
    lancedb = await anyio.to_thread.run_sync(_import_lancedb)
    session = lancedb.Session(
        index_cache_size_bytes=INDEX_CACHE_BYTES, metadata_cache_size_bytes=METADATA_CACHE_BYTES
    )
    return await lancedb.connect_async(
        str(directory), read_consistency_interval=timedelta(0), session=session
    )


def _import_lancedb() -> Any:
    """The engine takes most of a second to import: never before it is needed, and not what nobody needs."""
    defer_package(CLIENT_OF_ITS_SERVICE)
    import lancedb

    warnings.filterwarnings("ignore", message=r"optimize\(cleanup_older_than=0\)")
    return lancedb


async def merge(table: Any, rows: Any) -> None:
    """Put rows in place of those of the same id that are not newer, and add the others."""
    merge = table.merge_insert("id").when_matched_update_all(where=NOT_OLDER).when_not_matched_insert_all()
    await merge.execute(rows)


async def _add(table: Any, rows: Any) -> None:
    await table.add(rows)


def _newest(records: Sequence[TierRecord]) -> list[TierRecord]:
    """One batch may not hold an id twice: the last of the highest version stays."""
    return list({record.id: record for record in sorted(records, key=lambda record: record.version)}.values())


def _remove_folder(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _sweep_leftovers(path: Path) -> None:
    for leftover in leftovers_below(path):
        leftover.unlink(missing_ok=True)


def _copy_table(path: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copytree(path, folder / path.name)
