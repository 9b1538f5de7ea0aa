"""Answers that are given again: for a day, within bounds, and never in place of work that was not done."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest
from starlette.responses import Response

from tiered_memory.daemon import idempotency
from tiered_memory.daemon.idempotency import Answers, checked_key
from tiered_memory.errors import ConflictError, InvalidInputError
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
HOUR = 3600.0


class Work:
    """Counts how often it was done; waits before it is, while `held`."""

    def __init__(self, answer: Response | None = None) -> None:
        self.done = 0
        self.answer = answer or Response(b"{}", 201, media_type="application/json")
        self.free = anyio.Event()
        self.free.set()

    async def __call__(self) -> Response:
        self.done += 1
        await self.free.wait()
        return self.answer


async def test_an_answer_is_remembered_for_its_hours() -> None:
    clock, work = ManualClock(), Work()
    answers = Answers(clock, 24.0)
    for hours in (0, 23, 2, 23):
        clock.advance(hours * HOUR)
        assert (await answers.once(("k",), b"said", work)).status_code == 201
    assert work.done == 2
    with pytest.raises(ConflictError):
        await answers.once(("k",), b"something else", work)


async def test_who_gave_up_leaves_the_key_to_the_next() -> None:
    answers, work = Answers(ManualClock(), 1.0), Work()
    work.free = anyio.Event()
    found: list[Response] = []

    async def second() -> None:
        found.append(await answers.once(("k",), b"said", Work()))

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as first:
            tasks.start_soon(second)
            tasks.start_soon(_cancel_soon, first)
            await answers.once(("k",), b"said", work)
    assert work.done == 1
    assert [one.status_code for one in found] == [201]


async def _cancel_soon(scope: anyio.CancelScope) -> None:
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    scope.cancel()


@pytest.mark.parametrize("answer", [Response(b"", 404), Response(b"", 503), Response(bytes(70_000), 200)])
async def test_what_was_refused_or_is_long_is_done_again(answer: Response) -> None:
    answers, work = Answers(ManualClock(), 1.0), Work(answer)
    for _ in range(2):
        assert (await answers.once(("k",), b"said", work)).status_code == answer.status_code
    assert work.done == 2


async def test_the_oldest_are_forgotten_and_work_under_way_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MOST_ANSWERS", 3)
    answers, slow, quick = Answers(ManualClock(), 1.0), Work(), Work()
    slow.free = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(answers.once, ("slow",), b"said", slow)
        while not slow.done:
            await anyio.lowlevel.checkpoint()
        for number in range(6):
            await answers.once((f"k{number}",), b"said", quick)
        slow.free.set()
    assert (slow.done, quick.done) == (1, 6)
    await answers.once(("k5",), b"said", quick)
    assert quick.done == 6
    await answers.once(("k0",), b"said", quick)
    assert quick.done == 7


async def test_the_bytes_of_all_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MOST_BYTES_IN_ALL", 100_000)
    answers, work = Answers(ManualClock(), 1.0), Work(Response(bytes(40_000), 200))
    for number in (0, 1, 2, 2, 1, 0):
        await answers.once((f"k{number}",), b"said", work)
    assert work.done == 4


@pytest.mark.parametrize(
    ("gone", "again"), [(("acme", "ana"), [0]), (("acme", None), [0, 1]), (("b", "x"), [])]
)
async def test_what_is_about_the_erased_is_let_go(gone: tuple[str, str | None], again: list[int]) -> None:
    answers, work = Answers(ManualClock(), 1.0), [Work() for _ in range(4)]
    about = [("acme", "ana"), ("acme", "bo"), ("other", "ana"), ("", "")]
    for _ in range(2):
        for number, one in enumerate(about):
            await answers.once((f"k{number}",), b"said", work[number], one)
        answers.let_go(*gone)
    await answers.once(("k0",), b"said", work[0], about[0])
    assert [number for number in range(4) if work[number].done > 1] == again


@pytest.mark.parametrize("key", ["", "x" * 257, "a\x00b"])
def test_keys_that_are_none(key: str) -> None:
    with pytest.raises(InvalidInputError):
        checked_key(key)
    assert checked_key(None) is None
