from __future__ import annotations

import math
import random
import stat
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiered_memory.analytics.duckdb_views import (
    COLUMNS,
    HORIZON_DAYS,
    AnalyticsProjection,
    AnalyticsSource,
    Forecast,
    Stats,
)
from tiered_memory.errors import InvalidInputError, StorageError

DAY_US = 86_400_000_000
NOW_US = 1_790_000_000_000_000
Row = dict[str, Any]


def pseudonym(number: int) -> str:
    return f"{number:064x}"


share = st.floats(min_value=0, max_value=1)
edges = [NOW_US + days * DAY_US + nudge for days in (0, *HORIZON_DAYS) for nudge in (-1, 0, 1)]
moment = st.sampled_from(edges) | st.integers(NOW_US - 400 * DAY_US, NOW_US + 800 * DAY_US)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "subject": st.integers(0, 5).map(pseudonym),
            "kind": st.sampled_from(["semantic", "profile", "episodic", "procedural"]),
            "sensitivity": st.sampled_from(["public", "internal", "confidential", "restricted"]),
            "purpose": st.sampled_from(["personalization", "analytics"]),
            "state": st.sampled_from(["active", "forgotten"]),
            "importance": share | st.sampled_from([step / 10 for step in range(11)]),
            "strength_last": share,
            "t_last_us": moment,
            "n_spaced": st.floats(min_value=0, max_value=100),
            "ingested_at_us": moment,
            "forget_at_us": st.none() | moment,
            "deadline_us": st.none() | moment,
            "bytes": st.integers(0, 100_000),
            "pinned": st.booleans(),
        }
    ),
    max_size=40,
)
words = st.sampled_from(["hot", "cold", "important", "pinned"])
routings = st.lists(st.tuples(words, words, st.integers(0, 1000)), max_size=8)


def one_row(**changes: Any) -> Row:
    row = {
        "subject": pseudonym(1),
        "kind": "episodic",
        "sensitivity": "internal",
        "purpose": "personalization",
        "state": "active",
        "importance": 0.5,
        "strength_last": 0.4,
        "t_last_us": NOW_US,
        "n_spaced": 0.0,
        "ingested_at_us": NOW_US,
        "forget_at_us": NOW_US + 9 * DAY_US,
        "deadline_us": NOW_US + 9 * DAY_US,
        "bytes": 120,
        "pinned": False,
    }
    return row | changes


def source_of(held: list[Row], routing: list[tuple[str, str, int]] | None = None) -> AnalyticsSource:
    columns = {name: [row[name] for row in held] for name in COLUMNS}
    return AnalyticsSource(columns, routing or [], NOW_US)


def seeded(seed: int, size: int) -> list[Row]:
    chance = random.Random(seed)
    return [
        one_row(
            subject=pseudonym(chance.randrange(50)),
            kind=chance.choice(["semantic", "episodic"]),
            state=chance.choice(["active", "forgotten"]),
            importance=chance.random(),
            deadline_us=NOW_US + chance.randrange(-30, 500) * DAY_US,
            bytes=chance.randrange(5_000),
        )
        for _ in range(size)
    ]


def naive_forecast(active: list[Row]) -> Forecast:
    due = [row["deadline_us"] for row in active if row["deadline_us"] is not None]

    def within(days: int) -> int:
        return sum(deadline <= NOW_US + days * DAY_US for deadline in due)

    return Forecast(
        overdue=within(0),
        within_days={days: within(days) for days in (1, 7, 30, 90, 365)},
        later=len(due) - within(365),
        protected=len(active) - len(due),
    )


