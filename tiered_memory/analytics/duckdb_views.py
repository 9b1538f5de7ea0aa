"""Statistics over everything held: a DuckDB projection of the state store that may be thrown away at any time.

It is never a truth. A rebuild writes a fresh file and puts it in the old one's place, because DuckDB leaves
deleted bytes in a file that lives on. It holds pseudonyms, words of closed sets and numbers: no content, no
ids, no keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from tiered_memory.errors import InvalidInputError, StorageError
from tiered_memory.files import sync_path

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

SCHEMA_VERSION = 1
HORIZON_DAYS = (1, 7, 30, 90, 365)
IMPORTANCE_BINS = 10
COLUMNS = (
    *("subject", "kind", "sensitivity", "purpose", "state"),
    *("importance", "strength_last", "t_last_us", "n_spaced"),
    *("ingested_at_us", "forget_at_us", "deadline_us", "bytes", "pinned"),
)
REAL_COLUMNS = frozenset({"importance", "strength_last", "n_spaced"})
TEXT_COLUMNS = frozenset({"subject", "kind", "sensitivity", "purpose", "state"})
NULLABLE_COLUMNS = frozenset({"forget_at_us", "deadline_us"})
PSEUDONYM = "^[0-9a-f]{16,128}$"

Columns: TypeAlias = "pa.Table | Mapping[str, Sequence[Any]]"


@dataclass(frozen=True, slots=True)
class AnalyticsSource:
    """What the state store knows at `taken_at_us` (microseconds since 1970).

    `memories` has one row for each memory held, as an Arrow table or a mapping of equally long columns:
    `subject` (pseudonym, 16 to 128 lower-case hex digits), `kind`, `sensitivity`, `purpose`, `state` ("active"
    or "forgotten"), `importance` and `strength_last` (0..1), `n_spaced` (>= 0), `t_last_us`, `ingested_at_us`,
    `forget_at_us` and `deadline_us` (None: never), `bytes` (>= 0) and `pinned`. Other columns are ignored.
    `routing` counts decisions by target and reason; repeated pairs add up.
    """

    memories: Columns
    routing: Sequence[tuple[str, str, int]]
    taken_at_us: int

    @classmethod
    def from_rows(
        cls, rows: Sequence[tuple[Any, ...]], routing: Sequence[tuple[str, str, int]], taken_at_us: int
    ) -> Self:
        """Return the source whose memories are `rows`: values in the order of `COLUMNS`, as SQLite gives them."""
        values = zip(*rows, strict=True) if rows else ((),) * len(COLUMNS)
        columns = dict(zip(COLUMNS, values, strict=True))
        columns["pinned"] = tuple(map(bool, columns["pinned"]))
        return cls(columns, routing, taken_at_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When active memories fall due, by their deadline.

    `within_days` is cumulative and counts what is overdue too: for each horizon in days, the memories due by
    then. Its last entry, `later` and `protected` (no deadline) add up to all active memories.
    """

    overdue: int = 0
    within_days: Mapping[int, int] = field(default_factory=lambda: dict.fromkeys(HORIZON_DAYS, 0))
    later: int = 0
    protected: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Statistics of the projection taken at `taken_at_us`; None, with zeros, when none is built yet.

    Totals, bytes and subjects count everything held, forgotten memories in their undo window included.
    `routing` counts decisions by target and, within it, by reason. `importance_histogram` (ten bins of 0.1, the last one closed) and `forecast` count active memories.
    """

    taken_at_us: int | None = None
    memories: int = 0
    subjects: int = 0
    bytes: int = 0
    by_state: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    by_kind: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    by_sensitivity: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    routing: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: MappingProxyType({}))
    importance_histogram: tuple[int, ...] = (0,) * IMPORTANCE_BINS
    forecast: Forecast = field(default_factory=Forecast)


class AnalyticsProjection:
    """The projection in the file `path`, or in memory when None.

    `source`, when given, is asked for rows whenever the file turns out to be missing, damaged or of another
    version; without it `stats` then says that nothing is built. Methods block: call them in a worker thread.
    They may be called from several threads and take turns. Engine and file errors surface as `StorageError`.
    """

    def __init__(
        self,
        path: Path | None,
        memory_limit_mib: int = 256,
        threads: int = 1,
        *,
        source: Callable[[], AnalyticsSource] | None = None,
    ) -> None:
        self._path = path
        self._settings = _settings(memory_limit_mib, threads)
        self._source = source
        self._lock = Lock()
        self._in_memory: DuckDBPyConnection | None = None

    def rebuild(self, source: AnalyticsSource) -> None:
        """Put a projection of `source` in the place of the old one; nothing of the old one stays on disk.

        Raises InvalidInputError for missing columns, wrong types or subjects that are no pseudonyms, and
        StorageError when it cannot be written; the old projection then stays.
        """
        with self._lock:
            self._rebuild(source)

    def stats(self, now_us: int) -> Stats:
        """Return the statistics, with the forecast as seen from `now_us` (microseconds since 1970)."""
        with self._lock:
            found = self._read(now_us)
            if found is not None:
                return found
            self._discard()
            return Stats() if self._source is None else self._read_again(self._source(), now_us)

    def discard(self) -> None:
        """Remove the projection from disk and memory; the next rebuild makes a new one."""
        with self._lock:
            self._discard()

    def close(self) -> None:
        """Release what is held in memory; safe to call twice. The file stays."""
        with self._lock:
            self._swap(None)

    def _rebuild(self, source: AnalyticsSource) -> None:
        import duckdb

        tables = _tables(source)
        try:
            self._write(tables, source.taken_at_us)
        except (duckdb.Error, OSError) as error:
            raise StorageError("the analytics projection could not be written") from error

    def _write(self, tables: Mapping[str, pa.Table], taken_at_us: int) -> None:
        if self._path is None:
            self._swap(self._filled(":memory:", tables, taken_at_us))
            return
        fresh = self._path.with_name(self._path.name + ".new")
        _unlink(fresh)
        try:
            self._filled(str(fresh), tables, taken_at_us).close()
            fresh.chmod(0o600)
            _log(self._path).unlink(missing_ok=True)
            fresh.replace(self._path)
        finally:
            _unlink(fresh)
        # Otherwise a power loss could bring back the old file, with rows that were erased since.
        sync_path(self._path.parent)

    def _filled(self, name: str, tables: Mapping[str, pa.Table], taken_at_us: int) -> DuckDBPyConnection:
        import duckdb

        connection = duckdb.connect(name, config=self._settings)
        try:
            _fill(connection, tables, taken_at_us)
        except duckdb.Error:
            connection.close()
            raise
        return connection

    def _swap(self, connection: DuckDBPyConnection | None) -> None:
        if self._in_memory is not None:
            self._in_memory.close()
        self._in_memory = connection

    def _read(self, now_us: int) -> Stats | None:
        import duckdb

        try:
            return self._read_memory(now_us) if self._path is None else self._read_file(self._path, now_us)
        except (duckdb.Error, OSError):
            return None

    def _read_memory(self, now_us: int) -> Stats | None:
        return None if self._in_memory is None else _stats(self._in_memory, now_us)

    def _read_file(self, path: Path, now_us: int) -> Stats | None:
        import duckdb

        if not path.is_file():
            return None
        # A finished file has no log: whatever lies there is not ours and would be replayed into it.
        _log(path).unlink(missing_ok=True)
        with closing(duckdb.connect(str(path), read_only=True, config=self._settings)) as connection:
            return _stats(connection, now_us)

    def _read_again(self, source: AnalyticsSource, now_us: int) -> Stats:
        self._rebuild(source)
        found = self._read(now_us)
        if found is None:
            raise StorageError("the analytics projection cannot be read just after it was written")
        return found

    def _discard(self) -> None:
        self._swap(None)
        try:
            if self._path is not None:
                _unlink(self._path)
        except OSError as error:
            raise StorageError("the analytics projection could not be removed") from error


def _settings(memory_limit_mib: int, threads: int) -> dict[str, str | bool | int | float | list[str]]:
    if memory_limit_mib < 1 or threads < 1:
        raise InvalidInputError("memory_limit_mib and threads must be at least 1")
    return {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "enable_external_access": "false",
        "memory_limit": f"{memory_limit_mib}MiB",
        "preserve_insertion_order": "false",
        "temp_directory": "",  # a spill file would outlive what it was written for
        "threads": str(threads),
    }


# --- writing -------------------------------------------------------------------------------------------------


def _tables(source: AnalyticsSource) -> dict[str, pa.Table]:
    import pyarrow as pa

    targets, reasons, decisions = zip(*source.routing, strict=True) if source.routing else ((), (), ())
    routing = {"target": targets, "reason": reasons, "decisions": decisions}
    types = {"target": pa.string(), "reason": pa.string(), "decisions": pa.int64()}
    memories = _table(source.memories, _memory_types())
    _check_subjects(memories)
    return {"incoming_memory": memories, "incoming_routing": _table(routing, types)}


def _memory_types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {
        **dict.fromkeys(COLUMNS, pa.int64()),
        **dict.fromkeys(TEXT_COLUMNS, pa.string()),
        **dict.fromkeys(REAL_COLUMNS, pa.float64()),
        "pinned": pa.bool_(),
    }


def _table(columns: Columns, types: Mapping[str, pa.DataType]) -> pa.Table:
    import pyarrow as pa

    try:
        return pa.table({name: _column(columns, name, kind) for name, kind in types.items()})
    except (pa.ArrowException, OverflowError) as error:
        raise InvalidInputError("a column of the analytics source has the wrong type or length") from error


def _column(columns: Columns, name: str, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    import pyarrow as pa

    try:
        values = columns[name]
    except KeyError as error:
        raise InvalidInputError(f"the analytics source has no column {name!r}") from error
    column = values.cast(kind) if isinstance(values, pa.ChunkedArray) else pa.array(values, kind)
    if column.null_count and name not in NULLABLE_COLUMNS:
        raise InvalidInputError(f"column {name!r} of the analytics source may not be None")
    return column


def _check_subjects(memories: pa.Table) -> None:
    import pyarrow.compute as pc

    fits = pc.match_substring_regex(memories["subject"], PSEUDONYM)
    if not pc.all(fits, min_count=0).as_py():
        raise InvalidInputError("a subject of the analytics source is not a pseudonym in hex")


def _fill(connection: DuckDBPyConnection, tables: Mapping[str, pa.Table], taken_at_us: int) -> None:
    connection.execute(_sql("schema"))
    for name, table in tables.items():
        connection.register(name, table)
        connection.execute(_sql(name.replace("incoming", "load")))
        connection.unregister(name)
    connection.execute(
        _sql("load_projection"), {"schema_version": SCHEMA_VERSION, "taken_at_us": taken_at_us}
    )
    connection.execute("CHECKPOINT")


# --- reading -------------------------------------------------------------------------------------------------


def _stats(connection: DuckDBPyConnection, now_us: int) -> Stats | None:
    taken = connection.execute(_sql("taken_at"), {"schema_version": SCHEMA_VERSION}).fetchone()
    if taken is None:
        return None
    memories, subjects, size = _only_row(connection, "totals")
    by_state, by_kind, by_sensitivity = _breakdown(_rows(connection, "breakdown"))
    return Stats(
        taken_at_us=taken[0],
        memories=memories,
        subjects=subjects,
        bytes=size,
        by_state=by_state,
        by_kind=by_kind,
        by_sensitivity=by_sensitivity,
        routing=_by_target(_rows(connection, "routing")),
        importance_histogram=_histogram(_rows(connection, "importance")),
        forecast=_forecast(_only_row(connection, "forecast", {"now_us": now_us})),
    )


def _breakdown(rows: Iterable[tuple[Any, ...]]) -> list[Mapping[str, int]]:
    counts: tuple[dict[str, int], ...] = ({}, {}, {})
    for *words, count in rows:
        (place,) = (place for place, word in enumerate(words) if word is not None)
        counts[place][words[place]] = count
    return [MappingProxyType(count) for count in counts]


def _histogram(rows: Iterable[tuple[Any, ...]]) -> tuple[int, ...]:
    counts = dict(row for row in rows if row[0] is not None)
    return tuple(counts.get(place, 0) for place in range(IMPORTANCE_BINS))


def _forecast(row: tuple[Any, ...]) -> Forecast:
    overdue, *within, later, protected = row
    return Forecast(
        overdue=overdue,
        within_days=MappingProxyType(dict(zip(HORIZON_DAYS, within, strict=True))),
        later=later,
        protected=protected,
    )


def _rows(
    connection: DuckDBPyConnection, name: str, parameters: Mapping[str, int] | None = None
) -> list[tuple[Any, ...]]:
    return connection.execute(_sql(name), parameters).fetchall()


def _only_row(
    connection: DuckDBPyConnection, name: str, parameters: Mapping[str, int] | None = None
) -> tuple[Any, ...]:
    (row,) = _rows(connection, name, parameters)
    return row


@cache
def _sql(name: str) -> str:
    return (files("tiered_memory.analytics") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


# --- files ---------------------------------------------------------------------------------------------------


def _log(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def _unlink(path: Path) -> None:
    _log(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _by_target(rows: Iterable[tuple[Any, ...]]) -> Mapping[str, Mapping[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for target, reason, decisions in rows:
        found.setdefault(target, {})[reason] = decisions
    return MappingProxyType({target: MappingProxyType(reasons) for target, reasons in found.items()})
