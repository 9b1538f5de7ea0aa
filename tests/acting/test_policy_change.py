"""A store written under one policy and opened under another: never early, at most one pass late, and reversible."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support import consenting, opened, parts_of, sqlite_rows

from tiered_memory import TieredMemory, User
from tiered_memory.clock import to_us
from tiered_memory.forgetting.decay import curve_for
from tiered_memory.forgetting.placement import deadline
from tiered_memory.held import state_of
from tiered_memory.metrics import RecordingObserver, Reindexed
from tiered_memory.model import Sensitivity
from tiered_memory.policy.load import parse_policy
from tiered_memory.policy.rules import Policy
from tiered_memory.state import commands as c
from tiered_memory.state.base import MemoryRow
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

BRAKE_OFF = "[forgetting]\nmax_share_per_cycle = 1\nreindex_batch = {batch}\n"
LONG = 'schema = 1\nname = "long"\n' + BRAKE_OFF
SHORT = (
    'schema = 1\nname = "short"\n'
    + BRAKE_OFF
    + "[decay]\ndaily_rate = 0.2\n[retention.confidential]\nceiling_days = 12\n"
)
IMPORTANCES = (0.25, 0.4, 0.55, 0.7, 0.85, 1.0)


def policy_of(text: str, batch: int = 10_000) -> Policy:
    return parse_policy(text.format(batch=batch), "p.toml")


@asynccontextmanager
async def under(
    text: str, data: Path, clock: ManualClock, batch: int = 10_000, **parts: Any
) -> AsyncIterator[TieredMemory]:
    path = data.parent / "policy.toml"
    path.write_text(text.format(batch=batch))
    async with opened(data, clock=clock, settings={"policy": str(path)}, **parts) as memory:
        yield memory


async def fill(memory: TieredMemory, clock: ManualClock, users: int = 3) -> None:
    """Memories of every importance and sensitivity, some used, some pinned, some forgotten; over some days."""
    for number in range(users):
        user = await consenting(memory, f"user{number}")
        for importance in IMPORTANCES:
            for level in ("internal", "confidential"):
                receipt = await user.add(f"{importance} {level}", importance=importance, sensitivity=level)
                if importance == 0.7:
                    await user.pin(receipt.id)
                clock.advance(timedelta(hours=3))
        if number == 0:
            clock.advance(timedelta(days=4))
            await user.used([one.id for one in await user.list() if one.importance == 0.85])
    await memory.drain()


async def rows_of(memory: TieredMemory) -> dict[str, MemoryRow]:
    state, found = parts_of(memory).core.state, {}
    for number in range(3):
        pseudonym = parts_of(memory).core.names.subject(user_of(memory, number).subject)
        found |= {row.memory_id: row for row in await state.read(c.Memories(pseudonym))}
    return found


def user_of(memory: TieredMemory, number: int) -> User:
    return memory.user(f"user{number}", tenant="acme")


def due_by(rows: dict[str, MemoryRow], policy: Policy, moment_us: int) -> set[str]:
    """What the policy's formula says is due, whatever the index says."""
    curve = curve_for(policy.decay)
    found = set[str]()
    for row in rows.values():
        rules = policy.retention[Sensitivity(row.sensitivity)]
        at_us = deadline(state_of(row), curve, rules, policy.decay.grace_hours, pinned=row.pinned).at_us
        if row.state == "active" and at_us is not None and at_us <= moment_us:
            found.add(row.memory_id)
    return found


