"""The state store on the real engine: durable groups, fences, idempotency, erasure that leaves no bytes."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from tiered_memory.crypto.keyring import KeyRecord
from tiered_memory.errors import ClosedError, StateStoreError, SubjectErasedError
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.privacy.merkle import leaf_hash
from tiered_memory.state import commands as c
from tiered_memory.state.base import (
    Appended,
    JournalAction,
    JournalEntry,
    MemoryRow,
    MemoryState,
    OperationRow,
    PendingRemoval,
    Repeated,
    StateChange,
    StrengthUpdate,
    SubjectRow,
    SubjectState,
    TailRow,
    WriteBatch,
)
from tiered_memory.state.sqlite_state import SqliteState, _connect

pytestmark = pytest.mark.anyio

ALICE, BOB, SESSION = b"a" * 32, b"b" * 32, b"s" * 16
KEY = bytes(range(32))
COMMITS: list[int] = []


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[SqliteState]:
    COMMITS.clear()
    state = SqliteState(tmp_path / "state.db", KEY, lambda jobs, _seconds: COMMITS.append(jobs))
    await state.open()
    yield state
    await state.close()


def decrypted(folder: Path) -> bytes:
    """Return every page of a copy of the store as it is under its encryption, free pages and all."""
    copied = folder / "copy"
    copied.mkdir(exist_ok=True)
    for path in folder.glob("state.db*"):
        shutil.copy(path, copied)
    connection = _connect(copied / "state.db", KEY)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA rekey = ''")
    connection.close()
    return (copied / "state.db").read_bytes()


def leaf(event: AuditEvent = AuditEvent.KEY_CREATED) -> AuditLeaf:
    return AuditLeaf(event, 1, "t", "s", 0)


def key(subject: bytes, purpose: str = "p", wrapped: bytes = b"wrapped") -> KeyRecord:
    return KeyRecord(subject, purpose, b"k" * 16, 1, 0, wrapped, 1)


async def hold(state: SqliteState, subject: bytes = ALICE, wrapped: bytes = b"wrapped") -> None:
    row = SubjectRow(subject, b"t", 0, b"i" * 16, "active", "embedder", b"sealed identity", 1)
    await state.write(c.PutSubject(row, (key(subject, wrapped=wrapped),), leaf()))


def entry(number: int, subject: bytes = ALICE, generation: int = 0) -> JournalEntry:
    return JournalEntry(
        operation=b"o" * 16,
        atomic_group=b"g" * 16,
        group_size=1,
        subject=subject,
        generation=generation,
        action=JournalAction.UPSERT,
        memory_id=f"{number:032x}",
        order=number,
        version=1,
        sealed=b"sealed %d" % number,
        created_us=number,
    )


def memory(number: int, subject: bytes = ALICE, deadline_us: int | None = 100) -> MemoryRow:
    return MemoryRow(
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
        policy_version="v",
        ingested_us=1,
        forget_at_us=deadline_us,
        deadline_us=deadline_us,
        deadline_rule="decay",
        pinned=False,
        held=True,
        bytes=10,
    )


def tail(number: int, *, pinned: bool = False, expires_us: int = 50) -> TailRow:
    return TailRow(ALICE, SESSION, number, 0, f"{number:032x}", "p", pinned, b"sealed", expires_us)


def batch(number: int, subject: bytes = ALICE, generation: int = 0) -> WriteBatch:
    return WriteBatch(subject, generation, (entry(number, subject, generation),), (memory(number, subject),))


async def test_an_append_is_there_after_reopening(state: SqliteState, tmp_path: Path) -> None:
    await hold(state)
    appended = await state.write(c.Append(batch(7)))
    assert isinstance(appended, Appended)
    await state.close()
    again = SqliteState(tmp_path / "state.db", KEY, lambda *_: None)
    await again.open()
    assert await again.read(c.Journal()) == [replace(entry(7), seq=appended.seqs[0])]
    assert await again.read(c.Memories(ALICE)) == [memory(7)]
    await again.close()


async def test_concurrent_writers_share_commits(state: SqliteState) -> None:
    await hold(state)
    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(state.write, c.Append(batch(number)))
    assert len(await state.read(c.Journal())) == 100
    assert sum(COMMITS) == 101
    assert len(COMMITS) < 60


async def test_one_failing_write_does_not_spoil_its_group(state: SqliteState) -> None:
    await hold(state)
    outcomes: dict[int, str] = {}

    async def write(number: int) -> None:
        try:
            await state.write(c.Append(batch(number % 10)))
            outcomes[number] = "stored"
        except StateStoreError:
            outcomes[number] = "refused"

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(write, number)
    assert sorted(outcomes.values()) == ["refused"] * 10 + ["stored"] * 10
    assert len(await state.read(c.Journal())) == 10
    assert len(await state.read(c.Memories(ALICE))) == 10


async def test_a_stale_generation_is_refused_everywhere(state: SqliteState) -> None:
    await hold(state)
    await state.write(c.Append(batch(1)))
    assert await state.write(c.BeginErasure(ALICE, 0, leaf(AuditEvent.ERASURE_BEGUN))) == 1
    update = StrengthUpdate("0" * 32, 0.5, 1, 0.0, "v", None, None, "decay")
    change = StateChange("0" * 32, MemoryState.FORGOTTEN, 1, "decay")
    for stale in (
        c.Append(batch(2)),
        c.PutKey(key(ALICE, "other")),
        c.UpdateStrengths(ALICE, 0, (update,)),
        c.ChangeStates(ALICE, 0, (change,), (leaf(),)),
        c.RestoreMemory(ALICE, 0, update, leaf()),
        c.PinMemory(ALICE, 0, "0" * 32, True, None, "pin"),
        c.FinishRemoval(ALICE, 0, ("0" * 32,), 1),
        c.BeginErasure(ALICE, 0, leaf()),
    ):
        with pytest.raises(SubjectErasedError):
            await state.write(stale)
    with pytest.raises(SubjectErasedError):
        await state.write(c.Append(batch(2, generation=1)))
    assert len(await state.read(c.Journal())) == 1


async def test_an_erased_subject_begins_anew_at_its_generation(state: SqliteState) -> None:
    await hold(state)
    await state.write(c.BeginErasure(ALICE, 0, leaf()))
    held = await state.write(c.PurgeSubject(ALICE))
    assert (held.journal, held.keys) == (0, 0)
    with pytest.raises(SubjectErasedError):
        await hold(state)
    await state.write(c.FinishErasure(ALICE, 1, 5, leaf(AuditEvent.ERASURE_FINISHED)))
    with pytest.raises(SubjectErasedError):
        await hold(state)
    row = SubjectRow(ALICE, b"t", 1, b"j" * 16, "active", "embedder", None, 9)
    await state.write(c.PutSubject(row, (replace(key(ALICE), generation=1),), leaf()))
    assert await state.read(c.GetSubject(ALICE)) == row


async def test_a_destroyed_key_is_in_no_file(state: SqliteState, tmp_path: Path) -> None:
    secret = b"\x93wrapped key of alice\x17" * 4
    await hold(state, wrapped=secret)
    await hold(state, BOB)
    assert secret in decrypted(tmp_path)
    await state.write(c.BeginErasure(ALICE, 0, leaf()))
    await state.checkpoint()
    assert secret not in decrypted(tmp_path)
    assert (tmp_path / "state.db-wal").stat().st_size == 0
    assert len(await state.read(c.Keys(BOB))) == 1


async def test_an_operation_is_done_once(state: SqliteState) -> None:
    await hold(state)
    operation = OperationRow(ALICE, b"op", 0, b"f", "p", b"receipt", 1000)
    answers = []

    async def write(number: int) -> None:
        answers.append(await state.write(c.Append(replace(batch(number), operation=operation))))

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(write, number)
    repeated = [answer for answer in answers if isinstance(answer, Repeated)]
    assert [answer.earlier for answer in repeated] == [operation] * 9
    assert len(await state.read(c.Journal())) == 1
    assert await state.write(c.Expire(1000)) == 1
    assert await state.read(c.GetOperation(ALICE, b"op")) is None


async def test_trim_takes_only_what_it_names(state: SqliteState) -> None:
    await hold(state)
    seqs = [(await state.write(c.Append(batch(n)))).seqs[0] for n in range(5)]  # type: ignore[union-attr]
    await state.write(c.Trim((seqs[0], seqs[3])))
    assert [e.seq for e in await state.read(c.Journal())] == [seqs[1], seqs[2], seqs[4]]
    size = await state.read(c.GetJournalSize())
    assert (size.records, size.oldest_us) == (3, 1)


async def test_due_is_by_deadline_and_by_subject(state: SqliteState) -> None:
    await hold(state)
    await hold(state, BOB)
    for number, deadline in ((1, 30), (2, 10), (3, None), (4, 99)):
        rows = (replace(memory(number), deadline_us=deadline),)
        await state.write(c.Append(WriteBatch(ALICE, 0, memories=rows)))
    await state.write(c.Append(WriteBatch(BOB, 0, memories=(memory(5, BOB, 20),))))
    assert [row.order for row in await state.read(c.Due(30, 10))] == [2, 5, 1]
    assert [row.order for row in await state.read(c.Due(30, 10, ALICE))] == [2, 1]
    assert [row.order for row in await state.read(c.Due(99, 2))] == [2, 5]


async def test_removing_takes_the_journal_and_the_session_along(state: SqliteState) -> None:
    await hold(state)
    free = tuple(replace(one, held=False) for one in batch(1).memories)
    await state.write(c.Append(replace(batch(1), memories=free, tails=(replace(tail(1), sealed=None),))))
    change = StateChange(f"{1:032x}", MemoryState.REMOVING, 6, "deleted")
    await state.write(c.ChangeStates(ALICE, 0, (change,), (leaf(AuditEvent.MEMORY_DELETED),)))
    assert await state.read(c.Journal()) == []
    assert await state.read(c.Tail(ALICE, SESSION)) == []
    assert await state.read(c.Removing()) == [PendingRemoval(ALICE, f"{1:032x}", 6)]
    await state.write(c.FinishRemoval(ALICE, 0, (f"{1:032x}",), 7))
    assert await state.read(c.Memories(ALICE)) == []
    assert await state.read(c.Removing()) == []


async def test_the_tail_keeps_the_newest_and_the_pinned(state: SqliteState) -> None:
    await hold(state)
    for number in range(10):
        row = tail(number, pinned=number == 0)
        await state.write(c.Append(WriteBatch(ALICE, 0, tails=(row,), tail_turns=3)))
    assert [row.order for row in await state.read(c.Tail(ALICE, SESSION))] == [0, 7, 8, 9]
    assert await state.read(c.LastOrder(ALICE)) == 9
    assert await state.write(c.Expire(50)) == 4


async def test_the_ledger_numbers_its_leaves(state: SqliteState) -> None:
    await hold(state)
    await hold(state, BOB)
    leaves = await state.read(c.Leaves())
    assert [index for index, _, _ in leaves] == [0, 1]
    assert all(stored == leaf_hash(encoded) for _, encoded, stored in leaves)


async def test_routing_counts_add_up(state: SqliteState) -> None:
    await hold(state)
    for number in range(3):
        counted = replace(batch(number), routing={("cold", "above_threshold"): 2, ("hot", "no_basis"): 1})
        await state.write(c.Append(counted))
    assert await state.read(c.RoutingCounts()) == [("cold", "above_threshold", 6), ("hot", "no_basis", 3)]


async def test_a_later_schema_is_refused(tmp_path: Path) -> None:
    connection = _connect(tmp_path / "state.db", KEY)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(StateStoreError, match="newer release"):
        await SqliteState(tmp_path / "state.db", KEY, lambda *_: None).open()


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"certainly not a database" * 100)
    with pytest.raises(StateStoreError):
        await SqliteState(tmp_path / "state.db", KEY, lambda *_: None).open()


async def test_the_file_is_for_its_owner_alone(state: SqliteState, tmp_path: Path) -> None:
    assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600


async def test_subjects_in_a_state(state: SqliteState) -> None:
    await hold(state)
    await hold(state, BOB)
    await state.write(c.BeginErasure(BOB, 0, leaf()))
    assert [row.subject for row in await state.read(c.SubjectsInState(SubjectState.ERASING))] == [BOB]


async def test_a_closed_store_says_so(state: SqliteState) -> None:
    await state.close()
    await state.close()
    with pytest.raises(ClosedError):
        await state.write(c.Trim((1,)))
    with pytest.raises(ClosedError):
        await state.read(c.Journal())
