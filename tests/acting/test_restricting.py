"""What is restricted is stored and nothing else: not read, not written, not forgotten, until it is lifted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support import PURPOSE, consenting, contents, opened, parts_of, sqlite_rows

from tiered_memory import TieredMemory, User
from tiered_memory.errors import InvalidInputError, NotFoundError, RestrictedError
from tiered_memory.state.register import EntriesDue
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

WHY = "the person contests what is held"


def calls(user: User, memory_id: str) -> dict[str, Callable[[], Awaitable[Any]]]:
    return {
        "add": lambda: user.add("one more"),
        "ephemeral": lambda: user.add("one more", session="s"),
        "search": lambda: user.search("tea"),
        "context": lambda: user.context("tea"),
        "get": lambda: user.get(memory_id),
        "list": user.list,
        "history": lambda: user.history(memory_id),
        "explain": lambda: user.explain(memory_id),
        "update": lambda: user.update(memory_id, "other", reason="r"),
        "used": lambda: user.used([memory_id]),
        "pin": lambda: user.pin(memory_id),
        "delete": lambda: user.delete(memory_id),
        "restore": lambda: user.restore(memory_id),
        "forgotten": user.forgotten,
        "forget": user.forget,
        "forecast": user.forecast,
    }


async def test_it_is_frozen_and_others_are_not(memory: TieredMemory, alice: User, data: Path) -> None:
    bob = await consenting(memory, "bob")
    one = await alice.add("I prefer tea", importance=0.9)
    await bob.add("I prefer coffee", importance=0.9)
    done = await alice.rights.restrict(reason=WHY)
    assert (done.reason, done.lifted_at) == (WHY, None)
    before = sqlite_rows(data, "memories")
    for name, call in calls(alice, one.id).items():
        with pytest.raises(RestrictedError, match=r"Art\. 18"):
            await call()
        assert sqlite_rows(data, "memories") == before, name
    assert await contents(bob) == ["I prefer coffee"]


async def test_what_serves_the_person_goes_on(memory: TieredMemory, alice: User) -> None:
    await alice.add("I prefer tea", importance=0.9)
    await alice.rights.restrict(reason=WHY)
    assert (await alice.about()).held[0].count == 1
    assert PURPOSE in await alice.consent.current()
    assert await alice.consent.withdraw(PURPOSE) == 1
    certificate = await alice.erase(reason="request")
    assert certificate.verified
    again = await consenting(memory)
    await again.add("I am back", importance=0.9)
    assert await contents(again) == ["I am back"]


async def test_it_is_lifted_and_everything_is_as_it_was(alice: User, clock: ManualClock) -> None:
    one = await alice.add("I prefer tea", importance=0.9)
    await alice.used([one.id])
    before = await alice.explain(one.id)
    begun = await alice.rights.restrict(reason=WHY)
    lifted = await alice.rights.lift_restriction(reason="it was right after all")
    assert (lifted.id, lifted.lifted_because) == (begun.id, "it was right after all")
    assert await alice.explain(one.id) == before
    assert await alice.rights.restrictions() == [lifted]
    with pytest.raises(NotFoundError):
        await alice.rights.lift_restriction(reason="again")
    clock.advance(60.0)
    assert (await alice.rights.restrict(reason="anew")).id != begun.id


async def test_it_survives_a_restart_and_a_repeated_call(data: Path) -> None:
    async with opened(data) as memory:
        alice = await consenting(memory)
        await alice.add("I prefer tea", importance=0.9)
        first = await alice.rights.restrict(reason=WHY)
        assert await alice.rights.restrict(reason="another reason") == first
    async with opened(data) as memory:
        alice = memory.user("alice", tenant="acme")
        with pytest.raises(RestrictedError):
            await alice.search("tea")
        assert await alice.rights.restrictions() == [first]
        await alice.rights.lift_restriction(reason="done")
    async with opened(data) as memory:
        assert await contents(memory.user("alice", tenant="acme")) == ["I prefer tea"]


async def test_nothing_of_it_is_forgotten_until_it_is_lifted(
    memory: TieredMemory, alice: User, clock: ManualClock, data: Path
) -> None:
    """Neither by decay nor by a ceiling: it is kept for the person."""
    bob = await consenting(memory, "bob")
    await alice.add("I prefer tea", session="s", importance=0.6)
    await bob.add("I prefer tea", importance=0.6)
    await alice.rights.restrict(reason=WHY)
    clock.advance(timedelta(days=4000))
    assert (await memory.forget(dry_run=True, confirmed=True)).evaluated == 1
    report = await memory.forget(confirmed=True)
    assert len(report.forgotten) + len(report.removed) == 1
    assert len(sqlite_rows(data, "session_tail")) == 1
    [kept] = [row for row in sqlite_rows(data, "memories") if row["state"] == "active"]
    await alice.rights.lift_restriction(reason="done")
    report = await memory.forget(confirmed=True)
    assert [*report.forgotten, *report.removed] == [kept["memory_id"]]


async def test_one_who_holds_nothing_can_be_restricted_beforehand(memory: TieredMemory) -> None:
    guest = memory.user("guest")
    await guest.rights.restrict(reason=WHY)
    with pytest.raises(RestrictedError):
        await guest.add("hello", session="s")


async def test_a_review_date_is_due_and_ends_nothing(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    until = clock.now() + timedelta(days=30)
    done = await alice.rights.restrict(reason=WHY, until=until)
    assert done.review_at == until
    clock.advance(timedelta(days=31))
    core = parts_of(memory).core
    assert len(await core.state.read(EntriesDue("restriction", core.now_us(), 10))) == 1
    with pytest.raises(RestrictedError):
        await alice.list()
    await alice.rights.lift_restriction(reason="looked at")
    assert await core.state.read(EntriesDue("restriction", core.now_us(), 10)) == []


async def test_bad_input_is_refused(alice: User) -> None:
    with pytest.raises(InvalidInputError):
        await alice.rights.restrict(reason=" ")
    with pytest.raises(InvalidInputError):
        await alice.rights.restrict(reason="r", until="tomorrow")  # type: ignore[arg-type]
    assert await alice.rights.restrictions() == []


async def test_it_is_recorded_without_a_word_of_it(alice: User, data: Path) -> None:
    await alice.rights.restrict(reason=WHY)
    await alice.rights.lift_restriction(reason="a telling reason")
    leaves = [row["leaf"] for row in sqlite_rows(data, "audit")]
    assert [
        any(event in leaf for leaf in leaves) for event in (b'"restricted"', b'"restriction_lifted"')
    ] == [
        True,
        True,
    ]
    assert not any(word in leaf for leaf in leaves for word in (b"contests", b"telling", b"alice"))


# --- what was under way --------------------------------------------------------------------------------------


class Paused:
    """An embedder whose next call waits until it is let go."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.waits = False
        self.came, self.may_go = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def embed(self, texts: Sequence[str], kind: str) -> Any:
        if self.waits:
            self.came.set()
            await self.may_go.wait()
        return await self._inner.embed(texts, kind)


