"""A request is kept with its last day, found when due, extended within bounds, and answered."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from support import consenting, opened, sqlite_rows, state_pages

from tiered_memory import TieredMemory, User
from tiered_memory.errors import InvalidInputError, NotFoundError
from tiered_memory.model import Subject
from tiered_memory.privacy.requests import Outcome, Right
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

RECEIVED = datetime(2025, 12, 10, 23, 30, tzinfo=timezone(timedelta(hours=1)))


async def test_it_is_due_a_calendar_month_after_its_receipt(alice: User, clock: ManualClock) -> None:
    request = await alice.requests.open("access", received_at=RECEIVED, channel="mail", note="by letter")
    assert request.due_at == datetime(2026, 1, 13, tzinfo=RECEIVED.tzinfo)
    assert (request.right, request.channel, request.note, request.open) == (
        Right.ACCESS,
        "mail",
        "by letter",
        True,
    )
    now = await alice.requests.open("erasure")
    assert now.received_at == clock.now()
    assert await alice.requests.list() == [request, now]
    feast = await alice.requests.open("review", received_at=RECEIVED, holidays=[date(2026, 1, 12)])
    assert feast.due_at == datetime(2026, 1, 14, tzinfo=RECEIVED.tzinfo)


async def test_the_officer_sees_what_is_due_whose_it_is_and_what_is_overdue(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    bob = memory.user("bob", tenant="globex")
    late = await alice.requests.open("access", received_at=RECEIVED)
    await bob.requests.open("portability")
    closed = await bob.requests.open("erasure", received_at=RECEIVED)
    await bob.requests.close(closed.id, outcome="withdrawn")
    assert await memory.requests.due(within_days=0) == []
    clock.advance(late.due_at - clock.now())
    [due] = await memory.requests.overdue()
    assert (due.subject, due.request, due.overdue) == (Subject("acme", "alice"), late, True)
    both = await memory.requests.due(within_days=60)
    assert [(one.subject, one.overdue) for one in both] == [
        (Subject("acme", "alice"), True),
        (Subject("globex", "bob"), False),
    ]


async def test_it_is_known_after_a_restart_without_the_user_s_being_active(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        request = await alice.requests.open("objection", note="a-telling-note")
    async with opened(data) as memory:
        [due] = await memory.requests.due(within_days=60)
        assert (due.subject, due.request) == (Subject("acme", "alice"), request)
    assert b"telling" not in state_pages(data)


async def test_it_is_extended_and_closed_with_its_evidence(alice: User, clock: ManualClock) -> None:
    request = await alice.requests.open("access", received_at=RECEIVED)
    longer = await alice.requests.extend(request.id, months=2, reason="many sources")
    assert (longer.months, longer.extended_because) == (3, "many sources")
    assert longer.due_at == datetime(2026, 3, 11, tzinfo=RECEIVED.tzinfo)
    with pytest.raises(InvalidInputError):
        await alice.requests.extend(request.id, months=1, reason="more")
    closed = await alice.requests.close(request.id, reason="handed over", evidence="archive-7")
    assert (closed.outcome, closed.closed_at, closed.evidence) == (
        Outcome.FULFILLED,
        clock.now(),
        "archive-7",
    )
    assert await alice.requests.close(request.id, outcome="withdrawn") == closed
    with pytest.raises(InvalidInputError):
        await alice.requests.extend(request.id, months=1, reason="more")


async def test_after_the_first_month_it_is_too_late_to_extend(alice: User, clock: ManualClock) -> None:
    request = await alice.requests.open("access")
    clock.advance(timedelta(days=40))
    with pytest.raises(InvalidInputError, match="first month"):
        await alice.requests.extend(request.id, months=1, reason="r")


async def test_an_erasure_leaves_that_it_was_done_and_nothing_of_whom(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        asked = await alice.requests.open("erasure", received_at=RECEIVED)
        await alice.requests.open("access")
        certificate = await alice.erase(reason="request")
        assert await alice.requests.list() == []
    async with opened(data) as memory:
        assert await memory.requests.due(within_days=60) == []
        [record] = await memory.requests.erasures()
        assert record.certificate == certificate.id
        assert record.subject_commitment == certificate.subject_commitment
        assert record.finished_at == certificate.finished_at
        assert (record.received_at, record.due_at) == (asked.received_at, asked.due_at)
        rows = sqlite_rows(data, "register")
        assert [(row["kind"], row["owner"]) for row in rows] == [("erasure", b"")]
        assert (await memory.ledger.verify()).problems == ()


async def test_an_erasure_nobody_asked_for_is_noted_too_and_that_of_nothing_is_not(
    memory: TieredMemory,
) -> None:
    await memory.user("guest").add("hello")
    await memory.user("guest").erase(reason="r")
    assert await memory.requests.erasures() == []
    alice = await consenting(memory)
    await alice.erase(reason="r")
    [record] = await memory.requests.erasures()
    assert record.received_at is None


async def test_it_is_the_person_s_own_and_recorded_without_a_word(
    memory: TieredMemory, alice: User, data: Path
) -> None:
    request = await alice.requests.open("access", note="a-telling-note")
    bob = await consenting(memory, "bob")
    with pytest.raises(NotFoundError):
        await bob.requests.close(request.id)
    await alice.requests.close(request.id, outcome="refused", reason="a-telling-reason")
    leaves = b"".join(row["leaf"] for row in sqlite_rows(data, "audit"))
    assert b"request_opened" in leaves
    assert b"request_closed" in leaves
    assert b"telling" not in leaves
    assert request.id.encode() not in leaves


async def test_bad_input_is_refused(memory: TieredMemory, alice: User) -> None:
    for given in (
        {"right": "everything"},
        {"received_at": datetime(2025, 1, 1)},  # noqa: DTZ001 - a naive one is what is refused
        {"received_at": datetime(2030, 1, 1, tzinfo=UTC)},
        {"channel": ""},
        {"note": " "},
        {"holidays": ["monday"]},
    ):
        with pytest.raises(InvalidInputError):
            await alice.requests.open(**{"right": "access", **given})  # type: ignore[arg-type]
    request = await alice.requests.open("access")
    with pytest.raises(InvalidInputError):
        await alice.requests.close(request.id, outcome="refused")
    with pytest.raises(InvalidInputError):
        await alice.requests.extend(request.id, months=3, reason="r")
    with pytest.raises(InvalidInputError):
        await memory.requests.due(within_days=-1)
    assert await alice.requests.list() == [request]