def naive_stats(held: list[Row], routing: list[tuple[str, str, int]]) -> Stats:
    active = [row for row in held if row["state"] == "active"]
    routed: Counter[tuple[str, str]] = Counter()
    for target, reason, count in routing:
        routed[target, reason] += count
    bins = Counter(min(9, math.floor(row["importance"] * 10)) for row in active)
    return Stats(
        taken_at_us=NOW_US,
        memories=len(held),
        subjects=len({row["subject"] for row in held}),
        bytes=sum(row["bytes"] for row in held),
        by_state=dict(Counter(row["state"] for row in held)),
        by_kind=dict(Counter(row["kind"] for row in held)),
        by_sensitivity=dict(Counter(row["sensitivity"] for row in held)),
        routing={to: {why: n for (of, why), n in routed.items() if of == to} for to, _ in routed},
        importance_histogram=tuple(bins[place] for place in range(10)),
        forecast=naive_forecast(active),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "analytics.duckdb"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(held=rows, routing=routings)
def test_numbers_equal_a_naive_computation(held: list[Row], routing: list[tuple[str, str, int]]) -> None:
    projection = AnalyticsProjection(None)
    projection.rebuild(source_of(held, routing))
    assert projection.stats(NOW_US) == naive_stats(held, routing)
    projection.close()


def test_a_file_gives_the_same_numbers_as_memory(path: Path) -> None:
    held, routing = (
        seeded(7, 5_000),
        [("cold", "important", 3), ("hot", "pinned", 2), ("cold", "important", 4)],
    )
    projection = AnalyticsProjection(path)
    projection.rebuild(source_of(held, routing))
    assert projection.stats(NOW_US) == naive_stats(held, routing)
    assert AnalyticsProjection(path).stats(NOW_US) == naive_stats(held, routing)


def test_an_arrow_table_is_taken_as_it_is(path: Path) -> None:
    held = seeded(8, 500)
    columns = {name: [row[name] for row in held] for name in COLUMNS}
    table = pa.table(columns).append_column("content", pa.array(["a secret"] * len(held)))
    table = table.set_column(1, "kind", table["kind"].dictionary_encode())
    projection = AnalyticsProjection(path)
    projection.rebuild(AnalyticsSource(table, [], NOW_US))
    assert projection.stats(NOW_US) == naive_stats(held, [])
    assert b"a secret" not in path.read_bytes()


@pytest.mark.parametrize("size", [0, 300])
def test_rows_of_a_database_are_taken_as_they_are(size: int) -> None:
    held = seeded(17, size)
    tuples = [tuple(int(row[name]) if name == "pinned" else row[name] for name in COLUMNS) for row in held]
    projection = AnalyticsProjection(None)
    projection.rebuild(AnalyticsSource.from_rows(tuples, [("cold", "important", 2)], NOW_US))
    assert projection.stats(NOW_US) == naive_stats(held, [("cold", "important", 2)])


def test_the_forecast_moves_with_now(path: Path) -> None:
    projection = AnalyticsProjection(path)
    projection.rebuild(source_of([one_row(deadline_us=NOW_US + 9 * DAY_US), one_row(deadline_us=None)]))
    today, later = projection.stats(NOW_US).forecast, projection.stats(NOW_US + 8 * DAY_US).forecast
    assert (today.overdue, today.within_days[7], today.within_days[30], today.protected) == (0, 0, 1, 1)
    assert (later.overdue, later.within_days[1], later.protected) == (0, 1, 1)
    assert projection.stats(NOW_US + 9 * DAY_US).forecast.overdue == 1


@pytest.mark.parametrize("importance", [math.nan, math.inf, -math.inf])
def test_an_importance_that_is_no_number_stops_nothing(importance: float) -> None:
    projection = AnalyticsProjection(None)
    projection.rebuild(source_of([one_row(importance=importance), one_row(importance=0.95)]))
    found = projection.stats(NOW_US)
    assert found.memories == 2
    assert found.importance_histogram == (0,) * 9 + (1,)


@pytest.mark.parametrize("on_disk", [True, False])
def test_an_empty_store_has_zeros(path: Path, on_disk: bool) -> None:
    projection = AnalyticsProjection(path if on_disk else None)
    projection.rebuild(source_of([]))
    assert projection.stats(NOW_US) == Stats(taken_at_us=NOW_US)


@pytest.mark.parametrize("on_disk", [True, False])
def test_before_the_first_rebuild_it_says_that_nothing_is_built(path: Path, on_disk: bool) -> None:
    assert AnalyticsProjection(path if on_disk else None).stats(NOW_US) == Stats(taken_at_us=None)


def test_closing_twice_is_safe_and_memory_is_gone_then() -> None:
    projection = AnalyticsProjection(None)
    projection.rebuild(source_of([one_row()]))
    projection.close()
    projection.close()
    assert projection.stats(NOW_US) == Stats()


def test_a_deleted_file_is_rebuilt(path: Path) -> None:
    held = seeded(9, 100)
    projection = AnalyticsProjection(path)
    projection.rebuild(source_of(held))
    path.unlink()
    assert projection.stats(NOW_US) == Stats()
    projection.rebuild(source_of(held))
    assert projection.stats(NOW_US) == naive_stats(held, [])


def test_a_deleted_file_is_rebuilt_from_the_source_it_was_given(path: Path) -> None:
    held = seeded(10, 100)
    projection = AnalyticsProjection(path, source=lambda: source_of(held))
    assert projection.stats(NOW_US) == naive_stats(held, [])
    path.unlink()
    assert projection.stats(NOW_US) == naive_stats(held, [])
    assert path.is_file()


def flip(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :]


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def scribble(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) - 4096)
    return data[:place] + chance.randbytes(4096) + data[place + 4096 :]


@pytest.mark.parametrize("damage", [flip, cut, scribble, lambda *_: b""])
def test_a_damaged_file_never_blocks_and_never_gives_wrong_numbers(
    path: Path, damage: Callable[[bytes, random.Random], bytes]
) -> None:
    held, chance = seeded(11, 2_000), random.Random(11)
    projection = AnalyticsProjection(path)
    projection.rebuild(source_of(held))
    healthy, expected = path.read_bytes(), naive_stats(held, [])
    for _ in range(12):
        path.write_bytes(damage(healthy, chance))
        assert projection.stats(NOW_US) in (expected, Stats())
        assert AnalyticsProjection(path, source=lambda: source_of(held)).stats(NOW_US) == expected


def test_a_file_of_another_version_is_rebuilt(path: Path) -> None:
    held = seeded(12, 10)
    projection = AnalyticsProjection(path, source=lambda: source_of(held))
    projection.rebuild(source_of([]))
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE projection SET schema_version = 999")
    assert projection.stats(NOW_US) == naive_stats(held, [])