async def test_under_a_shorter_policy_everything_due_goes_within_one_pass_and_nothing_early(
    data: Path, clock: ManualClock
) -> None:
    async with under(LONG, data, clock) as memory:
        await fill(memory, clock)
        assert (await memory.forget()).forgotten == ()
    heard = RecordingObserver()
    clock.advance(timedelta(days=9))
    async with under(SHORT, data, clock, batch=7, observer=heard) as memory:
        before, gone = await rows_of(memory), set[str]()
        expected = due_by(before, policy_of(SHORT), to_us(clock.now()))
        assert 5 < len(expected) < len(before) - 5
        steps = -(-len(before) // 7)
        for _ in range(steps):
            report = await memory.forget()
            gone |= {*report.forgotten, *report.removed}
            assert gone <= expected
        assert gone == expected
        progress = heard.of(Reindexed)
        assert sum(fact.records for fact in progress) == len(before)
        assert [fact.remaining for fact in progress] == sorted((f.remaining for f in progress), reverse=True)
        assert progress[-1].remaining == 0
        assert (await memory.forget()).evaluated == 0
        assert len(heard.of(Reindexed)) == len(progress)


async def test_what_is_due_later_goes_on_its_day(data: Path, clock: ManualClock) -> None:
    async with under(LONG, data, clock) as memory:
        await fill(memory, clock)
    async with under(SHORT, data, clock, batch=5) as memory:
        gone = set[str]()
        for _ in range(60):
            expected = due_by(await rows_of(memory), policy_of(SHORT), to_us(clock.now()))
            report = await memory.forget()
            fresh = {*report.forgotten, *report.removed}
            assert {one for one in fresh if (await rows_of(memory)).get(one) is not None} <= expected | gone
            gone |= fresh
            clock.advance(timedelta(hours=12))
        final = await rows_of(memory)
        assert due_by(final, policy_of(SHORT), to_us(clock.now()) - 43_200_000_000) == set()
        assert {row.policy_version for row in final.values() if row.state == "active"} <= {
            policy_of(SHORT).version
        }


async def test_a_policy_that_is_taken_back_leaves_no_trace(data: Path, clock: ManualClock) -> None:
    columns = (
        "memory_id",
        "deadline_us",
        "deadline_rule",
        "forget_at_us",
        "policy_version",
        "state",
        "forgotten_us",
    )
    async with under(LONG, data, clock) as memory:
        await fill(memory, clock)
        clock.advance(timedelta(days=26))
        assert (await memory.forget()).forgotten != ()
    before = [[row[name] for name in columns] for row in sqlite_rows(data, "memories")]
    clock.set(clock.now() - timedelta(days=25))
    async with under(SHORT, data, clock) as memory:
        await parts_of(memory).sweeper._reindexer.step()
        assert (await memory.stats()).forecast.within_days[30] > 0
    during = [[row[name] for name in columns] for row in sqlite_rows(data, "memories")]
    assert during != before
    async with under(LONG, data, clock) as memory:
        await parts_of(memory).sweeper._reindexer.step()
    assert [[row[name] for name in columns] for row in sqlite_rows(data, "memories")] == before


async def test_a_pass_goes_on_where_an_earlier_process_stopped(data: Path, clock: ManualClock) -> None:
    async with under(LONG, data, clock) as memory:
        await fill(memory, clock)
    done = 0
    while True:
        heard = RecordingObserver()
        async with under(SHORT, data, clock, batch=8, observer=heard) as memory:
            await memory.forget()
        if not heard.of(Reindexed):
            break
        done += sum(fact.records for fact in heard.of(Reindexed))
    assert done == len(sqlite_rows(data, "memories")) == 36


async def test_a_longer_life_is_granted_when_the_old_date_comes(data: Path, clock: ManualClock) -> None:
    async with under(SHORT, data, clock) as memory:
        await fill(memory, clock)
    clock.advance(timedelta(days=6))
    async with under(LONG, data, clock, batch=1) as memory:
        before = await rows_of(memory)
        for _ in range(10):
            report = await memory.forget()
            assert (report.forgotten, report.removed) == ((), ())
        assert before.keys() == (await rows_of(memory)).keys()


async def test_a_shorter_ceiling_reaches_what_is_forgotten_already(data: Path, clock: ManualClock) -> None:
    async with under(LONG, data, clock) as memory:
        alice = await consenting(memory)
        secret = (await alice.add("secret", importance=0.25, sensitivity="confidential")).id
        clock.advance(timedelta(days=30))
        assert (await memory.forget()).forgotten == (secret,)
    async with under(SHORT, data, clock) as memory:
        assert (await memory.forget()).removed == (secret,)


async def test_a_dry_run_sees_what_the_pass_would_find(data: Path, clock: ManualClock) -> None:
    async with under(LONG, data, clock) as memory:
        await fill(memory, clock)
    clock.advance(timedelta(days=9))
    async with under(SHORT, data, clock) as memory:
        dry = await memory.forget(dry_run=True)
        alone = await user_of(memory, 1).forget(dry_run=True)
        assert 0 < alone.evaluated < dry.evaluated
        real = await memory.forget()
        assert (sorted(dry.forgotten), sorted(dry.removed), dry.reasons) == (
            sorted(real.forgotten), sorted(real.removed), real.reasons
        )  # fmt: skip


async def test_what_is_pinned_or_used_meanwhile_is_not_overwritten(data: Path, clock: ManualClock) -> None:
    async with under(LONG, data, clock) as memory:
        alice = await consenting(memory)
        pinned, used = [(await alice.add(f"m{n}", importance=0.3)).id for n in range(2)]
    clock.advance(timedelta(days=8))
    async with under(SHORT, data, clock) as memory:
        alice = memory.user("alice", tenant="acme")
        await alice.pin(pinned)
        await alice.used([used])
        await memory.drain()
        told = {one: await alice.explain(one) for one in (pinned, used)}
        assert (await memory.forget()).forgotten == ()
        assert {one: await alice.explain(one) for one in (pinned, used)} == told
        stored = {row["memory_id"]: row["deadline_us"] for row in sqlite_rows(data, "memories")}
        at = told[used].deadline
        assert at is not None
        assert stored[used] == to_us(at)


# --- what a cycle touches ------------------------------------------------------------------------------------


async def test_a_cycle_with_nothing_to_do_writes_nothing(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    for number in range(5):
        await alice.add(f"m{number}", importance=0.9)
    await memory.drain()
    before = await parts_of(memory).core.state.read(c.Position())
    for _ in range(3):
        clock.advance(timedelta(minutes=1))
        report = await memory.forget()
        assert (report.evaluated, report.kept) == (0, 0)
    assert await parts_of(memory).core.state.read(c.Position()) == before