async def paused(memory: TieredMemory) -> Paused:
    """Have the runtime's embedder wait from now on."""
    core = parts_of(memory).core
    embedder = Paused(core.embedder)
    object.__setattr__(core, "embedder", embedder)
    embedder.waits = True
    return embedder


@pytest.mark.parametrize("name", ["add", "search", "context", "update"])
async def test_what_was_under_way_neither_lands_nor_answers(
    memory: TieredMemory, alice: User, data: Path, name: str
) -> None:
    one = await alice.add("I prefer tea", importance=0.9)
    embedder = await paused(memory)
    call = asyncio.ensure_future(_awaited(calls(alice, one.id)[name]))
    await embedder.came.wait()
    await alice.rights.restrict(reason=WHY)
    before = sqlite_rows(data, "memories"), sqlite_rows(data, "journal")
    embedder.may_go.set()
    with pytest.raises(RestrictedError):
        await call
    assert (sqlite_rows(data, "memories"), sqlite_rows(data, "journal")) == before
    await alice.rights.lift_restriction(reason="done")
    assert await contents(alice) == ["I prefer tea"]


async def _awaited(call: Callable[[], Awaitable[Any]]) -> Any:
    return await call()


async def test_of_writes_and_a_restriction_at_once_each_landed_before_or_not_at_all(alice: User) -> None:
    outcomes = await asyncio.gather(
        *(alice.add(f"fact {n} of {n}", importance=0.9) for n in range(5)),
        alice.rights.restrict(reason=WHY),
        *(alice.add(f"late {n} of {n}", importance=0.9) for n in range(5)),
        return_exceptions=True,
    )
    refused = [one for one in outcomes if isinstance(one, BaseException)]
    assert all(isinstance(one, RestrictedError) for one in refused)
    await alice.rights.lift_restriction(reason="done")
    assert len(await contents(alice)) == 10 - len(refused)


