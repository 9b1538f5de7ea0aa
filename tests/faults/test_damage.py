"""Flipped bytes, cut files, lost rows: what is damaged is an error, or a named and counted loss, and never an answer."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from support import consenting, contents, opened, parts_of, sqlite_rows, state_of

from benchmarks.damage import (
    COUNTED,
    IDENTICAL,
    REFUSED,
    UNTYPED,
    WRONG,
    Answers,
    Refused,
    Untyped,
    ask,
    build,
    judge,
)
from benchmarks.flips import bare_lance, run_flips
from benchmarks.suite import Silent
from tiered_memory import TieredMemory, User
from tiered_memory.errors import ColdTierError, CorruptionError, NotFoundError, RolledBackError
from tiered_memory.metrics import CorruptionDetected, RecordingObserver
from tiered_memory.tiers.durable_files import mark_version

pytestmark = pytest.mark.anyio

LOCAL = {"redis_url": "local"}
DAMAGED = b"damaged" * 40


async def test_no_flip_is_silently_wrong() -> None:
    result = await run_flips(60, seed=7, progress=Silent())
    assert [(flip.kind, flip.what, flip.verdict, flip.where) for flip in result.failures()] == []
    assert result.count(IDENTICAL, REFUSED, COUNTED) == 60
    assert result.count(REFUSED) > 0


async def test_a_plain_table_is_what_this_is_compared_with() -> None:
    assert await bare_lance(40, seed=1) > 20


# --- the judge can fail --------------------------------------------------------------------------------------

TRUTH = Answers(
    said={("alice", "list"): {"a": "A", "b": "B"}, ("alice", "forgotten"): {}, ("ledger",): [1, 2]}
)


@pytest.mark.parametrize(
    ("question", "answer", "damaged", "counted", "verdict"),
    [
        (("alice", "list"), {"a": "A", "b": "B"}, set(), 0, IDENTICAL),
        (("alice", "list"), {"a": "A"}, {"b"}, 1, COUNTED),
        (("alice", "list"), {"a": "A"}, set(), 1, WRONG),
        (("alice", "list"), {"a": "A"}, {"b"}, 0, WRONG),
        (("alice", "list"), {"a": "A", "b": "X"}, {"b"}, 1, WRONG),
        (("alice", "list"), {"a": "A", "b": "B", "c": "C"}, set(), 1, WRONG),
        (("alice", "list"), Refused("ColdTierError"), set(), 0, REFUSED),
        (("alice", "list"), Untyped("KeyError"), set(), 0, UNTYPED),
        (("ledger",), [1], set(), 5, WRONG),
    ],
)
def test_the_judge(question: Any, answer: Any, damaged: set[str], counted: int, verdict: str) -> None:
    said = TRUTH.said | {question: answer}
    given = Answers(said, {"alice": frozenset(damaged)}, counted)
    assert judge(TRUTH, given)[0] == verdict


# --- the log of the state store ------------------------------------------------------------------------------


async def test_a_log_that_lost_its_end_is_refused_wherever_it_was_cut(tmp_path: Path) -> None:
    """SQLite ends a log at the first frame that does not verify, and says nothing."""
    image = tmp_path / "image"
    await build(tmp_path / "work", image, crashed=True)
    whole = (image / "state.db-wal").read_bytes()
    assert len(whole) > 4 * 4096
    for place in range(0, len(whole), len(whole) // 24):
        copy = tmp_path / f"cut at {place}"
        shutil.copytree(image, copy)
        (copy / "state.db-wal").write_bytes(whole[:place])
        assert (await ask(copy)).said == {("open",): Refused("RolledBackError")}


async def test_a_log_that_was_taken_away_is_refused_and_can_be_done_without(tmp_path: Path) -> None:
    image = tmp_path / "image"
    await build(tmp_path / "work", image, crashed=True)
    (image / "state.db-wal").unlink()
    with pytest.raises(RolledBackError, match="older than it was"):
        async with opened(image, settings=LOCAL):
            pass
    async with opened(image, settings={**LOCAL, "accept_rollback": True}) as memory:
        assert len(await contents(memory.user("alice"))) == 6
    async with opened(image, settings=LOCAL) as memory:
        assert len(await contents(memory.user("alice"))) == 6


@pytest.mark.parametrize("torn", [b"", b"TMHW", b"x" * 61])
async def test_a_torn_mark_of_the_latest_commit_keeps_nothing_shut(tmp_path: Path, torn: bytes) -> None:
    """A power cut may leave it so; the mark before it, which was forced to disk, still counts."""
    async with opened(tmp_path / "data", settings=LOCAL) as memory:
        await (await consenting(memory)).add("still here", importance=0.9)
    (tmp_path / "data" / "highwater.latest").write_bytes(torn)
    async with opened(tmp_path / "data", settings=LOCAL) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == ["still here"]


async def test_every_commit_is_marked_before_it_is_acknowledged(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", settings=LOCAL) as memory:
        alice = await consenting(memory)
        for number in range(5):
            await alice.add(f"note {number}", importance=0.9)
            [row] = [one for one in sqlite_rows(tmp_path / "data", "meta") if one["name"] == "commits"]
            marked = parts_of(memory).core.marks._read_latest()
            assert marked is not None
            assert marked.commits == row["value"]


# --- the cold tier -------------------------------------------------------------------------------------------


async def _three(memory: TieredMemory) -> User:
    alice = await consenting(memory)
    for number in range(3):
        await alice.add(f"note {number}", session="s1", importance=0.9)
    await memory.drain()
    return alice


async def _tamper(memory: TieredMemory, user: User, change: Callable[[Any], Awaitable[object]]) -> None:
    """Change a user's table behind the tier's back, and note it as a version that is on disk."""
    parts = parts_of(memory)
    ref = next(one.ref for one in parts.directory.residents() if one.subject == user.subject)
    name = parts.core.names.table(ref.pseudonym, ref.incarnation)
    table = await parts.core.cold._connection.open_table(name)
    await change(table)
    mark_version(parts.core.cold._path(name), await table.version())


async def test_a_damaged_row_is_named_and_the_others_are_served(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", settings=LOCAL) as memory:
        alice = await _three(memory)
        doomed = (await alice.list())[1]
        where = f"id = '{doomed.id}'"
        await _tamper(memory, alice, lambda table: table.update({"sealed": DAMAGED}, where=where))
        assert await alice.damaged() == [doomed.id]
        assert (await alice.get(doomed.id)).content == "note 1"
    observer = RecordingObserver()
    async with opened(tmp_path / "data", settings=LOCAL, observer=observer) as memory:
        alice = memory.user("alice", tenant="acme")
        assert await contents(alice) == ["note 2", "note 0"]
        assert [fact.store for fact in observer.of(CorruptionDetected)] == ["cold"]
        assert await alice.damaged() == [doomed.id]
        for call in (alice.get(doomed.id), alice.explain(doomed.id), alice.pin(doomed.id)):
            with pytest.raises(CorruptionError, match="does not verify"):
                await call
        await alice.add("note 3", importance=0.9)
        await memory.drain()
        await alice.delete(doomed.id)
        assert await alice.damaged() == []
        with pytest.raises(NotFoundError):
            await alice.get(doomed.id)
        assert await contents(alice) == ["note 3", "note 2", "note 0"]


async def test_a_row_that_is_missing_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", settings=LOCAL) as memory:
        alice = await _three(memory)
        lost = (await alice.list())[0].id
        await _tamper(memory, alice, lambda table: table.delete(f"id = '{lost}'"))
    observer = RecordingObserver()
    async with opened(tmp_path / "data", settings=LOCAL, observer=observer) as memory:
        alice = memory.user("alice", tenant="acme")
        assert await contents(alice) == ["note 1", "note 0"]
        assert await alice.damaged() == [lost]
        assert len(observer.of(CorruptionDetected)) == 1


@pytest.mark.parametrize("expiry", [0, 1, 2**62])
async def test_damage_that_looks_like_an_expiry_ends_nothing(tmp_path: Path, expiry: int) -> None:
    """The seal does not cover that column, and nothing in cold expires."""
    async with opened(tmp_path / "data", settings=LOCAL) as memory:
        alice = await _three(memory)
        await _tamper(memory, alice, lambda table: table.update({"expires_us": expiry}))
    async with opened(tmp_path / "data", settings=LOCAL) as memory:
        alice = memory.user("alice", tenant="acme")
        assert await contents(alice) == await contents(alice) == ["note 2", "note 1", "note 0"]
        assert {(await alice.explain(one.id)).state for one in await alice.list()} == {"active"}


async def test_an_older_version_in_cold_is_no_answer(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", settings=LOCAL) as memory:
        alice = await _three(memory)
        newer = (await alice.list())[0].id
    with contextlib.closing(state_of(tmp_path / "data")) as db:
        db.execute("UPDATE memories SET record_version = 2 WHERE memory_id = ?", (newer,))
    async with opened(tmp_path / "data", settings=LOCAL) as memory:
        alice = memory.user("alice", tenant="acme")
        assert await contents(alice) == ["note 1", "note 0"]
        assert await alice.damaged() == [newer]


async def test_an_unreadable_table_is_one_user_s_typed_error(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with opened(data, settings=LOCAL) as memory:
        await _three(memory)
        tables = set((data / "cold").iterdir())
        bob = await consenting(memory, "bob")
        await bob.add("bob's", importance=0.9)
    for manifest in [path for table in tables for path in table.rglob("*.manifest")]:
        manifest.write_bytes(b"\xff" * manifest.stat().st_size)
    async with opened(data, settings=LOCAL) as memory:
        with pytest.raises(ColdTierError):
            await memory.user("alice", tenant="acme").list()
        assert await contents(memory.user("bob", tenant="acme")) == ["bob's"]
        assert (await memory.user("alice", tenant="acme").erase(reason="request")).verified


async def test_a_forgotten_memory_that_is_damaged_is_not_brought_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", settings=LOCAL) as memory:
        alice = await _three(memory)
        first, second = [one.id for one in await alice.list()][:2]
        with contextlib.closing(state_of(tmp_path / "data")) as db:
            db.execute(
                "UPDATE memories SET state = 'forgotten', deadline_us = 4000000000000000 WHERE memory_id IN (?, ?)",
                (first, second),
            )
        where = f"id = '{first}'"
        await _tamper(memory, alice, lambda table: table.update({"sealed": DAMAGED}, where=where))
    observer = RecordingObserver()
    async with opened(tmp_path / "data", settings=LOCAL, observer=observer) as memory:
        alice = memory.user("alice", tenant="acme")
        assert [one.id for one in await alice.forgotten()] == [second]
        assert len(observer.of(CorruptionDetected)) == 1
        assert await alice.damaged() == [first]
        with pytest.raises(CorruptionError, match="does not verify"):
            await alice.restore(first)
        assert (await alice.restore(second)).content == "note 1"
        states = {row["memory_id"]: row["state"] for row in sqlite_rows(tmp_path / "data", "memories")}
        assert states[first] == "forgotten"


def test_the_answers_are_compared_as_a_whole() -> None:
    """A field that `Answers` gains must be judged as well."""
    assert [one.name for one in dataclasses.fields(Answers)] == ["said", "damaged", "counted"]
