"""The application is asked before decay takes something, and told of every memory that leaves or comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from rich.console import Console
from support import consenting, opened, parts_of

from tiered_memory import TieredMemory, User
from tiered_memory.cli import views
from tiered_memory.errors import InvalidInputError
from tiered_memory.forget_model import ForgetBatch, MemoryEvent
from tiered_memory.metrics import HookAnswered, MemoryMoved, RecordingObserver
from tiered_memory.model import Subject
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

FADED = timedelta(days=30)
DAY = timedelta(days=1)


class Hook:
    """An application's hook that keeps what it is told to, and remembers what it was asked."""

    def __init__(self, *kept: str) -> None:
        self.asked: list[ForgetBatch] = []
        self.kept: Any = set(kept)

    async def __call__(self, batch: ForgetBatch) -> Collection[str] | None:
        self.asked.append(batch)
        if isinstance(self.kept, BaseException):
            raise self.kept
        return self.kept  # type: ignore[no-any-return]


@asynccontextmanager
async def asking(data: Path, clock: ManualClock, hook: Any, **more: Any) -> AsyncIterator[TieredMemory]:
    settings = {"forget_hook_seconds": more.pop("seconds", 10.0)}
    async with opened(data, clock=clock, before_forget=hook, settings=settings, **more) as memory:
        yield memory


async def add(user: User, text: str, importance: float = 0.25, **more: Any) -> str:
    return (await user.add(text, importance=importance, **more)).id


async def test_it_is_asked_with_everything_there_is_to_know(data: Path, clock: ManualClock) -> None:
    hook = Hook()
    async with asking(data, clock, hook) as memory:
        alice = await consenting(memory)
        faint = await add(alice, "faint")
        await add(alice, "strong", 1.0)
        told = await alice.explain(faint)
        clock.advance(FADED)
        await memory.forget(dry_run=True)
        assert hook.asked == []
        assert (await memory.forget()).forgotten == (faint,)
        (batch,) = hook.asked
        (planned,) = batch.memories
        assert batch.subject == Subject("acme", "alice")
        assert (planned.memory_id, planned.rule, planned.deadline) == (faint, "decay", told.deadline)
        assert planned.purge_at == clock.now() + timedelta(days=7)
        assert planned.strength is not None
        assert 0.05 < planned.strength < 0.1
        await memory.forget()
        assert len(hook.asked) == 1


async def test_a_subject_out_of_ram_is_named_too(data: Path, clock: ManualClock) -> None:
    hook = Hook()
    async with asking(data, clock, hook) as memory:
        await add(await consenting(memory), "faint")
    clock.advance(FADED)
    async with asking(data, clock, hook) as memory:
        await memory.forget()
        assert parts_of(memory).directory.residents() == []
    assert [batch.subject for batch in hook.asked] == [Subject("acme", "alice")]


async def test_a_subject_whose_identity_does_not_open_is_asked_about_without_a_name(
    data: Path, clock: ManualClock
) -> None:
    hook = Hook()
    async with asking(data, clock, hook) as memory:
        hook.kept = {await add(await consenting(memory), "faint")}
        state: Any = parts_of(memory).core.state
        await state._writer.run(lambda db: db.execute("UPDATE subjects SET identity = x'00'").fetchall())
    clock.advance(FADED)
    async with asking(data, clock, hook) as memory:
        assert (await memory.forget()).vetoed == 1
    assert [batch.subject for batch in hook.asked] == [None]


async def test_a_veto_outlives_the_process(data: Path, clock: ManualClock) -> None:
    hook = Hook()
    async with asking(data, clock, hook) as memory:
        hook.kept = {await add(await consenting(memory), "faint")}
        clock.advance(FADED)
        assert (await memory.forget()).vetoed == 1
    clock.advance(timedelta(hours=23))
    async with asking(data, clock, hook) as memory:
        assert (await memory.forget()).evaluated == 0
        clock.advance(timedelta(hours=1))
        assert (await memory.forget()).vetoed == 1


async def test_what_it_keeps_is_looked_at_again_after_a_day(data: Path, clock: ManualClock) -> None:
    hook = Hook()
    async with asking(data, clock, hook) as memory:
        alice = await consenting(memory)
        kept, gone = await add(alice, "kept"), await add(alice, "gone")
        hook.kept = {kept, "an id of nobody"}
        clock.advance(FADED)
        report = await memory.forget()
        assert (report.forgotten, report.vetoed, report.kept, report.reasons) == (
            (gone,), 1, 1, {"veto": 1, "decay": 1}
        )  # fmt: skip
        clock.advance(DAY - timedelta(seconds=1))
        assert (await memory.forget()).evaluated == 0
        assert len(hook.asked) == 1
        clock.advance(timedelta(seconds=1))
        assert (await memory.forget()).vetoed == 1
        hook.kept = None
        clock.advance(DAY)
        assert (await memory.forget()).forgotten == (kept,)


