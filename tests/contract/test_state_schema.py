"""The state store's schema: a store of schema 1 is brought up to date in one step or not at all; no question scans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiered_memory.errors import StateStoreError
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.state import commands as c
from tiered_memory.state import sqlite_state
from tiered_memory.state.base import (
    Crowded,
    DeadlineUpdate,
    JournalAction,
    JournalEntry,
    MemoryRow,
    MemoryState,
    Revision,
    Room,
    StateChange,
    StrengthUpdate,
    Totals,
    Write,
    WriteBatch,
)
from tiered_memory.state.forgetting import (
    CountOfOtherPolicies,
    HasExpired,
    Leaving,
    MemoriesAfter,
    OfOtherPolicies,
    Reindex,
    TotalsOf,
)
from tiered_memory.state.queries import SQL, load_sql
from tiered_memory.state.sqlite_state import SCHEMA_VERSION, SqliteState, _connect
from tiered_memory.state.sqlite_verbs import HANDLERS, READERS

ALICE, BOB = b"a" * 32, b"b" * 32
KEY = bytes(range(32))


def row(number: int, subject: bytes = ALICE, **given: object) -> MemoryRow:
    made = MemoryRow(
        subject=subject,
        memory_id=f"{number:032x}",
        generation=0,
        order=number,
        version=1,
        kind="episodic",
        sensitivity="internal",
        purpose="p",
        basis="consent",
        state="active",
        importance=0.5,
        strength_last=0.5,
        t_last_us=1,
        n_spaced=0.0,
        policy_version="v1",
        ingested_us=1,
        forget_at_us=100 + number,
        deadline_us=100 + number,
        deadline_rule="decay",
        pinned=False,
        held=False,
        bytes=10,
    )
    return replace(made, **given)  # type: ignore[arg-type]


def put(db: apsw.Connection, *rows: MemoryRow) -> None:
    """Write rows as schema 1 knew them."""
    db.executemany(SQL["memory_put"], [astuple(one)[:22] for one in rows])


def with_subjects(db: apsw.Connection) -> apsw.Connection:
    for subject in (ALICE, BOB):
        db.execute("INSERT INTO subjects VALUES (?, x'', 0, x'', 'active', 'e', NULL, 0)", (subject,))
    return db


def in_memory(version: int = SCHEMA_VERSION) -> apsw.Connection:
    db = apsw.Connection(":memory:")
    for number in range(1, version + 1):
        db.execute(load_sql(f"schema_{number}.sql"))
    return with_subjects(db)


@pytest.fixture
def db() -> Iterator[apsw.Connection]:
    connection = in_memory()
    yield connection
    connection.close()


def ask(db: apsw.Connection, query: object) -> object:
    return READERS[type(query)](db, query)


def act(db: apsw.Connection, command: Write[object]) -> object:
    return HANDLERS[type(command)](db, command)


# --- migration -----------------------------------------------------------------------------------------------


def schema_one(path: Path, *rows: MemoryRow) -> None:
    db = _connect(path, KEY)
    db.execute(f"BEGIN;\n{load_sql('schema_1.sql')}\nPRAGMA user_version = 1;\nCOMMIT;")
    put(with_subjects(db), *rows)
    db.close()


@pytest.mark.anyio
async def test_a_store_of_schema_1_is_opened_with_everything_in_it(tmp_path: Path) -> None:
    forgotten = row(3, state="forgotten", deadline_us=500)
    rows = [row(1), row(2, bytes=7), forgotten, row(4, BOB, state="removing")]
    schema_one(tmp_path / "state.db", *rows)
    for _ in range(2):
        state = SqliteState(tmp_path / "state.db", KEY, lambda *_: None)
        await state.open()
        await state.migrate()
        assert await state.read(c.Memories(ALICE)) == rows[:3]
        assert await state.read(TotalsOf(ALICE)) == Totals(2, 17)
        assert await state.read(TotalsOf(BOB)) == Totals(0, 0)
        assert [one.memory_id for one in await state.read(c.Removing())] == [rows[3].memory_id]
        await state.close()
    db = _connect(tmp_path / "state.db", KEY)
    assert db.pragma("user_version") == SCHEMA_VERSION
    db.close()


@pytest.mark.anyio
async def test_a_migration_that_fails_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema_one(tmp_path / "state.db", row(1))
    broken = load_sql("schema_2.sql") + "\nCREATE TABLE meta (twice);"
    found = sqlite_state.load_sql
    monkeypatch.setattr(sqlite_state, "load_sql", lambda name: broken if "2" in name else found(name))
    state = SqliteState(tmp_path / "state.db", KEY, lambda *_: None)
    await state.open()
    with pytest.raises(StateStoreError):
        await state.migrate()
    await state.write(c.PutMeta("still", b"usable"))
    await state.close()
    db = _connect(tmp_path / "state.db", KEY)
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
    assert (db.pragma("user_version"), "subject_totals" in tables) == (1, False)
    db.close()
    monkeypatch.undo()
    state = SqliteState(tmp_path / "state.db", KEY, lambda *_: None)
    await state.open()
    await state.migrate()
    assert await state.read(TotalsOf(ALICE)) == Totals(1, 10)
    await state.close()


@pytest.mark.anyio
async def test_opening_alone_changes_nothing_of_an_older_store(tmp_path: Path) -> None:
    schema_one(tmp_path / "state.db", row(1))
    before = (tmp_path / "state.db").read_bytes()
    state = SqliteState(tmp_path / "state.db", KEY, lambda *_: None)
    await state.open()
    assert await state.read(c.GetMeta("store_id")) is None
    await state.close()
    assert (tmp_path / "state.db").read_bytes() == before


def test_a_new_store_and_a_migrated_one_have_the_same_schema() -> None:
    migrated = in_memory(1)
    put(migrated, row(1))
    for number in range(2, SCHEMA_VERSION + 1):
        migrated.execute(load_sql(f"schema_{number}.sql"))
    listed = "SELECT type, name, sql FROM sqlite_schema ORDER BY name"
    assert migrated.execute(listed).fetchall() == in_memory().execute(listed).fetchall()


# --- totals --------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "forget", "remove", "restore", "drop", "resize"]), st.integers(0, 7)),
    max_size=40,
)


@settings(max_examples=60)
@given(STEPS)
def test_totals_are_what_counting_would_find(steps: list[tuple[str, int]]) -> None:
    db = in_memory()
    for number, (what, which) in enumerate(steps):
        one = row(which, ALICE if which % 2 else BOB, bytes=which + number)
        where = (one.subject, one.memory_id)
        match what:
            case "put":
                if not db.execute("SELECT 1 FROM memories WHERE memory_id = ?", where[1:]).fetchone():
                    put(db, one)
            case "forget" | "remove":
                state = MemoryState.FORGOTTEN if what == "forget" else MemoryState.REMOVING
                change = StateChange(one.memory_id, state, 9, "decay", 8)
                act(db, c.ChangeStates(one.subject, 0, (change,), ()))
            case "restore":
                db.execute(SQL["memory_restore"], (1.0, 1, 0.0, "v1", 1, 1, "decay", *where))
            case "drop":
                act(db, c.FinishRemoval(one.subject, 0, (one.memory_id,), 1))
            case _:
                db.execute(
                    "UPDATE memories SET bytes = ? WHERE subject = ? AND memory_id = ?", (number, *where)
                )
    counting = "SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM memories WHERE subject = ? AND state = 'active'"
    for subject in (ALICE, BOB):
        assert ask(db, TotalsOf(subject)) == Totals(*db.execute(counting, (subject,)).fetchone())
        assert ask(db, c.ActiveTotals((subject,))) == {
            subject: db.execute(counting, (subject,)).fetchone()[0]
        }


def test_erasing_leaves_no_totals(db: apsw.Connection) -> None:
    put(db, row(1), row(2, BOB))
    act(db, c.PurgeSubject(ALICE))
    assert [subject for (subject,) in db.execute("SELECT subject FROM subject_totals")] == [BOB]


# --- what forgetting asks ------------------------------------------------------------------------------------


def ids(answer: Any) -> list[int]:
    return [int(one.memory_id, 16) for one in answer]


def test_what_leaves_first_comes_first_and_the_protected_not_at_all(db: apsw.Connection) -> None:
    put(
        db,
        row(1, deadline_us=300),
        row(2, deadline_us=None),
        row(3, deadline_us=100),
        row(9, BOB, deadline_us=1),
    )
    put(
        db,
        row(4, pinned=True),
        row(5, held=True),
        row(6, state="forgotten", deadline_us=5),
        row(7, deadline_us=None),
    )
    assert ids(ask(db, Leaving(ALICE, 10))) == [3, 1, 2, 7]
    assert ids(ask(db, Leaving(ALICE, 3))) == [3, 1, 2]
    assert ids(ask(db, Leaving(ALICE, 1))) == [3]


def test_rows_of_other_policies_on_either_side(db: apsw.Connection) -> None:
    put(db, row(1, policy_version="a"), row(2, policy_version="z"), row(3), row(4, BOB, policy_version="zz"))
    put(db, row(5, policy_version="a", state="removing"), row(6, policy_version="a", state="forgotten"))
    assert ids(ask(db, OfOtherPolicies("v1", 10))) == [1, 6, 2, 4]
    assert ids(ask(db, OfOtherPolicies("v1", 3))) == [1, 6, 2]
    assert ask(db, CountOfOtherPolicies("v1")) == 4
    db.execute("UPDATE subjects SET state = 'erasing' WHERE subject = ?", (BOB,))
    assert ids(ask(db, OfOtherPolicies("v1", 10))) == [1, 6, 2]


def test_a_deadline_is_entered_for_the_row_as_it_was_read(db: apsw.Connection) -> None:
    put(db, row(1), row(2, state="forgotten"), row(3))
    read = {one.memory_id: one for one in ask(db, c.Memories(ALICE))}  # type: ignore[attr-defined]
    act(db, c.PinMemory(ALICE, 0, row(3).memory_id, True, None, "pin"))
    updates = tuple(DeadlineUpdate(one, "v2", 50, 60, "ceiling") for one in read.values())
    of_before = tuple(replace(one, row=replace(one.row, generation=1)) for one in updates)
    assert act(db, Reindex(of_before)) == 0
    assert act(db, Reindex(updates)) == 2
    found = {int(one.memory_id, 16): one for one in ask(db, c.Memories(ALICE))}  # type: ignore[attr-defined]
    assert [(found[n].policy_version, found[n].deadline_us) for n in (1, 2, 3)] == [
        ("v2", 60), ("v2", 60), ("v1", None)
    ]  # fmt: skip
    assert act(db, Reindex(updates)) == 0


def test_pages_go_through_everybody(db: apsw.Connection) -> None:
    put(db, *(row(n, BOB if n % 2 else ALICE) for n in range(7)))
    seen, after = list[int](), (b"", "")
    while page := ask(db, MemoriesAfter(*after, 3)):
        assert isinstance(page, list)
        seen += ids(page)
        after = (page[-1].subject, page[-1].memory_id)
    assert seen == [0, 2, 4, 6, 1, 3, 5]


def test_whether_anything_has_expired(db: apsw.Connection) -> None:
    assert ask(db, HasExpired(10)) is False
    db.execute("INSERT INTO operations VALUES (x'', x'', 0, x'', '', x'', 10)")
    assert (ask(db, HasExpired(9)), ask(db, HasExpired(10))) == (False, True)
    act(db, c.Expire(10))
    assert ask(db, HasExpired(10)) is False


# --- room under a quota --------------------------------------------------------------------------------------


def out(number: int) -> StateChange:
    return StateChange(f"{number:032x}", MemoryState.FORGOTTEN, 900, "quota", 800)


def batch(number: int, room: Room | None) -> WriteBatch:
    return WriteBatch(ALICE, 0, memories=(row(number),), room=room)


def test_a_write_beyond_the_quota_writes_nothing(db: apsw.Connection) -> None:
    put(db, row(1), row(2))
    for room in (Room(2, None), Room(None, 29), Room(9, 29)):
        assert act(db, c.Append(batch(3, room))) == Crowded()
    assert ids(ask(db, c.Memories(ALICE))) == [1, 2]
    assert act(db, c.Append(batch(3, Room(3, 30)))) != Crowded()


def test_what_makes_room_leaves_in_the_same_commit(db: apsw.Connection) -> None:
    put(db, row(1), row(2))
    act(db, c.Append(batch(3, Room(2, 20, (out(1),)))))
    found = {int(one.memory_id, 16): one for one in ask(db, c.Memories(ALICE))}  # type: ignore[attr-defined]
    assert {n: one.state for n, one in found.items()} == {1: "forgotten", 2: "active", 3: "active"}
    assert (found[1].deadline_us, found[1].deadline_rule, found[1].forgotten_us) == (900, "quota", 800)


@pytest.mark.parametrize("protected", [{"pinned": True}, {"held": True}, {"state": "forgotten"}])
def test_what_is_protected_by_now_does_not_make_room(
    db: apsw.Connection, protected: dict[str, object]
) -> None:
    put(db, row(1, **protected), row(2), row(4))
    assert act(db, c.Append(batch(3, Room(2, None, (out(1), out(2)))))) == Crowded()
    assert ids(ask(db, c.Memories(ALICE))) == [1, 2, 4]
    assert next(one for one in ask(db, c.Memories(ALICE)) if one.order == 2).state == "active"  # type: ignore[attr-defined]


def test_what_a_new_version_adds_counts_too(db: apsw.Connection) -> None:
    put(db, row(1), row(2))
    entry = JournalEntry(
        b"o" * 16, b"g" * 16, 1, ALICE, 0, JournalAction.UPSERT, row(1).memory_id, 1, 2, b"s", 1
    )
    write = replace(batch(3, None), revisions=(Revision(entry, 25),), purpose="p", key_id=b"")
    assert act(db, c.Append(replace(write, room=Room(None, 44)))) == Crowded()
    assert act(db, c.Append(replace(write, room=Room(None, 45)))) != Crowded()
    assert ask(db, TotalsOf(ALICE)) == Totals(3, 45)


def test_restoring_asks_for_room_too(db: apsw.Connection) -> None:
    put(db, row(1, state="forgotten"), row(2))
    update = StrengthUpdate(row(1).memory_id, 1.0, 5, 0.0, "v1", 9, 9, "decay")
    leaf = AuditLeaf(AuditEvent.MEMORY_RESTORED, 1, "t", "s", 0)
    assert act(db, c.RestoreMemory(ALICE, 0, update, leaf, Room(1, None))) == Crowded()
    assert act(db, c.RestoreMemory(ALICE, 0, update, leaf, Room(1, None, (out(2),)))) is True
    assert act(db, c.RestoreMemory(ALICE, 0, update, leaf, Room(1, None))) is False
    assert ask(db, TotalsOf(ALICE)) == Totals(1, 10)


# --- plans ---------------------------------------------------------------------------------------------------

SEARCHED = {
    "memories_due": (10, 5),
    "memories_due_of": (ALICE, 10, 5),
    "memories_leaving": (ALICE, 5),
    "memories_staying": (ALICE, 5),
    "memories_of_lower_policies": ("v", 5),
    "memories_of_higher_policies": ("v", 5),
    "count_of_other_policies": ("v",),
    "memories_after": (ALICE, "", 5),
    "memories_removing": (),
    "totals_of": (ALICE,),
    "has_expired": (10,),
    "tail_expire": (10,),
    "operations_expire": (10,),
}


PARTIAL = "SCAN memories USING INDEX memories_removing"
"""An index that has nothing but what is on its way out."""


@pytest.mark.parametrize("name", SEARCHED)
def test_no_question_of_forgetting_scans_a_table(db: apsw.Connection, name: str) -> None:
    plan = [str(step[3]) for step in db.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", SEARCHED[name])]
    steps = [step for step in plan if step.startswith("SCAN") and step != "SCAN CONSTANT ROW"]
    assert [step for step in steps if step != PARTIAL] == []


def test_one_subjects_due_rows_are_not_looked_for_among_all_of_its_rows(db: apsw.Connection) -> None:
    plan = [
        str(step[3]) for step in db.execute(f"EXPLAIN QUERY PLAN {SQL['memories_due_of']}", (ALICE, 1, 1))
    ]
    assert any("memories_leaving (subject=? AND state=? AND deadline_us<?)" in step for step in plan)


def test_the_order_of_leaving_needs_no_sorting(db: apsw.Connection) -> None:
    for name in ("memories_due", "memories_leaving", "memories_staying", "memories_after"):
        plan = [str(step[3]) for step in db.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", SEARCHED[name])]
        assert not [step for step in plan if "TEMP B-TREE" in step], (name, plan)