async def test_forgetting_under_way_takes_nothing(data: Path, clock: ManualClock) -> None:
    """The application is asked before anything fades; while it thinks, the person has it all frozen."""
    frozen: list[User] = []

    async def freeze(_batch: Any) -> list[str]:
        for user in frozen:
            await user.rights.restrict(reason=WHY)
        return []

    async with opened(data, clock=clock, before_forget=freeze) as memory:
        alice = await consenting(memory)
        one = await alice.add("I prefer tea", importance=0.6)
        deadline = (await alice.explain(one.id)).deadline
        assert deadline is not None
        clock.advance(deadline - clock.now() + timedelta(hours=1))
        frozen.append(alice)
        report = await memory.forget(confirmed=True)
        assert (report.forgotten, report.removed) == ((), ())
        assert [row["state"] for row in sqlite_rows(data, "memories")] == ["active"]


# --- what ends all the same ----------------------------------------------------------------------------------


@pytest.mark.parametrize("touched", [True, False])
async def test_a_consent_that_expires_meanwhile_ends_what_rests_on_it(
    memory: TieredMemory, data: Path, clock: ManualClock, *, touched: bool
) -> None:
    """Art. 18(2) lets data be stored; it is no ground to keep what has none any more."""
    bob = memory.user("bob", tenant="acme")
    await bob.consent.grant(PURPOSE, notice="n", expires_at=clock.now() + timedelta(days=1))
    one = await bob.add("I prefer tea", importance=0.9, session="s")
    await bob.rights.restrict(reason=WHY)
    clock.advance(timedelta(days=1))
    if touched:
        assert await bob.consent.current() == {}
    report = await memory.forget()
    assert touched or one.id in report.removed
    assert (await bob.about()).restriction is not None
    assert [row for row in sqlite_rows(data, "memories") if row["memory_id"] == one.id] == []
    assert [row["purpose"] for row in sqlite_rows(data, "data_keys")] == ["_subject"]
    with pytest.raises(RestrictedError):
        await bob.list()
    await bob.rights.lift_restriction(reason="done")
    assert await contents(bob) == []


async def test_what_hot_alone_has_ends_with_its_time(
    memory: TieredMemory, alice: User, clock: ManualClock
) -> None:
    await alice.add("hm, tea perhaps", importance=0.0, session="s")
    ttl = parts_of(memory).core.policy.hot.ttl_seconds
    await alice.rights.restrict(reason=WHY)
    clock.advance(ttl - 1)
    active = parts_of(memory).directory.residents()[0]
    active.expire(parts_of(memory).core.now_us())
    assert len(active.held) == 1
    clock.advance(2)
    await alice.rights.lift_restriction(reason="done")
    assert await contents(alice) == []
