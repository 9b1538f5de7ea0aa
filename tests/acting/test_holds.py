"""A legal hold keeps what it covers and shows it to nobody; its release runs what is overdue at once."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import (
    PURPOSE,
    TWO_PURPOSES,
    consenting,
    contents,
    everything_at_rest,
    opened,
    parts_of,
    seen,
    sqlite_rows,
    state_pages,
)

from tiered_memory import TieredMemory, User
from tiered_memory.erasure import verify_certificate
from tiered_memory.errors import ConflictError, InvalidInputError, NotFoundError
from tiered_memory.forget_model import ForgetBatch
from tiered_memory.hold_model import Hold, HoldScope
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio
WORD = "quagga"
ALICE = HoldScope(tenant="acme", user="alice")
SHORT = """
schema = 1
name = "short"
[forgetting]
undo_days = 3
max_share_per_cycle = 1
[retention.internal]
ceiling_days = 20
"""


async def hold(memory: TieredMemory, name: str = "case-7", scope: HoldScope = ALICE, days: int = 90) -> Hold:
    review = parts_of(memory).core.clock.now() + timedelta(days=days)
    return await memory.holds.place(name, scope=scope, owner="counsel", reason="dispute 12", review_at=review)


async def said(user: User, *words: str, importance: float = 0.9) -> list[str]:
    return [(await user.add(f"the {word} is ours", importance=importance)).id for word in words]


@pytest.fixture
async def short(data: Path, clock: ManualClock) -> Any:
    path = data.parent / "short.toml"
    path.write_text(SHORT)
    async with opened(data, clock=clock, settings={"policy": str(path)}) as memory:
        yield memory


# --- placing and releasing -----------------------------------------------------------------------------------


async def test_a_hold_is_listed_until_it_is_released(memory: TieredMemory, clock: ManualClock) -> None:
    alice = await consenting(memory)
    await said(alice, "quagga", "dodo")
    placed = await hold(memory)
    assert (placed.name, placed.memories, placed.status, placed.ground) == ("case-7", 2, "active", "e")
    assert [one.scope for one in await memory.holds.list()] == [ALICE]
    with pytest.raises(ConflictError):
        await hold(memory)
    assert await memory.holds.due_for_review() == []
    clock.advance(timedelta(days=91))
    assert [one.name for one in await memory.holds.due_for_review()] == ["case-7"]
    freed = await memory.holds.release("case-7", "settled")
    assert freed.memories == 2
    assert await memory.holds.list() == []
    ended = (await memory.holds.list(released=True))[0]
    assert (ended.status, ended.released_because, ended.released_at) == ("released", "settled", clock.now())
    with pytest.raises(NotFoundError):
        await memory.holds.release("case-7", "again")
    assert (await hold(memory)).status == "active"


@pytest.mark.parametrize(
    "scope",
    [
        HoldScope(),
        HoldScope(tenant=""),
        HoldScope(memory_ids=frozenset({"a" * 32})),
        HoldScope(user="u", memory_ids="ab"),
    ],  # type: ignore[arg-type]
)
async def test_a_hold_without_a_clear_scope_is_refused(memory: TieredMemory, scope: HoldScope) -> None:
    with pytest.raises(InvalidInputError):
        await hold(memory, scope=scope)
    assert await memory.holds.list() == []


async def test_only_what_lies_in_the_scope_is_held(memory: TieredMemory) -> None:
    alice, bob = await consenting(memory), await consenting(memory, "bob")
    mine, other = await said(alice, "quagga", "dodo")
    theirs = (await said(bob, "moa"))[0]
    await hold(memory, scope=HoldScope(tenant="acme", user="alice", memory_ids=frozenset({mine})))
    assert (await alice.explain(mine)).deadline_rule == "hold"
    assert (await alice.explain(other)).deadline_rule != "hold"
    await hold(memory, "all", HoldScope(tenant="acme"))
    assert (await bob.explain(theirs)).deadline is None
    await memory.holds.release("all", "over")
    assert (await alice.explain(mine)).deadline_rule == "hold"
    assert (await bob.explain(theirs)).deadline_rule != "hold"


async def test_a_hold_outlives_the_process_and_covers_what_comes_later(
    data: Path, clock: ManualClock
) -> None:
    async with opened(data, clock=clock) as memory:
        await consenting(memory)
        await hold(memory)
    async with opened(data, clock=clock) as memory:
        alice = memory.user("alice", tenant="acme")
        fresh = (await said(alice, "dodo"))[0]
        assert (await alice.explain(fresh)).deadline_rule == "hold"
    assert [row["held"] for row in sqlite_rows(data, "memories")] == [1]


async def test_nothing_of_a_hold_is_readable_on_disk(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        await consenting(memory)
        await hold(memory)
        assert b"dispute 12" not in state_pages(data)


# --- deletion is suspended -----------------------------------------------------------------------------------


async def test_decay_and_ceilings_wait_for_the_release(short: TieredMemory, clock: ManualClock) -> None:
    alice = await consenting(short)
    await alice.add("fades soon, a quagga", importance=0.3)
    await alice.add("hits its ceiling, a dodo", importance=1.0)
    await short.drain()
    await hold(short)
    clock.advance(timedelta(days=400))
    report = await short.forget(confirmed=True)
    assert (report.forgotten, report.removed) == ((), ())
    assert len(await contents(alice)) == 2
    await short.holds.release("case-7", "settled")
    assert await contents(alice) == []
    assert await alice.forgotten() == []


async def test_what_was_forgotten_is_not_purged_under_a_hold(short: TieredMemory, clock: ManualClock) -> None:
    alice = await consenting(short)
    await said(alice, "quagga", importance=0.3)
    clock.advance(timedelta(days=19))
    await short.forget(confirmed=True)
    before = [one.id for one in await alice.forgotten()]
    if not before:
        clock.advance(timedelta(hours=20))
    await hold(short)
    clock.advance(timedelta(days=60))
    await short.forget(confirmed=True)
    assert len(await contents(alice)) + len(await alice.forgotten()) == 1
    await short.holds.release("case-7", "settled")
    assert len(await contents(alice)) + len(await alice.forgotten()) == 0


async def test_a_use_under_a_hold_sets_no_deadline(memory: TieredMemory, clock: ManualClock) -> None:
    alice = await consenting(memory)
    (one,) = await said(alice, "quagga")
    await hold(memory)
    clock.advance(timedelta(days=3))
    await alice.used([one])
    await memory.drain()
    assert (await alice.explain(one)).deadline is None
    await memory.holds.release("case-7", "settled")
    await alice.used([one])
    await memory.drain()
    assert (await alice.explain(one)).deadline is not None


async def test_a_deleted_memory_is_out_of_retrieval_and_stays_sealed(data: Path, clock: ManualClock) -> None:
    async with opened(data, clock=clock) as memory:
        alice = await consenting(memory)
        one, two = await said(alice, "quagga", "dodo")
        await hold(memory, scope=HoldScope(tenant="acme", user="alice", memory_ids=frozenset({one})))
        await alice.delete(one)
        await alice.delete(two)
        await memory.drain()
        assert await contents(alice) == []
        assert await alice.search(WORD) == []
        assert await alice.forgotten() == []
        with pytest.raises(NotFoundError, match="legal hold"):
            await alice.explain(one)
        with pytest.raises(NotFoundError):
            await alice.restore(one)
        assert [held.state for held in (await alice.about()).held] == ["removing"]
    async with opened(data, clock=clock) as memory:
        alice = memory.user("alice", tenant="acme")
        assert await contents(alice) == []
        assert len(sqlite_rows(data, "memories")) == 1
        await memory.holds.release("case-7", "settled")
        assert sqlite_rows(data, "memories") == []
        assert (await alice.about()).held == ()


# --- rights under a hold -------------------------------------------------------------------------------------


async def test_an_erasure_under_a_hold_keeps_a_sealed_copy_and_says_so(
    data: Path, clock: ManualClock
) -> None:
    out = data.parent / "held.jsonl"
    async with opened(data, clock=clock) as memory:
        alice = await consenting(memory)
        await said(alice, "quagga", "dodo")
        await memory.drain()
        await said(alice, "moa")
        await hold(memory)
        certificate = await alice.erase(reason="asked")
        verify_certificate(certificate)
        assert certificate.verified
        assert len(certificate.retained) == 1
        assert certificate.retained[0].startswith("3 memories under a legal hold: GDPR Art. 17(3)(e)")
        assert "case-7" not in certificate.retained[0]
        again = memory.user("alice", tenant="acme")
        assert await contents(again) == []
        assert await again.search(WORD) == []
        assert (await again.about()).held == ()
        assert [one.kept for one in await memory.holds.list()] == [3]
        assert await memory.holds.export("case-7", out) == 3
        told = [json.loads(line) for line in out.read_text().splitlines()]
        assert {one["content"] for one in told} == {
            f"the {word} is ours" for word in ("quagga", "dodo", "moa")
        }
        assert {(one["tenant"], one["user"]) for one in told} == {("acme", "alice")}
        with pytest.raises(InvalidInputError):
            await memory.holds.export("case-7", out)
        assert out.stat().st_mode & 0o077 == 0
        out.unlink()
    assert seen(["quagga", "alice"], everything_at_rest(data)) == set()
    assert b"quagga" not in state_pages(data)
    async with opened(data, clock=clock) as memory:
        assert [one.kept for one in await memory.holds.list()] == [3]
        await memory.holds.release("case-7", "settled")
        assert (await memory.holds.list(released=True))[0].kept == 0
        with pytest.raises(NotFoundError):
            await memory.holds.export("case-7", out)
    kinds = [row["kind"] for row in sqlite_rows(data, "register")]
    assert "held_record" not in kinds
    assert "hold_key" not in kinds


async def test_a_second_erasure_lists_what_the_first_left(memory: TieredMemory) -> None:
    alice = await consenting(memory)
    await said(alice, "quagga")
    await hold(memory)
    await alice.erase(reason="asked")
    alice = await consenting(memory)
    await said(alice, "dodo")
    certificate = await alice.erase(reason="asked again")
    assert certificate.retained[0].startswith("2 memories")
    await memory.holds.release("case-7", "settled")
    assert (await memory.user("alice", tenant="acme").erase(reason="again")).retained == ()


async def test_two_holds_each_keep_their_own_copy(memory: TieredMemory) -> None:
    alice = await consenting(memory)
    await said(alice, "quagga")
    await hold(memory)
    await hold(memory, "tax", HoldScope(tenant="acme"))
    assert len((await alice.erase(reason="asked")).retained) == 2
    await memory.holds.release("case-7", "settled")
    assert {one.name: one.kept for one in await memory.holds.list()} == {"tax": 1}


async def test_who_is_not_held_is_erased_whole(memory: TieredMemory) -> None:
    bob = await consenting(memory, "bob")
    await said(bob, "moa")
    await hold(memory)
    assert (await bob.erase(reason="asked")).retained == ()
    assert [one.kept for one in await memory.holds.list()] == [0]


async def test_a_withdrawal_under_a_hold_keeps_the_copy_and_removes_the_memory(
    data: Path, clock: ManualClock
) -> None:
    async with opened(data, clock=clock) as memory:
        alice = await consenting(memory)
        await said(alice, "quagga")
        await memory.drain()
        await hold(memory)
        assert await alice.consent.withdraw(PURPOSE) == 1
        assert await contents(alice) == []
        assert [one.kept for one in await memory.holds.list()] == [1]
    assert sqlite_rows(data, "memories") == []
    assert seen(["quagga"], everything_at_rest(data)) == set()


async def test_a_hold_on_one_purpose_leaves_the_others(data: Path, clock: ManualClock) -> None:
    policy = data.parent / "two.toml"
    policy.write_text(TWO_PURPOSES)
    async with opened(data, clock=clock, settings={"policy": str(policy)}) as memory:
        alice = memory.user("alice", tenant="acme")
        await alice.consent.grant("advice", notice="n")
        await alice.add("the quagga is ours", importance=0.9)
        await alice.add("the dodo is ours", importance=0.9, purpose="service")
        await hold(memory, scope=HoldScope(purpose="service"))
        await alice.consent.withdraw("advice")
        assert [one.kept for one in await memory.holds.list()] == [0]
        assert (await alice.erase(reason="asked")).retained[0].startswith("1 memory under")


async def test_a_hold_and_an_erasure_at_once_come_one_after_the_other(memory: TieredMemory) -> None:
    alice = await consenting(memory)
    await said(alice, "quagga", "dodo")
    await memory.drain()
    certificates = []

    async def erase() -> None:
        certificates.append(await alice.erase(reason="asked"))

    async def place(name: str) -> None:
        await hold(memory, name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(place, "first")
        tasks.start_soon(place, "second")
        tasks.start_soon(erase)
    kept = {one.name: one.kept for one in await memory.holds.list()}
    assert set(kept.values()) <= {0, 2}
    told = [int(words.split()[0]) for words in certificates[0].retained]
    assert sorted(told) == sorted(count for count in kept.values() if count)


async def test_whoever_is_asked_during_a_release_may_erase(data: Path, clock: ManualClock) -> None:
    async def ask(_batch: ForgetBatch) -> None:
        await memory.user("bob", tenant="acme").erase(reason="asked")

    async with opened(data, clock=clock, before_forget=ask) as memory:
        alice, bob = await consenting(memory), await consenting(memory, "bob")
        await said(bob, "moa")
        await said(alice, "quagga", importance=0.3)
        await hold(memory, scope=HoldScope(tenant="acme"))
        clock.advance(timedelta(days=100))
        await memory.holds.release("case-7", "settled")
        assert await contents(memory.user("bob", tenant="acme")) == []


@pytest.mark.parametrize("way", ["withdraw", "refuse", "expire"])
async def test_whatever_ends_a_purpose_keeps_what_is_held(data: Path, clock: ManualClock, way: str) -> None:
    async with opened(data, clock=clock) as memory:
        alice = memory.user("alice", tenant="acme")
        ends = clock.now() + timedelta(days=5) if way == "expire" else None
        await alice.consent.grant(PURPOSE, notice="n", expires_at=ends)
        await said(alice, "quagga")
        await hold(memory)
        match way:
            case "withdraw":
                await alice.consent.withdraw(PURPOSE)
            case "refuse":
                await alice.consent.refuse(PURPOSE, notice="n")
            case _:
                clock.advance(timedelta(days=6))
                await memory.forget()
        assert await contents(alice) == []
        assert [one.kept for one in await memory.holds.list()] == [1]
    assert seen(["quagga"], everything_at_rest(data)) == set()


async def test_an_objection_keeps_what_is_held(data: Path, clock: ManualClock) -> None:
    policy = data.parent / "two.toml"
    policy.write_text(TWO_PURPOSES.replace('"contract"', '"legitimate_interests"'))
    async with opened(data, clock=clock, settings={"policy": str(policy)}) as memory:
        alice = memory.user("alice", tenant="acme")
        await alice.add("the quagga is ours", importance=0.9, purpose="service")
        await hold(memory)
        await alice.object_to("service")
        assert await contents(alice) == []
        assert [one.kept for one in await memory.holds.list()] == [1]
    assert sqlite_rows(data, "memories") == []