def test_a_log_left_beside_the_file_is_not_replayed(path: Path, tmp_path: Path) -> None:
    held = seeded(13, 10)
    projection = AnalyticsProjection(path)
    projection.rebuild(source_of(held))
    other = tmp_path / "other"
    other.write_bytes(path.read_bytes())
    with duckdb.connect(str(other), config={"checkpoint_threshold": "1GB"}) as connection:
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        connection.execute("DELETE FROM memory")
    log = path.with_name(path.name + ".wal")
    log.write_bytes((tmp_path / "other.wal").read_bytes())
    assert projection.stats(NOW_US) == naive_stats(held, [])
    assert not log.exists()


def test_deleted_rows_leave_no_bytes_behind(path: Path) -> None:
    marker = "deadbeef" * 8
    projection = AnalyticsProjection(path)
    projection.rebuild(source_of([*seeded(14, 200), one_row(subject=marker)]))
    assert marker.encode() in path.read_bytes()
    projection.rebuild(source_of(seeded(14, 200)))
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert marker.encode() not in path.read_bytes()
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM memory WHERE subject = ?", [marker]).fetchone() == (
            0,
        )


def test_discarding_leaves_no_file(path: Path) -> None:
    projection = AnalyticsProjection(path)
    projection.rebuild(source_of([one_row()]))
    projection.discard()
    projection.discard()
    assert list(path.parent.iterdir()) == []
    assert projection.stats(NOW_US) == Stats()


def test_a_killed_rebuild_does_not_stand_in_the_way(path: Path) -> None:
    leftover = path.with_name(path.name + ".new")
    leftover.write_bytes(b"half a file")
    projection = AnalyticsProjection(path)
    projection.rebuild(source_of([one_row()]))
    assert projection.stats(NOW_US).memories == 1
    assert not leftover.exists()


def test_the_file_is_for_its_owner_only(path: Path) -> None:
    AnalyticsProjection(path).rebuild(source_of([one_row()]))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def refused(source: AnalyticsSource) -> str:
    projection = AnalyticsProjection(None)
    projection.rebuild(source_of([one_row()]))
    with pytest.raises(InvalidInputError) as caught:
        projection.rebuild(source)
    assert projection.stats(NOW_US).memories == 1
    return str(caught.value)


def test_a_missing_column_is_named() -> None:
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS if name != "kind"}
    assert "'kind'" in refused(AnalyticsSource(columns, [], NOW_US))


@pytest.mark.parametrize(
    "changes", [{"bytes": "many"}, {"bytes": 2**70}, {"importance": None}, {"pinned": 0.5}]
)
def test_wrong_values_are_refused(changes: Row) -> None:
    assert "column" in refused(source_of([one_row(**changes)]))


@pytest.mark.parametrize("subject", ["alice", "alice@example.org", "", "AB" * 32, "ab" * 32 + "\n"])
def test_a_raw_id_is_refused_and_not_repeated(subject: str) -> None:
    message = refused(source_of([one_row(), one_row(subject=subject)]))
    assert "pseudonym" in message
    assert not subject or subject not in message


def test_columns_of_unequal_length_are_refused() -> None:
    source = source_of([one_row(), one_row()])
    columns = {**source.memories, "bytes": [1]}
    assert "length" in refused(replace(source, memories=columns))


def test_a_directory_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    projection = AnalyticsProjection(tmp_path / "absent" / "analytics.duckdb")
    assert projection.stats(NOW_US) == Stats()
    with pytest.raises(StorageError):
        projection.rebuild(source_of([one_row()]))


def test_too_little_memory_is_a_storage_error_and_the_old_file_stays(path: Path) -> None:
    AnalyticsProjection(path).rebuild(source_of([one_row()]))
    with pytest.raises(StorageError):
        AnalyticsProjection(path, memory_limit_mib=1).rebuild(source_of(seeded(15, 20_000)))
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert AnalyticsProjection(path).stats(NOW_US).memories == 1


def test_a_directory_in_its_place_is_a_storage_error(path: Path) -> None:
    (path / "inner").mkdir(parents=True)
    with pytest.raises(StorageError):
        AnalyticsProjection(path).stats(NOW_US)


def test_readers_and_rebuilders_take_turns(path: Path) -> None:
    projection = AnalyticsProjection(path)
    sizes = (10, 200)
    projection.rebuild(source_of(seeded(16, 10)))
    with ThreadPoolExecutor(4) as pool:
        rebuilt = [pool.submit(projection.rebuild, source_of(seeded(16, size))) for size in sizes * 3]
        read = [pool.submit(projection.stats, NOW_US) for _ in range(12)]
    assert [task.exception() for task in rebuilt] == [None] * 6
    assert {task.result().memories for task in read} <= set(sizes)


@pytest.mark.parametrize(("memory_limit_mib", "threads"), [(0, 1), (256, 0)])
def test_limits_must_be_positive(memory_limit_mib: int, threads: int) -> None:
    with pytest.raises(InvalidInputError):
        AnalyticsProjection(None, memory_limit_mib, threads)