async def test_ceilings_and_ended_undo_windows_are_not_up_for_discussion(
    data: Path, clock: ManualClock
) -> None:
    hook = Hook()
    async with asking(data, clock, hook) as memory:
        alice = await consenting(memory)
        secret = await add(alice, "secret", 1.0, sensitivity="restricted")
        faint = await add(alice, "faint")
        clock.advance(FADED)
        hook.kept = {secret}
        report = await memory.forget()
        assert (report.removed, report.forgotten) == ((secret,), (faint,))
        hook.kept = {faint}
        clock.advance(timedelta(days=7))
        assert (await memory.forget()).removed == (faint,)
        assert [[one.memory_id for one in batch.memories] for batch in hook.asked] == [[faint]]


async def test_a_veto_does_not_outlast_the_ceiling(data: Path, clock: ManualClock) -> None:
    hook = Hook()
    async with asking(data, clock, hook) as memory:
        alice = await consenting(memory)
        hook.kept = {faint := await add(alice, "faint", sensitivity="restricted")}
        clock.advance(timedelta(days=29, hours=12))
        assert (await memory.forget()).vetoed == 1
        clock.advance(timedelta(hours=12))
        assert (await memory.forget()).removed == (faint,)


@pytest.mark.parametrize("answer", [RuntimeError("private words"), 7, "an id", [["a list"]]])
async def test_a_hook_that_fails_keeps_everything_but_ceilings(
    data: Path, clock: ManualClock, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    hook, heard = Hook(), RecordingObserver()
    async with asking(data, clock, hook, observer=heard) as memory:
        alice, bob = await consenting(memory), await consenting(memory, "bob")
        ids = [await add(alice, "faint"), await add(bob, "faint of bob")]
        secret = await add(bob, "secret", 1.0, sensitivity="restricted")
        clock.advance(FADED)
        hook.kept = answer
        report = await memory.forget()
        assert (report.forgotten, report.removed, report.unheard) == ((), (secret,), True)
        assert len(hook.asked) == 1
        assert [fact.outcome for fact in heard.of(HookAnswered)] == ["error"]
        assert "private words" not in caplog.text
        hook.kept = ()
        report = await memory.forget()
        assert (set(report.forgotten), report.unheard) == (set(ids), False)


async def test_a_hook_that_answers_with_memories_in_place_of_ids_keeps_everything(
    data: Path, clock: ManualClock
) -> None:
    hook = Hook()
    async with asking(data, clock, hook) as memory:
        await add(await consenting(memory), "faint")
        clock.advance(FADED)
        hook.kept = (await memory.forget(dry_run=True)).planned
        assert len(hook.kept) == 1
        report = await memory.forget()
        assert (report.forgotten, report.unheard) == ((), True)


async def test_a_hook_that_takes_too_long_keeps_everything(data: Path, clock: ManualClock) -> None:
    heard, left = RecordingObserver(), anyio.Event()

    async def never(_: ForgetBatch) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            left.set()

    async with asking(data, clock, never, observer=heard, seconds=0.05) as memory:
        await add(await consenting(memory), "faint")
        clock.advance(FADED)
        report = await memory.forget()
        assert (report.forgotten, report.unheard) == ((), True)
        assert left.is_set()
        assert [fact.outcome for fact in heard.of(HookAnswered)] == ["timeout"]


async def test_what_happens_while_it_thinks_counts(data: Path, clock: ManualClock) -> None:
    ids: dict[str, str] = {}

    async def busy(batch: ForgetBatch) -> None:
        assert len(batch.memories) == 4
        await alice.pin(ids["pinned"])
        await alice.delete(ids["deleted"])
        await alice.used([ids["used"]])

    async with asking(data, clock, busy) as memory:
        alice = await consenting(memory)
        for name in ("pinned", "deleted", "used", "left"):
            ids[name] = await add(alice, name)
        clock.advance(FADED)
        assert (await memory.forget()).forgotten == (ids["left"],)
        assert {one.content for one in await alice.list()} == {"pinned", "used"}


async def test_one_who_is_erased_while_it_thinks_stays_erased(data: Path, clock: ManualClock) -> None:
    async def erasing(_: ForgetBatch) -> None:
        await alice.erase(reason="request")

    async with asking(data, clock, erasing) as memory:
        alice = await consenting(memory)
        await add(alice, "faint")
        clock.advance(FADED)
        assert (await memory.forget()).forgotten == ()
        assert await alice.list() == []


# --- the dry run ---------------------------------------------------------------------------------------------


async def test_a_dry_run_says_what_would_go_when_and_why(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    faint = await add(alice, "faint")
    secret = await add(alice, "secret", 1.0, sensitivity="restricted")
    clock.advance(FADED)
    dry = await memory.forget(dry_run=True)
    planned = {one.memory_id: one for one in dry.planned}
    assert (planned.keys(), dry.planned_left_out) == ({faint, secret}, 0)
    assert (planned[faint].rule, planned[secret].rule) == ("decay", "ceiling")
    assert planned[secret].purge_at == clock.now() == planned[secret].deadline
    assert planned[faint].deadline == (await alice.explain(faint)).deadline
    assert (await memory.forget()).planned == ()


async def test_a_dry_run_is_shown_with_its_reasons(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    ids = [await add(alice, f"faint {number}") for number in range(22)]
    clock.advance(FADED)
    report = await memory.forget(dry_run=True, confirmed=True)
    console = Console(width=120, file=StringIO())
    console.print(views.forgetting(report, {}))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert sum(one[:8] in shown for one in ids) == 20
    assert "and 2 more" in shown
    assert f"{clock.now() + timedelta(days=7):%Y-%m-%d}" in shown


# --- events --------------------------------------------------------------------------------------------------


def told(event: MemoryEvent) -> tuple[str, str, str]:
    return event.memory_id, event.change, event.rule


async def test_listeners_hear_of_each_memory(data: Path, clock: ManualClock) -> None:
    heard = RecordingObserver()
    async with opened(data, clock=clock, observer=heard) as memory:
        stream = memory.events()
        alice = await consenting(memory)
        faint, secret = await add(alice, "faint"), await add(alice, "s", 1.0, sensitivity="restricted")
        clock.advance(FADED)
        await memory.forget()
        await alice.restore(faint)
        clock.advance(timedelta(days=40))
        await memory.forget()
        clock.advance(timedelta(days=7))
        await memory.forget()
    events = [event async for event in stream]
    assert {told(one) for one in events[:2]} == {(faint, "forgotten", "decay"), (secret, "purged", "ceiling")}
    assert [told(one) for one in events[2:]] == [
        (faint, "restored", "restored"), (faint, "forgotten", "decay"), (faint, "purged", "undo window")
    ]  # fmt: skip
    assert {one.subject for one in events} == {Subject("acme", "alice")}
    assert all((one.purge_at is not None) == (one.change == "forgotten") for one in events)
    assert [fact.change for fact in heard.of(MemoryMoved)] == [one.change for one in events]


async def test_a_listener_that_is_too_slow_is_told_what_it_missed(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    stream = memory.events(buffered=2)
    for number in range(5):
        await add(alice, f"faint {number}")
    clock.advance(FADED)
    await memory.forget()
    first, second = await anext(stream), await anext(stream)
    await alice.restore(first.memory_id)
    third = await anext(stream)
    assert (first.missed, second.missed, third.missed, third.change) == (0, 0, 3, "restored")
    with pytest.raises(InvalidInputError):
        memory.events(buffered=0)


async def test_a_listener_waits_and_ends_with_the_memory(data: Path, clock: ManualClock) -> None:
    seen: list[str] = []

    async def listen(stream: Any) -> None:
        seen.extend([event.memory_id async for event in stream])

    async with anyio.create_task_group() as tasks, opened(data, clock=clock) as memory:
        tasks.start_soon(listen, memory.events())
        alice = await consenting(memory)
        faint = await add(alice, "faint")
        clock.advance(FADED)
        await memory.forget()
    assert seen == [faint]


async def test_who_stopped_listening_costs_nothing(memory: TieredMemory) -> None:
    events = parts_of(memory).announcer.events
    stream = memory.events()
    assert events.wanted
    del stream
    assert not events.wanted


async def test_each_of_two_who_wait_on_one_stream_hears_and_both_end(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    faint = [await add(alice, f"faint {number} of a kind") for number in range(2)]
    stream, heard = memory.events(), list[str]()

    async def listen() -> None:
        heard.extend([event.memory_id async for event in stream])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        clock.advance(timedelta(days=60))
        await memory.forget()
        await memory.close()
    assert sorted(heard) == sorted(faint)


async def test_what_nobody_heard_of_an_erased_user_is_dropped(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    bob = await consenting(memory, "bob")
    await add(alice, "faint")
    kept = await add(bob, "faint as well")
    stream = memory.events()
    clock.advance(timedelta(days=60))
    await memory.forget()
    await alice.erase(reason="request")
    await memory.close()
    assert [event.memory_id async for event in stream] == [kept]
